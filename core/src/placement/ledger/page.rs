//! One page of a tree: a few entries in order of their keys, each column for itself so that a search
//! reads a few cache lines.

use super::free::Free;
use super::shape::is_alike;

/// Most entries of a page: searches and updates of 100,000 nodes pass five pages.
pub(crate) const ENTRIES_MAX: usize = 16;

/// A node, on the lowest pages; a page and all below it, on those above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    /// Key of the node; a lower bound of the keys below.
    pub(crate) key: u64,
    /// Slot of the node, or number of the page.
    pub(crate) at: u32,
    /// What the node has; the largest amounts below, of each resource for itself.
    pub(crate) most: Free,
    /// All nodes below have the same ratio of cpus to memory; never said wrongly.
    pub(crate) alike: bool,
}

/// Some entries; never none but in a page that nobody uses.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The entries are nodes.
    pub(crate) is_leaf: bool,
    len: usize,
    keys: [u64; ENTRIES_MAX],
    at: [u32; ENTRIES_MAX],
    most: [Free; ENTRIES_MAX],
    alike: [bool; ENTRIES_MAX],
}

impl Page {
    pub(crate) const fn new(is_leaf: bool) -> Self {
        let (keys, at, alike) = ([0; ENTRIES_MAX], [0; ENTRIES_MAX], [true; ENTRIES_MAX]);
        Self { is_leaf, len: 0, keys, at, most: [Free::NOTHING; ENTRIES_MAX], alike }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn keys(&self) -> &[u64] {
        &self.keys[..self.len]
    }

    pub(crate) const fn key(&self, index: usize) -> u64 {
        self.keys[index]
    }

    /// Slot or page of an entry.
    pub(crate) const fn at(&self, index: usize) -> u32 {
        self.at[index]
    }

    pub(crate) const fn most(&self, index: usize) -> &Free {
        &self.most[index]
    }

    pub(crate) const fn entry(&self, index: usize) -> Entry {
        Entry { key: self.keys[index], at: self.at[index], most: self.most[index], alike: self.alike[index] }
    }

    /// Index of the first entry at or behind `key`.
    pub(crate) fn from(&self, key: u64) -> usize {
        self.keys().iter().filter(|have| **have < key).count()
    }

    /// Index of the entry below which `key` belongs.
    pub(crate) fn below(&self, key: u64) -> usize {
        self.keys().iter().filter(|have| **have <= key).count().saturating_sub(1)
    }

    /// Puts an entry in its place; there must be room.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let (index, len) = (self.from(entry.key), self.len);
        self.keys.copy_within(index..len, index + 1);
        self.at.copy_within(index..len, index + 1);
        self.most.copy_within(index..len, index + 1);
        self.alike.copy_within(index..len, index + 1);
        self.len += 1;
        self.put(index, entry);
    }

    /// Says something else at `index`.
    pub(crate) const fn put(&mut self, index: usize, entry: Entry) {
        (self.keys[index], self.at[index], self.most[index], self.alike[index]) = (entry.key, entry.at, entry.most, entry.alike);
    }

    pub(crate) fn remove(&mut self, index: usize) {
        let len = self.len;
        self.keys.copy_within(index + 1..len, index);
        self.at.copy_within(index + 1..len, index);
        self.most.copy_within(index + 1..len, index);
        self.alike.copy_within(index + 1..len, index);
        self.len -= 1;
    }

    /// Gives away the upper half.
    pub(crate) fn split(&mut self) -> Self {
        let (mut upper, half) = (Self::new(self.is_leaf), self.len / 2);
        (half..self.len).for_each(|index| upper.push(self.entry(index)));
        self.len = half;
        upper
    }

    /// Adds an entry behind all others; there must be room.
    pub(crate) const fn push(&mut self, entry: Entry) {
        self.len += 1;
        self.put(self.len - 1, entry);
    }

    /// What the page above says of this one.
    pub(crate) fn sum(&self, at: u32) -> Entry {
        let mut sum = Entry { at, ..self.entry(0) };
        for index in 1..self.len {
            sum.alike = sum.alike && self.alike[index] && is_alike(sum.most.shape(), self.most[index].shape());
            sum.most = sum.most.max(&self.most[index]);
        }
        sum
    }
}

impl Entry {
    /// Says that a node came to what is below.
    pub(crate) fn join(&mut self, node: &Self) {
        self.key = self.key.min(node.key);
        self.alike = self.alike && is_alike(self.most.shape(), node.most.shape());
        self.most = self.most.max(&node.most);
    }
}
