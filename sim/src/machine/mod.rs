//! The model of a machine: its processes, its disk, and the agent's decisions, which are the real
//! agent's (`core::task`). The agent's life is in `agent.rs`.

mod agent;
mod orders;
mod task;

pub use agent::{AgentSettings, Dial, Link, run_agent};

use crate::chance::Chance;
use crate::judge::Judge;
use crate::planted::Planted;
use crate::trace::Trace;
use orrery_core::assignment::{Exit, FailureReason, TaskReport};
use orrery_core::health::{Health, Probe, Verdict};
use orrery_core::instance::Condition;
use orrery_core::node::NodeFacts;
use orrery_core::task::{Ending, PortQueue, StopCause, conclude};
use orrery_core::{NodeId, TaskId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::{Life, Task};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a task looks whether it has its ports.
const PORT_LOOK: Duration = Duration::from_millis(20);

/// What the machine's tasks are like. All chances are per mille.
#[derive(Debug, Clone)]
pub struct Nature {
    /// A task ends by itself, some time after its start.
    pub crashes: u32,
    /// A task with health checks falls sick at a probe.
    pub sickens: u32,
}

/// A machine. Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    inner: Arc<Mutex<Inner>>,
    /// Something happened to a process.
    pub(crate) stirred: Arc<Notify>,
}

struct Inner {
    facts: NodeFacts,
    clock: Clock,
    /// On disk.
    epoch: u64,
    tasks: BTreeMap<TaskId, Task>,
    unsent: BTreeSet<TaskId>,
    ports: PortQueue,
    /// Instances whose data were deleted, which is not yet said.
    pub(crate) destroyed: Vec<orrery_core::InstanceId>,
    nature: Nature,
    chance: Chance,
    judge: Judge,
    trace: Trace,
    planted: Planted,
    /// Reports as they were first sent, for the planted bug that sends them again.
    told: Vec<TaskReport>,
    /// Processes the agent does not know of, and when they end: planted bugs only.
    zombies: Vec<(Option<Instant>, TaskId)>,
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    at_start: Timestamp,
}

