//! One transaction applied to the tables.

use std::collections::BTreeMap;

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::{self, Head, Version, broken};
use crate::prefix::{prefix_end, upper_bound};
use crate::{Compare, Entry, Error, Event, LeaseId, Operation, Result, Revision, Transaction, WatchEvents};

/// The tables a transaction touches, open for writing.
pub(super) struct Tables<'t> {
    pub(super) current: Table<'t, &'static [u8], Head>,
    pub(super) versions: Table<'t, (&'static [u8], u64), Version<'static>>,
    pub(super) history: Table<'t, (u64, u32), &'static [u8]>,
    pub(super) leases: Table<'t, i64, u64>,
    pub(super) lease_keys: Table<'t, (i64, &'static [u8]), ()>,
    pub(super) meta: Table<'t, &'static str, u64>,
    /// The latest revision, applied transactions of this batch included.
    pub(super) revision: Revision,
}

impl<'t> Tables<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self> {
        let meta = write.open_table(tables::META).map_err(broken)?;
        let revision = Revision(tables::number(&meta, tables::META_REVISION)?);
        Ok(Self {
            current: write.open_table(tables::CURRENT).map_err(broken)?,
            versions: write.open_table(tables::VERSIONS).map_err(broken)?,
            history: write.open_table(tables::HISTORY).map_err(broken)?,
            leases: write.open_table(tables::LEASES).map_err(broken)?,
            lease_keys: write.open_table(tables::LEASE_KEYS).map_err(broken)?,
            meta,
            revision,
        })
    }

    fn head(&self, key: &str) -> Result<Option<Head>> {
        Ok(self.current.get(key.as_bytes()).map_err(broken)?.map(|guard| guard.value()))
    }
}

/// What the change of a key is.
enum Change {
    Put { value: Bytes, lease: Option<LeaseId> },
    Delete,
}

/// Why a transaction was not applied: refused with nothing written, so that
/// the batch goes on; or a failure of the disk, which ends the batch.
pub(super) enum Refusal {
    Refused(Error),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Applies a validated transaction, or nothing of it. Returns the events of
/// its revision, or `None` when it changed nothing.
pub(super) fn apply(tables: &mut Tables<'_>, transaction: &Transaction) -> Result<Option<WatchEvents>, Refusal> {
    for compare in &transaction.compares {
        if !holds(tables, compare)? {
            return Err(Refusal::Refused(Error::Conflict { key: compare.key().to_owned() }));
        }
    }
    for operation in &transaction.operations {
        if let Operation::Put { lease: Some(lease), .. } = operation
            && tables.leases.get(lease.0).map_err(broken)?.is_none()
        {
            return Err(Refusal::Refused(Error::LeaseNotFound { lease: *lease }));
        }
    }
    let mut changes = BTreeMap::new();
    for operation in &transaction.operations {
        match operation {
            Operation::Put { key, value, lease } => {
                changes.insert(key.clone(), Change::Put { value: value.clone(), lease: *lease });
            }
            Operation::Delete { key } => {
                if tables.head(key)?.is_some() {
                    changes.insert(key.clone(), Change::Delete);
                }
            }
            Operation::DeletePrefix { prefix } => {
                let end = prefix_end(prefix.as_bytes());
                let bounds = (std::ops::Bound::Included(prefix.as_bytes()), upper_bound(end.as_deref()));
                for row in tables.current.range::<&[u8]>(bounds).map_err(broken)? {
                    let (key, _) = row.map_err(broken)?;
                    changes.insert(tables::key_text(key.value())?, Change::Delete);
                }
            }
        }
    }
    Ok(write_changes(tables, changes)?)
}

/// Deletes the keys of an ended lease, and the lease itself.
pub(super) fn end_lease(tables: &mut Tables<'_>, lease: LeaseId) -> Result<Option<WatchEvents>> {
    let mut changes = BTreeMap::new();
    let first: (i64, &[u8]) = (lease.0, &[]);
    let rows = match lease.0.checked_add(1) {
        Some(next) => tables.lease_keys.range::<(i64, &[u8])>(first..(next, &[])),
        None => tables.lease_keys.range::<(i64, &[u8])>(first..),
    };
    for row in rows.map_err(broken)? {
        let (key, _) = row.map_err(broken)?;
        changes.insert(tables::key_text(key.value().1)?, Change::Delete);
    }
    let events = write_changes(tables, changes)?;
    tables.leases.remove(lease.0).map_err(broken)?;
    Ok(events)
}

fn holds(tables: &Tables<'_>, compare: &Compare) -> Result<bool> {
    let head = tables.head(compare.key())?;
    match compare {
        Compare::ModRevision { revision, .. } => Ok(head.map_or(0, |(_, modified, ..)| modified) == revision.0),
        Compare::Value { key, value } => {
            let Some((_, modified, ..)) = head else { return Ok(false) };
            let stored = tables.versions.get((key.as_bytes(), modified)).map_err(broken)?;
            let stored = stored.ok_or_else(|| tables::missing_version(key.as_bytes(), modified))?;
            Ok(stored.value().is_some_and(|(_, _, bytes)| bytes == value))
        }
    }
}

fn write_changes(tables: &mut Tables<'_>, changes: BTreeMap<String, Change>) -> Result<Option<WatchEvents>> {
    if changes.is_empty() {
        return Ok(None);
    }
    let revision = tables.revision.next();
    let mut events = Vec::with_capacity(changes.len());
    for (place, (key, change)) in changes.into_iter().enumerate() {
        let bytes = key.as_bytes();
        let before = tables.head(&key)?;
        if let Some((.., lease)) = before
            && lease != 0
        {
            tables.lease_keys.remove((lease, bytes)).map_err(broken)?;
        }
        tables.history.insert((revision.0, place as u32), bytes).map_err(broken)?;
        match change {
            Change::Put { value, lease } => {
                let create = before.map_or(revision.0, |(create, ..)| create);
                let version = before.map_or(0, |(_, _, version, _)| version) + 1;
                let lease = lease.map_or(0, |lease| lease.0);
                if lease != 0 {
                    tables.lease_keys.insert((lease, bytes), ()).map_err(broken)?;
                }
                tables.versions.insert((bytes, revision.0), Some((create, version, &value[..]))).map_err(broken)?;
                tables.current.insert(bytes, (create, revision.0, version, lease)).map_err(broken)?;
                let create_revision = Revision(create);
                events.push(Event::Put(Entry { key, value, create_revision, mod_revision: revision, version }));
            }
            Change::Delete => {
                tables.versions.insert((bytes, revision.0), None).map_err(broken)?;
                tables.current.remove(bytes).map_err(broken)?;
                events.push(Event::Delete { key, revision });
            }
        }
    }
    tables.meta.insert(tables::META_REVISION, revision.0).map_err(broken)?;
    tables.revision = revision;
    Ok(Some(WatchEvents { revision, events }))
}
