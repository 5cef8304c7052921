//! Room that tasks of lower priority take: which nodes are worth a look when a task fits nowhere, and
//! what is kept for a task until those have ended.

use super::Ledger;
use super::answer::{is_about_room, reason_of};
use super::demand::Demand;
use super::journal::Change;
use crate::app::App;
use crate::node::{Bundle, NodeId};
use crate::placement::Reason;
use crate::{AppId, Scalar};

/// What is short on a node beside amounts, in sums of amounts.
pub(crate) const HOST_PORTS: &str = "host ports";
pub(crate) const TASK_PLACES: &str = "task places";

/// Room on a node that is kept for instances of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Whose.
    pub app: AppId,
    /// For how many instances.
    pub count: u32,
    /// What each of them takes.
    pub each: Bundle,
    /// Certain host ports that each of them needs.
    pub ports: Vec<u16>,
    /// How many host ports each of them takes, these among them.
    pub requests: u32,
    /// They come from other nodes, where their predecessors are stopping; otherwise tasks are stopping here.
    pub moves: bool,
}

impl Promise {
    /// Room for one instance of `app`.
    pub fn of(app: &App) -> Self {
        let demand = Demand::of(app);
        let (ports, requests) = (demand.fixed, demand.need.ports);
        Self { app: app.id.clone(), count: 1, each: Bundle::of(app), ports, requests, moves: false }
    }
}

impl Ledger {
    /// Up to `most` nodes that refuse `app` for lack of room only and would have some if they ran nothing
    /// of a priority below its own: those first where the highest priority to stop is lowest. Asks all
    /// nodes, O(n); known only while [`Ledger::place_batch`] refused the app last.
    pub fn preemptible(&mut self, app: &App, most: usize) -> Vec<NodeId> {
        let priority = app.placement.priority;
        if !self.rows.has_below(priority) {
            return Vec::new();
        }
        self.lift(app);
        let need = Bundle::of(app).columns().map(i128::from);
        let memo = self.memos.get(&app.id).map(|(_, memo)| memo);
        let is_about_room = |slot: &u32| memo.and_then(|memo| memo.get(&self.surveys, *slot)).is_some_and(is_about_room);
        let mut found: Vec<(i32, u64, u32)> = Vec::new();
        for slot in (0..self.rows.hot.len() as u32).filter(is_about_room) {
            if let Some(ceiling) = self.rows.ceiling(slot, need, priority) {
                found.push((ceiling, self.rows.rank_of(slot), slot));
            }
        }
        self.drop_lift();
        if found.len() > most && most > 0 {
            found.select_nth_unstable(most - 1);
            found.truncate(most);
        }
        found.sort_unstable();
        found.into_iter().map(|(_, _, slot)| self.rows.cold[slot as usize].id.clone()).collect()
    }

    /// Up to `most` nodes with what they said when [`Ledger::place_batch`] refused `app` last, by id.
    pub fn refusing(&self, app: &AppId, most: usize) -> Vec<(NodeId, Reason)> {
        let Some((_, memo)) = self.memos.get(app) else { return Vec::new() };
        let answers = self.rows.in_order().filter_map(|slot| {
            let reason = reason_of(memo.get(&self.surveys, slot)?)?;
            Some((self.rows.cold[slot as usize].id.clone(), reason))
        });
        answers.take(most).collect()
    }

    /// What is free on a node for `app`, of all it needs; host ports and places for tasks among it.
    pub fn free_for(&mut self, app: &App, node: &NodeId) -> Bundle {
        self.lift(app);
        let mut free = self.free_on(node);
        if let Some(slot) = self.rows.slot(node) {
            let named = app.resources.keys().map(|name| (name.clone(), self.rows.custom_free(slot, name)));
            let (ports, tasks) = (self.rows.free(slot).ports, self.rows.free(slot).tasks);
            let counted = [(HOST_PORTS, ports), (TASK_PLACES, tasks)];
            let counted = counted.map(|(name, count)| (name.to_owned(), i64::from(count) * 1000));
            free.custom = named.chain(counted).map(|(name, amount)| (name, Scalar::from_thousandths(amount))).collect();
        }
        self.drop_lift();
        free
    }

    /// Whether a node offers all these host ports, free or taken.
    pub fn offers(&self, node: &NodeId, ports: &[u16]) -> bool {
        self.rows.slot(node).is_some_and(|slot| ports.iter().all(|port| self.rows.cold[slot as usize].ports.offers(*port)))
    }

    /// Keeps room on a node for an app, or no more.
    pub fn promise(&mut self, node: &NodeId, app: &AppId, promise: Option<&Promise>) {
        let slot = self.rows.ensure(node);
        let before = self.rows.promise(slot, app, promise.cloned());
        self.changes.note(slot, self.rows.hot.len());
        self.journal.note(|| Change::Promise { node: node.clone(), app: app.clone(), before });
    }
}
