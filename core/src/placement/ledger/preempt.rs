//! Room that tasks of lower priority take: which nodes are worth a look when a task fits nowhere, and
//! what is kept for a task until those have ended.

use super::Ledger;
use super::explain::{is_about_room, reason_of};
use super::journal::Change;
use crate::AppId;
use crate::app::App;
use crate::node::{Bundle, NodeId};
use crate::placement::Reason;

/// Room on a node that is kept for instances of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Whose.
    pub app: AppId,
    /// For how many instances.
    pub count: u32,
    /// What each of them takes.
    pub each: Bundle,
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
        let codes = self.memos.get(&app.id).map(|(_, memo)| memo.codes());
        let slots = codes.into_iter().flatten().enumerate().filter(|(_, code)| is_about_room(**code));
        let mut found: Vec<(i32, u64, u32)> = Vec::new();
        for slot in slots.map(|(slot, _)| slot as u32) {
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
        let codes = memo.codes();
        let answers = self.rows.in_order().filter_map(|slot| {
            let reason = reason_of(*codes.get(slot as usize)?)?;
            Some((self.rows.cold[slot as usize].id.clone(), reason))
        });
        answers.take(most).collect()
    }

    /// What is free on a node for `app`, of all it needs.
    pub fn free_for(&mut self, app: &App, node: &NodeId) -> Bundle {
        self.lift(app);
        let mut free = self.free_on(node);
        if let Some(slot) = self.rows.slot(node) {
            let names = app.resources.keys();
            free.custom =
                names.map(|name| (name.clone(), crate::Scalar::from_thousandths(self.rows.custom_free(slot, name)))).collect();
        }
        self.drop_lift();
        free
    }

    /// Keeps room on a node, or no more.
    pub fn promise(&mut self, node: &NodeId, promise: Option<&Promise>) {
        let slot = self.rows.ensure(node);
        let before = self.rows.promise(slot, promise.cloned());
        self.changes.note(slot, self.rows.hot.len());
        self.journal.note(|| Change::Promise { node: node.clone(), before });
    }
}
