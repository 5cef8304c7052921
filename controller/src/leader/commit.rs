//! Making a step durable, fenced by the epoch.

use orrery_core::cluster::EPOCH_KEY;
use orrery_store::{Compare, Error, MAX_OPERATIONS, Revision, Store, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of writes in one transaction; leaves room for keys below the store's own limit.
const TRANSACTION_BYTES: usize = 900 << 10;

/// Writes steps in the name of one epoch.
pub(crate) struct Committer {
    store: Arc<dyn Store>,
    epoch: u64,
    epoch_revision: Revision,
}

impl Committer {
    /// Raises the epoch, so that every earlier leader is fenced off.
    pub(crate) async fn take_over(store: Arc<dyn Store>) -> Result<Self, Error> {
        let current = store.get(EPOCH_KEY).await?;
        let before = current.as_ref().and_then(|entry| std::str::from_utf8(&entry.value).ok()?.parse::<u64>().ok()).unwrap_or(0);
        let revision = current.map_or(Revision(0), |entry| entry.mod_revision);
        let epoch = before + 1;
        let transaction = Transaction::new()
            .compare(Compare::ModRevision { key: EPOCH_KEY.into(), revision })
            .put(EPOCH_KEY, epoch.to_string().into_bytes());
        let epoch_revision = store.transact(transaction).await?;
        Ok(Self { store, epoch, epoch_revision })
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Stores the writes. Usually one transaction; a step too large for one goes in several, what
    /// others refer to first: definitions, then assignments, deletions last. A crash in between
    /// leaves a state that loads and converges.
    pub(crate) async fn commit(&self, writes: BTreeMap<String, Option<Vec<u8>>>) -> Result<(), Error> {
        let rank = |key: &str, value: &Option<Vec<u8>>| match value {
            Some(_) if key.contains("/versions/") => 0,
            Some(_) if key.contains("/apps/") => 1,
            Some(_) => 2,
            None => 3,
        };
        let mut writes: Vec<(String, Option<Vec<u8>>)> = writes.into_iter().collect();
        writes.sort_by_key(|(key, value)| rank(key, value));
        let mut transaction = self.fenced();
        let mut bytes = 0;
        for (key, value) in writes {
            let size = key.len() + value.as_ref().map_or(0, Vec::len);
            if !transaction.operations.is_empty()
                && (transaction.operations.len() >= MAX_OPERATIONS || bytes + size > TRANSACTION_BYTES)
            {
                self.store.transact(std::mem::replace(&mut transaction, self.fenced())).await?;
                bytes = 0;
            }
            bytes += size;
            transaction = match value {
                Some(value) => transaction.put(key, value),
                None => transaction.delete(key),
            };
        }
        self.store.transact(transaction).await.map(drop)
    }

    fn fenced(&self) -> Transaction {
        Transaction::new().compare(Compare::ModRevision { key: EPOCH_KEY.into(), revision: self.epoch_revision })
    }
}
