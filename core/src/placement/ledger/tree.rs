//! Nodes in order of load, with the maxima of what is free below each page: a B+ tree per group of nodes.
//!
//! The first node of a group that fits is found by descending where the maxima allow it, in
//! O(log n) as long as the resources of a node rise and fall together; a node moves in O(log n).
//! What is found depends on the keys alone, not on how nodes came to share pages.

use super::cost::Cost;
use super::free::Free;
use super::page::{ENTRIES_MAX, Entry, Page};
use std::collections::VecDeque;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Entries of the pages of a new tree: some nodes may come before one is full.
const ENTRIES_NEW: usize = ENTRIES_MAX * 3 / 4;
/// Pages with fewer entries join a neighbour that has room.
const ENTRIES_MIN: usize = ENTRIES_MAX / 4;

/// Trees over slots; every slot is in at most one of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pages: Vec<Page>,
    /// Pages that are used for nothing.
    unused: Vec<u32>,
    /// Key of each slot.
    keys: Vec<u64>,
    /// Group of each slot; `NONE` when it is in no tree.
    groups: Vec<u32>,
    /// Uppermost page of each group.
    roots: Vec<u32>,
}

impl Tree {
    /// The trees of these nodes: group, slot and key of each, among `slots`; `own` tells the amounts of a slot.
    /// Costs a sort and one look at each node, much less than setting them one by one.
    pub(crate) fn of(mut nodes: Vec<(u32, u32, u64)>, slots: usize, own: impl Fn(u32) -> Free, cost: &mut Cost) -> Self {
        nodes.sort_unstable_by_key(|(group, _, key)| (*group, *key));
        let mut tree = Self { keys: vec![0; slots], groups: vec![NONE; slots], ..Self::default() };
        for members in nodes.chunk_by(|one, next| one.0 == next.0) {
            let group = members[0].0 as usize;
            let entry = |(_, slot, key): &(u32, u32, u64)| Entry { key: *key, at: *slot, most: own(*slot), alike: true };
            let mut level: Vec<Entry> = members.iter().map(entry).collect();
            for entry in &level {
                tree.keys[entry.at as usize] = entry.key;
                tree.groups[entry.at as usize] = group as u32;
            }
            let mut is_leaf = true;
            while is_leaf || level.len() > 1 {
                level = tree.level(&level, is_leaf, cost);
                is_leaf = false;
            }
            tree.roots.resize(group + 1, NONE);
            tree.roots[group] = level[0].at;
        }
        tree
    }

    /// Makes pages of entries in order, about equally full; what the pages above say of them.
    fn level(&mut self, entries: &[Entry], is_leaf: bool, cost: &mut Cost) -> Vec<Entry> {
        let pages = entries.len().div_ceil(ENTRIES_NEW);
        let at = |page: usize| page * entries.len() / pages;
        let mut sums = Vec::with_capacity(pages);
        for number in 0..pages {
            let mut page = Page::new(is_leaf);
            entries[at(number)..at(number + 1)].iter().for_each(|entry| page.push(*entry));
            cost.updates += 1;
            sums.push(self.add(page));
        }
        sums
    }

    /// Keeps a page; what the page above says of it.
    fn add(&mut self, page: Page) -> Entry {
        if let Some(at) = self.unused.pop() {
            let sum = page.sum(at);
            self.pages[at as usize] = page;
            return sum;
        }
        let sum = page.sum(self.pages.len() as u32);
        self.pages.push(page);
        sum
    }

    /// Uppermost page of a group's tree, or `NONE`.
    pub(crate) fn root(&self, group: u32) -> u32 {
        self.roots.get(group as usize).copied().unwrap_or(NONE)
    }

