//! Nodes in order of load, with the maxima of what is free below each: a treap per group of nodes.
//!
//! The first node of a group that fits is found by descending where the maxima allow it, in
//! O(log n) as long as the resources of a node rise and fall together; a node moves in O(log n).

use super::cost::Cost;
use super::free::Free;
use super::shape::is_alike;
use std::collections::VecDeque;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// What a search reads at each step; a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Knot {
    /// Share taken, then rank of the node's id.
    key: u64,
    left: u32,
    right: u32,
    /// Largest amounts in this subtree, of each resource for itself.
    most: Free,
    /// All nodes in this subtree have the same ratio of cpus to memory; never said wrongly.
    alike: bool,
}

const EMPTY: Knot = Knot { key: 0, left: NONE, right: NONE, most: ZERO, alike: true };
const ZERO: Free = Free { cpus: 0, mem: 0, disk: 0, gpus: 0, ports: 0, tasks: 0 };

/// Treaps over slots; every slot is in at most one of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    knots: Vec<Knot>,
    /// Amounts of each slot alone.
    own: Vec<Free>,
    /// Group of each slot; `NONE` when it is in no tree.
    groups: Vec<u32>,
    roots: Vec<u32>,
    /// Slot with the lowest key of each group.
    lowest: Vec<u32>,
}

