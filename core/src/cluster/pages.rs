//! Reading many pages of instances, on several threads when a whole cluster is read.

use super::keys;
use super::page::{Line, decode};
use crate::AppId;
use crate::node::{Node, NodeId};
use imbl::OrdMap;
use std::collections::HashSet;
use std::sync::Arc;

/// The app, and which of its pages.
pub(super) type PageId = (AppId, u32);

/// A page and what it says.
pub(super) type Page = (PageId, Vec<Line>);

/// Turn, key and value of an entry of the store.
type Change<'a> = (u8, &'a str, Option<&'a [u8]>);

/// Pages that one thread reads at least.
const THREAD_MIN: usize = 512;
/// Most threads that read; what follows is done by fewer.
const THREADS_MAX: usize = 4;

/// What these pages say, in their order, or why a page cannot be read. A deleted page says nothing. Ids of
/// known `nodes` are shared.
pub(super) fn read(nodes: &OrdMap<NodeId, Arc<Node>>, changes: &[Change<'_>]) -> Vec<Result<Page, String>> {
    let part = changes.len().div_ceil(THREADS_MAX).max(THREAD_MIN);
    let mut parts = changes.chunks(part);
    let first = parts.next().unwrap_or_default();
    std::thread::scope(|all| {
        let others: Vec<_> = parts.map(|part| all.spawn(|| read_part(nodes, part))).collect();
        let mut pages = read_part(nodes, first);
        for other in others {
            match other.join() {
                Ok(read) => pages.extend(read),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        pages
    })
}

fn read_part(nodes: &OrdMap<NodeId, Arc<Node>>, changes: &[Change<'_>]) -> Vec<Result<Page, String>> {
    // A cluster has many more instances than nodes.
    let mut met: HashSet<NodeId> = HashSet::new();
    let mut node = |text: &str| {
        met.get(text).cloned().or_else(|| {
            let (id, _) = nodes.get_key_value(text)?;
            met.insert(id.clone());
            Some(id.clone())
        })
    };
    let read = |(_, key, value): &Change<'_>| {
        let rest = key.strip_prefix(keys::INSTANCES).unwrap_or_default();
        let (app, number) = keys::parse_page(rest).ok_or("the key is no page of instances")?;
        let lines = value.map_or_else(|| Ok(Vec::new()), |value| decode(value, &app, number, &mut node))?;
        Ok(((app, number), lines))
    };
    changes.iter().map(read).collect()
}
