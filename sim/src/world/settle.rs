//! After the storm: everything works again, and the cluster must come to what is wanted and rest.

use super::World;
use crate::store::Weather;
use orrery_core::cluster::Cluster;
use orrery_core::instance::{Condition, Goal};
use std::time::Duration;
use tokio::time::Instant;

/// Virtual time within which the cluster must be where it should be.
const CONVERGENCE: Duration = Duration::from_secs(90);
/// How long nothing may be written after that.
const REST: Duration = Duration::from_secs(10);
/// How long requests from before may still take effect.
const LAST_REQUESTS: Duration = Duration::from_secs(12);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Looks at what was wrong at the first one, and the pause before each: no step takes as long as one.
const SECOND_LOOKS: u32 = 10;
const SECOND_LOOK: Duration = Duration::from_millis(130);

impl World {
    /// Ends all faults and waits for rest.
    pub(super) async fn settle(&self) {
        self.trace.note("world", format_args!("the storm is over"));
        self.network.heal();
        for number in 0..self.plan.machines {
            let machine = self.machines()[number].machine.clone();
            machine.calm();
            self.start_agent(number);
        }
        for number in 0..self.plan.controllers {
            let process = {
                let controllers = self.controllers();
                controllers[number].set_weather(|weather| *weather = Weather::default());
                controllers[number].process.clone()
            };
            match process {
                Some(process) => process.resume(),
                None => self.start_controller(number),
            }
        }
        // Clients still wait for answers, and what they asked for may still happen.
        tokio::time::sleep(LAST_REQUESTS).await;
        let deadline = Instant::now() + CONVERGENCE;
        loop {
            tokio::time::sleep(LOOK).await;
            if !self.judge.violations().is_empty() {
                return;
            }
            match self.unrest() {
                None => break,
                Some(what) if Instant::now() >= deadline => {
                    self.judge.object(format!("after {} s without faults: {what}", CONVERGENCE.as_secs()));
                    return;
                }
                Some(_) => {}
            }
        }
        self.trace.note("world", format_args!("all is as it should be"));
        self.judge.check_reading(&self.cell.now());
        let before = self.judge.decided();
        tokio::time::sleep(REST).await;
        let after = self.judge.decided();
        if before != after {
            self.judge.object(format!("an idle cluster wrote: revision {before} became {after}"));
        }
        let mut unrest = self.unrest();
        for _ in 0..SECOND_LOOKS {
            if unrest.is_none() {
                break;
            }
            // A step that writes nothing may be on its way to the followers this very moment, and so may
            // the next one at the next look.
            tokio::time::sleep(SECOND_LOOK).await;
            unrest = self.unrest();
        }
        if let Some(what) = unrest {
            self.judge.object(format!("what was right did not stay so: {what}"));
        }
        for handle in self.controllers().iter().filter_map(super::Controller::handle) {
            let known = handle.controllers().len();
            if known != self.plan.controllers {
                self.judge.object(format!("a controller knows {known} of {} controllers", self.plan.controllers));
            }
        }
    }

    /// What is not yet as it should be.
    fn unrest(&self) -> Option<String> {
        let truth = self.judge.truth();
        let living = self.judge.living();
        if let Some(deployment) = truth.deployments.keys().next() {
            return Some(format!("deployment {deployment} goes on"));
        }
        for record in truth.apps.values() {
            let app = &record.app;
            let live = truth.instances_of(&app.id).filter(|instance| {
                instance.app.version_info.last_config_change_at == app.version_info.last_config_change_at
                    && instance.goal == Goal::Running
                    && living.get(&instance.task_id()) == instance.node()
            });
            let live = live.count();
            if live != app.instances as usize {
                return Some(format!("{live} tasks of {} live, {} are wanted", app.id, app.instances));
            }
        }
        let wanted: usize = truth.apps.values().map(|record| record.app.instances as usize).sum();
        if living.len() != wanted || truth.instances.len() != wanted {
            return Some(format!("{} tasks live, {} are assigned, {wanted} are wanted", living.len(), truth.instances.len()));
        }
        for slot in self.machines().iter() {
            let (kept, alive) = (slot.machine.kept(), slot.machine.living().len());
            if kept != alive {
                return Some(format!("{} keeps {kept} tasks of which {alive} live", slot.machine.id()));
            }
        }
        let handles: Vec<_> = self.controllers().iter().filter_map(super::Controller::handle).collect();
        let leading: Vec<_> = handles.iter().filter(|handle| handle.leads()).collect();
        let [leader] = leading[..] else {
            return Some(format!("{} of {} controllers lead", leading.len(), self.plan.controllers));
        };
        if handles.len() < self.plan.controllers {
            return Some(format!("{} of {} controllers serve", handles.len(), self.plan.controllers));
        }
        let (view, shown) = (leader.cluster(), whole(&leader.cluster()));
        for handle in &handles {
            if let Some(stale) = handle.stale_for() {
                return Some(format!("a controller is stale for {stale:?}"));
            }
            let other = handle.cluster();
            if other.generation != view.generation {
                return Some(format!("a follower shows generation {}, the leader {}", other.generation, view.generation));
            }
            let other = whole(&other);
            if other != shown {
                let apart = other.bytes().zip(shown.bytes()).take_while(|(one, two)| one == two).count().saturating_sub(80);
                let part = |text: &str| text.chars().skip(apart).take(200).collect::<String>();
                return Some(format!("a follower shows …{}…, the leader …{}…", part(&other), part(&shown)));
            }
        }
        difference(&view, &truth)
    }
}

/// All that a follower must show as the leader does.
fn whole(cluster: &Cluster) -> String {
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        cluster.id,
        cluster.generation,
        cluster.apps,
        cluster.instances,
        cluster.nodes,
        cluster.deployments,
        cluster.pending,
        cluster.service_ports,
        cluster.delays,
        cluster.failures
    )
}

/// Where a controller's view is not what the store and the machines say.
fn difference(view: &Cluster, truth: &Cluster) -> Option<String> {
    for instance in view.instances.values() {
        let id = &instance.id;
        let stored = truth.instances.get(id);
        if stored.is_none_or(|stored| stored.incarnation != instance.incarnation || stored.seat != instance.seat) {
            return Some(format!("a controller believes in {id}: {instance:?}"));
        }
        let checked = !instance.app.health_checks.is_empty();
        if instance.condition != Condition::Running || (checked && instance.healthy() != Some(true)) {
            return Some(format!("a controller takes {id} for {:?}, healthy: {:?}", instance.condition, instance.healthy()));
        }
    }
    if view.instances.len() != truth.instances.len() {
        return Some(format!("a controller knows {} instances of {}", view.instances.len(), truth.instances.len()));
    }
    None
}