    /// Group of a slot; `NONE` when it is in no tree.
    pub(crate) fn group(&self, slot: u32) -> u32 {
        self.groups.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// How many pages there are, used or not.
    #[cfg(test)]
    pub(crate) const fn pages(&self) -> usize {
        self.pages.len()
    }

    pub(crate) fn page(&self, at: u32) -> &Page {
        &self.pages[at as usize]
    }

    /// Puts `slot` where it belongs now; `group` `NONE` takes it out.
    pub(crate) fn set(&mut self, slot: u32, group: u32, key: u64, own: Free, cost: &mut Cost) {
        let at = slot as usize;
        if self.keys.len() <= at {
            self.keys.resize(at + 1, 0);
            self.groups.resize(at + 1, NONE);
        }
        let (before, old) = (self.groups[at], self.keys[at]);
        let entry = Entry { key, at: slot, most: own, alike: true };
        if before != NONE && before == group && old == key {
            self.refresh(self.root(group), &entry, cost);
            return;
        }
        if before != NONE {
            let root = self.root(before);
            self.remove(root, old, cost);
            self.roots[before as usize] = self.lowered(root);
        }
        self.groups[at] = group;
        self.keys[at] = key;
        if group != NONE {
            if self.roots.len() <= group as usize {
                self.roots.resize(group as usize + 1, NONE);
            }
            let root = self.root(group);
            self.roots[group as usize] = self.raised(root, entry, cost);
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
        cost.visits += 1;
        let page = self.page(at);
        let start = if page.is_leaf { page.from(from) } else { page.below(from) };
        for index in start..page.len() {
            if !page.most(index).covers(need) {
                continue;
            }
            if page.is_leaf {
                cost.probes += 1;
                if accept(page.at(index)) {
                    found.push_back(page.at(index));
                }
            } else {
                self.first(page.at(index), from, need, limit, found, cost, accept);
            }
            if found.len() >= limit {
                return;
            }
        }
    }

    /// Says what a node has by now; whether that changes what the page above says of this one.
    fn refresh(&mut self, at: u32, node: &Entry, cost: &mut Cost) -> bool {
        let page = &self.pages[at as usize];
        let index = page.below(node.key);
        let before = page.entry(index);
        let after = if page.is_leaf {
            *node
        } else if self.refresh(before.at, node, cost) {
            Entry { key: before.key, ..self.page(before.at).sum(before.at) }
        } else {
            return false;
        };
        cost.updates += 1;
        self.pages[at as usize].put(index, after);
        before != after
    }

    /// Puts a node into a tree; the uppermost page there is then.
    fn raised(&mut self, root: u32, node: Entry, cost: &mut Cost) -> u32 {
        if root == NONE {
            let mut page = Page::new(true);
            page.push(node);
            cost.updates += 1;
            return self.add(page).at;
        }
        let Some(upper) = self.insert(root, &node, cost) else { return root };
        let mut page = Page::new(false);
        page.push(self.page(root).sum(root));
        page.push(upper);
        cost.updates += 1;
        self.add(page).at
    }

    /// Puts a node below a page; what is to be said of the half of it that was split off.
    fn insert(&mut self, at: u32, node: &Entry, cost: &mut Cost) -> Option<Entry> {
        cost.updates += 1;
        let page = &self.pages[at as usize];
        if page.is_leaf {
            return self.put(at, *node, cost);
        }
        let index = page.below(node.key);
        let mut entry = page.entry(index);
        let split = self.insert(entry.at, node, cost);
        if split.is_some() {
            entry = Entry { key: entry.key.min(node.key), ..self.page(entry.at).sum(entry.at) };
        } else {
            entry.join(node);
        }
        self.pages[at as usize].put(index, entry);
        split.and_then(|upper| self.put(at, upper, cost))
    }

    /// Puts an entry on a page, which is split when it is full.
    fn put(&mut self, at: u32, entry: Entry, cost: &mut Cost) -> Option<Entry> {
        let page = &mut self.pages[at as usize];
        if page.len() < ENTRIES_MAX {
            page.insert(entry);
            return None;
        }
        cost.updates += 1;
        let mut upper = page.split();
        if entry.key < upper.key(0) {
            page.insert(entry);
        } else {
            upper.insert(entry);
        }
        Some(self.add(upper))
    }

    /// Takes the node with this key away; what it had.
    fn remove(&mut self, at: u32, key: u64, cost: &mut Cost) -> Free {
        let page = &mut self.pages[at as usize];
        let index = page.below(key);
        if page.is_leaf {
            cost.updates += 1;
            let own = *page.most(index);
            page.remove(index);
            return own;
        }
        cost.visits += 1;
        let entry = page.entry(index);
        // The maxima stand as long as each was larger than what has gone.
        let gone = self.remove(entry.at, key, cost);
        let len = self.page(entry.at).len();
        if len < ENTRIES_MIN {
            self.shrink(at, index, cost);
        } else if !entry.alike || !gone.is_inside(&entry.most) {
            cost.updates += 1;
            let sum = Entry { key: entry.key, ..self.page(entry.at).sum(entry.at) };
            self.pages[at as usize].put(index, sum);
        }
        gone
    }

    /// Sees to an entry whose page has few entries left: it goes, or joins a neighbour, or stays.
    fn shrink(&mut self, at: u32, index: usize, cost: &mut Cost) {
        cost.updates += 1;
        let page = &self.pages[at as usize];
        let (mine, len) = (page.entry(index), page.len());
        if self.page(mine.at).len() == 0 {
            self.unused.push(mine.at);
            self.pages[at as usize].remove(index);
            return;
        }
        let room = |left: usize| {
            let pair = [page.entry(left), page.entry(left + 1)];
            (self.page(pair[0].at).len() + self.page(pair[1].at).len() <= ENTRIES_NEW).then_some((left, pair))
        };
        let before = index.checked_sub(1).and_then(room);
        let Some((left, [lower, upper])) = before.or_else(|| (index + 1 < len).then(|| room(index)).flatten()) else {
            let sum = Entry { key: mine.key, ..self.page(mine.at).sum(mine.at) };
            self.pages[at as usize].put(index, sum);
            return;
        };
        cost.updates += 1;
        let moved = self.page(upper.at).clone();
        let into = &mut self.pages[lower.at as usize];
        (0..moved.len()).for_each(|index| into.push(moved.entry(index)));
        let sum = Entry { key: lower.key, ..into.sum(lower.at) };
        self.unused.push(upper.at);
        self.pages[at as usize].put(left, sum);
        self.pages[at as usize].remove(left + 1);
    }

    /// The uppermost page of a tree from which a node has gone.
    fn lowered(&mut self, mut root: u32) -> u32 {
        loop {
            let page = self.page(root);
            let below = match page.len() {
                0 => NONE,
                1 if !page.is_leaf => page.at(0),
                _ => return root,
            };
            self.unused.push(root);
            root = below;
            if root == NONE {
                return NONE;
            }
        }
    }
}
