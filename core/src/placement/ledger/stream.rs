//! Nodes of one tree (or list) in the order in which a batch prefers them.
//!
//! Within a batch only the nodes that were just chosen change, so one pass over the tree serves
//! the whole batch: first the nodes without an instance of the app, in order of load, then the
//! others from a heap.

use super::Strategy;
use super::cost::Cost;
use super::tree::{NONE, Tree};
use super::trial::{Score, Trial};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Most nodes that one search looks for. It starts with one and doubles, so that a batch descends the
/// tree a few times and a single task looks for a single node.
const AHEAD_MAX: usize = 64;

/// Nodes beside those without an instance of the app.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Others<'a> {
    /// Where the app has instances, on nodes of this role.
    OfRole(u32),
    /// Among these.
    Among(&'a [u32]),
}

/// A source of nodes.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    root: u32,
    /// Least loaded node of the tree, until it was looked at.
    lowest: u32,
    others: Others<'a>,
    /// Constraint that is looked after for the whole stream.
    except: usize,
    /// Where the pass over the tree has come to.
    cursor: u64,
    in_tree: bool,
    /// Next nodes of the tree, and how many to look for at a time.
    found: VecDeque<u32>,
    ahead: usize,
    heap: BinaryHeap<Reverse<(Score, u32)>>,
    /// Best node, with its score.
    pub(crate) head: Option<(Score, u32)>,
}

impl<'a> Stream<'a> {
    /// Nodes of one group of a tree.
    pub(crate) fn of_tree(tree: &Tree, group: u32, others: Others<'a>, except: usize, strategy: Strategy) -> Self {
        let (root, lowest) = (tree.root(group), tree.lowest(group));
        let cursor = if strategy == Strategy::Spread { 0 } else { u64::MAX };
        Self {
            root,
            lowest,
            others,
            except,
            cursor,
            in_tree: true,
            found: VecDeque::new(),
            ahead: 1,
            heap: BinaryHeap::new(),
            head: None,
        }
    }

    /// The given nodes.
    pub(crate) fn of_list(slots: impl Iterator<Item = u32>, except: usize, trial: &Trial<'_>, cost: &mut Cost) -> Self {
        let heap: BinaryHeap<_> = slots.filter(|slot| trial.fits(*slot)).map(|slot| Reverse((trial.score(slot), slot))).collect();
        cost.heap += heap.len() as u64;
        Self {
            root: NONE,
            lowest: NONE,
            others: Others::Among(&[]),
            except,
            cursor: 0,
            in_tree: false,
            found: VecDeque::new(),
            ahead: 1,
            heap,
            head: None,
        }
    }

    /// Finds the best node that accepts the task, from where the last one was found.
    pub(crate) fn advance(&mut self, tree: &Tree, trial: &Trial<'_>, cost: &mut Cost) {
        let (need, except) = (&trial.demand.need, self.except);
        if let Some((_, slot)) = self.head
            && (trial.strategy == Strategy::Spread || !self.in_tree)
            && trial.accepts(slot, except)
        {
            return;
        }
        if self.in_tree && trial.strategy == Strategy::Binpack {
            let stays = self.head.is_some_and(|(_, slot)| trial.accepts(slot, except));
            let slot = match self.head {
                Some((_, slot)) if stays => slot,
                _ => tree.last(self.root, self.cursor, need, cost, &mut |slot| trial.accepts(slot, except)),
            };
            if !stays && slot != NONE {
                self.cursor = trial.rows.hot[slot as usize].key;
            }
            self.head = (slot != NONE).then(|| (trial.score(slot), slot));
            return;
        }
        if self.in_tree {
            let fresh = trial.tally.nodes.is_empty();
            let accept = &mut |slot| (fresh || trial.tally.same_app(slot) == 0) && trial.accepts(slot, except);
            // Most often the least loaded node will do, and no search is needed.
            let lowest = std::mem::replace(&mut self.lowest, NONE);
            cost.probes += u64::from(lowest != NONE);
            if lowest != NONE && accept(lowest) {
                self.cursor = trial.rows.hot[lowest as usize].key + 1;
                self.head = Some(((0, self.cursor - 1), lowest));
                return;
            }
            loop {
                // What was found some seats ago may be refused by now; what was refused stays so.
                if let Some(slot) = self.found.pop_front() {
                    cost.probes += 1;
                    if accept(slot) {
                        self.head = Some(((0, trial.rows.hot[slot as usize].key), slot));
                        return;
                    }
                    continue;
                }
                tree.first(self.root, self.cursor, need, self.ahead, &mut self.found, cost, accept);
                let Some(last) = self.found.back() else { break };
                self.cursor = trial.rows.hot[*last as usize].key + 1;
                self.ahead = (2 * self.ahead).min(AHEAD_MAX);
            }
            self.in_tree = false;
            self.collect(trial, cost);
        }
        self.head = None;
        while let Some(Reverse((score, slot))) = self.heap.pop() {
            cost.heap += 1;
            if trial.accepts(slot, except) {
                self.head = Some((score, slot));
                return;
            }
        }
    }

    /// Notes that the head was given a seat.
    pub(crate) fn taken(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        if self.in_tree && trial.strategy == Strategy::Binpack {
            // Packing stays on the node as long as it takes more.
            return;
        }
        if let Some((_, slot)) = self.head.take()
            && !self.in_tree
            && trial.fits(slot)
        {
            cost.heap += 1;
            self.heap.push(Reverse((trial.score(slot), slot)));
        }
    }

    /// Nodes with instances of the app.
    fn collect(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        let rows = &trial.rows;
        let heap: Vec<_> = match self.others {
            Others::OfRole(role) => {
                let slots = trial.tally.nodes.keys().copied().filter(|slot| rows.hot[*slot as usize].role == role);
                slots.filter(|slot| trial.fits(*slot)).map(|slot| Reverse((trial.score(slot), slot))).collect()
            }
            Others::Among(slots) => {
                let slots = slots.iter().copied().filter(|slot| trial.tally.same_app(*slot) > 0);
                slots.filter(|slot| trial.fits(*slot)).map(|slot| Reverse((trial.score(slot), slot))).collect()
            }
        };
        cost.heap += match self.others {
            Others::OfRole(_) => trial.tally.nodes.len(),
            Others::Among(slots) => slots.len(),
        } as u64;
        self.heap = heap.into();
    }
}
