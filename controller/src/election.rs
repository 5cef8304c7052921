//! Who leads: a key that lives as long as its writer's lease, and an epoch that every change compares.

use orrery_core::cluster::{EPOCH_KEY, LEADER_KEY};
use orrery_link::protocol::Versions;
use orrery_store::{Compare, Entry, Error, LeaseId, Revision, Store, Transaction};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Shortest lease of a leader. A store may grant more.
pub const LEASE_TTL: Duration = Duration::from_secs(2);

/// A controller as the others know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerRecord {
    /// Lasting id.
    pub id: String,
    /// Where other controllers and agents reach its door.
    pub url: String,
    /// Address of its door, for names.
    pub address: SocketAddr,
    /// Versions of the protocol that it speaks.
    #[serde(default = "Versions::untold")]
    pub protocol: Versions,
}

impl ControllerRecord {
    /// Whether what it names is left from an earlier life of `me`: nobody else can be where `me` is. One
    /// with the same id elsewhere may be a double that lives.
    pub(crate) fn is_left_from(&self, me: &Self) -> bool {
        self.id == me.id && self.url == me.url
    }
}

/// The value of [`LEADER_KEY`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// Who leads.
    #[serde(flatten)]
    pub controller: ControllerRecord,
    /// Since which epoch.
    pub epoch: u64,
    /// It was deposed a while ago although it lived: only the end of its lease says that it is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub steadfast: bool,
    /// The lease that ends with its leadership; none when nobody else can lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<i64>,
}

impl LeaderRecord {
    /// Reads the value of [`LEADER_KEY`]; `None` when it cannot be understood.
    pub fn parse(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

/// The right to lead, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) record: LeaderRecord,
    /// Revision of the epoch key, which every transaction compares.
    pub(crate) fence: Revision,
    /// `None`: nobody else can lead, and it never ends.
    lease: Option<(LeaseId, Duration)>,
    started: Instant,
    /// Milliseconds after `started` until which it surely holds.
    until: AtomicU64,
}

impl Tenure {
    /// Whether it can end.
    pub(crate) const fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Whether it surely still holds, by our own clock.
    pub(crate) fn holds(&self) -> bool {
        Instant::now() < self.ends()
    }

    fn ends(&self) -> Instant {
        let far = Duration::from_secs(60 * 60 * 24 * 365);
        let until = self.lease.map_or(far, |_| Duration::from_millis(self.until.load(Ordering::SeqCst)));
        if self.lease.is_none() { Instant::now() + far } else { self.started + until }
    }

