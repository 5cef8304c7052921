//! What operators order for nodes: drain, deactivate, reactivate, decommission.

use super::Event;
use super::draft::{Draft, EditError};
use super::keys;
use crate::assignment::Down;
use crate::instance::{Condition, Goal, Instance};
use crate::node::{Administration, AfterDrain, Claims, Drain, Node, NodeId, NodeStatus, RetiredNode};
use crate::{AppId, Timestamp};
use std::sync::Arc;

/// Retired ids that are remembered (as many as Mesos' registry kept); beyond it the oldest are
/// forgotten.
pub const RETIRED_MAX: usize = 102_400;

/// How a node is to leave the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decommission {
    /// The operator promises that the machine is dead: its tasks count as gone and may be replaced,
    /// also those of exclusive apps.
    pub gone: bool,
    /// Does not wait for replacements; on a connected node overrules the refusal of `gone`.
    pub force: bool,
}

impl Draft {
    /// Ends rivalries for a host port, which a crash between the transactions of one large step can
    /// leave behind: who came first has gone, or goes now, and comes back with another port.
    pub(super) fn part_rivals(&mut self) {
        let contended = self.cluster.loads.iter().filter(|(_, load)| !load.contended().is_empty());
        let contended: Vec<(NodeId, Vec<u16>)> = contended.map(|(id, load)| (id.clone(), load.contended().to_vec())).collect();
        for (node, ports) in contended {
            let here = self.instances_on(&node);
            for port in ports {
                let holds =
                    |instance: &&Arc<Instance>| instance.seat.as_ref().is_some_and(|seat| seat.host_ports.contains(&port));
                let mut holders: Vec<&Arc<Instance>> = here.iter().filter(holds).collect();
                holders.sort_by_key(|instance| (instance.staged_at, instance.id.clone()));
                holders.pop();
                for first in holders {
                    self.stop_instance(&first.id, Goal::Restarted, "another task was given the same host port");
                }
            }
        }
    }

    fn node(&self, id: &NodeId) -> Result<Arc<Node>, EditError> {
        self.cluster.nodes.get(id).cloned().ok_or_else(|| match self.cluster.retired.get(id) {
            Some(retired) => EditError::NodeRetired(retired.sentence()),
            None => EditError::NoNode(id.to_string()),
        })
    }

    /// Empties a node within the bounds of each app's `upgradeStrategy`; from `deadline` on what is
    /// left is stopped regardless. A second order replaces the first.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::NodeRetired`].
    pub fn drain_node(&mut self, id: &NodeId, deadline: Option<Timestamp>, then: AfterDrain) -> Result<Arc<Node>, EditError> {
        let before = self.node(id)?;
        let since = before.administration.drain().map_or(self.now, |drain| drain.since);
        let drain = Drain { since, deadline, then };
        Ok(self.administer(&before, Administration::Draining(drain), "it is being drained"))
    }

    /// Closes a node for new tasks; what runs there stays. Ends a drain.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::NodeRetired`].
    pub fn deactivate_node(&mut self, id: &NodeId) -> Result<Arc<Node>, EditError> {
        let before = self.node(id)?;
        if matches!(before.administration, Administration::Deactivated { .. }) {
            return Ok(before);
        }
        let administration = Administration::Deactivated { since: self.now, drained: false };
        Ok(self.administer(&before, administration, "it was deactivated"))
    }

    /// Opens a node again. A drain ends where it is: nothing more is stopped because of it.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::NodeRetired`].
    pub fn reactivate_node(&mut self, id: &NodeId) -> Result<Arc<Node>, EditError> {
        let before = self.node(id)?;
        self.capacity_freed = true;
        Ok(self.administer(&before, Administration::Active, "it was reactivated"))
    }