/// Heap priority of a slot: fixed, well mixed.
const fn priority(slot: u32) -> u64 {
    let mut z = (slot as u64).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Tree {
    /// The trees of these nodes: group, slot and key of each; `own` tells the amounts of every slot. Costs a
    /// sort and one look at each node, much less than setting them one by one.
    pub(crate) fn of(mut nodes: Vec<(u32, u32, u64)>, own: Vec<Free>, cost: &mut Cost) -> Self {
        nodes.sort_unstable_by_key(|(group, _, key)| (*group, *key));
        let slots = own.len();
        let mut tree = Self { knots: vec![EMPTY; slots], own, groups: vec![NONE; slots], ..Self::default() };
        for members in nodes.chunk_by(|one, next| one.0 == next.0) {
            let (group, lowest, _) = members[0];
            tree.roots.resize(group as usize + 1, NONE);
            tree.lowest.resize(group as usize + 1, NONE);
            tree.lowest[group as usize] = lowest;
            tree.roots[group as usize] = tree.root_of(members, cost);
        }
        tree
    }

    /// Makes one tree of nodes in order of their keys.
    fn root_of(&mut self, members: &[(u32, u32, u64)], cost: &mut Cost) -> u32 {
        // The way from the root to the last node, always to the right; what leaves it is complete.
        let mut path: Vec<u32> = Vec::new();
        for (group, slot, key) in members {
            let at = *slot as usize;
            self.groups[at] = *group;
            let mut left = NONE;
            while let Some(last) = path.pop_if(|last| priority(*last) < priority(*slot)) {
                self.pull(last, cost);
                left = last;
            }
            self.knots[at] = Knot { key: *key, left, right: NONE, most: self.own[at], alike: true };
            if let Some(above) = path.last() {
                self.knots[*above as usize].right = *slot;
            }
            path.push(*slot);
        }
        let mut root = NONE;
        while let Some(last) = path.pop() {
            self.pull(last, cost);
            root = last;
        }
        root
    }

    /// Root of a group's tree.
    pub(crate) fn root(&self, group: u32) -> u32 {
        self.roots.get(group as usize).copied().unwrap_or(NONE)
    }

    /// Slot with the lowest key of a group.
    pub(crate) fn lowest(&self, group: u32) -> u32 {
        self.lowest.get(group as usize).copied().unwrap_or(NONE)
    }

    /// Puts `slot` where it belongs now; `group` `NONE` takes it out.
    pub(crate) fn set(&mut self, slot: u32, group: u32, key: u64, own: Free, cost: &mut Cost) {
        let at = slot as usize;
        if self.knots.len() <= at {
            self.knots.resize(at + 1, EMPTY);
            self.own.resize(at + 1, ZERO);
            self.groups.resize(at + 1, NONE);
        }
        let before = self.groups[at];
        if before == group && group != NONE && self.knots[at].key == key {
            if self.own[at] != own {
                self.own[at] = own;
                self.refresh(self.root(group), slot, cost);
            }
            return;
        }
        if before != NONE {
            let root = self.remove(self.root(before), slot, cost);
            self.roots[before as usize] = root;
            if self.lowest[before as usize] == slot {
                let mut lowest = root;
                while let Some(knot) = self.knots.get(lowest as usize).filter(|knot| knot.left != NONE) {
                    cost.visits += 1;
                    lowest = knot.left;
                }
                self.lowest[before as usize] = lowest;
            }
        }
        self.groups[at] = group;
        if group != NONE {
            if self.roots.len() <= group as usize {
                self.roots.resize(group as usize + 1, NONE);
                self.lowest.resize(group as usize + 1, NONE);
            }
            let lowest = self.lowest[group as usize];
            if self.knots.get(lowest as usize).is_none_or(|knot| key < knot.key) {
                self.lowest[group as usize] = slot;
            }
            self.own[at] = own;
            self.knots[at] = Knot { key, left: NONE, right: NONE, most: own, alike: true };
            let root = self.insert(self.root(group), slot, cost);
            self.roots[group as usize] = root;
        }
    }

    /// Adds the first slots at or behind `from` that fit and are accepted, until there are `limit`.
    #[expect(clippy::too_many_arguments, reason = "a recursion that carries its question along")]
    pub(crate) fn first(
        &self,
        at: u32,
        from: u64,
        need: &Free,
        limit: usize,
        found: &mut VecDeque<u32>,
        cost: &mut Cost,
        accept: &mut impl FnMut(u32) -> bool,
    ) {
        if at == NONE || found.len() >= limit {
            return;
        }
        let knot = &self.knots[at as usize];
        cost.visits += 1;
        if !knot.most.covers(need) {
            return;
        }
        if knot.key >= from {
            self.first(knot.left, from, need, limit, found, cost, accept);
            if found.len() < limit && self.own[at as usize].covers(need) {
                cost.probes += 1;
                if accept(at) {
                    found.push_back(at);
                }
            }
        }
        self.first(knot.right, from, need, limit, found, cost, accept);
    }

    /// Key, own amounts and both children of a knot.
    pub(crate) fn knot(&self, at: u32) -> (u64, Free, u32, u32) {
        let knot = &self.knots[at as usize];
        (knot.key, self.own[at as usize], knot.left, knot.right)
    }

    /// Largest amounts at or below a knot, and whether all have the same ratio of cpus to memory: then the
    /// largest cpus and the largest memory are those of one node.
    pub(crate) fn most(&self, at: u32) -> Option<(&Free, bool)> {
        self.knots.get(at as usize).map(|knot| (&knot.most, knot.alike))
    }

    fn pull(&mut self, at: u32, cost: &mut Cost) {
        cost.updates += 1;
        let knot = &self.knots[at as usize];
        let own = self.own[at as usize];
        let (mut most, mut alike) = (own, true);
        for child in [knot.left, knot.right] {
            if let Some((below, below_alike)) = self.most(child) {
                most = most.max(below);
                alike = alike && below_alike && is_alike(own.shape(), below.shape());
            }
        }
        let knot = &mut self.knots[at as usize];
        (knot.most, knot.alike) = (most, alike);
    }

    fn refresh(&mut self, at: u32, slot: u32, cost: &mut Cost) {
        if at != slot {
            let knot = &self.knots[at as usize];
            let next = if self.knots[slot as usize].key < knot.key { knot.left } else { knot.right };
            self.refresh(next, slot, cost);
        }
        self.pull(at, cost);
    }

    fn insert(&mut self, at: u32, slot: u32, cost: &mut Cost) -> u32 {
        if at == NONE {
            return slot;
        }
        let key = self.knots[slot as usize].key;
        if priority(slot) > priority(at) {
            let (left, right) = self.split(at, key, cost);
            self.knots[slot as usize].left = left;
            self.knots[slot as usize].right = right;
            self.pull(slot, cost);
            return slot;
        }
        let own = self.own[slot as usize];
        let knot = self.knots[at as usize];
        cost.updates += 1;
        self.knots[at as usize].most = knot.most.max(&own);
        self.knots[at as usize].alike = knot.alike && is_alike(self.own[at as usize].shape(), own.shape());
        if key < knot.key {
            let left = self.insert(knot.left, slot, cost);
            self.knots[at as usize].left = left;
        } else {
            let right = self.insert(knot.right, slot, cost);
            self.knots[at as usize].right = right;
        }
        at
    }

    /// Everything below `key`, and the rest.
    fn split(&mut self, at: u32, key: u64, cost: &mut Cost) -> (u32, u32) {
        if at == NONE {
            return (NONE, NONE);
        }
        let knot = self.knots[at as usize];
        let halves = if knot.key < key {
            let (left, right) = self.split(knot.right, key, cost);
            self.knots[at as usize].right = left;
            (at, right)
        } else {
            let (left, right) = self.split(knot.left, key, cost);
            self.knots[at as usize].left = right;
            (left, at)
        };
        self.pull(at, cost);
        halves
    }

    fn remove(&mut self, at: u32, slot: u32, cost: &mut Cost) -> u32 {
        let knot = self.knots[at as usize];
        if at == slot {
            return self.merge(knot.left, knot.right, cost);
        }
        cost.visits += 1;
        let matters = !knot.alike || !self.own[slot as usize].is_inside(&knot.most);
        if self.knots[slot as usize].key < knot.key {
            let left = self.remove(knot.left, slot, cost);
            self.knots[at as usize].left = left;
        } else {
            let right = self.remove(knot.right, slot, cost);
            self.knots[at as usize].right = right;
        }
        if matters {
            self.pull(at, cost);
        }
        at
    }

    fn merge(&mut self, left: u32, right: u32, cost: &mut Cost) -> u32 {
        if left == NONE {
            return right;
        }
        if right == NONE {
            return left;
        }
        let root = if priority(left) > priority(right) {
            let merged = self.merge(self.knots[left as usize].right, right, cost);
            self.knots[left as usize].right = merged;
            left
        } else {
            let merged = self.merge(left, self.knots[right as usize].left, cost);
            self.knots[right as usize].left = merged;
            right
        };
        self.pull(root, cost);
        root
    }
}
