//! Rebalancing: moves that would leave fewer nodes in use, or even loads out. A proposal changes nothing;
//! accepted, each instance moves within its app's budget, like one that leaves a draining node.

use super::Cluster;
use crate::InstanceId;
use crate::deployment::is_movable;
use crate::instance::{Instance, Seat};
use crate::node::{Node, NodeId};
use crate::placement::{Ledger, Strategy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most moves of one proposal.
pub const MOVES_MAX: usize = 1_000;
/// Nodes that are tried to be emptied, or eased, before the search ends.
const TRIES_MAX: usize = 1_000;
/// Tasks of one node that are tried to be moved for a more even load.
const TASKS_TRIED: usize = 16;
/// Nodes in use that are asked to take a task of a node that is to be emptied.
const TARGETS_TRIED: usize = 256;
/// A move for a more even load must leave its target this much below its source, in thousandths.
const GAIN_MIN: u64 = 50;

/// What rebalancing is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Fewer nodes in use.
    Pack,
    /// More even loads.
    Spread,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which instance.
    pub instance: InstanceId,
    /// Where it runs.
    pub from: NodeId,
    /// Where it would run.
    pub to: NodeId,
}

/// How the cluster is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// Open nodes with tasks.
    pub nodes_in_use: usize,
    /// Load of the fullest open node: the larger of the shares of cpus and memory, in thousandths.
    pub fullest: u64,
    /// Load of the emptiest open node.
    pub emptiest: u64,
}

/// What could be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// What for.
    pub goal: Goal,
    /// In this order each fits while the ones before it are done.
    pub moves: Vec<Move>,
    /// Nodes that would be empty.
    pub emptied: Vec<NodeId>,
    /// As it is.
    pub before: Balance,
    /// As it would be.
    pub after: Balance,
}

/// A search under way: the cluster as it would be.
struct Search<'a> {
    cluster: &'a Cluster,
    ledger: Ledger,
    moves: Vec<Move>,
    moved: BTreeSet<InstanceId>,
    most: usize,
}

impl Cluster {
    /// Moves that serve `goal`, at most `most`. Tasks with data, of single-instance apps and of apps under
    /// change stay. Costs the size of the cluster.
    pub fn rebalance(&self, goal: Goal, most: usize) -> Proposal {
        let mut search = Search {
            cluster: self,
            ledger: Ledger::of(self),
            moves: Vec::new(),
            moved: BTreeSet::new(),
            most: most.min(MOVES_MAX),
        };
        let before = search.balance();
        let emptied = match goal {
            Goal::Pack => search.pack(),
            Goal::Spread => {
                search.spread();
                Vec::new()
            }
        };
        Proposal { goal, emptied, before, after: search.balance(), moves: search.moves }
    }

    fn open_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values().filter(|node| node.accepts_tasks())
    }

    fn tasks_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Instance>> {
        let ids = self.loads.get(node).map(|load| &load.instances);
        ids.into_iter().flatten().filter_map(|id| self.instances.get(id))
    }
}

