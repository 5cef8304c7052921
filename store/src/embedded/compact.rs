//! Compaction: a mark first, then the garbage below it in slices between commits.

use redb::ReadableTable;

use super::apply::Tables;
use super::tables::{self, broken};
use crate::{Error, Result, Revision};

/// Most history rows whose garbage one commit removes, so that no transaction waits long.
const MAX_SLICE_ROWS: usize = 1024;

/// Marks `revision` as the oldest readable one. Returns whether that changed anything.
pub(super) fn mark(tables: &mut Tables<'_>, revision: Revision) -> Result<bool> {
    if revision > tables.revision {
        return Err(Error::FutureRevision { requested: revision, current: tables.revision });
    }
    if revision.0 <= tables::number(&tables.meta, tables::META_COMPACTED)? {
        return Ok(false);
    }
    tables.meta.insert(tables::META_COMPACTED, revision.0).map_err(broken)?;
    Ok(true)
}

/// Whether the mark has made garbage that is not yet removed.
pub(super) fn is_due(tables: &Tables<'_>) -> Result<bool> {
    let mark = tables::number(&tables.meta, tables::META_COMPACTED)?;
    Ok(tables::number(&tables.meta, tables::META_COLLECTED)? < mark)
}

/// Removes a slice of what the mark has made garbage. Returns whether it wrote
/// anything, and whether garbage is left.
///
/// Every history row below the mark goes. Of each key such a row names, the
/// versions superseded at the mark go, and a deletion below it. A deletion at
/// the mark itself stays until the next compaction, since a watch from the mark
/// owes it.
pub(super) fn collect(tables: &mut Tables<'_>) -> Result<(bool, bool)> {
    let mark = tables::number(&tables.meta, tables::META_COMPACTED)?;
    let collected = tables::number(&tables.meta, tables::META_COLLECTED)?;
    if collected >= mark {
        return Ok((false, false));
    }
    let mut rows = Vec::new();
    let mut whole = true;
    for row in tables.history.range((0, 0)..=(mark, u32::MAX)).map_err(broken)? {
        let (place, key) = row.map_err(broken)?;
        let place = place.value();
        if rows.len() >= MAX_SLICE_ROWS && place.0 < mark {
            whole = false;
            break;
        }
        rows.push((place, key.value().to_vec()));
    }
    for (place, key) in rows {
        trim(tables, &key, mark)?;
        if place.0 < mark {
            tables.history.remove(place).map_err(broken)?;
        }
    }
    if whole {
        tables.meta.insert(tables::META_COLLECTED, mark).map_err(broken)?;
    }
    Ok((true, !whole))
}

fn trim(tables: &mut Tables<'_>, key: &[u8], mark: u64) -> Result<()> {
    let mut kept: Vec<(u64, bool)> = Vec::new();
    for row in tables.versions.range::<(&[u8], u64)>((key, 0)..=(key, mark)).map_err(broken)? {
        let (place, version) = row.map_err(broken)?;
        kept.push((place.value().1, version.value().is_none()));
    }
    let Some((latest, deleted)) = kept.pop() else { return Ok(()) };
    if deleted && latest < mark {
        kept.push((latest, deleted));
    }
    for (revision, _) in kept {
        tables.versions.remove((key, revision)).map_err(broken)?;
    }
    Ok(())
}
