//! Which controllers there are: each keeps a key with a lease, and all watch them.
//!
//! Two processes with one id, of which one runs on a copy of the other's data directory, share a key.
//! Each sees when the other writes it: the one that started first writes it again, the other gives way.

use crate::election::ControllerRecord;
use crate::shared::Shared;
use futures::StreamExt as _;
use orrery_core::Timestamp;
use orrery_core::cluster::CONTROLLERS;
use orrery_store::{Entry, Error, Event, LeaseId, Revision, Store, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a controller that has died is still listed.
pub(crate) const MEMBER_TTL: Duration = Duration::from_secs(15);
/// Pause after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The value of a controller's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    #[serde(flatten)]
    record: ControllerRecord,
    /// Its process; absent of controllers that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life: Option<Life>,
}

/// A process, in the order in which they started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Life {
    since: Timestamp,
    /// Tells apart what started at the same time.
    mark: Uuid,
}

/// What to do about what stands in one's own key.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// It is one's own.
    Ours,
    /// Another process wrote it that started later, and gives way when it sees the key written again.
    Later,
    /// Another process wrote it that was there before.
    Earlier,
}

/// Whose claim it is that was written after `me` had written its own.
fn claim(me: Life, found: &Member) -> Claim {
    match found.life {
        Some(life) if life < me => Claim::Earlier,
        Some(life) if life > me => Claim::Later,
        _ => Claim::Ours,
    }
}

/// What this controller keeps in the store.
struct Presence {
    key: String,
    own: Member,
    life: Life,
    lease: Option<LeaseId>,
    /// Whether it has written its key: what stands there before that may be left from an earlier life.
    registered: bool,
}

