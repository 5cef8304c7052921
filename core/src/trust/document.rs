//! Trust in the store.

use super::{AuthorityRecord, JoinToken, NodeCredential, SigningKey, Trust, User};
use crate::NodeId;
use imbl::OrdMap;
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub(crate) const AUTHORITY: &str = "/orrery/v1/trust/authority";
pub(crate) const SIGNING_KEY: &str = "/orrery/v1/trust/signing-key";
pub(crate) const NEXT_NODE: &str = "/orrery/v1/trust/next-node";
const TOKENS: &str = "/orrery/v1/tokens/";
const CREDENTIALS: &str = "/orrery/v1/credentials/";
const USERS: &str = "/orrery/v1/users/";

pub(crate) fn token(id: &str) -> String {
    format!("{TOKENS}{id}")
}

pub(crate) fn credential(node: &NodeId) -> String {
    format!("{CREDENTIALS}{node}")
}

pub(crate) fn user(uid: &str) -> String {
    format!("{USERS}{uid}")
}

fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> Result<Option<T>, String> {
    value.map(serde_json::from_slice).transpose().map_err(|error| error.to_string())
}

/// A value that is damaged stands for nothing: whoever it was about is not trusted.
fn put<K: Ord + Clone, T: DeserializeOwned>(map: &mut OrdMap<K, Arc<T>>, key: K, value: Option<&[u8]>) -> Result<(), String> {
    let (value, outcome) = match read::<T>(value) {
        Ok(value) => (value, Ok(())),
        Err(error) => (None, Err(error)),
    };
    match value {
        Some(value) => map.insert(key, Arc::new(value)),
        None => map.remove(&key),
    };
    outcome
}

impl Trust {
    /// Takes in one entry of the store, none when it was deleted; `None` when the key is about
    /// something else.
    pub fn entry(&mut self, key: &str, value: Option<&[u8]>) -> Option<Result<(), String>> {
        let outcome = if key == AUTHORITY {
            read::<AuthorityRecord>(value).map(|record| self.authority = record.map(Arc::new))
        } else if key == SIGNING_KEY {
            read::<SigningKey>(value).map(|record| self.signing_key = record.map(Arc::new))
        } else if key == NEXT_NODE {
            read(value).map(|number| self.next_node = self.next_node.max(number.unwrap_or(0)))
        } else if let Some(id) = key.strip_prefix(TOKENS) {
            put::<_, JoinToken>(&mut self.tokens, id.into(), value)
        } else if let Some(uid) = key.strip_prefix(USERS) {
            put::<_, User>(&mut self.users, uid.into(), value)
        } else {
            match NodeId::parse(key.strip_prefix(CREDENTIALS)?) {
                Ok(node) => put::<_, NodeCredential>(&mut self.credentials, node, value),
                Err(error) => Err(error.to_string()),
            }
        };
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_entries_trust_nobody() {
        let mut trust = Trust::default();
        assert_eq!(trust.entry("/orrery/v1/apps/a", Some(b"{}")), None);
        let user = br#"{"uid":"a","password":{"redact":"hash"}}"#;
        assert_eq!(trust.entry("/orrery/v1/users/a", Some(user)), Some(Ok(())));
        assert_eq!(trust.users["a"].password.reveal(), "hash");
        assert!(!format!("{trust:?}").contains("hash"));
        for key in ["/orrery/v1/users/a", AUTHORITY, SIGNING_KEY, NEXT_NODE, "/orrery/v1/tokens/x", "/orrery/v1/credentials/n"] {
            assert!(matches!(trust.entry(key, Some(b"?")), Some(Err(_))), "{key}");
            assert_eq!(trust.entry(key, None), Some(Ok(())), "{key}");
        }
        assert_eq!(trust, Trust::default());
    }
}
