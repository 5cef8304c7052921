//! Taking in what agents say: nodes that join and leave, tasks that change.

use super::draft::Draft;
use super::pending::{COMPLETED_MAX, CompletedTask, Delay, LastFailure};
use super::{Event, keys};
use crate::Timestamp;
use crate::assignment::{Down, FailureReason, Launch, Launched, TaskReport};
use crate::instance::{Condition, Goal, Instance, Observed};
use crate::node::{Administration, Node, NodeFacts, NodeId, NodeStatus};
use std::sync::Arc;

/// Shortest run, in milliseconds, after which an instance counts as having been stable.
const STABLE_AFTER_MS: i64 = 1_000;

impl Draft {
    /// A node joins or comes back, with all tasks its agent knows. It is told all it must run. What is
    /// impossible in its facts is clamped. A retired node is told to leave.
    pub fn register(&mut self, facts: NodeFacts, tasks: Vec<TaskReport>) {
        let (facts, faults) = facts.checked();
        let id = facts.id.clone();
        if let Some(retired) = self.cluster.retired.get(&id).cloned() {
            self.dismiss(&retired);
            return;
        }
        let before = self.cluster.nodes.get(&id).cloned();
        let reserved = facts.resources.reserved.clone();
        let node = self.put_node(Node {
            facts,
            faults,
            registered_at: before.as_ref().map_or(self.now, |before| before.registered_at),
            administration: before.as_ref().map_or(Administration::Active, |before| before.administration),
            status: NodeStatus::Active,
            since: self.now,
            claims: before.as_ref().map(|before| before.claims.clone()).unwrap_or_default().with_fixed(&reserved),
        });
        if before.as_ref().is_none_or(|before| before.record() != node.record()) {
            self.write(keys::node(&id), &node.record());
        }
        if before.as_ref().is_none_or(|before| before.status != NodeStatus::Active) {
            let message = if before.is_none() { "it joined" } else { "it is back" };
            self.events.push(Event::NodeChanged { node, message: message.into() });
        }
        self.count_again(&id);
        self.capacity_freed = true;
        let snapshot = self.take_back(&id, tasks);
        self.orders.push((id.clone(), snapshot));
        self.order_destructions(&id);
    }

    /// Takes in all that the agent of a returning node knows; what it must run then. When thousands of nodes
    /// come back, most of them know what is known: each instance is looked up once.
    fn take_back(&mut self, node: &NodeId, mut tasks: Vec<TaskReport>) -> Down {
        tasks.sort_by(|one, next| one.task.cmp(&next.task));
        let mut here = self.instances_on(node);
        if here.iter().any(|instance| instance.inactive || instance.condition == Condition::Unreachable) {
            self.choose_returned(&here, &tasks);
            here = self.instances_on(node);
        }
        let mut changed = false;
        // Both are in order of the instances.
        let mut rest = here.iter().peekable();
        for report in tasks {
            while rest.next_if(|instance| instance.id < *report.task.instance()).is_some() {}
            changed |= match rest.next_if(|instance| instance.id == *report.task.instance()) {
                Some(instance) => self.observe_of(node, Some(instance), report),
                None => self.observe_one(node, report),
            };
        }
        if changed { self.snapshot_of(node) } else { self.snapshot(&here) }
    }

    /// All that `node` must run, as its agent is told on every connection. What the agent finds that
    /// it cannot run it leaves out.
    pub fn snapshot_of(&self, node: &NodeId) -> Down {
        self.snapshot(&self.instances_on(node))
    }

    fn snapshot(&self, here: &[Arc<Instance>]) -> Down {
        let (mut launches, mut stopping) = (Vec::<Launch>::new(), Vec::new());
        for instance in here {
            if instance.goal != Goal::Running {
                stopping.push(instance.task_id());
            }
            let Some(launched) = Launched::of(instance) else { continue };
            let same = |last: &&mut Launch| last.app.version == instance.app.version && last.app.id == instance.app.id;
            match launches.last_mut().filter(same) {
                Some(last) => last.instances.push(launched),
                None => launches.push(Launch { app: Arc::clone(&instance.app), instances: vec![launched] }),
            }
        }
        Down::Snapshot { epoch: self.epoch, launches, assignments: Vec::new(), stopping }
    }

