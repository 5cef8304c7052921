//! What would happen: the same engine on a copy of the cluster, with agents that do what they are told.
//!
//! Nothing of it reaches the store, agents or other readers. Tasks start and stop at once and pass their
//! checks; nothing fails. What then still waits, waits for room.

use super::draft::{Draft, EditError};
use super::{Cluster, Entropy};
use crate::assignment::{Down, FailureReason, TaskReport};
use crate::health::Health;
use crate::instance::{Condition, Goal, Instance};
use crate::node::NodeId;
use crate::{App, AppId, TaskId, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most steps that are looked ahead.
pub const FORECAST_STEPS_MAX: usize = 2_000;
/// Most starts and stops that are looked ahead.
pub const FORECAST_CHANGES_MAX: usize = 200_000;
/// How far deadlines and pauses are waited for, milliseconds.
pub const FORECAST_HORIZON_MS: i64 = 24 * 3_600_000;

/// What would become of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppForecast {
    /// The app.
    pub app: AppId,
    /// Instances that run now.
    pub before: usize,
    /// Instances that would run.
    pub after: usize,
    /// How many more would be on each node, below 0 for fewer.
    pub nodes: BTreeMap<NodeId, i64>,
    /// Tasks that would start and stop on the way.
    pub starts: usize,
    /// Tasks that would be stopped on the way.
    pub stops: usize,
    /// Fewest instances that would serve on the way.
    pub least_serving: usize,
    /// Instances that would wait, and what for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// What would happen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Apps that something would happen to, or that would wait, by id.
    pub apps: Vec<AppForecast>,
    /// Nodes that would be empty.
    pub emptied: Vec<NodeId>,
    /// The look ahead ended at a limit; what it tells is only a beginning.
    pub cut_short: bool,
}

/// A look ahead under way.
struct Outlook {
    cluster: Cluster,
    now: Timestamp,
    seed: u64,
    wake_at: Option<Timestamp>,
    starts: BTreeMap<AppId, usize>,
    stops: BTreeMap<AppId, usize>,
    least: BTreeMap<AppId, usize>,
    ledger: Option<crate::placement::Ledger>,
}

impl Cluster {
    /// What would happen if `act` were done to the cluster at `now`.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn forecast(
        &self,
        now: Timestamp,
        seed: u64,
        act: impl FnOnce(&mut Draft) -> Result<(), EditError>,
    ) -> Result<Forecast, EditError> {
        let mut outlook = Outlook {
            cluster: self.clone(),
            now,
            seed,
            wake_at: None,
            starts: BTreeMap::new(),
            stops: BTreeMap::new(),
            least: BTreeMap::new(),
            ledger: None,
        };
        let mut refused = None;
        let mut orders = outlook.step(|draft| refused = act(draft).err());
        if let Some(error) = refused {
            return Err(error);
        }
        let (mut changes, mut cut_short) = (0, true);
        let mut under_way = outlook.under_way(self);
        for _ in 0..FORECAST_STEPS_MAX {
            let reports = outlook.obey(orders, std::mem::take(&mut under_way));
            changes += reports.len();
            if changes > FORECAST_CHANGES_MAX {
                break;
            }
            let wake_at = outlook.wake_at.filter(|at| at.millis_since(now) <= FORECAST_HORIZON_MS);
            if reports.is_empty() {
                let Some(at) = wake_at.filter(|at| *at > outlook.now) else {
                    cut_short = false;
                    break;
                };
                outlook.now = at;
            }
            orders = outlook.step(|draft| {
                draft.wake_paused();
                for (node, report) in reports {
                    draft.observe(&node, report);
                }
            });
        }
        Ok(outlook.compare(self, cut_short))
    }
}