    /// The lease was alive at `asked`. It ends a little early for us: clocks do not run alike.
    fn extend(&self, asked: Instant) {
        if let Some((_, ttl)) = self.lease {
            let until = ((asked - self.started) + ttl).checked_sub(ttl / 10).unwrap();
            self.until.fetch_max(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Keeps the lease alive; returns, with the reason, when the right to lead has ended.
    pub(crate) async fn keep(&self, store: &dyn Store) -> String {
        let Some((lease, ttl)) = self.lease else { return std::future::pending().await };
        let mut next = self.started + ttl / 3;
        loop {
            tokio::time::sleep_until(next.min(self.ends())).await;
            let asked = Instant::now();
            if asked >= self.ends() {
                return "the lease may have ended".into();
            }
            // A member that hangs must not take the whole time: another may answer.
            let answer = tokio::time::timeout_at(self.ends().min(asked + ttl / 3), store.keep_alive(lease)).await;
            match answer {
                Ok(Ok(())) => {
                    self.extend(asked);
                    next = asked + ttl / 3;
                }
                Ok(Err(error @ Error::LeaseNotFound { .. })) => return error.to_string(),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the leader's lease was not kept alive; trying again");
                    next = Instant::now() + ttl / 20;
                }
                Err(_) => next = Instant::now(),
            }
        }
    }

    /// Gives leadership up, so that a successor need not wait for the lease to end.
    pub(crate) async fn resign(&self, store: &dyn Store) {
        self.until.store(0, Ordering::SeqCst);
        give_back(store, self.lease).await;
    }
}

async fn give_back(store: &dyn Store, lease: Option<(LeaseId, Duration)>) {
    if let Some((lease, ttl)) = lease
        && !matches!(tokio::time::timeout(ttl, store.revoke(lease)).await, Ok(Ok(())))
    {
        tracing::warn!("the leader's lease could not be given back; it ends by itself");
    }
}

fn epoch_of(entry: Option<&Entry>) -> u64 {
    entry.and_then(|entry| std::str::from_utf8(&entry.value).ok()?.parse().ok()).unwrap_or(0)
}

fn unchanged(key: &str, entry: Option<&Entry>) -> Compare {
    Compare::ModRevision { key: key.into(), revision: entry.map_or(Revision::NONE, |entry| entry.mod_revision) }
}

/// Who stands for election.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidacy<'a> {
    pub(crate) me: &'a ControllerRecord,
    /// Time to live of the lease; `None` when nobody else can lead.
    pub(crate) ttl: Option<Duration>,
    /// The tenure that may be ended although its lease has not: its process is gone.
    pub(crate) over: Option<&'a LeaderRecord>,
    /// See [`LeaderRecord::steadfast`].
    pub(crate) steadfast: bool,
}

/// Tries to become the leader: raises the epoch, by which every earlier leader is fenced off, and
/// writes who leads, both at once and only if nobody else does, or only `candidacy.over`, whose process
/// is gone. Returns `None` when another one does.
///
/// # Errors
/// The store cannot be asked; whether somebody leads now is unknown.
pub(crate) async fn campaign(store: &dyn Store, candidacy: Candidacy<'_>) -> Result<Option<Tenure>, Error> {
    let Candidacy { me, ttl, over, steadfast } = candidacy;
    let (epoch, leader) = (store.get(EPOCH_KEY).await?, store.get(LEADER_KEY).await?);
    let present = leader.as_ref().and_then(|entry| LeaderRecord::parse(&entry.value));
    let yields = |present: &LeaderRecord| present.controller.is_left_from(me) || over == Some(present);
    if ttl.is_some() && leader.is_some() && !present.as_ref().is_some_and(yields) {
        return Ok(None);
    }
    let started = Instant::now();
    let lease = match ttl {
        Some(ttl) => Some((store.grant(ttl).await?, ttl)),
        None => None,
    };
    let record = LeaderRecord {
        controller: me.clone(),
        epoch: epoch_of(epoch.as_ref()) + 1,
        steadfast,
        lease: lease.map(|(lease, _)| lease.0),
    };
    let mut transaction = Transaction::new()
        .compare(unchanged(EPOCH_KEY, epoch.as_ref()))
        .expect_absent(crate::backup::CLOSED_KEY)
        .put(EPOCH_KEY, record.epoch.to_string().into_bytes());
    if let Some((lease, _)) = lease {
        let value = serde_json::to_vec(&record).unwrap_or_default();
        transaction = transaction.compare(unchanged(LEADER_KEY, leader.as_ref())).put_with_lease(LEADER_KEY, value, lease);
    }
    let fence = match store.transact(transaction).await {
        Ok(revision) => Some(revision),
        Err(Error::Conflict { .. }) => None,
        Err(error @ Error::Unavailable { .. }) => {
            let now = store.get(EPOCH_KEY).await?;
            let leader = store.get(LEADER_KEY).await?.and_then(|entry| LeaderRecord::parse(&entry.value));
            let ours = epoch_of(now.as_ref()) == record.epoch && (lease.is_none() || leader.as_ref() == Some(&record));
            let Some(entry) = now.filter(|_| ours) else {
                give_back(store, lease).await;
                // Somebody else may have won, but a store that does not write is no reason to ask at once again.
                return Err(error);
            };
            tracing::info!(%error, "the election was not confirmed, but it was won");
            Some(entry.mod_revision)
        }
        Err(error) => return Err(error),
    };
    let tenure = Tenure { record, fence: fence.unwrap_or_default(), lease, started, until: AtomicU64::new(0) };
    if fence.is_none() {
        tenure.resign(store).await;
        return Ok(None);
    }
    tenure.extend(started);
    Ok(Some(tenure))
}
