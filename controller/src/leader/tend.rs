//! What goes on beside the leader's loop.

use crate::election::Tenure;
use crate::liveness::{PULSE, Wakefulness};
use futures::StreamExt as _;
use orrery_core::cluster::{EPOCH_KEY, LEADER_KEY};
use orrery_store::{Event, Revision, Store};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often history is compacted, and how many such intervals are kept.
const COMPACTION_INTERVAL: Duration = Duration::from_secs(5 * 60);
const COMPACTIONS_KEPT: usize = 2;
/// Pause before a watch that has ended is opened again.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Notes that this process runs.
pub(super) async fn pulse(awake: Arc<Mutex<Wakefulness>>) {
    let mut interval = tokio::time::interval(PULSE);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if awake.lock().unwrap_or_else(PoisonError::into_inner).pulse() {
            tracing::warn!("this controller stood still; every node gets its whole time again");
        }
    }
}

/// Forgets history that nobody needs any more, a little at a time.
pub(super) async fn compact(store: &dyn Store) {
    let mut marks: VecDeque<Revision> = VecDeque::new();
    loop {
        if let Ok(revision) = store.revision().await {
            marks.push_back(revision);
        }
        if marks.len() > COMPACTIONS_KEPT
            && let Some(mark) = marks.pop_front()
            && let Err(error) = store.compact(mark).await
        {
            tracing::warn!(%error, "the store's history could not be compacted");
        }
        tokio::time::sleep(COMPACTION_INTERVAL).await;
    }
}

/// Waits until the store says that somebody else leads; returns how.
pub(super) async fn watch_leadership(store: &dyn Store, tenure: &Tenure) -> String {
    let epoch = tenure.record.epoch.to_string();
    let raised = holds(store, EPOCH_KEY, tenure.fence, move |value| value == epoch.as_bytes());
    if !tenure.is_leased() {
        raised.await;
        return "the epoch was raised".into();
    }
    let id = tenure.record.controller.id.clone();
    let ours = move |value: &[u8]| crate::LeaderRecord::parse(value).is_some_and(|leader| leader.controller.id == id);
    tokio::select! {
        biased;
        () = raised => "the epoch was raised".into(),
        () = holds(store, LEADER_KEY, tenure.fence, ours) => "the leader's key is gone".into(),
    }
}

/// Ends when `key` is deleted, or its value is not `ours` any more. A watch is a hint: when it ends,
/// the key itself is read.
async fn holds(store: &dyn Store, key: &str, from: Revision, ours: impl Fn(&[u8]) -> bool) {
    let mut next = from.next();
    loop {
        if let Ok(mut watch) = store.watch(key, next).await {
            while let Some(Ok(batch)) = watch.next().await {
                next = batch.revision.next();
                let lost = |event: &Event| event.key() == key && !matches!(event, Event::Put(entry) if ours(&entry.value));
                if batch.events.iter().any(lost) {
                    return;
                }
            }
        }
        tokio::time::sleep(WATCH_PAUSE).await;
        if let Ok(entry) = store.get(key).await {
            let Some(entry) = entry.filter(|entry| ours(&entry.value)) else { return };
            next = entry.mod_revision.next();
        }
    }
}
