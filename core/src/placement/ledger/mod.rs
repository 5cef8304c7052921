//! The ledger: which node has how much left, kept up to date change by change, and the engine that
//! finds seats in it (docs/scheduling.md).
//!
//! It is derived from the [`Cluster`] and never stored: [`Ledger::of`] builds it, events keep it in
//! step, [`Ledger::generation`] tells whether it still is. Placements are exact: the best node by
//! the strategy among all that fit, ties to the lowest id, the same on every run.

mod account;
mod answer;
mod asks;
mod batch;
mod block;
mod browse;
mod build;
mod census;
mod changes;
mod claimed;
mod column;
mod cost;
#[cfg(test)]
mod cost_test;
mod counted;
mod demand;
mod explain;
mod field;
mod fields;
mod filter;
mod free;
mod journal;
mod lack;
#[cfg(test)]
mod ledger_test;
mod level;
mod memo;
mod page;
mod pinned;
mod place_batch;
mod ports;
mod preempt;
mod question;
mod rows;
mod rows_claims;
mod shape;
mod source;
mod stream;
mod survey;
mod tally;
mod told;
mod tree;
#[cfg(test)]
mod tree_test;
mod trees;
mod trial;
mod view;
mod wish;

pub use crate::app::Packing as Strategy;
pub use cost::Cost;
pub use free::NODE_TASKS_MAX;
pub use place_batch::SEATS_MAX;
pub use preempt::Promise;
pub(crate) use preempt::{HOST_PORTS, TASK_PLACES};
#[cfg(test)]
pub(crate) use shape::{Rating, Supply, aspect};

use crate::app::{App, Operator, Selector};
use crate::cluster::Cluster;
use crate::hash::Map;
use crate::instance::{Condition, Goal, Instance, Seat};
use crate::node::{Node, NodeId};
use crate::role::Usage;
use crate::{AppId, InstanceId};
use census::Censuses;
use changes::Changes;
use fields::Fields;
use free::Free;
use journal::{Change, Journal};
use memo::Memo;
use question::Question;
use rows::Rows;
use std::collections::VecDeque;
use std::sync::Arc;
use survey::Surveys;
use tally::Tally;
use view::Views;

/// Free capacity and counters of the whole cluster.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    rows: Rows,
    fields: Fields,
    tallies: Map<AppId, Tally>,
    /// Whose instances are where, for affinities.
    censuses: Censuses,
    /// What each role takes.
    usage: Usage,
    changes: Changes,
    /// Slots of the seats that the last batch found and nobody has taken yet: most are taken at once and in
    /// order, and need not be looked up.
    found: VecDeque<u32>,
    views: Views,
    memos: Map<AppId, (Question, Memo)>,
    /// Who was refused last that needs so much, so that others like it need not ask every node.
    refused: Map<Free, AppId>,
    /// Nodes in blocks, for refusals.
    surveys: Surveys,
    /// Grows whenever a node is described anew.
    described: u64,
    journal: Journal,
    cost: Cost,
    /// Generation of the cluster that this is the ledger of. The leader checks it before every
    /// step and builds a new ledger when it differs.
    pub generation: u64,
}

impl Ledger {
    /// Of no generation: good for the draft at hand, and for no other before [`Ledger::commit`].
    #[must_use]
    pub fn untraced(mut self) -> Self {
        self.generation = u64::MAX;
        self
    }

    /// A node joined, came back, left or changed what it says of itself.
    pub fn upsert_node(&mut self, node: &Arc<Node>) {
        self.describe(&node.facts.id, Some(node));
    }

    /// A node is gone for good. What still has a seat there stays on the books.
    pub fn remove_node(&mut self, id: &NodeId) {
        self.describe(id, None);
    }

