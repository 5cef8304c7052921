//! Numbers of tasks by state (platform.md 2.3).

use super::is_task;
use orrery_core::NodeId;
use orrery_core::cluster::Cluster;
use orrery_core::instance::Condition;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// States with a counter, in the order Mesos writes them.
const COUNTED: [&str; 10] = [
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
];

/// Numbers of tasks by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters([u64; COUNTED.len()]);

impl Counters {
    fn count(&mut self, condition: Condition) {
        let state = condition.task_state();
        if let Some(at) = COUNTED.iter().position(|counted| *counted == state) {
            self.0[at] += 1;
        }
    }

    /// Tasks in a state.
    pub(super) fn of(&self, state: &str) -> u64 {
        COUNTED.iter().position(|counted| *counted == state).map_or(0, |at| self.0[at])
    }

    /// Writes `TASK_RUNNING: n` and so on.
    pub(super) fn write(&self, into: &mut Map<String, Value>) {
        for (state, count) in COUNTED.iter().zip(self.0) {
            into.insert((*state).to_owned(), json!(count));
        }
    }
}

/// Counters of the whole cluster and of each node, ended tasks that are remembered included.
pub(super) fn count(cluster: &Cluster) -> (Counters, HashMap<&NodeId, Counters>) {
    let mut total = Counters::default();
    let mut by_node: HashMap<&NodeId, Counters> = HashMap::new();
    let living = cluster.instances.values().filter(|instance| is_task(instance));
    for instance in living.chain(cluster.completed.iter().map(|task| &task.instance)) {
        total.count(instance.condition);
        if let Some(node) = instance.node() {
            by_node.entry(node).or_default().count(instance.condition);
        }
    }
    (total, by_node)
}
