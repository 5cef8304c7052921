//! Nodes of one tree (or list) in the order in which a batch prefers them.
//!
//! Within a batch only the nodes that were just chosen change, so one pass over the tree serves
//! the whole batch: first the nodes without an instance of the app, in order of load, then the
//! others from a heap.

use super::Strategy;
use super::browse::Browse;
use super::cost::Cost;
use super::field::Field;
use super::tree::{NONE, Tree};
use super::trial::{ALL, Score, Trial};
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

/// Which nodes of a tree are meant.
#[derive(Debug, Clone, Copy)]
enum Pick<'a> {
    All,
    /// Those with this value of a field.
    Value(&'a Field, u32),
    /// Those that are not disliked.
    Liked,
}

impl Pick<'_> {
    fn takes(&self, slot: u32, trial: &Trial<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Value(field, value) => field.value(slot) == *value,
            Self::Liked => trial.dislike(slot) == 0,
        }
    }
}

/// How many nodes of a tree may be asked.
#[derive(Debug)]
struct Budget {
    left: u64,
    is_overrun: bool,
}

impl Budget {
    const ENDLESS: Self = Self::of(u64::MAX);

    const fn of(left: u64) -> Self {
        Self { left, is_overrun: false }
    }

    /// Takes one question; whether that was one too many, so that anything may end the search.
    const fn ask(&mut self) -> bool {
        self.is_overrun |= self.left == 0;
        self.left = self.left.saturating_sub(1);
        self.is_overrun
    }
}

/// A source of nodes.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    tree: Option<&'a Tree>,
    root: u32,
    others: Others<'a>,
    /// Constraint that is looked after for the whole stream.
    except: usize,
    pick: Pick<'a>,
    budget: Budget,
    /// Where the pass over the tree has come to.
    cursor: u64,
    in_tree: bool,
    /// Next nodes of the tree, and how many to look for at a time.
    found: VecDeque<u32>,
    ahead: usize,
    /// Nodes that packing has not looked at yet, and the best it has seen of them.
    browse: Browse,
    browsed: Option<(Score, u32)>,
    heap: BinaryHeap<Reverse<(Score, u32)>>,
    /// Best node, with its score.
    pub(crate) head: Option<(Score, u32)>,
}

impl<'a> Stream<'a> {
    fn empty(except: usize) -> Self {
        Self {
            tree: None,
            root: NONE,
            others: Others::Among(&[]),
            except,
            pick: Pick::All,
            budget: Budget::ENDLESS,
            cursor: 0,
            in_tree: false,
            found: VecDeque::new(),
            ahead: 1,
            browse: Browse::default(),
            browsed: None,
            heap: BinaryHeap::new(),
            head: None,
        }
    }

    /// Nodes of one group of a tree.
    pub(crate) fn of_tree(tree: &'a Tree, group: u32, others: Others<'a>, except: usize) -> Self {
        Self { tree: Some(tree), root: tree.root(group), others, in_tree: true, ..Self::empty(except) }
    }

    /// Nodes in the order of packing: those of these groups of a tree, liked alike, and what the batch
    /// has touched of them.
    pub(crate) fn of_packing(
        tree: &'a Tree,
        groups: impl Iterator<Item = (u32, bool)>,
        trial: &Trial<'_>,
        is_mine: impl Fn(u32) -> bool,
    ) -> Self {
        let mut browse = Browse::default();
        groups.for_each(|(group, empty)| browse.add(tree, group, empty));
        let touched = trial.touched().filter(|slot| is_mine(*slot) && trial.fits(*slot));
        let touched = touched.map(|slot| Reverse((score_in_class(trial, slot), slot)));
        Self { tree: Some(tree), in_tree: true, browse, heap: touched.collect(), ..Self::empty(ALL) }
    }

    /// Only the nodes with this value, as long as so many are asked at most.
    pub(crate) const fn picking(mut self, field: &'a Field, value: u32, budget: u64) -> Self {
        self.pick = Pick::Value(field, value);
        self.budget = Budget::of(budget);
        self
    }

    /// Only nodes that are not disliked, likewise.
    pub(crate) const fn liked(mut self, budget: u64) -> Self {
        self.pick = Pick::Liked;
        self.budget = Budget::of(budget);
        self
    }

    /// Nodes whose tree is not at hand.
    pub(crate) fn without_tree() -> Self {
        Self { budget: Budget { left: 0, is_overrun: true }, ..Self::empty(ALL) }
    }

