//! Reading many pages of instances, on several threads when a whole cluster is read.

use super::keys;
use super::page::{Line, decode};
use crate::AppId;
use crate::hash::Set;
use crate::node::{Node, NodeId};
use imbl::OrdMap;
use std::sync::Arc;

/// The app, and which of its pages.
pub(super) type PageId = (AppId, u32);

/// A page and what it says.
pub(super) type Page = (PageId, Vec<Line>);

/// Key and value of an entry of the store.
type Change<'a> = (&'a str, Option<&'a [u8]>);

/// Pages that one thread reads at least.
const THREAD_MIN: usize = 512;
/// Most threads that read; what follows is done by fewer.
const THREADS_MAX: usize = 4;

/// Reads pages apart from the cluster that they are for, so that those that were read before can be seated
/// meanwhile.
#[derive(Debug, Clone, Default)]
pub struct PageReader {
    /// Ids of the nodes that are known: a cluster has many more instances than nodes, and they share them.
    nodes: Set<NodeId>,
}

/// Pages that have been read and are still to be taken in.
#[derive(Debug, Default)]
pub struct ReadPages(pub(super) Vec<(String, Result<Page, String>)>);

impl PageReader {
    pub(super) fn new(nodes: &OrdMap<NodeId, Arc<Node>>) -> Self {
        Self { nodes: nodes.keys().cloned().collect() }
    }

    /// Reads pages of instances, keys with values.
    pub fn read<'a>(&self, entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> ReadPages {
        let changes: Vec<Change<'_>> = entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let pages = read_all(&changes, || |text: &str| self.nodes.get(text).cloned());
        ReadPages(changes.iter().map(|(key, _)| (*key).to_owned()).zip(pages).collect())
    }
}

/// What these pages say, in their order, or why a page cannot be read. A deleted page says nothing. Ids of
/// known `nodes` are shared.
pub(super) fn read(nodes: &OrdMap<NodeId, Arc<Node>>, changes: &[Change<'_>]) -> Vec<Result<Page, String>> {
    read_all(changes, || {
        let mut met: Set<NodeId> = Set::default();
        move |text: &str| {
            met.get(text).cloned().or_else(|| {
                let (id, _) = nodes.get_key_value(text)?;
                met.insert(id.clone());
                Some(id.clone())
            })
        }
    })
}

/// Each thread finds nodes by a way of its own.
fn read_all<F: FnMut(&str) -> Option<NodeId>>(changes: &[Change<'_>], ways: impl Fn() -> F + Sync) -> Vec<Result<Page, String>> {
    let part = changes.len().div_ceil(THREADS_MAX).max(THREAD_MIN);
    let mut parts = changes.chunks(part);
    let first = parts.next().unwrap_or_default();
    std::thread::scope(|all| {
        let others: Vec<_> = parts.map(|part| all.spawn(|| read_part(part, ways()))).collect();
        let mut pages = read_part(first, ways());
        for other in others {
            match other.join() {
                Ok(read) => pages.extend(read),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        pages
    })
}

fn read_part(changes: &[Change<'_>], mut node: impl FnMut(&str) -> Option<NodeId>) -> Vec<Result<Page, String>> {
    let read = |(key, value): &Change<'_>| {
        let rest = key.strip_prefix(keys::INSTANCES).unwrap_or_default();
        let (app, number) = keys::parse_page(rest).ok_or("the key is no page of instances")?;
        let lines = value.map_or_else(|| Ok(Vec::new()), |value| decode(value, &app, number, &mut node))?;
        Ok(((app, number), lines))
    };
    changes.iter().map(read).collect()
}
