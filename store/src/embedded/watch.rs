//! Watches: each pulls what it has not seen yet whenever a commit is announced.
//! Nothing is pushed to it, so a slow one holds up nobody and misses nothing.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::watch;

use super::{Shared, blocking, read, tables};
use crate::{Error, Result, Revision, WatchEvents, WatchStream};

struct Watcher {
    /// Weak, so that an open watch does not keep the file open.
    store: Weak<Shared>,
    latest: watch::Receiver<Revision>,
    prefix: String,
    next: Revision,
    pending: VecDeque<WatchEvents>,
}

/// Opens a watch.
pub(super) fn watch(shared: &Arc<Shared>, prefix: &str, from: Revision) -> Result<WatchStream> {
    let latest = shared.latest.subscribe();
    let (current, compacted) = tables::bounds(&shared.snapshot()?)?;
    let next = if from.is_none() { current.next() } else { from };
    if next < compacted {
        return Ok(Box::pin(futures::stream::iter([Err(Error::Compacted { revision: compacted })])));
    }
    let watcher = Watcher { store: Arc::downgrade(shared), latest, prefix: prefix.to_owned(), next, pending: VecDeque::new() };
    Ok(Box::pin(futures::stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.advance().await {
            Ok(events) => Some((Ok(events), Some(watcher))),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

impl Watcher {
    async fn advance(&mut self) -> Result<WatchEvents> {
        loop {
            if let Some(events) = self.pending.pop_front() {
                return Ok(events);
            }
            let latest = *self.latest.borrow_and_update();
            if self.next > latest {
                self.latest.changed().await.map_err(|_| Error::unavailable("it is closed"))?;
                continue;
            }
            let shared = self.store.upgrade().ok_or_else(|| Error::unavailable("it is closed"))?;
            let recent = shared.recent.read().unwrap_or_else(PoisonError::into_inner).since(&self.prefix, self.next);
            let (found, next) = if let Some(found) = recent {
                found
            } else {
                let (prefix, from) = (self.prefix.clone(), self.next);
                blocking(move || read::replay(&shared.snapshot()?, &prefix, from)).await?
            };
            self.pending.extend(found);
            self.next = next;
        }
    }
}
