//! Instances on the way to other nodes, as a proposal says: each goes to its target or stays.

use super::Target;
use super::draft::{Draft, EditError};
use super::rebalance::{MOVES_MAX, Move};
use crate::app::App;
use crate::deployment::is_movable;
use crate::instance::{Goal, Instance, Seat};
use crate::node::NodeId;
use crate::placement::Refusals;
use crate::{AppId, InstanceId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What becomes of the next instance of an app that moves.
pub(super) enum Next {
    /// It takes this seat, in the place of this instance if that has not stopped yet.
    Seat(Seat, Option<InstanceId>),
    /// It waits for its target.
    Waits,
    /// No move concerns it.
    Anywhere,
}

impl Draft {
    /// Begins these moves; each waits for the budget of its app. All or nothing.
    ///
    /// # Errors
    /// [`EditError::Claim`] when one does not fit the cluster as it is now.
    pub fn begin_moves(&mut self, moves: &[Move]) -> Result<(), EditError> {
        if moves.len() > MOVES_MAX {
            return Err(EditError::Claim(format!("{} moves are more than the {MOVES_MAX} of one request", moves.len())));
        }
        let mut named = BTreeSet::new();
        let stale: Vec<String> = moves
            .iter()
            .filter(|step| {
                let instance = self.cluster.instances.get(&step.instance);
                let there = instance.is_some_and(|instance| instance.node() == Some(&step.from) && is_movable(instance));
                let open = self.cluster.nodes.get(&step.to).is_some_and(|node| node.accepts_tasks());
                !(there && open && step.from != step.to && named.insert(&step.instance))
            })
            .map(|step| format!("{} from {} to {}", step.instance, step.from, step.to))
            .collect();
        if !stale.is_empty() {
            let some: Vec<&str> = stale.iter().take(3).map(String::as_str).collect();
            return Err(EditError::Claim(format!(
                "{} of {} moves do not fit the cluster any more, such as {}; ask for a new proposal",
                stale.len(),
                moves.len(),
                some.join(", ")
            )));
        }
        for step in moves {
            self.cluster.moving.insert(step.instance.clone(), Target { node: step.to.clone(), taken: false });
            self.dirty_apps.insert(step.instance.app().clone());
        }
        Ok(())
    }

    /// Ends all moves where they are; returns how many there were.
    pub fn cancel_moves(&mut self) -> usize {
        let count = self.cluster.moving.len();
        self.dirty_apps.extend(self.cluster.moving.keys().map(|id| id.app().clone()));
        self.cluster.moving.clear();
        count
    }

    /// Moves of an app whose replacements have no seat yet.
    fn untaken(&self, app: &AppId) -> Vec<(InstanceId, NodeId)> {
        let first = InstanceId::new(app, uuid::Uuid::nil());
        let moves = self.cluster.moving.range(first..).take_while(|(id, _)| id.app() == app);
        moves.filter(|(_, target)| !target.taken).map(|(id, target)| (id.clone(), target.node.clone())).collect()
    }

    /// Whether instances of the app move to certain nodes, one after another.
    pub(super) fn moves_on(&self, app: &AppId) -> bool {
        !self.cluster.moving.is_empty() && !self.untaken(app).is_empty() || self.moving_in(app) > 0
    }

    /// Instances of an app that have to leave their nodes, for which nobody has taken a seat yet.
    pub(super) fn unsucceeded(&self, app: &AppId) -> Vec<InstanceId> {
        if self.cluster.draining.is_empty() && self.cluster.moving.is_empty() {
            return Vec::new();
        }
        let around = self.cluster.around(app, self.now);
        let leaving = self.cluster.instances_of(app).filter(|instance| {
            instance.goal == Goal::Running
                && instance.seat.is_some()
                && around.is_leaving(instance)
                && self.cluster.successor(&instance.id).is_none()
        });
        leaving.map(|instance| instance.id.clone()).collect()
    }

    /// Whether an instance moves to a certain node, where its successor has no seat yet.
    pub(super) fn has_target(&self, id: &InstanceId) -> bool {
        self.cluster.moving.get(id).is_some_and(|target| !target.taken)
    }

    /// Where the next instance of an app goes of which some move. `entitled`: it may start beside those that move.
    pub(super) fn next_move(&mut self, app: &Arc<App>, entitled: bool) -> Next {
        // For one that has stopped already room is kept.
        for node in self.kept_on(&app.id) {
            let salt = self.entropy.next_number();
            if let Some(seat) = self.ledger_for(app).place_at(app, &node, salt) {
                return Next::Seat(seat, None);
            }
        }
        let moves = self.untaken(&app.id);
        let there = self.cluster.instances_of(&app.id).filter(|instance| instance.seat.is_some());
        let running = there.filter(|instance| instance.goal == Goal::Running).count();
        // Who replaces one that failed waits for nobody.
        if moves.is_empty() || entitled && running < app.instances as usize {
            return Next::Anywhere;
        }
        for (id, node) in &moves {
            if let Some(seat) = self.seat_at_target(app, id, node) {
                self.cluster.moving.insert(id.clone(), Target { node: node.clone(), taken: true });
                return Next::Seat(seat, Some(id.clone()));
            }
        }
        self.give_up_moves(&app.id);
        Next::Waits
    }

    /// Ends the moves of an app of which none can begin, when nothing else is on its way that could open a target.
    fn give_up_moves(&mut self, app: &AppId) {
        let others = self.cluster.moving.iter().any(|(id, target)| target.taken || id.app() != app);
        if !others && !self.cluster.promises.values().any(|promise| promise.moves) {
            self.cluster.moving.clear();
        }
    }

    /// The seat of the successor of an instance at its target, judged as if those were gone that have a successor.
    fn seat_at_target(&mut self, app: &Arc<App>, id: &InstanceId, node: &NodeId) -> Option<Seat> {
        let leaves = |instance: &&Arc<Instance>| {
            instance.id == *id || self.cluster.moving.get(&instance.id).is_some_and(|target| target.taken)
        };
        let leaving: Vec<Arc<Instance>> = self.cluster.instances_of(&app.id).filter(leaves).cloned().collect();
        let salt = self.entropy.next_number();
        let ledger = self.ledger_for(app);
        for instance in &leaving {
            ledger.release(instance);
        }
        let seat = ledger.place_at(app, node, salt);
        for instance in &leaving {
            ledger.allocate(instance);
        }
        seat
    }

    /// Stops the next instance that moves, if its target takes its successor, and keeps the room there. One of an
    /// app at a time: rules look at those before it as they are then.
    pub(super) fn stop_for_target(&mut self, app: &Arc<App>, instances: &[InstanceId], because: &str) -> Result<bool, Refusals> {
        if self.moving_in(&app.id) > 0 {
            return Ok(false);
        }
        for id in instances {
            let Some(Target { node, taken: false }) = self.cluster.moving.get(id).cloned() else { continue };
            if self.seat_at_target(app, id, &node).is_some() {
                self.keep_room(app, &node);
                self.stop_instance(id, Goal::Decommissioned, because);
                return Ok(true);
            }
        }
        self.give_up_moves(&app.id);
        let hint = "it moves when its target takes it: others have to move first".to_owned();
        Err(Refusals { nodes: self.cluster.nodes.len() as u64, hint: Some(hint), ..Refusals::default() })
    }
}
