//! The stream of events, with a bounded memory for clients that come back.

use orrery_core::Timestamp;
use orrery_core::cluster::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events kept for replay.
pub(crate) const EVENTS_KEPT: usize = 10_000;
/// Events a subscriber may lag behind before it has to replay.
pub(crate) const EVENTS_BUFFERED: usize = 4_096;

/// An event with its place in the stream.
#[derive(Debug)]
pub struct Stamped {
    /// Counts from 1 within one life of the leader.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// Fan-out of events.
#[derive(Debug)]
pub struct EventLog {
    recent: Mutex<VecDeque<Arc<Stamped>>>,
    sender: broadcast::Sender<Arc<Stamped>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { recent: Mutex::default(), sender: broadcast::channel(EVENTS_BUFFERED).0 }
    }
}

/// What operators look for in the log.
fn log(event: &Event) {
    match event {
        Event::NodeChanged { node, message } => tracing::info!(node = %node.facts.id, state = node.state(), "{message}"),
        Event::NodeRetired { node } => tracing::warn!(node = %node.id, "the node has left the cluster for ever"),
        Event::BrakeEngaged { held } => tracing::error!("{}", held.sentence()),
        Event::BrakeReleased { held } => tracing::warn!(missing = held.missing.len(), "replacements go on"),
        _ => {}
    }
}

impl EventLog {
    /// Publishes new events; returns the index of the first.
    pub(crate) fn publish(&self, at: Timestamp, events: Vec<Event>) -> u64 {
        events.iter().for_each(log);
        let next = self.last_index() + 1;
        self.publish_from(next, at, events);
        next
    }

    /// Publishes events that another controller has numbered, from `first` on. What is known already
    /// is left out.
    pub(crate) fn publish_from(&self, first: u64, at: Timestamp, events: Vec<Event>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, event) in (first..).zip(events) {
            if recent.back().is_some_and(|last| last.index >= index) {
                continue;
            }
            let stamped = Arc::new(Stamped { index, at, event });
            recent.push_back(Arc::clone(&stamped));
            if recent.len() > EVENTS_KEPT {
                recent.pop_front();
            }
            // No subscriber is no error.
            let _ = self.sender.send(stamped);
        }
    }

    /// Events after `index` that are still kept, and all that follow.
    pub fn subscribe(&self, after: Option<u64>) -> (Vec<Arc<Stamped>>, broadcast::Receiver<Arc<Stamped>>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // An index from an earlier life of the leader, which counted further: all is news.
        let last = recent.back().map_or(0, |last| last.index);
        let after = after.map(|after| if after > last { 0 } else { after });
        let missed = after.map(|after| recent.iter().filter(|event| event.index > after).cloned().collect());
        (missed.unwrap_or_default(), self.sender.subscribe())
    }

    /// Index of the last event.
    pub fn last_index(&self) -> u64 {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).back().map_or(0, |last| last.index)
    }
}
