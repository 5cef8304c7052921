//! The trait both backends implement.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Entry, Error, KeyRange, LeaseId, LeaseTime, Range, Result, Revision, Transaction, WatchStream};

/// Most entries of one page of [`Store::range`].
pub const MAX_RANGE_ENTRIES: usize = 10_000;

/// A page of [`Store::range`] ends with the entry that brings it past this many bytes.
pub const MAX_RANGE_BYTES: usize = 8 << 20;

/// Shortest and longest time to live of a lease.
pub const LEASE_TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// A revisioned key space. One conformance suite (`tests/conformance`) says
/// what every backend does.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads one key as of now: every transaction acknowledged before the call is seen.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Reads a page of the keys that begin with `prefix`, in byte order.
    ///
    /// `at`: the revision to read at; `None` or 0 is the latest. `limit`: most
    /// entries wanted; 0 is [`MAX_RANGE_ENTRIES`], which also caps it, and a page
    /// may end early at [`MAX_RANGE_BYTES`]. `start_after`: the last key of the
    /// page before.
    ///
    /// Fails with [`Error::Compacted`] or [`Error::FutureRevision`] when `at` can't be read.
    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range>;

    /// Like [`Store::range`], without the values: cheap where only what has changed is to be found.
    /// A page holds as many keys as `limit` allows.
    async fn keys(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<KeyRange> {
        let Range { entries, revision, more } = self.range(prefix, at, limit, start_after).await?;
        let keys = entries.into_iter().map(|entry| (entry.key, entry.mod_revision)).collect();
        Ok(KeyRange { keys, revision, more })
    }

    /// Makes a change, durable before it is acknowledged, and returns its
    /// revision; when nothing changed, the latest revision.
    ///
    /// Fails with [`Error::Conflict`], [`Error::TooLarge`], [`Error::Invalid`],
    /// [`Error::LeaseNotFound`]: nothing was written. After [`Error::Unavailable`]
    /// it may have been.
    async fn transact(&self, transaction: Transaction) -> Result<Revision>;

    /// Yields every change under `prefix` from revision `from` on (the first one
    /// wanted; 0 is "after now"): in order, none lost, none twice, all of one
    /// revision together. A slow reader is replayed from history. The stream
    /// ends with [`Error::Compacted`] or [`Error::Regressed`] when changes it
    /// owes are gone: list again and watch from there.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream>;

    /// Opens a lease. The keys written with it are deleted, in one revision,
    /// when it is not kept alive for `ttl` (within [`LEASE_TTL`], rounded up to
    /// whole seconds; a backend may grant more).
    async fn grant(&self, ttl: Duration) -> Result<LeaseId>;

    /// Gives the lease its whole time again; [`Error::LeaseNotFound`] when it has ended.
    async fn keep_alive(&self, lease: LeaseId) -> Result<()>;

    /// How long the lease lasts unless it is kept alive, in whole seconds, rounded down;
    /// [`Error::LeaseNotFound`] when it has ended.
    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime>;

    /// Ends a lease now and deletes its keys.
    async fn revoke(&self, lease: LeaseId) -> Result<()>;

    /// Forgets what was superseded before `revision`: it stays readable, older
    /// ones do not. Compacting at or below an earlier compaction does nothing.
    async fn compact(&self, revision: Revision) -> Result<()>;

    /// The latest revision.
    async fn revision(&self) -> Result<Revision>;
}

/// Checks a time to live and rounds it up to whole seconds.
pub(crate) fn whole_seconds(ttl: Duration) -> Result<u64> {
    if !LEASE_TTL.contains(&ttl) {
        return Err(Error::invalid(format!("a lease lasts 1 s to 24 h, not {ttl:?}")));
    }
    Ok(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
}

/// The number of entries a page may hold.
pub(crate) fn page_limit(limit: usize) -> usize {
    if limit == 0 { MAX_RANGE_ENTRIES } else { limit.min(MAX_RANGE_ENTRIES) }
}

/// Reads all keys under `prefix` with the revisions that wrote them, page by page, at one revision.
/// When that revision is compacted on the way, starts over at the latest.
pub async fn list_keys(store: &dyn Store, prefix: &str) -> Result<KeyRange> {
    let mut whole = store.keys(prefix, None, 0, None).await?;
    while whole.more {
        let last = whole.keys.last().map(|(key, _)| key.clone());
        match store.keys(prefix, Some(whole.revision), 0, last.as_deref()).await {
            Ok(page) => {
                whole.keys.extend(page.keys);
                whole.more = page.more;
            }
            Err(error) if error.needs_relist() => whole = store.keys(prefix, None, 0, None).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// Reads all entries under `prefix`, page by page, at one revision. When that
/// revision is compacted on the way, starts over at the latest.
pub async fn list(store: &dyn Store, prefix: &str) -> Result<Range> {
    let mut whole = store.range(prefix, None, 0, None).await?;
    while whole.more {
        let last = whole.entries.last().map(|entry| entry.key.clone());
        match store.range(prefix, Some(whole.revision), 0, last.as_deref()).await {
            Ok(page) => {
                whole.entries.extend(page.entries);
                whole.more = page.more;
            }
            Err(error) if error.needs_relist() => whole = store.range(prefix, None, 0, None).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}
