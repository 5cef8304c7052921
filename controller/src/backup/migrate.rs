//! Moving a cluster from one store to another.

use super::copy::{Copied, Source, Target, copy, digest};
use super::export::cluster_id;
use super::{BackupError, CLOSED_KEY, epoch_of, next_epoch};
use async_trait::async_trait;
use bytes::Bytes;
use orrery_core::cluster::{EPOCH_KEY, ROOT};
use orrery_store::{Error, Key, Revision, Store, Transaction};
use serde::{Deserialize, Serialize};

/// Why no controller may lead on a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Closed {
    /// A copy into it has begun and not ended.
    Copying {
        /// Of this cluster.
        cluster: String,
    },
    /// The cluster has moved away.
    Moved {
        /// Where to.
        to: String,
    },
}

impl Closed {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts and enums always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Copying { cluster } => {
                write!(
                    formatter,
                    "a copy of cluster {cluster} into it was begun and has not ended; repeat the command that began it"
                )
            }
            Self::Moved { to } => write!(formatter, "its cluster has moved to {to}"),
        }
    }
}

/// Whether a store is closed, and why.
///
/// # Errors
/// Those of the store.
pub async fn closed(store: &dyn Store) -> Result<Option<Closed>, Error> {
    let entry = store.get(CLOSED_KEY).await?;
    // What cannot be read was written by a later version, and closes it all the same.
    Ok(entry.map(|entry| {
        serde_json::from_slice(&entry.value).unwrap_or_else(|_| Closed::Moved { to: "a place this version cannot read".into() })
    }))
}

/// Opens a closed store again, whatever the reason, if `cluster` is the one it holds. Its next leader has a
/// later epoch than any that agents may have met while the cluster was elsewhere, or before the store was put
/// back to an earlier state: they ignore the orders of earlier ones.
///
/// # Errors
/// [`BackupError`].
pub async fn reopen(store: &dyn Store, cluster: &str, now_seconds: u64) -> Result<(), BackupError> {
    let present = cluster_id(store).await?.ok_or(BackupError::Nothing)?;
    if present != cluster {
        let what = "the store holds";
        return Err(BackupError::OtherCluster { origin: cluster.to_owned(), what, other: present });
    }
    let stored = store.get(EPOCH_KEY).await?;
    let epoch = epoch_of(stored.as_ref().map(|entry| entry.value.as_ref()));
    let revision = stored.map_or(Revision::NONE, |entry| entry.mod_revision);
    let later = next_epoch(epoch, epoch, now_seconds).to_string();
    // Whoever leads is deposed by the same step.
    store.transact(Transaction::new().expect_revision(EPOCH_KEY, revision).put(EPOCH_KEY, later).delete(CLOSED_KEY)).await?;
    Ok(())
}

/// The entries of a store that nobody writes to any more.
pub struct StoreSource<'a> {
    store: &'a dyn Store,
    at: Option<Revision>,
    last: Option<Key>,
    over: bool,
}

impl<'a> StoreSource<'a> {
    /// All entries as of `revision`.
    pub fn new(store: &'a dyn Store, revision: Revision) -> Self {
        Self { store, at: Some(revision), last: None, over: false }
    }
}

#[async_trait]
impl Source for StoreSource<'_> {
    async fn page(&mut self) -> Result<Vec<(Key, Bytes)>, BackupError> {
        if self.over {
            return Ok(Vec::new());
        }
        let page = match self.store.range(ROOT, self.at, 0, self.last.as_deref()).await {
            Err(Error::Compacted { .. }) => {
                // The store is closed: what is latest is what was there.
                self.at = None;
                self.store.range(ROOT, None, 0, self.last.as_deref()).await?
            }
            page => page?,
        };
        self.over = !page.more;
        self.last = page.entries.last().map(|entry| entry.key.clone());
        Ok(page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
    }
}

/// Moves the cluster in `origin` to `target`, which people know as `name`. The origin is closed first:
/// a controller that leads there can write no more, and none will lead there again. Repeat it when
/// it was interrupted; once it is done it changes nothing.
///
/// # Errors
/// [`BackupError`].
pub async fn migrate(origin: &dyn Store, target: &Target<'_>, name: &str, now_seconds: u64) -> Result<Copied, BackupError> {
    let cluster = cluster_id(origin).await?.ok_or(BackupError::Nothing)?;
    let epoch = origin.get(EPOCH_KEY).await?;
    let number = epoch_of(epoch.as_ref().map(|entry| &*entry.value));
    let revision = match closed(origin).await? {
        None => {
            // Nothing is closed for a move that will be refused.
            super::copy::may_replace(&cluster, target).await?;
            let fence = epoch.map_or(Revision::NONE, |entry| entry.mod_revision);
            let moved = Closed::Moved { to: name.to_owned() }.to_bytes();
            let close = Transaction::new()
                .expect_revision(EPOCH_KEY, fence)
                .put(EPOCH_KEY, (number + 1).to_string())
                .put(CLOSED_KEY, moved);
            origin.transact(close).await?
        }
        Some(Closed::Moved { to }) if to == name => {
            if closed(target.store).await?.is_none() && cluster_id(target.store).await?.as_deref() == Some(&cluster) {
                // It was done before; a controller may have begun to write there.
                let entry = target.store.get(EPOCH_KEY).await?;
                let epoch = epoch_of(entry.as_ref().map(|entry| &*entry.value));
                let same = digest(origin).await? == digest(target.store).await?;
                return if same {
                    Ok(Copied { entries: 0, epoch })
                } else {
                    Err(BackupError::Closed(Closed::Moved { to }.to_string()))
                };
            }
            origin.revision().await?
        }
        Some(other) => return Err(BackupError::Closed(other.to_string())),
    };
    copy(&mut StoreSource::new(origin, revision), &cluster, number + 1, target, now_seconds).await
}