    /// More were asked than the budget allows, or the nodes have no tree here: what is found is not to be used.
    pub(crate) const fn is_dear(&self) -> bool {
        self.budget.is_overrun
    }

    /// The given nodes.
    pub(crate) fn of_list(slots: impl Iterator<Item = u32>, except: usize, trial: &Trial<'_>, cost: &mut Cost) -> Self {
        let heap: BinaryHeap<_> = slots.filter(|slot| trial.fits(*slot)).map(|slot| Reverse((trial.score(slot), slot))).collect();
        cost.heap += heap.len() as u64;
        Self { heap, ..Self::empty(except) }
    }

    /// Finds the best node that accepts the task, from where the last one was found.
    pub(crate) fn advance(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        let (need, except, pick) = (&trial.demand.need, self.except, self.pick);
        if self.in_tree && trial.strategy == Strategy::Binpack {
            self.advance_packing(trial, cost);
            return;
        }
        if let Some((_, slot)) = self.head
            && pick.takes(slot, trial)
            && trial.accepts(slot, except)
        {
            let now = trial.score(slot);
            if self.in_tree || self.head == Some((now, slot)) {
                self.head = Some((now, slot));
                return;
            }
            self.heap.push(Reverse((now, slot)));
        }
        if let Some(tree) = self.tree.filter(|_| self.in_tree) {
            let fresh = trial.tally.nodes.is_empty();
            let alone = |slot| fresh || trial.tally.same_app(slot) == 0;
            let budget = &mut self.budget;
            let accept = &mut |slot| budget.ask() || pick.takes(slot, trial) && alone(slot) && trial.accepts(slot, except);
            loop {
                // What was found some seats ago may be refused by now; what was refused stays so.
                if let Some(slot) = self.found.pop_front() {
                    cost.probes += 1;
                    if accept(slot) {
                        self.head = Some((trial.score(slot), slot));
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
            if !pick.takes(slot, trial) || !trial.accepts(slot, except) {
                continue;
            }
            // Wishes may like a node less than when it was put there.
            let now = trial.score(slot);
            if now == score {
                self.head = Some((score, slot));
                return;
            }
            self.heap.push(Reverse((now, slot)));
        }
    }

    /// The best of what this batch has touched and what it has not.
    fn advance_packing(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        let (pick, except) = (self.pick, self.except);
        let takes = |slot: u32| pick.takes(slot, trial) && trial.accepts(slot, except);
        if let Some(tree) = self.tree
            && self.browsed.is_none_or(|(_, slot)| trial.is_touched(slot) || !takes(slot))
        {
            let budget = &mut self.budget;
            let accept = &mut |slot| budget.ask() || !trial.is_touched(slot) && takes(slot);
            let next = self.browse.next(tree, &trial.demand.need, &trial.rating, cost, accept);
            self.browsed = next.map(|(_, slot)| (score_in_class(trial, slot), slot));
        }
        while let Some(Reverse((_, slot))) = self.heap.peek() {
            if takes(*slot) {
                break;
            }
            self.heap.pop();
            cost.heap += 1;
        }
        let touched = self.heap.peek().map(|Reverse(best)| *best);
        self.head = self.browsed.into_iter().chain(touched).min().map(|(_, slot)| (trial.score(slot), slot));
    }

    /// Notes that the head was given a seat.
    pub(crate) fn taken(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        if self.in_tree && trial.strategy == Strategy::Binpack {
            if let Some((_, slot)) = self.head.take() {
                if self.heap.peek().is_some_and(|Reverse((_, best))| *best == slot) {
                    self.heap.pop();
                }
                if trial.fits(slot) {
                    cost.heap += 1;
                    self.heap.push(Reverse((score_in_class(trial, slot), slot)));
                }
            }
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
        let (rows, pick) = (&trial.rows, self.pick);
        let heap: Vec<_> = match self.others {
            Others::OfRole(role) => {
                let is_of = |slot: &u32| rows.hot[*slot as usize].role == role && pick.takes(*slot, trial);
                let slots = trial.tally.nodes.keys().copied().filter(is_of);
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

/// The score of a node among those that are liked alike, however well that may be by now.
fn score_in_class(trial: &Trial<'_>, slot: u32) -> Score {
    let (_, mismatch, key) = trial.score(slot);
    (0, mismatch, key)
}