impl Outlook {
    /// One step of the copy; what its agents are told.
    fn step(&mut self, act: impl FnOnce(&mut Draft)) -> Vec<(NodeId, Down)> {
        self.seed = self.seed.wrapping_add(1);
        let mut draft = Draft::new(&self.cluster, self.now, 0, Entropy::new(self.seed)).with_ledger(self.ledger.take());
        act(&mut draft);
        let step = draft.settle();
        self.cluster = step.cluster;
        self.wake_at = step.wake_at;
        self.ledger = step.ledger;
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(self.cluster.generation);
        }
        let touched: std::collections::BTreeSet<&AppId> = step.touched.iter().map(crate::InstanceId::app).collect();
        for app in touched {
            let serving = self.cluster.instances_of(app).filter(|instance| instance.is_serving()).count();
            self.least.entry(app.clone()).and_modify(|least| *least = (*least).min(serving)).or_insert(serving);
        }
        step.orders
    }

    /// What agents that are connected have still to report of orders given before: tasks that stop end, and those
    /// that begin run and pass their checks.
    fn under_way(&self, before: &Cluster) -> Vec<(NodeId, TaskReport)> {
        let report = |instance: &std::sync::Arc<Instance>| {
            let node = instance.node().filter(|node| !before.away.contains(*node))?;
            let condition = match (instance.goal, instance.condition) {
                (Goal::Restarted | Goal::Decommissioned, _) => Condition::Killed,
                (Goal::Running, Condition::Staging | Condition::Starting) => Condition::Running,
                (Goal::Running, Condition::Running) if !instance.is_serving() && instance.healthy() != Some(false) => {
                    Condition::Running
                }
                (Goal::Running, _) => return None,
            };
            Some((node.clone(), self.report(&instance.app, instance.task_id(), condition)))
        };
        before.instances.of_restless_apps().filter_map(report).collect()
    }

    /// What the agents report after these orders, beside the `reports` that were due.
    fn obey(&mut self, orders: Vec<(NodeId, Down)>, mut reports: Vec<(NodeId, TaskReport)>) -> Vec<(NodeId, TaskReport)> {
        for (node, order) in orders {
            match order {
                Down::Launch { launch, .. } => {
                    for task in launch.tasks() {
                        *self.starts.entry(launch.app.id.clone()).or_default() += 1;
                        reports.push((node.clone(), self.report(&launch.app, task, Condition::Running)));
                    }
                }
                Down::Stop { task, .. } => {
                    let Some(app) = self.cluster.instances.get(task.instance()).map(|instance| instance.app.clone()) else {
                        continue;
                    };
                    *self.stops.entry(task.instance().app().clone()).or_default() += 1;
                    reports.push((node, self.report(&app, task, Condition::Killed)));
                }
                _ => {}
            }
        }
        // A task that is told to run and to stop in one step never runs.
        let ended: std::collections::BTreeSet<TaskId> =
            reports.iter().filter(|(_, report)| report.condition.is_terminal()).map(|(_, report)| report.task.clone()).collect();
        let mut told = std::collections::BTreeSet::new();
        reports.retain(|(_, report)| {
            (report.condition.is_terminal() || !ended.contains(&report.task)) && told.insert(report.task.clone())
        });
        reports
    }

    fn report(&self, app: &App, task: TaskId, condition: Condition) -> TaskReport {
        let healthy = Health { first_success: Some(self.now), last_success: Some(self.now), ..Health::default() };
        TaskReport {
            task,
            condition,
            at: self.now,
            started_at: Some(self.now),
            reason: condition.is_terminal().then_some(FailureReason::Stopped),
            exit: None,
            message: None,
            health: vec![healthy; app.health_checks.len()],
            ready: true,
            addresses: Vec::new(),
            container: None,
            sandbox: None,
        }
    }

    fn compare(&self, before: &Cluster, cut_short: bool) -> Forecast {
        let mut ids: std::collections::BTreeSet<&AppId> = self.starts.keys().chain(self.stops.keys()).collect();
        ids.extend(self.cluster.pending.keys().filter(|id| before.pending.get(*id) != self.cluster.pending.get(*id)));
        ids.extend(self.cluster.stranded.keys());
        let apps = ids.into_iter().map(|id| {
            let mut nodes: BTreeMap<NodeId, i64> = BTreeMap::new();
            for (cluster, sign) in [(before, -1), (&self.cluster, 1)] {
                for node in cluster.instances_of(id).filter_map(|instance| instance.node()) {
                    *nodes.entry(node.clone()).or_default() += sign;
                }
            }
            nodes.retain(|_, change| *change != 0);
            let running = |cluster: &Cluster| cluster.instances_of(id).filter(|instance| runs(instance)).count();
            let waits = self.cluster.pending.get(id).map(|pending| {
                let why = pending
                    .refusals
                    .as_ref()
                    .map_or_else(|| "it pauses after failures".to_owned(), crate::placement::Refusals::sentence);
                format!("{} would wait: {why}", pending.count)
            });
            let stranded =
                || self.cluster.stranded.get(id).map(|refusals| format!("it would stay where it is: {}", refusals.sentence()));
            // Of an app to which nothing happens as many serve as before.
            let serving = || before.instances_of(id).filter(|instance| instance.is_serving()).count();
            AppForecast {
                app: id.clone(),
                before: running(before),
                after: running(&self.cluster),
                nodes,
                starts: self.starts.get(id).copied().unwrap_or(0),
                stops: self.stops.get(id).copied().unwrap_or(0),
                least_serving: self.least.get(id).copied().unwrap_or_else(serving),
                waits: waits.or_else(stranded),
            }
        });
        let empty = |cluster: &Cluster, node: &NodeId| cluster.loads.get(node).is_none_or(|load| load.instances.is_empty());
        let emptied = before.nodes.keys().filter(|node| empty(&self.cluster, node) && !empty(before, node));
        Forecast { apps: apps.collect(), emptied: emptied.cloned().collect(), cut_short }
    }
}

fn runs(instance: &Instance) -> bool {
    matches!(instance.condition, Condition::Running)
}

#[cfg(test)]
#[path = "forecast_test.rs"]
mod tests;
