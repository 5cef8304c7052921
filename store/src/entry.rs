//! What a key holds, and a page of such entries.

use bytes::Bytes;

use crate::{Key, Revision};

/// A key with its value at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value, any bytes.
    pub value: Bytes,
    /// The revision that created the key (the last time, when it was deleted in between).
    pub create_revision: Revision,
    /// The revision that wrote this value; compare it to write safely.
    pub mod_revision: Revision,
    /// How often the key was written since it was created; 1 after creation.
    pub version: u64,
}

/// One page of keys, without their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The keys in byte order, each with the revision that wrote its value.
    pub keys: Vec<(Key, Revision)>,
    /// The revision the page shows.
    pub revision: Revision,
    /// Whether keys follow: read on with `start_after` the last one.
    pub more: bool,
}

/// One page of a range read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The entries, in byte order of their keys.
    pub entries: Vec<Entry>,
    /// The revision the page shows: pass it as `at` to read the next page of
    /// the same state, and its successor to `watch` to miss nothing.
    pub revision: Revision,
    /// Whether entries follow: read on with `start_after` the last key.
    pub more: bool,
}
