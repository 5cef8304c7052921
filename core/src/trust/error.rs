//! Refusals.

use crate::{NodeId, Timestamp};

/// Why somebody is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No such token, or another secret.
    #[error(
        "this cluster does not know the join token: it was revoked, or is of another cluster; make one with `orrery token create`"
    )]
    TokenUnknown,
    /// It let somebody in already.
    #[error("the join token was used by {hostname} at {at}, and a token works once; make another with `orrery token create`")]
    TokenUsed {
        /// By which machine.
        hostname: String,
        /// When.
        at: Timestamp,
    },
    /// Too late.
    #[error("the join token expired at {0}; make another with `orrery token create`")]
    TokenExpired(Timestamp),
    /// There is no token of that id to revoke.
    #[error("there is no join token {0}; see `orrery token list`")]
    NoToken(String),
    /// Too many at once.
    #[error("there are {0} join tokens already; revoke some with `orrery token revoke ID`")]
    TooManyTokens(usize),
    /// The machine says it is a node, and does not prove it.
    #[error("this machine's key is not one that node {0} had; move its credentials.json away to join as a new node")]
    KeyUnknown(NodeId),
    /// The certificate does not count any more.
    #[error(
        "the certificate of node {0} was revoked or replaced; if the node is to come back, join again with a new token (`orrery token create`)"
    )]
    Revoked(NodeId),
    /// There is no authority yet.
    #[error("the cluster has no certificate authority yet; try again in a moment")]
    NoAuthority,
    /// A certificate could not be made.
    #[error("{0}")]
    Certificate(String),
    /// The uid is taken.
    #[error("User with uid `{0}` already exists.")]
    UserExists(String),
    /// The uid is unknown.
    #[error("User with uid `{0}` not known.")]
    NoUser(String),
    /// Too many.
    #[error("there are {0} users already")]
    TooManyUsers(usize),
    /// Nobody could manage users any more.
    #[error("this is the last user: create another one first")]
    LastUser,
}
