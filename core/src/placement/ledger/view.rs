//! A tree of nodes by group, brought up to date when somebody looks.

use super::changes::Changes;
use super::cost::Cost;
use super::rows::Rows;
use super::tree::{NONE, Tree};

/// One tree per group of nodes, and how far it has followed the changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) tree: Tree,
    seen: Option<u64>,
    ranking: u64,
    epoch: u64,
    /// When it was last used, in batches.
    pub(crate) used: u64,
}

impl View {
    /// Catches up. `place` gives the group and the key of a slot; `epoch` tells whether groups still
    /// mean what they meant.
    pub(crate) fn sync(
        &mut self,
        rows: &Rows,
        changes: &Changes,
        epoch: u64,
        place: impl Fn(u32) -> (u32, u64),
        cost: &mut Cost,
    ) {
        let valid = self.ranking == rows.ranking && self.epoch == epoch;
        let recent = self.seen.filter(|_| valid).and_then(|seen| changes.since(seen));
        if recent.is_none() {
            self.tree = Tree::default();
        }
        let mut set = |slot: u32| {
            let hot = &rows.hot[slot as usize];
            let (group, key) = place(slot);
            self.tree.set(slot, if hot.open { group } else { NONE }, key, hot.free, cost);
        };
        match recent {
            Some(recent) => recent.iter().copied().for_each(&mut set),
            None => (0..rows.hot.len() as u32).for_each(&mut set),
        }
        self.seen = Some(changes.end());
        self.ranking = rows.ranking;
        self.epoch = epoch;
    }
}
