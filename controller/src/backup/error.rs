//! What can go wrong with a copy.

use orrery_store::Error as StoreError;

/// A copy was refused, or did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It is no backup, or not whole.
    #[error("this is no whole backup: {0}")]
    Damaged(String),
    /// The daemon that was to make it could not.
    #[error("the daemon could not make it: {reason}")]
    Unfinished {
        /// What the daemon says.
        reason: String,
        /// Another attempt may succeed at once.
        again: bool,
    },
    /// A store cannot be read or written.
    #[error("the store cannot be used: {0}")]
    Store(StoreError),
    /// There is nothing to copy.
    #[error("there is no cluster in it: a store that no controller has led on has nothing to copy")]
    Nothing,
    /// The target holds something.
    #[error("the target is not empty: it holds {0}; with --force {0} its content is replaced, if that is the same cluster")]
    NotEmpty(String),
    /// The target holds something that belongs to no cluster.
    #[error("the target is not empty, and what it holds names no cluster; look what it is, then replace it with --force {0}")]
    Unnamed(String),
    /// The target, or what was named, is another cluster.
    #[error("the target and the origin are not the same cluster: the origin is {origin}, {what} {other}")]
    OtherCluster {
        /// Cluster id of what is copied.
        origin: String,
        /// What names the other one.
        what: &'static str,
        /// The other id.
        other: String,
    },
    /// The cluster that may be replaced was not named.
    #[error("--force names {named}, but what is replaced is cluster {cluster}: give --force {cluster}")]
    WrongForce {
        /// Cluster id of what is copied, and of the target.
        cluster: String,
        /// What was named.
        named: String,
    },
    /// Somebody leads on the target.
    #[error("a controller leads on the target now{}; stop all controllers first and try again (one that was killed counts as leading for some seconds more)", at(.0.as_deref()))]
    Led(Option<String>),
    /// Somebody writes to a store that is being copied to.
    #[error("somebody else writes to the target; stop its controllers and try again")]
    Busy,
    /// The origin was moved before.
    #[error("this store was closed: {0}; `orrery store reopen` opens it again")]
    Closed(String),
    /// What was read back is not what was written.
    #[error("what the target holds is not what was copied; it stays closed, try again")]
    Differs,
}

/// Where the leader is, for the sentence.
fn at(url: Option<&str>) -> String {
    url.map(|url| format!(", at {url}")).unwrap_or_default()
}

// Its message is a part of ours already: as a source it would be told twice.
impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl BackupError {
    /// Whether another attempt may succeed: the history of the store was compacted meanwhile.
    pub fn is_compacted(&self) -> bool {
        matches!(self, Self::Store(StoreError::Compacted { .. }) | Self::Unfinished { again: true, .. })
    }
}
