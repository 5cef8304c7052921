//! Reads from a snapshot: they never wait for the writer.

use std::ops::Bound;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::tables::{self, Version, broken};
use crate::prefix::{page_start, prefix_end, upper_bound};
use crate::{Entry, Error, Event, KeyRange, MAX_RANGE_BYTES, Range, Result, Revision, WatchEvents};

/// Most revisions that one step of a watch reads from history.
const MAX_REPLAY_REVISIONS: u64 = 256;

/// Reads one key as it is now.
pub(super) fn get(read: &ReadTransaction, key: &str) -> Result<Option<Entry>> {
    let current = read.open_table(tables::CURRENT).map_err(broken)?;
    let Some(head) = current.get(key.as_bytes()).map_err(broken)? else { return Ok(None) };
    let revision = head.value().1;
    let versions = read.open_table(tables::VERSIONS).map_err(broken)?;
    at_revision(&versions, key.as_bytes(), revision)?.ok_or_else(|| tables::missing_version(key.as_bytes(), revision)).map(Some)
}

/// Reads a page of keys, now or at an older revision.
pub(super) fn range(
    read: &ReadTransaction,
    prefix: &str,
    at: Option<Revision>,
    limit: usize,
    start_after: Option<&str>,
) -> Result<Range> {
    let (current, compacted) = tables::bounds(read)?;
    let revision = at.filter(|at| !at.is_none()).unwrap_or(current);
    if revision > current {
        return Err(Error::FutureRevision { requested: revision, current });
    }
    if revision < compacted {
        return Err(Error::Compacted { revision: compacted });
    }
    let mut page = Page { range: Range { entries: Vec::new(), revision, more: false }, limit, bytes: 0 };
    let start = page_start(prefix, start_after);
    let end = prefix_end(prefix.as_bytes());
    if end.as_ref().is_some_and(|end| *end <= start) {
        return Ok(page.range);
    }
    if revision == current {
        latest(read, &start, end.as_deref(), &mut page)?;
    } else {
        historic(read, &start, end.as_deref(), &mut page)?;
    }
    Ok(page.range)
}

/// Reads a page of keys without their values, now or at an older revision.
pub(super) fn keys(
    read: &ReadTransaction,
    prefix: &str,
    at: Option<Revision>,
    limit: usize,
    start_after: Option<&str>,
) -> Result<KeyRange> {
    let (current, _) = tables::bounds(read)?;
    let revision = at.filter(|at| !at.is_none()).unwrap_or(current);
    if revision != current {
        // Rare, and the versions have to be walked anyway.
        let Range { entries, revision, more } = range(read, prefix, at, limit, start_after)?;
        let keys = entries.into_iter().map(|entry| (entry.key, entry.mod_revision)).collect();
        return Ok(KeyRange { keys, revision, more });
    }
    let mut page = KeyRange { keys: Vec::new(), revision, more: false };
    let start = page_start(prefix, start_after);
    let end = prefix_end(prefix.as_bytes());
    if end.as_ref().is_some_and(|end| *end <= start) {
        return Ok(page);
    }
    let table = read.open_table(tables::CURRENT).map_err(broken)?;
    for row in table.range::<&[u8]>((Bound::Included(start.as_slice()), upper_bound(end.as_deref()))).map_err(broken)? {
        let (key, head) = row.map_err(broken)?;
        if page.keys.len() >= limit {
            page.more = true;
            break;
        }
        page.keys.push((tables::key_text(key.value())?, Revision(head.value().1)));
    }
    Ok(page)
}

/// A page in the making.
struct Page {
    range: Range,
    limit: usize,
    bytes: usize,
}

impl Page {
    /// Takes the next entry; `false` when the page is full and it was not taken.
    fn push(&mut self, entry: Entry) -> bool {
        if self.range.entries.len() >= self.limit || self.bytes >= MAX_RANGE_BYTES {
            self.range.more = true;
            return false;
        }
        self.bytes += entry.key.len() + entry.value.len();
        self.range.entries.push(entry);
        true
    }
}

