//! Trees of nodes by group, brought up to date when somebody looks.

use super::changes::Changes;
use super::claimed::Lens;
use super::cost::Cost;
use super::fields::Fields;
use super::rows::Rows;
use super::tree::{NONE, Tree};

/// Sets of trees kept; the one used longest ago gives way.
const VIEWS_MAX: usize = 24;

/// Who has missed more changes than one in so many nodes, and this many, is sooner done anew: a change moves a
/// node by a few dozen operations, and anew each node takes two. Fewer changes are cheap enough, and the law
/// of costs is the same in small clusters.
const ANEW_SHARE: usize = 8;
const ANEW_MIN: usize = 512;

/// A batch for one in so many nodes or more picks the nodes of a few groups out of the order of all, instead of
/// getting trees anew: nothing is sorted then, but a batch may pass over most nodes. How often in a row.
const PICKS_SHARE: usize = 64;
const PICKS_MAX: u32 = 16;

/// What a set of trees is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Number of the field whose values group the nodes; their resource roles when there is none.
    pub(crate) field: Option<u32>,
    /// Used and empty nodes apart, and in order of shape instead of load.
    pub(crate) packs: bool,
    /// Whose reservations count as free: nobody's when there is none.
    pub(crate) lens: Option<Lens>,
}

/// One tree per group of nodes, and how far it has followed the changes.
#[derive(Debug, Clone, Default)]
struct View {
    tree: Tree,
    seen: Option<u64>,
    ranking: u64,
    /// Numbering of the fields.
    epoch: u64,
    /// When it was last used, on the clock of [`Views`].
    used: u64,
    /// How often it was done without since.
    picks: u32,
}

/// All sets of trees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Views {
    list: Vec<(Kind, View)>,
    clock: u64,
    none: Tree,
}

impl Views {
    /// The trees of a kind as they were brought up to date last; none when they are not kept.
    pub(crate) fn get(&self, kind: &Kind) -> Option<&Tree> {
        self.list.iter().find(|(have, _)| have == kind).map(|(_, view)| &view.tree)
    }

    /// Trees without a node.
    pub(crate) const fn none(&self) -> &Tree {
        &self.none
    }

    /// Whether a batch had better do without the trees of a kind, which would have to be made anew: their
    /// groups are few, and it may pass over what is not of the group that it asks for.
    pub(crate) fn picks(&mut self, kind: &Kind, count: usize, rows: &Rows, fields: &Fields, changes: &Changes) -> bool {
        let is_large = count >= rows.hot.len() / PICKS_SHARE;
        if !is_large || !kind.field.is_some_and(|number| fields.get(number).is_coarse()) {
            return false;
        }
        let view = self.view(kind);
        let picks = view.recent(rows, changes, fields.numbering).is_none() && view.picks < PICKS_MAX;
        view.picks += u32::from(picks);
        picks
    }

    /// Brings the trees of a kind up to date.
    pub(crate) fn sync(&mut self, kind: &Kind, rows: &Rows, fields: &Fields, changes: &Changes, cost: &mut Cost) {
        let view = self.view(kind);
        match kind.field {
            Some(number) => {
                let field = fields.get(number);
                view.sync(rows, changes, fields.numbering, kind.packs, |slot| field.followed(slot), cost);
            }
            None => view.sync(rows, changes, 0, kind.packs, |slot| rows.hot[slot as usize].role, cost),
        }
    }

    /// The set of trees of a kind, which is used now.
    fn view(&mut self, kind: &Kind) -> &mut View {
        self.clock += 1;
        let at = self.list.iter().position(|(have, _)| have == kind).unwrap_or_else(|| {
            if self.list.len() >= VIEWS_MAX {
                let oldest = (0..self.list.len()).min_by_key(|at| self.list[*at].1.used).unwrap_or(0);
                self.list.swap_remove(oldest);
            }
            self.list.push((kind.clone(), View::default()));
            self.list.len() - 1
        });
        let view = &mut self.list[at].1;
        view.used = self.clock;
        view
    }
}

impl View {
    /// Slots that have changed since it was brought up to date; none when it is sooner made anew.
    fn recent<'c>(&self, rows: &Rows, changes: &'c Changes, epoch: u64) -> Option<&'c [u32]> {
        let valid = self.ranking == rows.ranking && self.epoch == epoch;
        let recent = self.seen.filter(|_| valid).and_then(|seen| changes.since(seen));
        recent.filter(|recent| recent.len() <= rows.hot.len() / ANEW_SHARE + ANEW_MIN)
    }

    /// Catches up. `of` groups the slots; `epoch` tells whether groups still mean what they meant.
    fn sync(&mut self, rows: &Rows, changes: &Changes, epoch: u64, packs: bool, of: impl Fn(u32) -> u32, cost: &mut Cost) {
        let slots = rows.hot.len();
        let place = |slot: u32| {
            let (group, key) = rows.place(slot, of(slot), packs);
            (if rows.hot[slot as usize].open { group } else { NONE }, slot, key)
        };
        if let Some(recent) = self.recent(rows, changes, epoch) {
            for (group, slot, key) in recent.iter().map(|slot| place(*slot)) {
                self.tree.set(slot, group, key, rows.free(slot), cost);
            }
        } else {
            cost.scans += slots as u64;
            let slots = 0..slots as u32;
            let nodes = slots.map(place).filter(|(group, ..)| *group != NONE);
            self.tree = Tree::of(nodes.collect(), rows.hot.len(), |slot| rows.free(slot), cost);
        }
        self.seen = Some(changes.end());
        self.ranking = rows.ranking;
        self.epoch = epoch;
        self.picks = 0;
    }
}
