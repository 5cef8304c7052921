//! The questions and answers of joining and renewing.

use orrery_core::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /link/v1/join`: a machine asks to become a node, or to be its node again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinRequest {
    /// Id of the token.
    pub token: String,
    /// Its secret.
    pub secret: String,
    /// Certificate request, PEM: proves the private key.
    pub request: String,
    /// The node that this machine is already; the request must then be signed with the key of a
    /// certificate that the node had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Name of the machine, for people who look at the token later.
    #[serde(default)]
    pub hostname: String,
}

/// `POST /link/v1/renew`, with the present certificate: asks for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewRequest {
    /// Certificate request, PEM.
    pub request: String,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinAnswer {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the node.
    pub node: NodeId,
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// URLs of all controllers.
    pub controllers: Vec<String>,
}

/// Path of the commands of operators on a controller's machine.
pub const TOKENS_PATH: &str = "/link/v1/tokens";

/// What an operator asks of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperatorRequest {
    /// A new join token.
    #[serde(rename_all = "camelCase")]
    CreateToken {
        /// How long it works.
        ttl_seconds: u64,
        /// For people.
        created_by: String,
    },
    /// All join tokens, without their secrets.
    ListTokens,
    /// Forget one.
    RevokeToken {
        /// Which.
        id: String,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperatorAnswer {
    /// To [`OperatorRequest::CreateToken`].
    Created {
        /// The token: a secret, told this once.
        token: String,
        /// Until when it works.
        expires: Timestamp,
        /// URLs of all controllers.
        controllers: Vec<String>,
    },
    /// To [`OperatorRequest::ListTokens`].
    Tokens {
        /// All of them, by id.
        tokens: Vec<TokenLine>,
    },
    /// To [`OperatorRequest::RevokeToken`].
    Revoked,
}

/// One join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenLine {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when it works.
    pub expires: Timestamp,
    /// That is over.
    pub expired: bool,
    /// Node and host name of the machine that used it.
    pub used_by: Option<(NodeId, String)>,
}

/// Short names of refusals, in the field `code` beside `message`.
pub mod refusal {
    /// The token does not exist, or its secret is wrong.
    pub const TOKEN_UNKNOWN: &str = "token-unknown";
    /// The token has been used.
    pub const TOKEN_USED: &str = "token-used";
    /// The token's time is over.
    pub const TOKEN_EXPIRED: &str = "token-expired";
    /// The certificate was revoked or replaced.
    pub const REVOKED: &str = "certificate-revoked";
    /// The certificate belongs to another cluster or to nobody.
    pub const FOREIGN: &str = "certificate-foreign";
    /// The node has left for ever: its tasks are to stop.
    pub const RETIRED: &str = "node-retired";
    /// Another machine with this identity is connected.
    pub const TAKEN: &str = "identity-taken";
    /// The ends speak no version of the protocol that both understand.
    pub const PROTOCOL: &str = "protocol-version";
    /// The request proves no key that the node had.
    pub const KEY_UNKNOWN: &str = "key-unknown";
}