fn latest(read: &ReadTransaction, start: &[u8], end: Option<&[u8]>, page: &mut Page) -> Result<()> {
    let current = read.open_table(tables::CURRENT).map_err(broken)?;
    let versions = read.open_table(tables::VERSIONS).map_err(broken)?;
    for row in current.range::<&[u8]>((Bound::Included(start), upper_bound(end))).map_err(broken)? {
        let (key, head) = row.map_err(broken)?;
        let (key, modified) = (key.value(), head.value().1);
        let entry = at_revision(&versions, key, modified)?.ok_or_else(|| tables::missing_version(key, modified))?;
        if !page.push(entry) {
            break;
        }
    }
    Ok(())
}

/// Walks the versions of each key and takes the last one not after the page's revision.
fn historic(read: &ReadTransaction, start: &[u8], end: Option<&[u8]>, page: &mut Page) -> Result<()> {
    let versions = read.open_table(tables::VERSIONS).map_err(broken)?;
    let bounds = (Bound::Included((start, 0)), end.map_or(Bound::Unbounded, |end| Bound::Excluded((end, 0))));
    let mut best: Option<(Vec<u8>, Option<Entry>)> = None;
    for row in versions.range::<(&[u8], u64)>(bounds).map_err(broken)? {
        let (place, version) = row.map_err(broken)?;
        let (key, modified) = place.value();
        if best.as_ref().is_none_or(|(seen, _)| seen != key) {
            if let Some((_, Some(entry))) = best.take()
                && !page.push(entry)
            {
                return Ok(());
            }
            best = Some((key.to_vec(), None));
        }
        if modified <= page.range.revision.0
            && let Some((_, entry)) = &mut best
        {
            *entry = decode(key, modified, version.value())?;
        }
    }
    if let Some((_, Some(entry))) = best {
        page.push(entry);
    }
    Ok(())
}

/// The next changes under `prefix` from revision `from` on, and the revision to go on from.
pub(super) fn replay(read: &ReadTransaction, prefix: &str, from: Revision) -> Result<(Vec<WatchEvents>, Revision)> {
    let (current, compacted) = tables::bounds(read)?;
    if from < compacted {
        return Err(Error::Compacted { revision: compacted });
    }
    let end = Revision(current.0.min(from.0.saturating_add(MAX_REPLAY_REVISIONS - 1)));
    let history = read.open_table(tables::HISTORY).map_err(broken)?;
    let versions = read.open_table(tables::VERSIONS).map_err(broken)?;
    let mut found: Vec<WatchEvents> = Vec::new();
    let mut bytes = 0;
    for row in history.range((from.0, 0)..=(end.0, u32::MAX)).map_err(broken)? {
        let (place, key) = row.map_err(broken)?;
        let (revision, key) = (Revision(place.value().0), key.value());
        if bytes > MAX_RANGE_BYTES && found.last().is_some_and(|batch| batch.revision != revision) {
            // Only whole revisions: this one has given nothing yet, so the next step begins with it.
            return Ok((found, revision));
        }
        if !key.starts_with(prefix.as_bytes()) {
            continue;
        }
        let stored = versions.get((key, revision.0)).map_err(broken)?;
        let stored = stored.ok_or_else(|| tables::missing_version(key, revision.0))?;
        let event = match decode(key, revision.0, stored.value())? {
            Some(entry) => Event::Put(entry),
            None => Event::Delete { key: tables::key_text(key)?, revision },
        };
        bytes += if let Event::Put(entry) = &event { entry.value.len() } else { 0 } + key.len();
        match found.last_mut() {
            Some(batch) if batch.revision == revision => batch.events.push(event),
            _ => found.push(WatchEvents { revision, events: vec![event] }),
        }
    }
    Ok((found, end.next()))
}

fn at_revision(
    versions: &impl ReadableTable<(&'static [u8], u64), Version<'static>>,
    key: &[u8],
    revision: u64,
) -> Result<Option<Entry>> {
    let stored = versions.get((key, revision)).map_err(broken)?;
    stored.map_or(Ok(None), |stored| decode(key, revision, stored.value()))
}

fn decode(key: &[u8], modified: u64, version: Version<'_>) -> Result<Option<Entry>> {
    let Some((create, version, value)) = version else { return Ok(None) };
    Ok(Some(Entry {
        key: tables::key_text(key)?,
        value: Bytes::copy_from_slice(value),
        create_revision: Revision(create),
        mod_revision: Revision(modified),
        version,
    }))
}
