//! Certificates of nodes.

use crate::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// Certificates of one node that count at once: the one in use and the one that replaces it.
const CERTIFICATES_MAX: usize = 2;

/// What a node may show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCredential {
    /// The node.
    pub node: NodeId,
    /// Its certificates, oldest first: one, or two from renewal until the new one was shown.
    pub certificates: Vec<NodeCertificate>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCertificate {
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the public key, hexadecimal.
    pub key: String,
    /// End of its validity.
    pub expires: Timestamp,
}

impl NodeCredential {
    /// Whether the certificate with `serial` counts.
    pub fn holds(&self, serial: &str) -> bool {
        self.certificates.iter().any(|certificate| certificate.serial == serial)
    }

    /// Whether the node had the key.
    pub fn had_key(&self, key: &str) -> bool {
        self.certificates.iter().any(|certificate| certificate.key == key)
    }

    /// With one more certificate; besides the one that asked for it no other stays.
    #[must_use]
    pub fn renewed(&self, presented: &str, next: NodeCertificate) -> Self {
        let mut certificates: Vec<_> = self.certificates.iter().filter(|present| present.serial == presented).cloned().collect();
        certificates.truncate(CERTIFICATES_MAX - 1);
        certificates.push(next);
        Self { node: self.node.clone(), certificates }
    }

    /// After the certificate with `serial` was shown: those before it do not count any more. `None`
    /// when nothing changes.
    pub fn confirmed(&self, serial: &str) -> Option<Self> {
        let at = self.certificates.iter().position(|certificate| certificate.serial == serial)?;
        (at > 0).then(|| Self { node: self.node.clone(), certificates: self.certificates[at..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(serial: &str) -> NodeCertificate {
        NodeCertificate { serial: serial.into(), key: format!("key of {serial}"), expires: Timestamp::EPOCH }
    }

    #[test]
    fn the_old_certificate_counts_until_the_new_one_is_shown() {
        let first = NodeCredential { node: NodeId::parse("c-S1").unwrap(), certificates: vec![certificate("1")] };
        assert_eq!(first.confirmed("1"), None);
        let both = first.renewed("1", certificate("2"));
        assert!(both.holds("1") && both.holds("2") && both.had_key("key of 1"));
        assert_eq!(both.confirmed("1"), None, "the old one says nothing of the new one");
        // The answer to the first renewal was lost: the node asks again with the old one.
        let again = both.renewed("1", certificate("3"));
        assert!(again.holds("1") && !again.holds("2") && again.holds("3"));
        let after = again.confirmed("3").unwrap();
        assert!(!after.holds("1") && after.holds("3") && !after.had_key("key of 1"));
        assert_eq!(after.confirmed("1"), None);
    }
}
