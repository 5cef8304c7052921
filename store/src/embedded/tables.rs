//! The tables of the file, and how redb's errors read.

use std::collections::HashMap;
use std::time::Duration;

use redb::{ReadableTable, TableDefinition, TableHandle};

use crate::{Error, LeaseId, Result, Revision};

/// What a key is now, without its value: create revision, mod revision,
/// version, lease (0: none). The value lies in [`VERSIONS`] only, so that a
/// large value is written once.
pub(super) type Head = (u64, u64, u64, i64);

/// Create revision, version and value of a key at one revision; `None`: deleted there.
pub(super) type Version<'a> = Option<(u64, u64, &'a [u8])>;

/// Live keys.
pub(super) const CURRENT: TableDefinition<'_, &[u8], Head> = TableDefinition::new("current");
/// Every kept version of every key, by key and mod revision.
pub(super) const VERSIONS: TableDefinition<'_, (&[u8], u64), Version<'static>> = TableDefinition::new("versions");
/// Which keys a revision changed, by revision and place in it.
pub(super) const HISTORY: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("history");
/// Leases and their time to live in seconds.
pub(super) const LEASES: TableDefinition<'_, i64, u64> = TableDefinition::new("leases");
/// Which keys a lease holds.
pub(super) const LEASE_KEYS: TableDefinition<'_, (i64, &[u8]), ()> = TableDefinition::new("lease_keys");
/// Numbers about the store itself, by the names below.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The layout of the file; another number is another layout.
pub(super) const FORMAT: u64 = 1;
/// Name of the layout's number in [`META`].
pub(super) const META_FORMAT: &str = "format";
/// Name of the latest revision in [`META`].
pub(super) const META_REVISION: &str = "revision";
/// Name of the oldest readable revision in [`META`]; 0: never compacted.
pub(super) const META_COMPACTED: &str = "compacted";
/// Name of the revision in [`META`] up to which garbage has been removed.
pub(super) const META_COLLECTED: &str = "collected";
/// Name of the last lease number given out in [`META`].
pub(super) const META_LEASE: &str = "lease";

/// A new store stands here, as etcd does.
pub(super) const FIRST_REVISION: u64 = 1;

/// Creates the tables of a new file; checks the layout of an old one.
pub(super) fn prepare(database: &redb::Database) -> Result<()> {
    let write = database.begin_write().map_err(broken)?;
    {
        let mut meta = write.open_table(META).map_err(broken)?;
        let format = meta.get(META_FORMAT).map_err(broken)?.map(|guard| guard.value());
        match format {
            Some(FORMAT) => return Ok(()),
            Some(other) => {
                return Err(Error::corrupt(format!("its format is {other}, this version reads format {FORMAT}")));
            }
            None => {
                meta.insert(META_FORMAT, FORMAT).map_err(broken)?;
                meta.insert(META_REVISION, FIRST_REVISION).map_err(broken)?;
            }
        }
        write.open_table(CURRENT).map_err(broken)?;
        write.open_table(VERSIONS).map_err(broken)?;
        write.open_table(HISTORY).map_err(broken)?;
        write.open_table(LEASES).map_err(broken)?;
        write.open_table(LEASE_KEYS).map_err(broken)?;
    }
    write.commit().map_err(broken)
}

/// Reads a number of [`META`]; an absent one is 0.
pub(super) fn number(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64> {
    Ok(meta.get(name).map_err(broken)?.map_or(0, |guard| guard.value()))
}

/// The latest and the oldest readable revision of a snapshot.
pub(super) fn bounds(read: &redb::ReadTransaction) -> Result<(Revision, Revision)> {
    let meta = read.open_table(META).map_err(broken)?;
    Ok((Revision(number(&meta, META_REVISION)?), Revision(number(&meta, META_COMPACTED)?)))
}

/// The leases of a snapshot and their times to live.
pub(super) fn leases(read: &redb::ReadTransaction) -> Result<HashMap<LeaseId, Duration>> {
    let table = read.open_table(LEASES).map_err(broken)?;
    let rows = table.iter().map_err(broken)?;
    rows.map(|row| {
        let (lease, seconds) = row.map_err(broken)?;
        Ok((LeaseId(lease.value()), Duration::from_secs(seconds.value())))
    })
    .collect()
}

/// A version that must exist because the current table or the history names it.
pub(super) fn missing_version(key: &[u8], revision: u64) -> Error {
    let key = String::from_utf8_lossy(key);
    Error::corrupt(format!("revision {revision} of key {key} is missing from table {}", VERSIONS.name()))
}

/// A stored key as text.
pub(super) fn key_text(key: &[u8]) -> Result<String> {
    String::from_utf8(key.to_vec()).map_err(|_| Error::corrupt("a stored key is not UTF-8"))
}

/// Maps redb's errors: what the disk refuses may pass, the rest is damage.
pub(super) fn broken(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => Error::corrupt(cause),
        redb::Error::Io(cause) => Error::unavailable(format!("the disk of the data directory failed: {cause}")),
        redb::Error::PreviousIo => {
            Error::unavailable("the disk of the data directory failed before; it is tried again in a moment")
        }
        redb::Error::DatabaseClosed => super::revival::is_under_way(),
        redb::Error::LockPoisoned(place) => Error::unavailable(format!("a thread that used it panicked ({place})")),
        redb::Error::ValueTooLarge(size) => {
            Error::TooLarge { what: "a value's size in bytes", actual: size, limit: crate::MAX_TRANSACTION_BYTES }
        }
        other => Error::corrupt(other),
    }
}
