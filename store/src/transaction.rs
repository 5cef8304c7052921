//! A change of the key space: what must hold, and what is then written.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{Error, Key, LeaseId, Result, Revision};

/// Most operations of one transaction, and most compares (etcd's default).
pub const MAX_OPERATIONS: usize = 128;

/// Most bytes of one transaction: keys and values of operations and compares.
/// 1 MiB and slack for keys, so that a value of 1 MiB always fits; etcd's own
/// default limit of 1.5 MiB lies above it.
pub const MAX_TRANSACTION_BYTES: usize = (1 << 20) + (256 << 10);

/// Most bytes of one key.
pub const MAX_KEY_BYTES: usize = 4096;

/// What must be true of a key for the transaction to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key was last written at `revision`; [`Revision::NONE`]: it must be absent.
    ModRevision {
        /// The key.
        key: Key,
        /// Its mod revision as it was read.
        revision: Revision,
    },
    /// The key exists and holds exactly `value`.
    Value {
        /// The key.
        key: Key,
        /// The value it must hold.
        value: Bytes,
    },
}

impl Compare {
    /// The key that is compared.
    pub fn key(&self) -> &str {
        match self {
            Self::ModRevision { key, .. } | Self::Value { key, .. } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::ModRevision { key, .. } => key.len(),
            Self::Value { key, value } => key.len() + value.len(),
        }
    }
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Write the key. A lease it had before is replaced by `lease`, or dropped.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
        /// The lease whose end deletes the key.
        lease: Option<LeaseId>,
    },
    /// Delete the key; nothing happens when it is absent.
    Delete {
        /// The key.
        key: Key,
    },
    /// Delete every key that begins with `prefix`; the empty prefix is all keys.
    DeletePrefix {
        /// The beginning.
        prefix: String,
    },
}

impl Operation {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::DeletePrefix { prefix } => prefix.len(),
        }
    }
}

/// Compares and operations that happen together or not at all. A transaction
/// that changes nothing takes no revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// All must hold.
    pub compares: Vec<Compare>,
    /// What is written then, at one revision.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds any compare.
    #[must_use]
    pub fn compare(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// The key must not exist.
    #[must_use]
    pub fn expect_absent(self, key: impl Into<Key>) -> Self {
        self.expect_revision(key, Revision::NONE)
    }

    /// The key must still be at the revision it was read at (0: absent).
    #[must_use]
    pub fn expect_revision(self, key: impl Into<Key>, revision: Revision) -> Self {
        self.compare(Compare::ModRevision { key: key.into(), revision })
    }

    /// The key must hold this value.
    #[must_use]
    pub fn expect_value(self, key: impl Into<Key>, value: impl Into<Bytes>) -> Self {
        self.compare(Compare::Value { key: key.into(), value: value.into() })
    }

    /// Adds any operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Writes a key.
    #[must_use]
    pub fn put(self, key: impl Into<Key>, value: impl Into<Bytes>) -> Self {
        self.operation(Operation::Put { key: key.into(), value: value.into(), lease: None })
    }

    /// Writes a key that is deleted when the lease ends.
    #[must_use]
    pub fn put_with_lease(self, key: impl Into<Key>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        self.operation(Operation::Put { key: key.into(), value: value.into(), lease: Some(lease) })
    }

    /// Deletes a key.
    #[must_use]
    pub fn delete(self, key: impl Into<Key>) -> Self {
        self.operation(Operation::Delete { key: key.into() })
    }

    /// Deletes all keys with a prefix.
    #[must_use]
    pub fn delete_prefix(self, prefix: impl Into<String>) -> Self {
        self.operation(Operation::DeletePrefix { prefix: prefix.into() })
    }

    /// Its size as counted against [`MAX_TRANSACTION_BYTES`].
    pub fn bytes(&self) -> usize {
        self.compares.iter().map(Compare::bytes).sum::<usize>() + self.operations.iter().map(Operation::bytes).sum::<usize>()
    }

    /// Checks the limits and that no key is written twice: both backends
    /// refuse the same transactions before they look at any data.
    pub fn validate(&self) -> Result<()> {
        let limits = [
            ("the number of operations", self.operations.len(), MAX_OPERATIONS),
            ("the number of compares", self.compares.len(), MAX_OPERATIONS),
            ("the transaction's size in bytes", self.bytes(), MAX_TRANSACTION_BYTES),
        ];
        for (what, actual, limit) in limits {
            if actual > limit {
                return Err(Error::TooLarge { what, actual, limit });
            }
        }
        for compare in &self.compares {
            validate_key(compare.key())?;
        }
        let mut written = BTreeSet::new();
        for operation in &self.operations {
            match operation {
                Operation::Put { key, .. } => {
                    validate_key(key)?;
                    if !written.insert(key.as_str()) {
                        return Err(Error::invalid(format!("the key {key} is put twice in one transaction")));
                    }
                }
                Operation::Delete { key } => validate_key(key)?,
                Operation::DeletePrefix { prefix } => validate_prefix(prefix)?,
            }
        }
        for operation in &self.operations {
            // etcd refuses a put of a key that the same transaction deletes: which of them wins is not said.
            let clash = match operation {
                Operation::Put { .. } => None,
                Operation::Delete { key } => written.get(key.as_str()),
                Operation::DeletePrefix { prefix } => written.iter().find(|key| key.starts_with(prefix.as_str())),
            };
            if let Some(key) = clash {
                return Err(Error::invalid(format!("the key {key} is both put and deleted in one transaction")));
            }
        }
        Ok(())
    }
}

/// Checks that a key is one.
pub(crate) fn validate_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid("a key is empty"));
    }
    validate_prefix(key)
}

/// Checks that a prefix could begin a key; the empty prefix begins every key.
pub(crate) fn validate_prefix(prefix: &str) -> Result<()> {
    if prefix.len() > MAX_KEY_BYTES {
        return Err(Error::TooLarge { what: "a key's length in bytes", actual: prefix.len(), limit: MAX_KEY_BYTES });
    }
    if prefix.contains('\0') {
        return Err(Error::invalid("a key holds a NUL character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_both_backends_must_refuse() {
        let many = |count| (0..count).fold(Transaction::new(), |t, n| t.put(format!("/k{n}"), "v"));
        let big = |size: usize| Transaction::new().put("/k", vec![0; size]);
        let cases: [(&str, Transaction, bool); 13] = [
            ("empty", Transaction::new(), true),
            ("128 operations", many(128), true),
            ("129 operations", many(129), false),
            ("1 MiB", big(1 << 20), true),
            ("too many bytes", big(MAX_TRANSACTION_BYTES), false),
            ("empty key", Transaction::new().put("", "v"), false),
            ("NUL", Transaction::new().delete("/a\0"), false),
            ("long key", Transaction::new().put("k".repeat(MAX_KEY_BYTES + 1), "v"), false),
            ("put twice", Transaction::new().put("/a", "1").put("/a", "2"), false),
            ("put and delete", Transaction::new().put("/a", "1").delete("/a"), false),
            ("put under a deleted prefix", Transaction::new().delete_prefix("/a").put("/ab", "1"), false),
            ("delete twice", Transaction::new().delete("/a").delete_prefix("/a"), true),
            ("empty compare key", Transaction::new().expect_absent(""), false),
        ];
        for (name, transaction, good) in cases {
            assert_eq!(transaction.validate().is_ok(), good, "{name}");
        }
    }
}
