//! A cluster with perfect agents and a perfect store, for the cost of single steps.

use super::agents;
use crate::memory;
use orrery_core::assignment::{Down, TaskReport};
use orrery_core::cluster::{AppEdit, Cluster, Delta, Draft, Entropy, Step};
use orrery_core::instance::Condition;
use orrery_core::placement::Ledger;
use orrery_core::{App, AppId, NodeId, TaskId, Timestamp};
use std::collections::BTreeMap;

/// Milliseconds that pass with each step.
const STEP_MS: i64 = 10;

pub(in crate::bench) struct Plant {
    pub(in crate::bench) cluster: Cluster,
    pub(in crate::bench) entries: BTreeMap<String, Vec<u8>>,
    ledger: Option<Ledger>,
    now: Timestamp,
    seed: u64,
}

impl Plant {
    /// Agents number `0..agents` have joined.
    pub(in crate::bench) fn with_agents(agents: u32) -> anyhow::Result<Self> {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut plant = Self { cluster: Cluster::default(), entries: BTreeMap::new(), ledger: None, now, seed: 0 };
        let facts = (0..agents).map(agents::facts).collect::<anyhow::Result<Vec<_>>>()?;
        plant.step(|draft| {
            draft.name_cluster();
            for facts in facts {
                draft.register(facts, Vec::new());
            }
        });
        Ok(plant)
    }

    fn decide(&mut self, act: impl FnOnce(&mut Draft)) -> Step {
        self.seed += 1;
        self.now = self.now.plus_millis(STEP_MS);
        let mut draft = Draft::new(&self.cluster, self.now, 1, Entropy::new(self.seed)).with_ledger(self.ledger.take());
        act(&mut draft);
        draft.settle()
    }

    /// Decides, stores and publishes one step, with the difference that followers are sent; returns
    /// the orders to agents.
    pub(in crate::bench) fn step(&mut self, act: impl FnOnce(&mut Draft)) -> Vec<(NodeId, Down)> {
        let mut step = self.decide(act);
        self.ledger = step.ledger.take();
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(step.cluster.generation);
        }
        drop(Delta::between(&self.cluster, &step.cluster, &step.touched, &step.events));
        for (key, value) in step.writes {
            match value {
                Some(value) => drop(self.entries.insert(key, value)),
                None => drop(self.entries.remove(&key)),
            }
        }
        self.cluster = step.cluster;
        step.orders
    }

    /// Bytes that the copy of the store takes.
    pub(in crate::bench) fn stored_bytes(&mut self) -> i64 {
        let copy = self.entries.clone();
        let before = memory::living();
        drop(copy);
        before - memory::living()
    }

    /// Operations of the engine so far.
    pub(in crate::bench) fn engine(&self) -> u64 {
        self.ledger.as_ref().map_or(0, |ledger| ledger.cost().total())
    }

    /// Creates an app and reports that its tasks run.
    pub(in crate::bench) fn launch(&mut self, app: App) {
        let orders = self.step(|draft| {
            // An id of its own; the definitions of benches are valid.
            let _ = draft.edit(vec![AppEdit::Create(app)], false, "");
        });
        self.obey(orders);
    }

    /// Reports that all ordered launches run.
    pub(in crate::bench) fn obey(&mut self, orders: Vec<(NodeId, Down)>) {
        let now = self.now;
        let launched = orders.into_iter().filter_map(|(node, order)| match order {
            Down::Launch { launch, .. } => Some((node, launch.tasks().collect::<Vec<TaskId>>())),
            _ => None,
        });
        let reports: Vec<(NodeId, Vec<TaskReport>)> =
            launched.map(|(node, tasks)| (node, tasks.iter().map(|task| agents::running(task, now)).collect())).collect();
        self.step(|draft| {
            for (node, reports) in reports {
                for report in reports {
                    draft.observe(&node, report);
                }
            }
        });
    }

    /// The first running task of an app.
    pub(in crate::bench) fn some_task(&self, app: &AppId) -> Option<(NodeId, TaskId)> {
        let running = self.cluster.instances_of(app).find(|instance| instance.condition == Condition::Running)?;
        Some((running.node()?.clone(), running.task_id()))
    }

    pub(in crate::bench) fn now(&self) -> Timestamp {
        self.now
    }
}
