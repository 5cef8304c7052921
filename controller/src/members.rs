//! Which controllers there are: each keeps a key with a lease, and all watch them.

use crate::election::ControllerRecord;
use crate::shared::Shared;
use futures::StreamExt as _;
use orrery_core::cluster::CONTROLLERS;
use orrery_store::{Entry, Error, Event, LeaseId, Revision, Store, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a controller that has died is still listed.
pub(crate) const MEMBER_TTL: Duration = Duration::from_secs(15);
/// Pause after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Registers this controller and keeps the list of all, until `stop`.
pub(crate) async fn attend(shared: Arc<Shared>, store: Arc<dyn Store>, stop: CancellationToken) {
    let mut lease = None;
    loop {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            ended = attend_once(&shared, &*store, &mut lease) => ended,
        };
        tracing::debug!(error = %ended, "the list of controllers is read again");
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    if let Some(lease) = lease {
        // It ends by itself otherwise.
        let _ = tokio::time::timeout(PAUSE, store.revoke(lease)).await;
    }
}

async fn attend_once(shared: &Shared, store: &dyn Store, lease: &mut Option<LeaseId>) -> Error {
    match follow(shared, store, lease).await {
        Ok(never) => match never {},
        Err(error) => {
            if matches!(error, Error::LeaseNotFound { .. }) {
                *lease = None;
            }
            error
        }
    }
}

async fn follow(shared: &Shared, store: &dyn Store, lease: &mut Option<LeaseId>) -> Result<std::convert::Infallible, Error> {
    let key = format!("{CONTROLLERS}{}", shared.me.id);
    let value = serde_json::to_vec(&shared.me).unwrap_or_default();
    let (lease, fresh) = match *lease {
        Some(lease) => (lease, false),
        None => (*lease.insert(store.grant(MEMBER_TTL).await?), true),
    };
    // The key of an earlier life looks the same, but ends with that life's lease.
    if fresh || store.get(&key).await?.is_none_or(|entry| entry.value != value) {
        store.transact(Transaction::new().put_with_lease(key.clone(), value, lease)).await?;
    }
    let (mut known, mut as_of) = listed(store).await?;
    let mut watch = store.watch(CONTROLLERS, as_of.next()).await?;
    let mut keep = tokio::time::interval(MEMBER_TTL / 3);
    keep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        shared.set_controllers(known.values().map(|record| (record.id.clone(), record.clone())).collect());
        tokio::select! {
            biased;
            _ = keep.tick() => {
                store.keep_alive(lease).await?;
                // A watch may lose a change, and the next one may be days away.
                (known, as_of) = listed(store).await?;
                if !known.contains_key(&key) {
                    return Err(own_key_gone());
                }
            }
            batch = watch.next() => {
                let batch = batch.unwrap_or_else(|| Err(Error::WatchLost { reason: "it has ended".into() }))?;
                if batch.revision <= as_of {
                    continue;
                }
                for event in batch.events {
                    match &event {
                        Event::Put(entry) => known.extend(read(entry)),
                        Event::Delete { key: gone, .. } if *gone == key => {
                            return Err(own_key_gone());
                        }
                        Event::Delete { key, .. } => drop(known.remove(key)),
                    }
                }
            }
        }
    }
}

/// The controllers by key, and the revision at which they were read.
async fn listed(store: &dyn Store) -> Result<(BTreeMap<String, ControllerRecord>, Revision), Error> {
    let list = orrery_store::list(store, CONTROLLERS).await?;
    Ok((list.entries.iter().filter_map(read).collect(), list.revision))
}

fn read(entry: &Entry) -> Option<(String, ControllerRecord)> {
    Some((entry.key.clone(), serde_json::from_slice(&entry.value).ok()?))
}

fn own_key_gone() -> Error {
    Error::WatchLost { reason: "this controller's own key is gone".into() }
}