/// Why the list is read again, or not at all.
enum Ended {
    Failed(Error),
    Double(ControllerRecord),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Registers this controller and keeps the list of all, until `stop`, or until another process with its
/// id is found that was there before; stops then itself and returns who that is.
pub(crate) async fn attend(shared: Arc<Shared>, store: Arc<dyn Store>, stop: CancellationToken) -> Option<ControllerRecord> {
    let life = Life { since: shared.now(), mark: Uuid::new_v4() };
    let own = Member { record: shared.me.clone(), life: Some(life) };
    let key = format!("{CONTROLLERS}{}", shared.me.id);
    let mut presence = Presence { key, own, life, lease: None, registered: false };
    let mut double = None;
    loop {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            ended = presence.attend_once(&shared, &*store) => ended,
        };
        match ended {
            Ended::Double(other) => {
                double = Some(other);
                stop.cancel();
            }
            Ended::Failed(error) => tracing::debug!(%error, "the list of controllers is read again"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    if let Some(lease) = presence.lease {
        // It ends by itself otherwise.
        let _ = tokio::time::timeout(PAUSE, store.revoke(lease)).await;
    }
    double
}

impl Presence {
    async fn attend_once(&mut self, shared: &Shared, store: &dyn Store) -> Ended {
        match self.follow(shared, store).await {
            Ok(never) => match never {},
            Err(ended) => {
                if matches!(ended, Ended::Failed(Error::LeaseNotFound { .. })) {
                    self.lease = None;
                }
                ended
            }
        }
    }

    async fn follow(&mut self, shared: &Shared, store: &dyn Store) -> Result<std::convert::Infallible, Ended> {
        let (lease, fresh) = match self.lease {
            Some(lease) => (lease, false),
            None => (*self.lease.insert(store.grant(MEMBER_TTL).await?), true),
        };
        // The key of an earlier life ends with that life's lease.
        let present = store.get(&self.key).await?.and_then(|entry| member(&entry));
        let stands = present.as_ref() == Some(&self.own);
        self.look(present.as_ref())?;
        if fresh || !stands {
            self.write(store, lease).await?;
        }
        let (mut known, mut as_of) = listed(store).await?;
        self.answer(known.get(&self.key), store, lease).await?;
        let mut watch = store.watch(CONTROLLERS, as_of.next()).await?;
        let mut keep = tokio::time::interval(MEMBER_TTL / 3);
        keep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            shared.set_controllers(known.values().map(|member| (member.record.id.clone(), member.record.clone())).collect());
            tokio::select! {
                biased;
                _ = keep.tick() => {
                    store.keep_alive(lease).await?;
                    // A watch may lose a change, and the next one may be days away.
                    (known, as_of) = listed(store).await?;
                    let present = known.get(&self.key).ok_or_else(own_key_gone)?;
                    self.answer(Some(present), store, lease).await?;
                }
                batch = watch.next() => {
                    let batch = batch.unwrap_or_else(|| Err(Error::WatchLost { reason: "it has ended".into() }))?;
                    if batch.revision <= as_of {
                        continue;
                    }
                    for event in batch.events {
                        match &event {
                            Event::Put(entry) => {
                                if let Some(member) = member(entry) {
                                    if entry.key == self.key {
                                        self.answer(Some(&member), store, lease).await?;
                                    }
                                    known.insert(entry.key.clone(), member);
                                }
                            }
                            Event::Delete { key: gone, .. } if *gone == self.key => {
                                return Err(own_key_gone().into());
                            }
                            Event::Delete { key, .. } => drop(known.remove(key)),
                        }
                    }
                }
            }
        }
    }

    /// Looks at what stands in its own key.
    fn look(&self, present: Option<&Member>) -> Result<Claim, Ended> {
        let Some(present) = present.filter(|_| self.registered) else { return Ok(Claim::Ours) };
        match claim(self.life, present) {
            Claim::Earlier => Err(Ended::Double(present.record.clone())),
            other => Ok(other),
        }
    }

    /// Tells a process with the same id that started later that this one lives.
    async fn answer(&self, present: Option<&Member>, store: &dyn Store, lease: LeaseId) -> Result<(), Ended> {
        if self.look(present)? == Claim::Later {
            let other = present.map_or("", |present| &present.record.url);
            tracing::warn!(
                other,
                "another controller runs with the id of this one, on a copy of its data directory; it gives way"
            );
            self.put(store, lease).await?;
        }
        Ok(())
    }

    async fn write(&mut self, store: &dyn Store, lease: LeaseId) -> Result<(), Error> {
        self.put(store, lease).await?;
        self.registered = true;
        Ok(())
    }

    async fn put(&self, store: &dyn Store, lease: LeaseId) -> Result<(), Error> {
        let value = serde_json::to_vec(&self.own).unwrap_or_default();
        store.transact(Transaction::new().put_with_lease(self.key.clone(), value, lease)).await.map(drop)
    }
}

/// The controllers by key, and the revision at which they were read.
async fn listed(store: &dyn Store) -> Result<(BTreeMap<String, Member>, Revision), Error> {
    let list = orrery_store::list(store, CONTROLLERS).await?;
    let members = list.entries.iter().filter_map(|entry| Some((entry.key.clone(), member(entry)?)));
    Ok((members.collect(), list.revision))
}

/// Where another controller of this cluster is, on another machine, when only this machine reaches `me`.
pub(crate) async fn abroad(store: &dyn Store, me: &ControllerRecord) -> Result<Option<String>, Error> {
    if !is_local(&me.url) {
        return Ok(None);
    }
    let others = listed(store).await?.0.into_values().map(|member| member.record).filter(|other| other.id != me.id);
    Ok(others.map(|other| other.url).find(|url| !is_local(url)))
}

/// Whether a URL means the machine of whoever uses it.
fn is_local(url: &str) -> bool {
    match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn member(entry: &Entry) -> Option<Member> {
    serde_json::from_slice(&entry.value).ok()
}

fn own_key_gone() -> Error {
    Error::WatchLost { reason: "this controller's own key is gone".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_link::protocol::Versions;
    use orrery_store::Embedded;

    #[tokio::test]
    async fn who_only_this_machine_reaches_is_told_of_controllers_elsewhere() {
        let store = Embedded::in_memory().unwrap();
        let record = |id: &str, url: &str| ControllerRecord {
            id: id.into(),
            url: url.into(),
            address: ([127, 0, 0, 1], 1).into(),
            protocol: Versions::spoken(),
        };
        let [here, name, far] =
            [("a", "http://127.0.0.1:8080"), ("b", "https://localhost:8443"), ("c", "https://c3.example:8443")]
                .map(|(id, url)| record(id, url));
        let put = async |member: &ControllerRecord| {
            let value = serde_json::to_vec(&Member { record: member.clone(), life: None }).unwrap();
            store.transact(Transaction::new().put(format!("{CONTROLLERS}{}", member.id), value)).await.unwrap();
        };
        put(&here).await;
        put(&name).await;
        assert_eq!(abroad(&store, &here).await.unwrap(), None, "all on one machine");
        put(&far).await;
        assert_eq!(abroad(&store, &here).await.unwrap(), Some(far.url.clone()));
        assert_eq!(abroad(&store, &far).await.unwrap(), None);
        assert_eq!(abroad(&store, &record("d", "https://[::1]:1")).await.unwrap(), Some(far.url));
    }
}
