//! What a watch yields.

use std::pin::Pin;

use futures::Stream;

use crate::{Entry, Key, Result, Revision};

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put(Entry),
    /// The key was deleted, by a transaction or by the end of its lease.
    Delete {
        /// The key.
        key: Key,
        /// The revision that deleted it.
        revision: Revision,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// All changes that one revision made under the watched prefix, each key at
/// most once. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvents {
    /// The revision; it rises strictly from one item of a stream to the next.
    pub revision: Revision,
    /// The changes, in no order that means something.
    pub events: Vec<Event>,
}

/// The changes from a revision on, without end. After an error that
/// [`needs_relist`](crate::Error::needs_relist) the stream is over.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvents>> + Send>>;