    /// Takes a node out of the cluster for ever: after a drain, or at once when it is gone. A node
    /// that answers is never taken for gone: forced, its tasks are stopped without waiting for
    /// replacements, and it leaves as soon as it has confirmed that. Returns the node if it is still
    /// there.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::NodeRetired`], [`EditError::NodeAlive`].
    pub fn decommission_node(&mut self, id: &NodeId, how: Decommission) -> Result<Option<Arc<Node>>, EditError> {
        let before = self.node(id)?;
        if how.gone && before.status == NodeStatus::Active && !how.force {
            return Err(EditError::NodeAlive(id.to_string()));
        }
        if how.gone && before.status != NodeStatus::Active {
            self.retire(id, true);
            return Ok(None);
        }
        let before_deadline = before.administration.drain().and_then(|drain| drain.deadline);
        let deadline = if how.force { Some(self.now) } else { before_deadline };
        self.drain_node(id, deadline, AfterDrain::Decommission).map(Some)
    }

    fn administer(&mut self, before: &Arc<Node>, administration: Administration, message: &str) -> Arc<Node> {
        if before.administration == administration {
            return Arc::clone(before);
        }
        let id = before.facts.id.clone();
        let node = self.put_node(Node { administration, ..(**before).clone() });
        self.write(keys::node(&id), &node.record());
        self.events.push(Event::NodeChanged { node: Arc::clone(&node), message: message.into() });
        let apps: Vec<AppId> = self.instances_on(&id).iter().map(|instance| instance.app.id.clone()).collect();
        self.dirty_apps.extend(apps);
        node
    }

    /// Ends the drains of nodes that are empty. One that is not connected may still run what it ran: it is drained
    /// when it has come back and said that nothing is left.
    pub(super) fn finish_drains(&mut self) {
        let is_empty = |id: &NodeId| self.cluster.loads.get(id).is_none_or(|load| load.instances.is_empty());
        let empty: Vec<(NodeId, Drain)> =
            self.cluster.draining.iter().filter(|(id, _)| is_empty(id)).map(|(id, drain)| (id.clone(), *drain)).collect();
        for (id, drain) in empty {
            let Some(before) = self.cluster.nodes.get(&id).cloned() else { continue };
            match drain.then {
                AfterDrain::Decommission => self.retire(&id, false),
                AfterDrain::Deactivate if before.status != NodeStatus::Active => {}
                AfterDrain::Deactivate => {
                    let administration = Administration::Deactivated { since: self.now, drained: true };
                    self.administer(&before, administration, "it is drained: no task is left on it");
                }
            }
        }
    }

    /// Removes a node for ever. What still has a seat there counts as gone.
    fn retire(&mut self, id: &NodeId, gone: bool) {
        let Some(node) = self.cluster.nodes.get(id).cloned() else { return };
        // What was kept there is gone with it.
        self.edit_claims(id, |claims| *claims = Claims::default());
        let message = "its node was declared gone by an operator";
        for instance in self.instances_on(id) {
            let ended = Arc::new(Instance { condition: Condition::Gone, since: self.now, ..(*instance).clone() });
            self.events.push(Event::TaskChanged { instance: Arc::clone(&ended), message: message.into() });
            self.complete(&ended, None, None);
            if instance.goal != Goal::Decommissioned {
                self.capacity_freed = true;
            }
            self.remove_instance(&instance.id);
        }
        let retired = RetiredNode { id: id.clone(), hostname: node.facts.hostname.clone(), retired_at: self.now, gone };
        self.remove_node(id);
        self.count_again(id);
        self.write(keys::node(id), &retired);
        self.revoke_node(id);
        self.dismiss(&retired);
        self.events.push(Event::NodeRetired { node: retired.clone() });
        self.cluster.retired.insert(id.clone(), Arc::new(retired));
        if self.cluster.retired.len() > RETIRED_MAX
            && let Some(oldest) =
                self.cluster.retired.values().min_by_key(|retired| retired.retired_at).map(|retired| retired.id.clone())
        {
            self.cluster.retired.remove(&oldest);
            self.delete(keys::node(&oldest));
        }
    }

    /// Tells the agent of a retired node to stop everything and to leave.
    pub(super) fn dismiss(&mut self, retired: &RetiredNode) {
        let epoch = self.epoch;
        self.orders.push((
            retired.id.clone(),
            Down::Snapshot { epoch, launches: Vec::new(), assignments: Vec::new(), stopping: Vec::new() },
        ));
        self.orders.push((retired.id.clone(), Down::Dismiss { epoch, because: retired.sentence() }));
    }
}