    pub(super) fn instances_on(&self, node: &NodeId) -> Vec<Arc<Instance>> {
        let ids = self.cluster.loads.get(node).map(|load| load.instances.clone()).unwrap_or_default();
        let here = |instance: &&Arc<Instance>| instance.node() == Some(node);
        ids.iter().filter_map(|id| self.cluster.instances.get(id).filter(here).cloned()).collect()
    }

    /// Takes in one report. A report about a task that is not wanted orders its end; a report about
    /// an end that is known already lets the agent forget it.
    pub fn observe(&mut self, node: &NodeId, report: TaskReport) {
        self.observe_one(node, report);
    }

    fn observe_one(&mut self, node: &NodeId, report: TaskReport) -> bool {
        let instance = self.cluster.instances.get(report.task.instance()).cloned();
        self.observe_of(node, instance.as_ref(), report)
    }

    /// [`Draft::observe`] when the instance has been looked up; whether anything is different now.
    fn observe_of(&mut self, node: &NodeId, instance: Option<&Arc<Instance>>, report: TaskReport) -> bool {
        let instance =
            instance.filter(|instance| instance.incarnation == report.task.incarnation() && instance.node() == Some(node));
        let epoch = self.epoch;
        let Some(instance) = instance else {
            let order = if report.condition.is_terminal() {
                Down::Forget { epoch, tasks: vec![report.task] }
            } else {
                Down::Stop {
                    epoch,
                    task: report.task,
                    because: "the cluster does not want it any more: it was removed, or replaced while its node was away".into(),
                }
            };
            self.orders.push((node.clone(), order));
            return false;
        };
        if report.condition.is_terminal() {
            self.observe_end(node, instance, &report);
            return true;
        }
        self.observe_change(instance, report)
    }

    fn observe_change(&mut self, before: &Arc<Instance>, report: TaskReport) -> bool {
        let was_healthy = before.healthy();
        let changed = before.condition != report.condition;
        let base = before.node().and_then(|node| self.cluster.sandbox_bases.get(node));
        let observed = Observed::new(report.started_at, report.ready)
            .at(&report.task, report.container, report.sandbox, base)
            .with(report.addresses, report.health, report.message.clone());
        if !changed && observed == before.observed && before.unreachable_since.is_none() && !before.inactive {
            // Told again, as on every connection.
            return false;
        }
        if let (Some(node), Some(found)) = (before.node(), observed.sandbox_base())
            && base.is_none_or(|base| !Arc::ptr_eq(base, found))
        {
            let found = Arc::clone(found);
            self.cluster.sandbox_bases.insert(node.clone(), found);
        }
        let instance = Instance {
            condition: report.condition,
            since: if changed { report.at } else { before.since },
            unreachable_since: None,
            inactive: false,
            observed,
            ..(**before).clone()
        };
        let instance = self.replace_instance(Some(Arc::clone(before)), instance);
        if changed {
            let message = report.message.unwrap_or_default();
            self.events.push(Event::TaskChanged { instance: Arc::clone(&instance), message });
        }
        if let Some(alive) = instance.healthy().filter(|_| instance.healthy() != was_healthy) {
            self.events.push(Event::HealthChanged { instance, alive });
        }
        true
    }

    fn observe_end(&mut self, node: &NodeId, before: &Arc<Instance>, report: &TaskReport) {
        let message = report.message.clone().unwrap_or_default();
        let ended = Arc::new(Instance {
            condition: report.condition,
            since: report.at,
            observed: before.observed.clone().with_message(&message),
            ..(**before).clone()
        });
        self.orders.push((node.clone(), Down::Forget { epoch: self.epoch, tasks: vec![report.task.clone()] }));
        self.events.push(Event::TaskChanged { instance: Arc::clone(&ended), message: message.clone() });
        if report.reason == Some(FailureReason::Unhealthy) {
            self.events.push(Event::UnhealthyKilled { instance: Arc::clone(&ended), reason: message.clone() });
        }
        self.complete(&ended, report.exit, report.reason);
        let wanted = report.condition == Condition::Killed && report.reason == Some(FailureReason::Stopped);
        if !wanted && before.goal == Goal::Running {
            self.note_start(node, before.app_id(), report);
            self.note_failure(node, &ended, report, message);
        }
        self.release(before, report, wanted);
    }

