//! Watches of the model: exact ones, and ones that etcd's faults have spoilt.

use super::cell::Cell;
use super::client::Weather;
use crate::chance::Chance;
use futures::StreamExt;
use orrery_store::{Error, Event, Result, Revision, WatchEvents, WatchStream};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Batches a watcher may leave unread before the watch waits for it.
const UNREAD_MAX: usize = 1_024;

/// Where a watch stands.
struct Cursor {
    cell: Cell,
    prefix: String,
    next: Revision,
    changes: Arc<tokio::sync::Notify>,
}

impl Cursor {
    fn new(cell: Cell, prefix: String, next: Revision) -> Self {
        let changes = cell.changes();
        Self { cell, prefix, next, changes }
    }

    /// What is owed next, if it has happened.
    fn owed(&mut self) -> Option<Result<WatchEvents>> {
        let history = self.cell.history();
        while self.next <= history.latest() {
            if self.next < history.compacted() {
                return Some(Err(Error::Compacted { revision: history.compacted() }));
            }
            let revision = self.next;
            self.next = revision.next();
            let events: Vec<Event> = match history.at(revision) {
                Ok(state) => state.events.iter().filter(|event| event.key().starts_with(&self.prefix)).cloned().collect(),
                Err(error) => return Some(Err(error)),
            };
            if !events.is_empty() {
                return Some(Ok(WatchEvents { revision, events }));
            }
        }
        None
    }

    async fn next(&mut self) -> Result<WatchEvents> {
        loop {
            let changes = Arc::clone(&self.changes);
            let changed = changes.notified();
            if let Some(owed) = self.owed() {
                return owed;
            }
            changed.await;
        }
    }
}

/// A watch that keeps its promise.
pub(super) fn exact(cell: Cell, prefix: String, from: Revision) -> WatchStream {
    let cursor = Some(Cursor::new(cell, prefix, from));
    Box::pin(futures::stream::unfold(cursor, |cursor| async {
        let mut cursor = cursor?;
        let item = cursor.next().await;
        let over = item.is_err();
        Some((item, if over { None } else { Some(cursor) }))
    }))
}

/// A watch through the weather: late always, and now and then an event is lost, told twice, told
/// again much later, or the stream ends with a demand to list again.
pub(super) fn spoilt(
    cell: Cell,
    prefix: String,
    from: Revision,
    weather: Arc<Mutex<Weather>>,
    mut chance: Chance,
    note: impl Fn(String) + Send + 'static,
) -> WatchStream {
    let (deliveries, received) = mpsc::channel(UNREAD_MAX);
    tokio::spawn(async move {
        let mut cursor = Cursor::new(cell, prefix, from);
        let mut past: Vec<WatchEvents> = Vec::new();
        loop {
            let item = tokio::select! {
                biased;
                () = deliveries.closed() => return,
                item = cursor.next() => item,
            };
            let now = weather.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tokio::time::sleep(now.delay(&mut chance)).await;
            while weather.lock().unwrap_or_else(PoisonError::into_inner).is_deaf() {
                // Held back by a partition or a lost quorum, not lost: it comes when the fault ends.
                tokio::time::sleep(chance.millis(50, 150)).await;
                if deliveries.is_closed() {
                    return;
                }
            }
            let batch = match item {
                Ok(batch) => batch,
                Err(error) => {
                    let _ = deliveries.send(Err(error)).await;
                    return;
                }
            };
            if chance.hits(now.watch_breaks) {
                note(format!("watch breaks at {}", batch.revision));
                let _ = deliveries.send(Err(Error::WatchLost { reason: "a fault of the simulation".into() })).await;
                return;
            }
            if chance.hits(now.watch_loses) {
                note(format!("watch loses {}", batch.revision));
                continue;
            }
            if chance.hits(now.watch_repeats)
                && let Some(old) = chance.pick(&past).cloned()
            {
                note(format!("watch goes back to {}", old.revision));
                if deliveries.send(Ok(old)).await.is_err() {
                    return;
                }
            }
            past.push(batch.clone());
            if deliveries.send(Ok(batch)).await.is_err() {
                return;
            }
        }
    });
    Box::pin(ReceiverStream::new(received).fuse())
}
