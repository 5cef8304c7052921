//! Trees of nodes by group, brought up to date when somebody looks.

use super::account::Accounts;
use super::changes::Changes;
use super::claimed::Lens;
use super::cost::Cost;
use super::field::Field;
use super::fields::Fields;
use super::rows::Rows;
use super::tree::{NONE, Tree};

/// Sets of trees kept; the one used longest ago gives way.
const VIEWS_MAX: usize = 24;

/// Who has missed more changes than one in so many nodes, and this many, is sooner done anew: a change moves a
/// node by ten or twenty operations, and anew each node takes two. Fewer changes are cheap enough, and the law
/// of costs is the same in small clusters.
const ANEW_SHARE: usize = 8;
const ANEW_MIN: usize = 512;

/// Operations to make trees anew, for each node.
const NODE_COST: u64 = 2;
/// Operations to follow a change that matters, half of which are told twice.
const CHANGE_COST: u64 = 10;
/// Most changes that are asked whether they matter.
const CHANGES_ASKED: usize = 16;

/// What a set of trees is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl Kind {
    /// The group of a slot; `NONE` when it is in no tree.
    fn group(&self, field: &Field, slot: u32) -> u32 {
        match self.only {
            Some(only) => Some(field.value(slot)).filter(|value| *value == only).unwrap_or(NONE),
            None => field.followed(slot),
        }
    }
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
}

/// All sets of trees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Views {
    list: Vec<(Kind, View)>,
    clock: u64,
    pub(crate) accounts: Accounts,
}

impl Views {
    /// The trees of a kind as they were brought up to date last; none when they are not kept.
    pub(crate) fn get(&self, kind: &Kind) -> Option<&Tree> {
        self.list.iter().find(|(have, _)| have == kind).map(|(_, view)| &view.tree)
    }

    /// Where the changes had come to when the trees of a kind were brought up to date; nothing when they have to
    /// be made.
    pub(crate) fn seen(&self, kind: &Kind, rows: &Rows, fields: &Fields) -> Option<u64> {
        let epoch = if kind.field.is_some() { fields.numbering } else { 0 };
        self.list.iter().find(|(have, _)| have == kind)?.1.seen(rows, epoch)
    }

    /// What it takes to follow the changes from some place on, or to make the trees; a few of the changes tell how
    /// many matter.
    pub(crate) fn cost_since(kind: &Kind, rows: &Rows, fields: &Fields, changes: &Changes, from: Option<u64>) -> u64 {
        let anew = rows.hot.len() as u64 * NODE_COST;
        let Some(changed) = from.and_then(|from| changes.since(from)) else { return anew };
        let Some(number) = kind.field else { return (changed.len() as u64 * CHANGE_COST).min(anew) };
        let asked = changed.iter().step_by(changed.len().div_ceil(CHANGES_ASKED).max(1));
        let matters = |slot: &&u32| kind.group(fields.get(number), **slot) != NONE;
        let (count, matter) = (asked.clone().count() as u64, asked.filter(matters).count() as u64);
        (changed.len() as u64 * CHANGE_COST * matter / count.max(1)).min(anew)
    }

    /// Brings the trees of a kind up to date.
    pub(crate) fn sync(&mut self, kind: &Kind, rows: &Rows, fields: &Fields, changes: &Changes, cost: &mut Cost) {
        self.accounts.settle(kind);
        let view = self.view(kind);
        match kind.field {
            Some(number) => {
                let field = fields.get(number);
                view.sync(rows, changes, fields.numbering, kind.packs, |slot| kind.group(field, slot), cost);
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
    /// Where the changes had come to when it was brought up to date; nothing when ids or values are numbered anew.
    fn seen(&self, rows: &Rows, epoch: u64) -> Option<u64> {
        self.seen.filter(|_| self.ranking == rows.ranking && self.epoch == epoch)
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
        let mut changed = self.seen(rows, epoch).and_then(|seen| changes.since(seen));
        if changed.is_some_and(<[u32]>::is_empty) {
            return;
        }
        if changed.is_some_and(|changed| changed.len() > most_followed(slots)) {
            // Many changes may be about nodes that are not followed.
            cost.scans += slots as u64;
            let followed = (0..slots as u32).filter(|slot| of(*slot) != NONE).count();
            let matters = |slot: &&u32| of(**slot) != NONE || self.tree.group(**slot) != NONE;
            changed = changed.filter(|changed| changed.iter().filter(matters).count() <= most_followed(followed));
        }
        if let Some(changed) = changed {
            for (group, slot, key) in changed.iter().map(|slot| place(*slot)) {
                self.tree.set(slot, group, key, rows.free(slot), cost);
            }
        } else {
            cost.scans += slots as u64;
            let nodes = (0..slots as u32).map(place).filter(|(group, ..)| *group != NONE);
            self.tree = Tree::of(nodes.collect(), slots, |slot| rows.free(slot), cost);
        }
        self.seen = Some(changes.end());
        self.ranking = rows.ranking;
        self.epoch = epoch;
    }
}

/// More changes than this are not followed by trees of so many nodes.
const fn most_followed(nodes: usize) -> usize {
    nodes / ANEW_SHARE + ANEW_MIN
}
