//! Revisions, keys and leases: the coordinates of the key space.

use serde::{Deserialize, Serialize};

/// A key: a UTF-8 path such as `/orrery/v1/apps/web`. Never empty, never holds
/// a NUL character, at most [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES) long.
pub type Key = String;

/// The number of a committed transaction. Every transaction that changes
/// something takes the next number; 0 means "no revision" or "latest".
/// A new store stands at revision 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// No revision: the key is absent, or "the latest" where a reading revision is asked for.
    pub const NONE: Self = Self(0);

    /// The revision after this one, where a watch goes on.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether this is [`Revision::NONE`].
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a lease, given by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub i64);

/// How much is left of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTime {
    /// What is left, in whole seconds, rounded down.
    pub left: std::time::Duration,
    /// What it has each time it is kept alive.
    pub granted: std::time::Duration,
}

impl LeaseTime {
    /// Rounds what is left.
    pub fn new(left: std::time::Duration, granted: std::time::Duration) -> Self {
        Self { left: std::time::Duration::from_secs(left.as_secs()), granted }
    }
}

impl std::fmt::Display for LeaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
