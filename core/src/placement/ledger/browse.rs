//! Nodes in the order in which packing likes them, found as far as they are asked for.
//!
//! The trees are ordered by the shape of what is free. Pages wait in a heap by the best that could be
//! below them; the first node that comes out is the best there is. The trees stand still during a
//! batch, so that one pass serves all of it.

use super::cost::Cost;
use super::free::Free;
use super::rows::RANK_BITS;
use super::shape::Rating;
use super::tree::{NONE, Tree};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A page, by what the nodes below it are at best; or a node, by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    score: u32,
    /// Lowest key it can hold.
    low: u64,
    is_node: bool,
    at: u32,
    /// Highest key it can hold.
    high: u64,
    empty: bool,
}

/// A pass over some groups of a tree.
#[derive(Debug, Default)]
pub(crate) struct Browse(BinaryHeap<Reverse<Entry>>);

impl Browse {
    /// Adds a group; `empty` when its nodes hold no task.
    pub(crate) fn add(&mut self, tree: &Tree, group: u32, empty: bool) {
        let at = tree.root(group);
        if at != NONE {
            self.0.push(Reverse(Entry { score: 0, low: 0, is_node: false, at, high: u64::MAX, empty }));
        }
    }

    /// The next best node that fits and is accepted, with its score.
    pub(crate) fn next(
        &mut self,
        tree: &Tree,
        need: &Free,
        rating: &Rating,
        cost: &mut Cost,
        accept: &mut impl FnMut(u32) -> bool,
    ) -> Option<(u32, u32)> {
        while let Some(Reverse(entry)) = self.0.pop() {
            cost.heap += 1;
            if entry.is_node {
                cost.probes += 1;
                if accept(entry.at) {
                    return Some((entry.score, entry.at));
                }
                continue;
            }
            cost.visits += 1;
            let page = tree.page(entry.at);
            let penalty = if entry.empty { rating.empty } else { 0 };
            for index in (0..page.len()).filter(|index| page.most(*index).covers(need)) {
                let below = page.entry(index);
                let most = below.most.shape();
                // What is to the right has higher keys.
                let (low, high) = match page.keys().get(index + 1) {
                    _ if page.is_leaf => (below.key, below.key),
                    Some(next) => (below.key, next - 1),
                    None => (below.key, entry.high),
                };
                // Keys differ, so that a node comes out before a page on its right that is no better.
                let least =
                    if below.alike { rating.mismatch(most) } else { rating.bound(most, low >> RANK_BITS, high >> RANK_BITS) };
                let (score, is_node) = (least + penalty, page.is_leaf);
                self.0.push(Reverse(Entry { score, low, is_node, at: below.at, high, empty: entry.empty }));
            }
        }
        None
    }
}
