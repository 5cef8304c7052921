//! Filling a store with the state of a cluster.

use super::export::cluster_id;
use super::file::Entries;
use super::migrate::Closed;
use super::{BackupError, CLOSED_KEY, epoch_of, is_state, next_epoch};
use crate::election::LeaderRecord;
use async_trait::async_trait;
use bytes::Bytes;
use orrery_core::cluster::{EPOCH_KEY, LEADER_KEY, ROOT};
use orrery_store::{Error, Key, MAX_OPERATIONS, Operation, Revision, Store, Transaction};
use sha2::{Digest as _, Sha256};

/// Bytes of writes in one transaction; leaves room for keys below the store's own limit.
const TRANSACTION_BYTES: usize = 900 << 10;
/// Entries taken from a file at once.
const PAGE_ENTRIES: usize = 1_000;

/// Where the entries come from, in the order of keys.
#[async_trait]
pub trait Source: Send {
    /// Some more entries; none when that was all.
    async fn page(&mut self) -> Result<Vec<(Key, Bytes)>, BackupError>;
}

#[async_trait]
impl Source for Entries {
    async fn page(&mut self) -> Result<Vec<(Key, Bytes)>, BackupError> {
        self.take(PAGE_ENTRIES).map(|entry| entry.map(|(key, value)| (key, value.into()))).collect()
    }
}

/// Where they go.
pub struct Target<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Id of the cluster whose content may be replaced.
    pub force: Option<&'a str>,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Number of entries.
    pub entries: u64,
    /// The epoch that the copy begins with.
    pub epoch: u64,
}

/// Digest of the state in a number of entries.
#[derive(Default)]
struct State {
    digest: Sha256,
    entries: u64,
}

impl State {
    fn add(&mut self, key: &str, value: &[u8]) {
        for part in [key.as_bytes(), value] {
            self.digest.update((part.len() as u64).to_be_bytes());
            self.digest.update(part);
        }
        self.entries += 1;
    }
}

/// Digest of the state that a store holds.
pub(super) async fn digest(store: &dyn Store) -> Result<[u8; 32], BackupError> {
    let mut state = State::default();
    let mut last: Option<Key> = None;
    loop {
        // Nobody writes meanwhile, so that every page may be of the latest revision.
        let page = store.range(ROOT, None, 0, last.as_deref()).await?;
        for entry in page.entries.iter().filter(|entry| is_state(&entry.key)) {
            state.add(&entry.key, &entry.value);
        }
        last = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            return Ok(state.digest.finalize().into());
        }
    }
}

/// Copies the state of `cluster` into the target: closes it, empties it, fills it, reads it back,
/// opens it under a new epoch. Repeat it when it was interrupted.
///
/// # Errors
/// [`BackupError`]. A target that was begun stays closed.
pub async fn copy(
    source: &mut dyn Source,
    cluster: &str,
    origin_epoch: u64,
    target: &Target<'_>,
    now_seconds: u64,
) -> Result<Copied, BackupError> {
    let store = target.store;
    may_replace(cluster, target).await?;
    let (fence, old_epoch) = close(store, cluster).await?;
    empty(store, fence).await?;
    let mut state = State::default();
    let mut batch = Batch::new(store, fence);
    let mut highest = origin_epoch;
    loop {
        let page = source.page().await?;
        if page.is_empty() {
            break;
        }
        for (key, value) in page {
            if key == EPOCH_KEY {
                highest = highest.max(epoch_of(Some(&value)));
            }
            if is_state(&key) {
                state.add(&key, &value);
                batch.add(Operation::Put { key, value, lease: None }).await?;
            }
        }
    }
    batch.flush().await?;
    let written: [u8; 32] = state.digest.finalize().into();
    if digest(store).await? != written {
        return Err(BackupError::Differs);
    }
    let epoch = next_epoch(highest, old_epoch, now_seconds);
    let open = Transaction::new().expect_revision(EPOCH_KEY, fence).put(EPOCH_KEY, epoch.to_string()).delete(CLOSED_KEY);
    transact(store, open).await?;
    Ok(Copied { entries: state.entries, epoch })
}