    fn describe(&mut self, id: &NodeId, node: Option<&Arc<Node>>) {
        if node.is_none() && self.rows.slot(id).is_none() {
            return;
        }
        let slot = self.rows.ensure(id);
        let before = self.rows.nodes[slot as usize].clone();
        if before.as_ref() == node {
            return;
        }
        self.charge_holds(before.as_deref(), node.map(AsRef::as_ref));
        self.rows.describe(slot, node);
        self.fields.note(slot, node.map(AsRef::as_ref), self.rows.cold[slot as usize].tasks > 0);
        self.changes.note(slot, self.rows.hot.len());
        self.described += 1;
        self.journal.note(|| Change::Node { id: id.clone(), before });
    }

    /// An instance has a seat. Nothing happens when it has none.
    pub fn allocate(&mut self, instance: &Arc<Instance>) {
        self.apply(None, Some(instance));
    }

    /// An instance gives up its seat.
    pub fn release(&mut self, instance: &Arc<Instance>) {
        self.apply(Some(instance), None);
    }

    /// An instance changed from one state to another; either may be missing.
    pub fn apply(&mut self, before: Option<&Arc<Instance>>, after: Option<&Arc<Instance>>) {
        let same = |left: &Arc<Instance>, right: &Arc<Instance>| {
            left.seat == right.seat && counts(left) == counts(right) && Arc::ptr_eq(&left.app, &right.app)
        };
        if let (Some(before), Some(after)) = (before, after)
            && same(before, after)
        {
            return;
        }
        if let Some(instance) = before
            && let Some(seat) = &instance.seat
        {
            self.seat(&instance.id, &instance.app, seat, counts(instance), false);
        }
        if let Some(instance) = after
            && let Some(seat) = &instance.seat
        {
            self.seat(&instance.id, &instance.app, seat, counts(instance), true);
        }
        self.journal.note(|| Change::Instance { before: before.cloned(), after: after.cloned() });
    }

    /// Takes (`more`) or gives back a seat. `counts` tells whether the instance counts for
    /// constraints (marathon.md 1.9). Not journaled: [`Ledger::apply`] is.
    pub fn seat(&mut self, id: &InstanceId, app: &App, seat: &Seat, counts: bool, more: bool) {
        let slot = self.slot_of(seat);
        self.seat_at(slot, id, app, seat, counts, more);
    }

    fn seat_at(&mut self, slot: u32, id: &InstanceId, app: &App, seat: &Seat, counts: bool, more: bool) {
        self.rows.seat(slot, app, seat, more);
        self.changes.note(slot, self.rows.hot.len());
        let at = self.changes.end();
        if !self.tallies.contains_key(&app.id) {
            self.tallies.insert(app.id.clone(), Tally::default());
        }
        let Some(tally) = self.tallies.get_mut(&app.id) else { return };
        tally.seat(slot, more);
        tally.epoch = at;
        if counts {
            tally.count(id, app, slot, more, &self.fields);
        }
        self.cost.seats += 2;
        self.usage.seats(app, if more { 1 } else { -1 });
        self.censuses.seat(app, slot, more, &self.fields, at);
        if !more {
            tally.tidy();
            if tally.is_empty() {
                self.tallies.remove(&app.id);
            }
        }
    }

    fn slot_of(&mut self, seat: &Seat) -> u32 {
        match self.found.front().copied().filter(|slot| self.rows.cold[*slot as usize].id.is(&seat.node)) {
            Some(slot) => {
                self.found.pop_front();
                slot
            }
            None => self.rows.ensure(&seat.node),
        }
    }

    /// Counts whose instances are where, for all that the rules of `app` name. Once counted it is kept
    /// in step; the first time costs a look at every instance.
    pub fn watch(&mut self, app: &App, cluster: &Cluster) {
        let rules = app.placement.affinity.iter().chain(&app.placement.anti_affinity);
        let selectors: Vec<&Selector> = rules.map(|rule| &rule.selector).collect();
        self.censuses.make_room(selectors.len());
        for selector in selectors {
            if self.censuses.knows(selector) {
                continue;
            }
            let meant = cluster.instances.values().filter(|instance| selector.selects(&instance.app));
            let rows = &mut self.rows;
            let slots = meant.filter_map(|instance| instance.node().map(|node| rows.ensure(node)));
            self.censuses.start(selector.clone(), slots, self.changes.end());
        }
    }

