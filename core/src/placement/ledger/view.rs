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

/// Operations to make trees anew, for each node.
const NODE_COST: u64 = 3;

/// What a set of trees is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Number of the field whose values group the nodes; their resource roles when there is none.
    pub(crate) field: Option<u32>,
    /// The only value whose nodes are there; those of all values when there is none.
    pub(crate) only: Option<u32>,
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
    /// Operations that it took to follow changes, and how many these were: of the last times, mostly.
    paid: (u64, u64),
    /// Operations spent since to do without it.
    spent: u64,
}

/// All sets of trees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Views {
    list: Vec<(Kind, View)>,
    clock: u64,
}

impl Views {
    /// The trees of a kind as they were brought up to date last; none when they are not kept.
    pub(crate) fn get(&self, kind: &Kind) -> Option<&Tree> {
        self.list.iter().find(|(have, _)| have == kind).map(|(_, view)| &view.tree)
    }

    /// What it would have taken to keep the trees of a kind up to date, less what was spent to do without them.
    /// Nothing as long as that is not known: they are made at first, when all nodes are looked at anyway.
    pub(crate) fn cost(&self, kind: &Kind, changes: &Changes) -> u64 {
        let Some((_, view)) = self.list.iter().find(|(have, _)| have == kind) else { return 0 };
        let ((operations, followed), Some(seen)) = (view.paid, view.seen) else { return 0 };
        ((changes.end() - seen).saturating_mul(operations) / followed.max(1)).saturating_sub(view.spent)
    }

    /// What it takes to make trees.
    pub(crate) fn cost_anew(rows: &Rows) -> u64 {
        rows.hot.len() as u64 * NODE_COST
    }

    /// Notes what was spent to do without the trees of a kind.
    pub(crate) fn spend(&mut self, kind: &Kind, spent: u64) {
        self.view(kind).spent += spent;
    }

    /// Brings the trees of a kind up to date.
    pub(crate) fn sync(&mut self, kind: &Kind, rows: &Rows, fields: &Fields, changes: &Changes, cost: &mut Cost) {
        let view = self.view(kind);
        match kind.field {
            Some(number) => {
                let (field, only) = (fields.get(number), kind.only);
                let of = |slot: u32| match only {
                    Some(only) => Some(field.value(slot)).filter(|value| *value == only).unwrap_or(NONE),
                    None => field.followed(slot),
                };
                view.sync(rows, changes, fields.numbering, kind.packs, of, cost);
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
    /// Slots that have changed since it was brought up to date; none when that is not known.
    fn changed<'c>(&self, rows: &Rows, changes: &'c Changes, epoch: u64) -> Option<&'c [u32]> {
        let valid = self.ranking == rows.ranking && self.epoch == epoch;
        self.seen.filter(|_| valid).and_then(|seen| changes.since(seen))
    }

    /// Catches up. `of` groups the slots; `epoch` tells whether groups still mean what they meant.
    fn sync(&mut self, rows: &Rows, changes: &Changes, epoch: u64, packs: bool, of: impl Fn(u32) -> u32, cost: &mut Cost) {
        let slots = rows.hot.len();
        let of = |slot: u32| if rows.hot[slot as usize].open { of(slot) } else { NONE };
        let place = |slot: u32| match of(slot) {
            NONE => (NONE, slot, 0),
            group => {
                let (group, key) = rows.place(slot, group, packs);
                (group, slot, key)
            }
        };
        let mut changed = self.changed(rows, changes, epoch);
        if changed.is_some_and(|changed| changed.len() > most_followed(slots)) {
            // Many changes may be about nodes that are not followed.
            cost.scans += slots as u64;
            let followed = (0..slots as u32).filter(|slot| of(*slot) != NONE).count();
            let matters = |slot: &&u32| of(**slot) != NONE || self.tree.group(**slot) != NONE;
            changed = changed.filter(|changed| changed.iter().filter(matters).count() <= most_followed(followed));
        }
        if let Some(changed) = changed {
            let before = cost.total();
            for (group, slot, key) in changed.iter().map(|slot| place(*slot)) {
                self.tree.set(slot, group, key, rows.free(slot), cost);
            }
            let (operations, followed) = self.paid;
            self.paid = ((operations + cost.total() - before).div_ceil(2), (followed + changed.len() as u64).div_ceil(2));
        } else {
            cost.scans += slots as u64;
            let nodes = (0..slots as u32).map(place).filter(|(group, ..)| *group != NONE);
            self.tree = Tree::of(nodes.collect(), slots, |slot| rows.free(slot), cost);
        }
        self.seen = Some(changes.end());
        self.ranking = rows.ranking;
        self.epoch = epoch;
        self.spent = 0;
    }
}

/// More changes than this are not followed by trees of so many nodes.
const fn most_followed(nodes: usize) -> usize {
    nodes / ANEW_SHARE + ANEW_MIN
}
