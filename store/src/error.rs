//! What can go wrong, in words of the caller.

use crate::{Key, LeaseId, Revision};

/// The result of a store call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store refused or failed. Cheap to clone, since one failed commit
/// answers every transaction that was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A compare of the transaction did not hold; nothing was written.
    #[error("the key {key} has changed in the meantime; read it again and decide anew")]
    Conflict {
        /// The first key whose compare failed.
        key: Key,
    },
    /// The revision asked for is no longer kept.
    #[error("revision {revision} and those before it are compacted; list again and watch from there")]
    Compacted {
        /// The oldest revision that can still be read.
        revision: Revision,
    },
    /// The revision asked for does not exist yet.
    #[error("revision {requested} does not exist yet, the store stands at {current}")]
    FutureRevision {
        /// The revision asked for.
        requested: Revision,
        /// The latest revision.
        current: Revision,
    },
    /// A watch saw the store go back, or a part of a revision apart from the
    /// rest; what the watcher knows can't be trusted.
    #[error("the store went back from revision {seen} to {received}; list again")]
    Regressed {
        /// The highest revision seen before.
        seen: Revision,
        /// The revision received after it.
        received: Revision,
    },
    /// A watch can't deliver what it owes for another reason.
    #[error("the watch can't go on: {reason}; list again")]
    WatchLost {
        /// What happened.
        reason: String,
    },
    /// A limit was exceeded; nothing was written.
    #[error("{what} is {actual}, the limit is {limit}; split the change into several transactions")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        actual: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The store has no space; nothing was written.
    #[error("the store has no space: {reason}")]
    Full {
        /// What to do about it.
        reason: String,
    },
    /// The request makes no sense; nothing was written.
    #[error("invalid request: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// The lease is unknown, revoked or has expired.
    #[error("lease {lease} does not exist or has expired; ask for a new one")]
    LeaseNotFound {
        /// The lease.
        lease: LeaseId,
    },
    /// The store can't be reached or did not answer in time. Whether a write
    /// that ended so has happened is unknown: read before repeating it.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another orrery process; stop it first (`orrery down`) or choose another --data-dir")]
    Locked {
        /// The file.
        path: String,
    },
    /// The store's credentials were refused.
    #[error("the store refused the credentials: {reason}")]
    Unauthorized {
        /// What the store said.
        reason: String,
    },
    /// What is stored can't be understood.
    #[error("the store is damaged: {reason}; restore the data directory from a backup")]
    Corrupt {
        /// What was found.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed when it is repeated a little later.
    /// A conflict is not among them: its decision must be made anew.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether a watcher or paged reader must start over with a list.
    pub fn needs_relist(&self) -> bool {
        matches!(self, Self::Compacted { .. } | Self::Regressed { .. } | Self::WatchLost { .. })
    }

    pub(crate) fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::Unavailable { reason: reason.to_string() }
    }

    pub(crate) fn corrupt(reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { reason: reason.to_string() }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }
}
