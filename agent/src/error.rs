//! What can go wrong with an agent as a whole; faults of one task go into its report.

use std::path::PathBuf;

/// An agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the agent's own.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The data directory belongs to a running agent.
    #[error("another agent uses the data directory {}; stop it, or give this one a directory of its own", .0.display())]
    Locked(PathBuf),
    /// The spawner does not start or answer.
    #[error("the process that starts tasks does not work: {0}")]
    Spawner(String),
    /// The container engine has gone or come back.
    #[error("what the node offers has changed; it registers again")]
    FactsChanged,
    /// The other end of the link is gone.
    #[error("the connection to the controller has ended")]
    Disconnected,
    /// The node has left the cluster for ever.
    #[error("this node has left the cluster: {0}")]
    Dismissed(String),
}

impl Error {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
