//! Join tokens as the store knows them.

use super::{Secret, TrustError};
use crate::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// Most tokens at once.
pub const TOKENS_MAX: usize = 10_000;

/// Lets one machine join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinToken {
    /// Its id; no secret.
    pub id: String,
    /// SHA-256 of the secret, hexadecimal.
    pub digest: Secret,
    /// Until when it works.
    pub expires: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Who used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<TokenUse>,
}

/// The use of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUse {
    /// The node that joined.
    pub node: NodeId,
    /// Name of the machine.
    pub hostname: String,
    /// When.
    pub at: Timestamp,
}

impl JoinToken {
    /// Whether it lets somebody in.
    ///
    /// # Errors
    /// [`TrustError`]: used, or expired.
    pub fn check(&self, now: Timestamp) -> Result<(), TrustError> {
        match &self.used {
            Some(used) => Err(TrustError::TokenUsed { hostname: used.hostname.clone(), at: used.at }),
            None if self.expires <= now => Err(TrustError::TokenExpired(self.expires)),
            None => Ok(()),
        }
    }
}