/// Whether nobody leads on the target, and it is empty or holds what may be replaced.
pub(super) async fn may_replace(cluster: &str, target: &Target<'_>) -> Result<(), BackupError> {
    let store = target.store;
    // The key goes with the leader's lease. A controller that is alone has neither: it locks its store.
    if let Some(leader) = store.get(LEADER_KEY).await? {
        return Err(BackupError::Led(LeaderRecord::parse(&leader.value).map(|leader| leader.controller.url)));
    }
    let other = |what, other: &str| Err(BackupError::OtherCluster { origin: cluster.to_owned(), what, other: other.to_owned() });
    if let Some(Closed::Copying { cluster: begun }) = super::closed(store).await? {
        // Half of a copy. Of another cluster it may be somebody's only one.
        return if begun == cluster { Ok(()) } else { other("the copy begun there is of", &begun) };
    }
    let present = cluster_id(store).await?;
    if present.is_none() && holds_no_state(store).await? {
        return Ok(());
    }
    match (target.force, present) {
        (None, Some(present)) => Err(BackupError::NotEmpty(present)),
        (None, None) => Err(BackupError::Unnamed(cluster.to_owned())),
        (Some(_), Some(present)) if present != cluster => other("the target holds", &present),
        (Some(named), _) if named != cluster => {
            Err(BackupError::WrongForce { cluster: cluster.to_owned(), named: named.to_owned() })
        }
        (Some(_), _) => Ok(()),
    }
}

/// Whether a store holds at most what controllers say of themselves and of the last election: after its
/// content was lost, those that still ran write that again.
async fn holds_no_state(store: &dyn Store) -> Result<bool, BackupError> {
    let mut last: Option<Key> = None;
    loop {
        let page = store.keys(ROOT, None, 0, last.as_deref()).await?;
        if page.keys.iter().any(|(key, _)| is_state(key)) {
            return Ok(false);
        }
        last = page.keys.last().map(|(key, _)| key.clone());
        if !page.more {
            return Ok(true);
        }
    }
}

async fn transact(store: &dyn Store, transaction: Transaction) -> Result<Revision, BackupError> {
    store.transact(transaction).await.map_err(|error| match error {
        Error::Conflict { .. } => BackupError::Busy,
        other => other.into(),
    })
}

/// Closes the target and raises its epoch, so that whoever led there can write no more. One that has come
/// to lead since [`may_replace`] looked stays the leader.
async fn close(store: &dyn Store, cluster: &str) -> Result<(Revision, u64), BackupError> {
    let current = store.get(EPOCH_KEY).await?;
    let epoch = epoch_of(current.as_ref().map(|entry| &*entry.value));
    let revision = current.map_or(Revision::NONE, |entry| entry.mod_revision);
    let closed = Closed::Copying { cluster: cluster.to_owned() }.to_bytes();
    let transaction = Transaction::new()
        .expect_revision(EPOCH_KEY, revision)
        .expect_absent(LEADER_KEY)
        .put(CLOSED_KEY, closed)
        .put(EPOCH_KEY, (epoch + 1).to_string());
    Ok((transact(store, transaction).await?, epoch + 1))
}

async fn empty(store: &dyn Store, fence: Revision) -> Result<(), BackupError> {
    let mut batch = Batch::new(store, fence);
    let mut last: Option<Key> = None;
    loop {
        let page = store.range(ROOT, None, 0, last.as_deref()).await?;
        last = page.entries.last().map(|entry| entry.key.clone());
        for entry in page.entries {
            if entry.key != EPOCH_KEY && entry.key != CLOSED_KEY {
                batch.add(Operation::Delete { key: entry.key }).await?;
            }
        }
        if !page.more {
            return batch.flush().await;
        }
    }
}

/// Operations on their way, in transactions as large as the store takes, all fenced.
struct Batch<'a> {
    store: &'a dyn Store,
    fence: Revision,
    operations: Vec<Operation>,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(store: &'a dyn Store, fence: Revision) -> Self {
        Self { store, fence, operations: Vec::new(), bytes: 0 }
    }

    async fn add(&mut self, operation: Operation) -> Result<(), BackupError> {
        let size = match &operation {
            Operation::Put { key, value, .. } => key.len() + value.len(),
            Operation::Delete { key } => key.len(),
            Operation::DeletePrefix { prefix } => prefix.len(),
        };
        if self.operations.len() >= MAX_OPERATIONS || (self.bytes + size > TRANSACTION_BYTES && !self.operations.is_empty()) {
            self.flush().await?;
        }
        self.bytes += size;
        self.operations.push(operation);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BackupError> {
        if self.operations.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let transaction = Transaction { operations: std::mem::take(&mut self.operations), ..Transaction::new() };
        transact(self.store, transaction.expect_revision(EPOCH_KEY, self.fence)).await.map(drop)
    }
}
