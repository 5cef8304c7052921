//! Nodes in blocks, and these in blocks, with the least and the most that is free: what many nodes say to a task is
//! known without asking each.
//!
//! Bounds are never too narrow: a change widens those of its blocks at once, and who finds a block undecided narrows
//! it again.

use super::cost::Cost;
use super::free::Free;
use super::rows::Rows;
use super::tree::NONE;
use std::ops::Range;

/// Nodes, or blocks, of a block.
const BLOCK: usize = 16;

/// What is known of the nodes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) least: Free,
    pub(crate) most: Free,
    /// The lowest rank of an id, or a lower one.
    pub(crate) rank: u64,
    /// Something may be set aside: to some more is free.
    pub(crate) kept: bool,
}

impl Bounds {
    const NOTHING: Self = Self { least: Free::MOST, most: Free::NOTHING, rank: u64::MAX, kept: false };

    fn of(rows: &Rows, slot: u32) -> Self {
        let hot = &rows.hot[slot as usize];
        Self { least: hot.free, most: hot.free, rank: rows.rank_of(slot), kept: hot.is_kept }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            least: self.least.min(&other.least),
            most: self.most.max(&other.most),
            rank: self.rank.min(other.rank),
            kept: self.kept || other.kept,
        }
    }
}

/// Some nodes of a group.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Block that this one is a part of; `NONE` for all nodes of a group.
    above: u32,
    group: u32,
    /// Where the blocks, or the slots in `order`, begin that it is made of, and how many these are.
    begin: u32,
    len: u32,
    pub(crate) is_leaf: bool,
    /// How many nodes it has.
    pub(crate) nodes: u64,
    pub(crate) bounds: Bounds,
    /// A lowest block whose bounds may be wider than need be.
    loose: bool,
}

impl Block {
    /// The group of which it has all nodes.
    pub(crate) fn whole(&self) -> Option<u32> {
        (self.above == NONE).then_some(self.group)
    }
}

/// All blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks {
    list: Vec<Block>,
    /// Slots by block.
    order: Vec<u32>,
    /// Lowest block of each slot; `NONE` for those that are in none.
    of: Vec<u32>,
}

impl Blocks {
    /// None, for so many slots.
    pub(crate) fn of(slots: usize) -> Self {
        Self { of: vec![NONE; slots], ..Self::default() }
    }

    /// There are so many slots now.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.of.resize(slots, NONE);
    }

    /// Group of a node.
    pub(crate) fn group(&self, slot: u32) -> Option<u32> {
        self.list.get(self.of[slot as usize] as usize).map(|block| block.group)
    }

    /// The node is in no block any more.
    pub(crate) fn remove(&mut self, slot: u32) {
        let mut at = std::mem::replace(&mut self.of[slot as usize], NONE);
        if at == NONE {
            return;
        }
        let leaf = &mut self.list[at as usize];
        let parts = &mut self.order[leaf.begin as usize..(leaf.begin + leaf.len) as usize];
        if let Some(place) = parts.iter().position(|part| *part == slot) {
            parts.swap(place, parts.len() - 1);
            leaf.len -= 1;
        }
        while at != NONE {
            let block = &mut self.list[at as usize];
            (block.nodes, block.loose) = (block.nodes - 1, block.is_leaf);
            at = block.above;
        }
    }

    /// Puts the nodes of a group in blocks, and these in blocks; the uppermost.
    pub(crate) fn add_group(&mut self, group: u32, slots: impl Iterator<Item = u32>, rows: &Rows) -> u32 {
        let begin = self.order.len();
        self.order.extend(slots);
        let (mut parts, mut is_leaf) = (begin..self.order.len(), true);
        loop {
            let first = self.list.len();
            for begin in parts.clone().step_by(BLOCK) {
                let (len, at) = ((parts.end - begin).min(BLOCK) as u32, self.list.len() as u32);
                let begin = begin as u32;
                let mut block =
                    Block { above: NONE, group, begin, len, is_leaf, nodes: 0, bounds: Bounds::NOTHING, loose: false };
                for part in begin..begin + len {
                    if is_leaf {
                        self.of[self.order[part as usize] as usize] = at;
                        block.nodes += 1;
                    } else {
                        self.list[part as usize].above = at;
                        block.nodes += self.list[part as usize].nodes;
                    }
                }
                block.bounds = self.narrowest(&block, rows);
                self.list.push(block);
            }
            (parts, is_leaf) = (first..self.list.len(), false);
            if parts.len() <= 1 {
                return first as u32;
            }
        }
    }

    /// What the parts of a block say.
    fn narrowest(&self, block: &Block, rows: &Rows) -> Bounds {
        let parts = block.begin as usize..(block.begin + block.len) as usize;
        if block.is_leaf {
            self.order[parts].iter().fold(Bounds::NOTHING, |all, slot| all.and(&Bounds::of(rows, *slot)))
        } else {
            self.list[parts].iter().filter(|block| block.nodes > 0).fold(Bounds::NOTHING, |all, block| all.and(&block.bounds))
        }
    }

    /// Bounds hold what these nodes have now as well: seats that are taken for the time being are no changes.
    pub(crate) fn hold(&mut self, rows: &Rows, slots: impl Iterator<Item = u32>, cost: &mut Cost) {
        for slot in slots {
            cost.updates += 1;
            self.widen(rows, slot);
        }
    }

    /// Bounds hold what the node has now.
    pub(crate) fn widen(&mut self, rows: &Rows, slot: u32) {
        let (mut at, node) = (self.of[slot as usize], Bounds::of(rows, slot));
        while at != NONE {
            let block = &mut self.list[at as usize];
            let wider = block.bounds.and(&node);
            // Of lowest blocks it is noted that they may be narrower as well.
            if wider == block.bounds && (block.loose || !block.is_leaf) {
                return;
            }
            (block.bounds, block.loose) = (wider, block.is_leaf);
            at = block.above;
        }
    }

    /// Makes the bounds of a lowest block, and of those it is in, as narrow as they can be.
    pub(crate) fn narrow(&mut self, leaf: u32, rows: &Rows, cost: &mut Cost) {
        if !std::mem::take(&mut self.list[leaf as usize].loose) {
            return;
        }
        let mut at = leaf;
        while at != NONE {
            let block = &self.list[at as usize];
            cost.updates += 1;
            let (bounds, above) = (self.narrowest(block, rows), block.above);
            if std::mem::replace(&mut self.list[at as usize].bounds, bounds) == bounds {
                return;
            }
            at = above;
        }
    }

    pub(crate) fn get(&self, at: u32) -> &Block {
        &self.list[at as usize]
    }

    /// Blocks that a block is made of.
    pub(crate) fn parts(&self, at: u32) -> Range<u32> {
        let block = self.get(at);
        if block.is_leaf { 0..0 } else { block.begin..block.begin + block.len }
    }

    /// Nodes that a lowest block is made of.
    pub(crate) fn slots(&self, at: u32) -> &[u32] {
        let block = self.get(at);
        if block.is_leaf { &self.order[block.begin as usize..(block.begin + block.len) as usize] } else { &[] }
    }

    /// Blocks that a node is in, from below.
    pub(crate) fn blocks_of(&self, slot: u32) -> impl Iterator<Item = u32> {
        let lowest = self.of.get(slot as usize).copied().unwrap_or(NONE);
        let some = |at: u32| (at != NONE).then_some(at);
        std::iter::successors(some(lowest), move |at| some(self.get(*at).above))
    }
}