impl Clock {
    fn now(self) -> Timestamp {
        self.at_start.plus_millis(i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

impl Machine {
    /// A machine without tasks. Its processes live on a task of their own.
    pub fn start(
        facts: NodeFacts,
        wall: Timestamp,
        nature: Nature,
        chance: Chance,
        judge: Judge,
        trace: Trace,
        planted: Planted,
    ) -> Self {
        let inner = Inner {
            facts,
            clock: Clock { start: Instant::now(), at_start: wall },
            epoch: 0,
            tasks: BTreeMap::new(),
            unsent: BTreeSet::new(),
            ports: PortQueue::default(),
            destroyed: Vec::new(),
            nature,
            chance,
            judge,
            trace,
            planted,
            told: Vec::new(),
            zombies: Vec::new(),
        };
        let machine = Self { inner: Arc::new(Mutex::new(inner)), stirred: Arc::new(Notify::new()) };
        tokio::spawn(kernel(machine.clone()));
        machine
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.lock().facts.id.clone()
    }

    /// From now on tasks neither end by themselves nor fall sick; who is sick recovers.
    pub fn calm(&self) {
        let mut inner = self.lock();
        inner.nature = Nature { crashes: 0, sickens: 0 };
        for task in inner.tasks.values_mut() {
            task.sick_until = None;
            if task.stop.is_none()
                && let Life::Running(ends) = &mut task.life
            {
                *ends = None;
            }
        }
    }

    /// The processes that live now.
    pub fn living(&self) -> Vec<TaskId> {
        self.lock().tasks.iter().filter(|(_, task)| task.is_alive()).map(|(id, _)| id.clone()).collect()
    }

    /// Everything the agent keeps, ended tasks not yet forgotten among them.
    pub fn kept(&self) -> usize {
        self.lock().tasks.len()
    }

    /// The power goes and comes back: no process survives. The agent must be ended by the caller.
    pub fn reboot(&self) {
        let mut inner = self.lock();
        inner.note("reboots");
        let node = inner.facts.id.clone();
        let judge = inner.judge.clone();
        for (id, task) in &mut inner.tasks {
            if task.is_alive() {
                judge.ended(&node, id);
                task.life = Life::Over(None);
            }
            task.other_boot = true;
        }
        for (_, id) in std::mem::take(&mut inner.zombies) {
            judge.ended(&node, &id);
        }
    }
}

/// Ends processes when their time has come.
async fn kernel(machine: Machine) {
    loop {
        let next = {
            let mut inner = machine.lock();
            inner.end_processes();
            let ends =
                inner.tasks.values().map(|task| if let Life::Running(ends) = task.life { ends.map(|(at, _)| at) } else { None });
            ends.chain(inner.zombies.iter().map(|(at, _)| *at)).flatten().min()
        };
        match next {
            Some(at) => tokio::select! {
                biased;
                () = machine.stirred.notified() => {}
                () = tokio::time::sleep_until(at) => {}
            },
            None => machine.stirred.notified().await,
        }
    }
}

impl Inner {
    fn note(&self, what: &str) {
        self.trace.note(self.facts.id.as_str(), format_args!("{what}"));
    }

    fn end_processes(&mut self) {
        let now = Instant::now();
        let (node, judge) = (&self.facts.id, &self.judge);
        self.zombies.retain(|(at, id)| {
            let over = at.is_some_and(|at| at <= now);
            if over {
                judge.ended(node, id);
            }
            !over
        });
        for (id, task) in &mut self.tasks {
            if let Life::Running(Some((at, exit))) = task.life
                && at <= now
            {
                task.life = Life::Over(exit);
                self.trace.note(self.facts.id.as_str(), format_args!("process of {id} ends: {exit:?}"));
                self.judge.ended(&self.facts.id, id);
            }
        }
    }

    /// The agent has lost its controller.
    fn is_alone(&mut self) {
        if self.planted == Planted::TasksDieWithControllers {
            let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
            for id in ids {
                self.stop(&id, StopCause::Asked("no controller".into()));
            }
        }
    }

    /// The agent starts: what was being prepared has no process and never will.
    fn adopt(&mut self) {
        self.unsent.clear();
        if self.planted == Planted::ForgottenTasks {
            self.ports = PortQueue::default();
            let forgotten = std::mem::take(&mut self.tasks).into_iter().filter(|(_, task)| task.is_alive());
            self.zombies.extend(forgotten.map(|(id, _)| (None, id)));
        }
        for task in self.tasks.values_mut() {
            if matches!(task.life, Life::Preparing(_)) {
                task.life = Life::Over(None);
            }
        }
    }

    /// What the living agent sees and does of its own accord.
    fn advance(&mut self) {
        self.end_processes();
        let (now, wall) = (Instant::now(), self.clock.now());
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for id in ids {
            let Some(task) = self.tasks.get(&id) else { continue };
            match task.life {
                Life::Preparing(_) if task.stop.is_some() => {
                    let message = "Stopped before it started".to_owned();
                    self.end(&id, Condition::Killed, FailureReason::Stopped, message, None);
                }
                Life::Preparing(at) if at <= now && self.ports.holder(&id).is_none() => self.start(&id, now, wall),
                Life::Over(exit) => {
                    let ending = Ending { exit, stop: task.stop.clone(), other_boot: task.other_boot, ..Ending::default() };
                    let conclusion = conclude(&ending);
                    self.end(&id, conclusion.condition, conclusion.reason, conclusion.message, exit);
                }
                Life::Running(_) if task.probe_at.is_some_and(|at| at <= now) && task.stop.is_none() => {
                    self.probe(&id, now, wall);
                }
                _ => {}
            }
        }
    }

    /// The process starts.
    fn start(&mut self, id: &TaskId, now: Instant, wall: Timestamp) {
        let ends = self.chance.hits(self.nature.crashes).then(|| {
            let exit = if self.chance.hits(300) { Exit::Code(0) } else { Exit::Code(1) };
            (now + self.chance.millis(0, 40_000), Some(exit))
        });
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.life = Life::Running(ends);
        let checks = task.assignment.as_ref().map_or(0, |assignment| assignment.containers[0].health_checks.len());
        task.probe_at = (checks > 0).then(|| now + Duration::from_millis(700));
        task.report.condition = Condition::Running;
        task.report.at = wall;
        task.report.started_at = Some(wall);
        task.report.ready = true;
        task.report.health = vec![Health::default(); checks];
        self.unsent.insert(id.clone());
        let assignment = task.assignment.clone();
        self.note(&format!("process of {id} starts"));
        if let Some(assignment) = assignment {
            self.judge.started(&self.facts.id, &assignment);
        }
    }

    fn probe(&mut self, id: &TaskId, now: Instant, wall: Timestamp) {
        let falls_sick = self.chance.hits(self.nature.sickens).then(|| now + self.chance.millis(500, 6_000));
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.sick_until = falls_sick.or(task.sick_until.filter(|until| *until > now));
        task.probe_at = Some(now + Duration::from_secs(1));
        let Some(check) = task.assignment.as_ref().and_then(|one| one.containers[0].health_checks.first()) else { return };
        let Some(health) = task.report.health.first_mut() else { return };
        let probe = if task.sick_until.is_some() { Probe::Failure("sick".into()) } else { Probe::Success };
        let before = health.clone();
        let verdict = health.observe(&check.check, probe, task.report.started_at.unwrap_or(wall), wall);
        let changed = before.is_alive() != health.is_alive() || before.consecutive_failures != health.consecutive_failures;
        if changed {
            self.unsent.insert(id.clone());
        }
        if verdict == Verdict::Kill {
            self.stop(id, StopCause::Unhealthy("sick".into()));
        }
    }

    fn end(&mut self, id: &TaskId, condition: Condition, reason: FailureReason, message: String, exit: Option<Exit>) {
        let wall = self.clock.now();
        let Some(task) = self.tasks.get_mut(id) else { return };
        self.ports.leave(id);
        task.life = Life::Ended;
        task.report.condition = condition;
        task.report.reason = Some(reason);
        task.report.message = Some(message);
        task.report.exit = exit;
        task.report.at = wall;
        if self.planted == Planted::SilentEnd && self.chance.hits(100) {
            self.tasks.remove(id);
            return;
        }
        self.unsent.insert(id.clone());
        self.note(&format!("{id} ended: {condition:?} {reason:?}"));
    }

    /// Asks a task to end; the first cause stays.
    fn stop(&mut self, id: &TaskId, cause: StopCause) {
        let (now, wall) = (Instant::now(), self.clock.now());
        let takes = self.chance.millis(0, 2_500);
        if let StopCause::Asked(because) = &cause
            && self.tasks.get(id).is_some_and(|task| task.stop.is_none() && task.life != Life::Ended)
        {
            self.note(&format!("stops {id}: {because}"));
            self.judge.told_to_stop(&self.facts.id, id, because);
        }
        let Some(task) = self.tasks.get_mut(id).filter(|task| task.stop.is_none()) else { return };
        let exit = Some(if takes.as_millis() > 2_300 { Exit::Signal(9) } else { Exit::Code(143) });
        if self.planted == Planted::EndedEarly && task.is_alive() {
            self.zombies.push((Some(now + takes), id.clone()));
            task.stop = Some(cause);
            return self.end(id, Condition::Killed, FailureReason::Stopped, String::new(), None);
        }
        if let Life::Running(ends) = &mut task.life {
            let at = ends.map_or(now + takes, |(at, _)| at.min(now + takes));
            *ends = Some((at, exit));
            task.report.condition = Condition::Killing;
            task.report.at = wall;
            self.unsent.insert(id.clone());
        }
        task.stop = Some(cause);
    }

    /// All it must say when it registers.
    fn all_reports(&mut self) -> Vec<TaskReport> {
        self.unsent.clear();
        self.tasks.values().map(|task| task.report.clone()).collect()
    }

    fn take_unsent(&mut self, limit: usize) -> Vec<TaskReport> {
        let mut reports = Vec::new();
        while reports.len() < limit
            && let Some(id) = self.unsent.pop_first()
        {
            reports.extend(self.tasks.get(&id).map(|task| task.report.clone()));
        }
        if self.planted == Planted::ReplayedReports {
            self.told.extend(reports.iter().cloned());
            if let Some(old) = self.chance.pick(&self.told).cloned().filter(|_| !reports.is_empty()) {
                reports.push(old);
            }
        }
        reports
    }

    /// When the agent must look again.
    fn next_deadline(&self) -> Option<Instant> {
        let of = |(id, task): (&TaskId, &Task)| match task.life {
            Life::Preparing(at) if task.stop.is_none() && self.ports.holder(id).is_some() => {
                Some(at.max(Instant::now() + PORT_LOOK))
            }
            Life::Preparing(at) => Some(at),
            Life::Running(ends) => {
                let probe = task.probe_at.filter(|_| task.stop.is_none());
                ends.map(|(at, _)| at).into_iter().chain(probe).min()
            }
            Life::Over(_) => Some(Instant::now()),
            Life::Ended => None,
        };
        self.tasks.iter().filter_map(of).min()
    }
}