    /// Like [`Ledger::watch`] for rules that name apps: their instances are known without the cluster.
    fn know_apps(&mut self, app: &App) {
        let rules = app.placement.affinity.iter().chain(&app.placement.anti_affinity);
        for selector in rules.map(|rule| &rule.selector).filter(|selector| matches!(selector, Selector::App(_))) {
            if let Selector::App(id) = selector
                && !self.censuses.knows(selector)
            {
                let nodes = self.tallies.get(id).into_iter().flat_map(|tally| &tally.nodes);
                let slots = nodes.flat_map(|(slot, count)| std::iter::repeat_n(*slot, *count as usize));
                self.censuses.start(selector.clone(), slots, self.changes.end());
            }
        }
    }

    /// Starts to keep what is needed to go back.
    pub fn begin(&mut self) {
        self.journal = Journal { open: true, changes: Vec::new() };
    }

    /// What was done since [`Ledger::begin`] is true now.
    pub fn commit(&mut self, generation: u64) {
        self.journal = Journal::default();
        self.generation = generation;
    }

    /// Undoes everything since [`Ledger::begin`].
    pub fn rollback(&mut self) {
        for change in std::mem::take(&mut self.journal).changes.into_iter().rev() {
            match change {
                Change::Instance { before, after } => self.apply(after.as_ref(), before.as_ref()),
                Change::Node { id, before } => self.describe(&id, before.as_ref()),
                Change::Promise { node, app, before } => self.promise(&node, &app, before.as_ref()),
            }
        }
    }

    /// What each role takes.
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What is free on open nodes, all together; resources with names of their own are left out.
    pub fn open_free(&self) -> crate::role::Amounts {
        crate::role::Amounts::of_columns(self.rows.open_free)
    }

    /// Operations so far.
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// Everything that decides placements, in an order of its own: equal ledgers place alike. For
    /// checks that incremental state equals a rebuild; O(everything).
    pub fn fingerprint(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for slot in self.rows.in_order() {
            let (hot, cold) = (&self.rows.hot[slot as usize], &self.rows.cold[slot as usize]);
            let known = self.rows.nodes[slot as usize].is_some();
            if known || cold.tasks > 0 {
                let held: Vec<u16> = cold.ports.held().collect();
                let (free, open) = (hot.free, hot.open);
                lines.push(format!(
                    "{} {known} {open} {free:?} {:?} {} {held:?} {:?}",
                    cold.id, cold.used, cold.tasks, cold.custom
                ));
            }
        }
        let id = |slot: &u32| self.rows.cold[*slot as usize].id.to_string();
        let mut tallies = Vec::new();
        for (app, tally) in &self.tallies {
            let mut nodes: Vec<_> = tally.nodes.iter().map(|(slot, count)| (id(slot), *count)).collect();
            nodes.sort();
            tallies.push(format!("{app} {nodes:?}"));
            for config in tally.configs.iter().filter(|config| !config.counted.is_empty()) {
                let mut slots: Vec<_> = config.counted.slots.iter().map(|(slot, count)| (id(slot), *count)).collect();
                slots.sort();
                tallies.push(format!("{app} {} {slots:?}", config.at));
            }
        }
        tallies.sort();
        lines.extend(tallies);
        lines.push(format!("{:?}", self.usage));
        lines
    }
}

/// Whether an instance counts for the constraints of its configuration.
fn counts(instance: &Instance) -> bool {
    instance.goal != Goal::Decommissioned && instance.condition != Condition::Unreachable
}

/// Whether an app's own instances are counted for its rules.
fn counts_own(app: &App) -> bool {
    !app.constraints.is_empty() || app.placement.counts_own()
}

/// Whether a constraint follows the first instance, so that their order matters.
fn follows_first(app: &App) -> bool {
    app.constraints
        .iter()
        .any(|constraint| constraint.operator == Operator::Cluster && constraint.value.as_deref().is_none_or(str::is_empty))
}
