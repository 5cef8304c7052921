//! Who may do what: the cluster's authority, join tokens, credentials of nodes, users.

mod credential;
pub(crate) mod document;
mod error;
mod secret;
mod token;
mod user;

pub use credential::{NodeCertificate, NodeCredential};
pub use error::TrustError;
pub use secret::Secret;
pub use token::{JoinToken, TOKENS_MAX, TokenUse};
pub use user::{USERS_MAX, User, check_uid};

use crate::node::NodeId;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The authority as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: Secret,
}

/// The key with which the cluster signs what users get when they log in (ES256).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its id, which tokens name.
    pub id: String,
    /// Public half, PEM.
    pub public: String,
    /// Private half, PEM (PKCS#8).
    pub private: Secret,
}

/// Everything about trust that the store keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The authority; none until the first leader has made it.
    pub authority: Option<Arc<AuthorityRecord>>,
    /// The key for logins; made together with the authority.
    pub signing_key: Option<Arc<SigningKey>>,
    /// Join tokens by id, used ones until they would have expired.
    pub tokens: OrdMap<Arc<str>, Arc<JoinToken>>,
    /// Certificates of nodes.
    pub credentials: OrdMap<NodeId, Arc<NodeCredential>>,
    /// Users by uid.
    pub users: OrdMap<Arc<str>, Arc<User>>,
    /// Number of the next new node; never falls.
    pub next_node: u64,
}

impl Trust {
    /// Whether a certificate with `serial` lets its holder act as `node`.
    ///
    /// # Errors
    /// [`TrustError::Revoked`].
    pub fn admits(&self, node: &NodeId, serial: &str) -> Result<(), TrustError> {
        let known = self.credentials.get(node).is_some_and(|credential| credential.holds(serial));
        if known { Ok(()) } else { Err(TrustError::Revoked(node.clone())) }
    }
}