    /// Puts the instance back in the queue, or forgets it when it is not wanted or outdated.
    fn release(&mut self, before: &Arc<Instance>, report: &TaskReport, wanted: bool) {
        let current = self.cluster.app(before.app_id()).cloned();
        let current = current.filter(|app| {
            app.version_info.last_config_change_at == before.app.version_info.last_config_change_at
                && before.goal != Goal::Decommissioned
        });
        let Some(app) = current else {
            self.remove_instance(&before.id);
            return;
        };
        let mut free_relaunch_at = before.free_relaunch_at;
        let mut excused = wanted;
        if !wanted && before.goal == Goal::Running {
            if self.was_stable(before, report.at) {
                free_relaunch_at = Some(self.now);
                excused = true;
            } else {
                self.grow_delay(&app);
            }
        }
        self.put_instance(Instance {
            app,
            goal: Goal::Running,
            seat: None,
            condition: Condition::Scheduled,
            since: self.now,
            unreachable_since: None,
            inactive: false,
            free_relaunch_at,
            excused,
            observed: Observed::default(),
            ..(**before).clone()
        });
    }

    /// Whether an ended instance may be launched again at once: it ran well for a while, and was
    /// not excused already within the longest pause. Marathon pauses after every failure; a crash
    /// after a long healthy run is no crash loop.
    fn was_stable(&self, instance: &Instance, ended: Timestamp) -> bool {
        let pause = instance.app.backoff_seconds.thousandths().max(STABLE_AFTER_MS);
        let ran = instance.observed.started_at.is_some_and(|started| ended.millis_since(started) >= pause);
        let was_healthy = instance.app.health_checks.is_empty()
            || instance.observed.health().iter().all(|health| health.first_success.is_some());
        let quiet = instance.app.max_launch_delay_seconds.thousandths();
        let excused = instance.free_relaunch_at.is_some_and(|at| self.now.millis_since(at) < quiet);
        ran && was_healthy && !excused
    }

    fn grow_delay(&mut self, app: &crate::App) {
        let backoff = app.backoff();
        let quiet = backoff.longest_seconds.thousandths();
        let before = self.cluster.delays.get(&app.id).filter(|delay| self.now < delay.until.plus_millis(quiet));
        let pause_ms = backoff.next_pause_ms(before.map(|delay| delay.pause_ms));
        self.cluster.delays.insert(app.id.clone(), Delay { pause_ms, until: self.now.plus_millis(pause_ms) });
    }

    fn note_failure(&mut self, node: &NodeId, instance: &Instance, report: &TaskReport, message: String) {
        let host = self.cluster.nodes.get(node).map(|node| node.facts.hostname.clone()).unwrap_or_default();
        let failure = LastFailure {
            app_id: instance.app.id.clone(),
            task_id: report.task.clone(),
            host,
            node: node.to_string(),
            condition: report.condition,
            reason: report.reason,
            message,
            timestamp: report.at,
            version: instance.app.version,
        };
        if self.cluster.apps.contains_key(&failure.app_id) {
            self.write(keys::failure(&failure.app_id), &failure);
            self.cluster.failures.insert(failure.app_id.clone(), Arc::new(failure));
        }
    }

    pub(super) fn complete(
        &mut self,
        instance: &Arc<Instance>,
        exit: Option<crate::assignment::Exit>,
        reason: Option<FailureReason>,
    ) {
        *self.cluster.ended.entry(instance.condition).or_default() += 1;
        self.cluster.completed.push_back(Arc::new(CompletedTask { instance: Arc::clone(instance), exit, reason, at: self.now }));
        while self.cluster.completed.len() > COMPLETED_MAX {
            self.cluster.completed.pop_front();
        }
    }
}