impl Search<'_> {
    fn balance(&self) -> Balance {
        let loads: Vec<(bool, u64)> = self.cluster.open_nodes().filter_map(|node| self.ledger.load_of(&node.facts.id)).collect();
        Balance {
            nodes_in_use: loads.iter().filter(|(used, _)| *used).count(),
            fullest: loads.iter().map(|(_, share)| *share).max().unwrap_or(0),
            emptiest: loads.iter().map(|(_, share)| *share).min().unwrap_or(0),
        }
    }

    /// Moves a task to where `find` says.
    fn shift(
        &mut self,
        instance: &Arc<Instance>,
        find: impl FnOnce(&mut Ledger, &crate::App) -> Option<Seat>,
    ) -> Option<Arc<Instance>> {
        self.ledger.release(instance);
        self.ledger.watch(&instance.app, self.cluster);
        let seat = find(&mut self.ledger, &instance.app).filter(|seat| Some(&seat.node) != instance.node());
        let Some(seat) = seat else {
            self.ledger.allocate(instance);
            return None;
        };
        let moved = Arc::new(Instance { seat: Some(seat), ..(**instance).clone() });
        self.ledger.allocate(&moved);
        Some(moved)
    }

    fn note(&mut self, before: &Instance, after: &Instance) {
        if let (Some(from), Some(to)) = (before.node(), after.node()) {
            self.moved.insert(before.id.clone());
            self.moves.push(Move { instance: before.id.clone(), from: from.clone(), to: to.clone() });
        }
    }

    fn is_free(&self, instance: &Instance) -> bool {
        let changing = || self.cluster.deployments_of(instance.app_id()).next().is_some();
        is_movable(instance) && !self.moved.contains(&instance.id) && !changing()
    }

    /// Empties the least loaded nodes, each wholly or not at all; none that has taken a moved task.
    fn pack(&mut self) -> Vec<NodeId> {
        let open = self.cluster.open_nodes().filter_map(|node| {
            let (used, share) = self.ledger.load_of(&node.facts.id)?;
            used.then(|| (share, node.facts.id.clone()))
        });
        let mut sources: Vec<(u64, NodeId)> = open.collect();
        sources.sort();
        // The fullest take first, so that the fewest are touched.
        let targets: Vec<NodeId> = sources.iter().rev().map(|(_, node)| node.clone()).collect();
        let mut emptied: BTreeSet<NodeId> = BTreeSet::new();
        for (_, source) in sources.into_iter().take(TRIES_MAX) {
            let tasks: Vec<Arc<Instance>> = self.cluster.tasks_on(&source).cloned().collect();
            let target = self.moves.iter().any(|step| step.to == source);
            if target || self.moves.len() + tasks.len() > self.most || !tasks.iter().all(|task| self.is_free(task)) {
                continue;
            }
            // Nothing is closed meanwhile: constraints that count over nodes count an empty one, too.
            let open: Vec<&NodeId> =
                targets.iter().filter(|node| **node != source && !emptied.contains(*node)).take(TARGETS_TRIED).collect();
            let mut done: Vec<(Arc<Instance>, Arc<Instance>)> = Vec::new();
            for task in &tasks {
                let moved = self.shift(task, |ledger, app| open.iter().find_map(|node| ledger.place_at(app, node, 0)));
                match moved {
                    Some(moved) => done.push((Arc::clone(task), moved)),
                    None => break,
                }
            }
            if done.len() == tasks.len() {
                for (before, after) in &done {
                    self.note(before, after);
                }
                emptied.insert(source);
                continue;
            }
            for (before, after) in done.into_iter().rev() {
                self.ledger.release(&after);
                self.ledger.allocate(&before);
            }
        }
        emptied.into_iter().collect()
    }

    /// Moves tasks off the fullest nodes for as long as that evens loads out.
    fn spread(&mut self) {
        let mut hopeless: BTreeSet<NodeId> = BTreeSet::new();
        while self.moves.len() < self.most && hopeless.len() < TRIES_MAX {
            let open = self.cluster.open_nodes().map(|node| &node.facts.id).filter(|id| !hopeless.contains(*id));
            let fullest = open.filter_map(|id| Some((self.ledger.load_of(id)?.1, id))).max();
            let Some((share, source)) = fullest.map(|(share, id)| (share, id.clone())) else { return };
            let mut tasks: Vec<Arc<Instance>> =
                self.cluster.tasks_on(&source).filter(|task| self.is_free(task)).cloned().collect();
            tasks.sort_by_key(|task| (std::cmp::Reverse(task.app.cpus), std::cmp::Reverse(task.app.mem), task.id.clone()));
            let even = tasks.into_iter().take(TASKS_TRIED).find_map(|task| {
                let moved = self.shift(&task, |ledger, app| ledger.place_batch(app, 1, Strategy::Spread, 0).0.pop())?;
                let target = moved.node().and_then(|node| self.ledger.load_of(node)).map_or(u64::MAX, |(_, share)| share);
                if target.saturating_add(GAIN_MIN) <= share {
                    return Some((task, moved));
                }
                self.ledger.release(&moved);
                self.ledger.allocate(&task);
                None
            });
            match even {
                Some((before, after)) => self.note(&before, &after),
                None => drop(hopeless.insert(source)),
            }
        }
    }
}

#[cfg(test)]
#[path = "rebalance_test.rs"]
mod tests;
