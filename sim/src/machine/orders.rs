//! What an agent does when it is told something: the tables of `core::task`, carried out on the model.

use super::Inner;
use super::task::{Life, Task};
use crate::planted::Planted;
use orrery_core::TaskId;
use orrery_core::assignment::{Assignment, Down, FailureReason, TaskReport};
use orrery_core::instance::Condition;
use orrery_core::task::{Action, Known, StopCause, Wanted, plan, plan_snapshot};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Inner {
    /// Whether an order of `epoch` counts.
    fn admits(&mut self, epoch: u64) -> bool {
        let newest = self.epoch.max(epoch);
        let counts = epoch >= self.epoch;
        if !counts {
            self.note(&format!("ignores an order of epoch {epoch}, newest is {newest}"));
        }
        self.epoch = newest;
        counts
    }

    pub(super) fn obey(&mut self, message: Down) {
        match message {
            Down::Snapshot { epoch, launches, mut assignments, stopping } if self.admits(epoch) => {
                let found = launches.iter().flat_map(|launch| launch.resolve(&self.facts.hostname));
                assignments.extend(found.filter_map(|(_, found)| found.ok()));
                self.obey_snapshot(assignments, stopping);
            }
            Down::Launch { epoch, launch } if self.admits(epoch) => {
                let hostname = self.facts.hostname.clone();
                for (task, found) in launch.resolve(&hostname) {
                    self.act(&task, plan(Wanted::Run, self.known(&task)), found.ok(), "");
                }
            }
            Down::Run { epoch, assignment } if self.admits(epoch) => {
                let task = assignment.task_id();
                self.act(&task, plan(Wanted::Run, self.known(&task)), Some(*assignment), "");
            }
            Down::Stop { because, .. } if self.planted == Planted::DuplicatesKept && because.contains("does not want") => {}
            Down::Stop { epoch, task, because } if self.admits(epoch) => {
                self.act(&task, plan(Wanted::Stop, self.known(&task)), None, &because);
            }
            Down::Forget { epoch, tasks } if self.admits(epoch) => {
                for task in tasks {
                    self.act(&task, plan(Wanted::Forgotten, self.known(&task)), None, "");
                }
            }
            Down::Destroy { epoch, instances } if self.admits(epoch) => self.destroyed.extend(instances),
            _ => {}
        }
    }

    fn obey_snapshot(&mut self, assignments: Vec<Assignment>, stopping: Vec<TaskId>) {
        let states: BTreeMap<TaskId, Known> = self.tasks.iter().map(|(id, task)| (id.clone(), task.known())).collect();
        let mut assignments: BTreeMap<TaskId, Assignment> = assignments.into_iter().map(|one| (one.task_id(), one)).collect();
        let assigned: Vec<TaskId> = assignments.keys().cloned().collect();
        let state = |task: &TaskId| states.get(task).copied().unwrap_or(Known::Nothing);
        for (task, action) in plan_snapshot(assigned, stopping, states.keys(), state) {
            let assignment = assignments.remove(&task);
            let because = if assignment.is_some() { "" } else { "the cluster no longer assigns it to this node" };
            if self.planted == Planted::DuplicatesKept && action == Action::Stop && !because.is_empty() {
                continue;
            }
            self.act(&task, action, assignment, because);
        }
    }

    fn known(&self, id: &TaskId) -> Known {
        self.tasks.get(id).map_or(Known::Nothing, Task::known)
    }

    fn act(&mut self, id: &TaskId, action: Action, assignment: Option<Assignment>, because: &str) {
        let wall = self.clock.now();
        match action {
            Action::Start => {
                let Some(assignment) = assignment else { return };
                self.ports.enter(id, assignment.host_ports());
                let at = Instant::now() + self.chance.millis(1, 900);
                let mut report = TaskReport::first(id.clone(), wall);
                if self.planted == Planted::StaleObservation && assignment.incarnation > 1 {
                    report.condition = Condition::Running;
                    report.started_at = Some(wall);
                    self.unsent.insert(id.clone());
                }
                self.tasks.insert(id.clone(), Task::new(Some(assignment), Life::Preparing(at), report));
                self.note(&format!("prepares {id}"));
            }
            Action::Stop => {
                self.stop(id, StopCause::Asked(because.to_owned()));
            }
            Action::Report => {
                self.unsent.insert(id.clone());
            }
            Action::ReportNeverRan => {
                let mut report = TaskReport::first(id.clone(), wall);
                report.condition = Condition::Killed;
                report.reason = Some(FailureReason::Stopped);
                self.tasks.insert(id.clone(), Task::new(None, Life::Ended, report));
                self.unsent.insert(id.clone());
            }
            Action::Reap => {
                self.unsent.remove(id);
                self.tasks.remove(id);
            }
            Action::Nothing => {}
        }
    }
}
