//! Who somebody is: the URI in a certificate, and what a verified certificate says of its holder.

use crate::fingerprint::Fingerprint;
use orrery_core::NodeId;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::str::FromStr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Scheme of identity URIs.
const SCHEME: &str = "orrery://";
/// Longest name of a controller, and longest cluster id, bytes.
const NAME_BYTES_MAX: usize = 128;

/// What somebody is to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// An agent, by the node it serves.
    Node(NodeId),
    /// A controller, by its name.
    Controller(String),
}

/// `orrery://<cluster>/node/<node id>` or `orrery://<cluster>/controller/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Id of the cluster.
    pub cluster: String,
    /// Which part of it.
    pub role: Role,
}

/// A text that is no identity, or a certificate without one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not such a URI.
    #[error("\"{0}\" is no identity of a cluster; identities are orrery://CLUSTER/node/ID or orrery://CLUSTER/controller/NAME")]
    Text(String),
    /// A certificate that does not parse.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// A certificate of something else.
    #[error("the certificate holds {0} identities of a cluster instead of one: it was not made by a cluster's authority")]
    Count(usize),
}

fn is_name(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(valid)
}

impl Identity {
    /// The identity of a node.
    pub fn node(cluster: &str, node: &NodeId) -> Self {
        Self { cluster: cluster.to_owned(), role: Role::Node(node.clone()) }
    }

    /// The identity of a controller.
    ///
    /// # Errors
    /// [`IdentityError::Text`] when `name` is not 1–128 letters, digits, dots, dashes and underscores.
    pub fn controller(cluster: &str, name: &str) -> Result<Self, IdentityError> {
        format!("{SCHEME}{cluster}/controller/{name}").parse()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Node(node) => write!(f, "{SCHEME}{}/node/{node}", self.cluster),
            Role::Controller(name) => write!(f, "{SCHEME}{}/controller/{name}", self.cluster),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let error = || IdentityError::Text(text.chars().take(200).collect());
        let mut parts = text.strip_prefix(SCHEME).ok_or_else(error)?.split('/');
        let (Some(cluster), Some(kind), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(error());
        };
        let role = match kind {
            "node" => Role::Node(NodeId::parse(name).map_err(|_| error())?),
            "controller" if is_name(name) => Role::Controller(name.to_owned()),
            _ => return Err(error()),
        };
        if is_name(cluster) { Ok(Self { cluster: cluster.to_owned(), role }) } else { Err(error()) }
    }
}

/// What a certificate says of its holder. Whoever makes one has verified the certificate's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// Serial number of the certificate, lower-case hexadecimal.
    pub serial: String,
    /// Fingerprint of the holder's public key.
    pub key: Fingerprint,
    /// Begin of validity, seconds since 1970.
    pub not_before: i64,
    /// End of validity, seconds since 1970.
    pub not_after: i64,
}

impl Peer {
    /// Reads a certificate; verifies nothing.
    ///
    /// # Errors
    /// [`IdentityError`] when it is no certificate, or names no identity or several.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| IdentityError::Certificate(error.to_string()))?;
        let names = parsed.subject_alternative_name().map_err(|error| IdentityError::Certificate(error.to_string()))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris.as_slice() else { return Err(IdentityError::Count(uris.len())) };
        Ok(Self {
            identity: uri.parse()?,
            serial: hexadecimal(parsed.raw_serial()),
            key: Fingerprint::of(parsed.public_key().raw),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// The node, when it is one.
    pub const fn node(&self) -> Option<&NodeId> {
        match &self.identity.role {
            Role::Node(node) => Some(node),
            Role::Controller(_) => None,
        }
    }

    /// The name of the controller, when it is one.
    pub fn controller(&self) -> Option<&str> {
        match &self.identity.role {
            Role::Controller(name) => Some(name),
            Role::Node(_) => None,
        }
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_or_refused() {
        for text in ["orrery://c-1/node/c-1-S0", "orrery://c-1/controller/host.a_1"] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "orrery://",
            "https://c/node/n",
            "orrery://c/node/",
            "orrery:///node/n",
            "orrery://c/node/n/x",
            "orrery://c/user/n",
            "orrery://c/controller/a b",
            "orrery://c%2f/controller/a",
            "orrery://c/node/n?x",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
