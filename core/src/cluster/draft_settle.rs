//! Closing a draft: plan every app that changed, note what is done.

use super::Event;
use super::draft::{Draft, Step};
use super::draft_lost::earlier;
use super::draft_roles::{TURN_SEATS, Turn};
use super::instances::Calm;
use super::page::NewIds;
use crate::deployment::{Deployment, KillReason, plan};
use crate::instance::{Condition, Goal, Instance};
use crate::placement::Refusals;
use crate::{App, AppId, InstanceId, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Rounds of planning in one step; a step that needs more (an app whose instances cannot be
/// resolved) goes on in the next.
const ROUNDS_MAX: usize = 8;
/// Milliseconds until a step goes on with what the one before left unplanned.
const UNSETTLED_PAUSE_MS: i64 = 1_000;
/// Instances that one step may change before it leaves the remaining apps to the next, so that the
/// return or the loss of half a cluster does not stop the leader from listening.
const STEP_INSTANCES_MAX: usize = 100_000;
/// Most instances of one app that wait for a node at a time. More are created as these find theirs,
/// so that a number of instances no cluster can run costs no more than this.
pub(super) const SCHEDULED_MAX: u32 = 5_000;

impl Draft {
    /// Plans until nothing changes and hands out the step.
    pub fn settle(mut self) -> Step {
        self.settle_brake();
        let due = self.cluster.alarms.take_due(self.now);
        self.dirty_apps.extend(due);
        self.retell();
        let mut full = false;
        // Reports are cheap and have been taken in.
        let most = self.touched.len() + STEP_INSTANCES_MAX;
        for _ in 0..ROUNDS_MAX {
            if self.capacity_freed {
                self.capacity_freed = false;
                self.wake_waiting();
            }
            self.wake_company();
            let mut apps = std::mem::take(&mut self.dirty_apps);
            if apps.is_empty() {
                break;
            }
            full = self.settle_in_turns(&mut apps, most);
            self.dirty_apps.append(&mut apps);
            if full {
                break;
            }
        }
        self.finish_drains();
        let paused = self.cluster.pending.keys().filter_map(|id| self.cluster.delays.get(id)).map(|delay| delay.until);
        let paused = paused.filter(|at| *at > self.now).min();
        if self.capacity_freed {
            self.wake_waiting();
        }
        self.wake_company();
        self.cluster.unsettled = std::mem::take(&mut self.dirty_apps).into_iter().collect();
        let pause = if full { 0 } else { UNSETTLED_PAUSE_MS };
        let unsettled = (!self.cluster.unsettled.is_empty()).then(|| self.now.plus_millis(pause));
        let brake = self.cluster.brake.as_ref().and_then(|held| held.ends());
        self.note_retelling();
        let told_at = self.cluster.retelling.at;
        let wake_at = paused.into_iter().chain(self.cluster.alarms.next()).chain(unsettled).chain(brake).chain(told_at).min();
        self.write_claims();
        self.write_pages();
        self.cluster.generation += 1;
        Step {
            cluster: self.cluster,
            writes: self.writes,
            orders: self.orders,
            events: self.events,
            touched: self.touched,
            wake_at,
            ledger: self.ledger,
        }
    }

    /// Plans these apps, the next by [`Turn`] first; tells whether the step is full before all had their
    /// turn. While several roles want something each turn gives a few seats.
    fn settle_in_turns(&mut self, apps: &mut BTreeSet<AppId>, most: usize) -> bool {
        let total = self.contended(apps);
        let basis = total.as_ref();
        let mut turns: BinaryHeap<Reverse<Turn>> = apps.iter().map(|id| Reverse(self.turn(id, basis))).collect();
        while let Some(Reverse(turn)) = turns.pop() {
            if self.touched.len() >= most {
                return true;
            }
            let now = self.turn(&turn.3, basis);
            if now > turn {
                turns.push(Reverse(now));
                continue;
            }
            let seats = match (basis, turns.peek()) {
                (Some(total), Some(Reverse(next))) => self.turn_seats(&turn, next, total),
                (Some(_), None) => TURN_SEATS,
                (None, _) => usize::MAX,
            };
            let id = turn.3;
            let (at, again) = self.settle_app(&id, seats);
            self.cluster.alarms.set(&id, at);
            if again {
                turns.push(Reverse(self.turn(&id, basis)));
            } else {
                apps.remove(&id);
            }
        }
        false
    }

    /// Looks again at apps that wait for room.
    fn wake_waiting(&mut self) {
        self.dirty_apps.extend(self.cluster.pending.keys().cloned());
        self.dirty_apps.extend(self.cluster.stranded.keys().cloned());
    }

    /// Looks again at apps that wait to be near one that has just started.
    fn wake_company(&mut self) {
        let started = std::mem::take(&mut self.started);
        if started.is_empty() {
            return;
        }
        let cluster = &self.cluster;
        let apps: Vec<&App> = started.iter().filter_map(|id| cluster.app(id).map(AsRef::as_ref)).collect();
        let waits = |id: &&AppId| {
            let rules = cluster.app(id).map(|app| app.placement.affinity.iter().filter(|rule| rule.weight.is_none()));
            rules.is_some_and(|mut rules| rules.any(|rule| apps.iter().any(|app| rule.selector.selects(app))))
        };
        let waiting: Vec<AppId> = cluster.pending.keys().filter(|id| !started.contains(*id)).filter(waits).cloned().collect();
        self.dirty_apps.extend(waiting);
    }

    /// Plans one app and gives it at most `seats` seats; returns when it must be looked at again, and
    /// whether it wants another turn now.
    fn settle_app(&mut self, id: &AppId, seats: usize) -> (Option<Timestamp>, bool) {
        let app = self.cluster.app(id).cloned();
        if let Some(app) = &app
            && self.cluster.draining.is_empty()
            && self.cluster.moving.is_empty()
            && let Some(calm) = self.cluster.instances.calm(app)
        {
            self.settle_calm(app, calm);
            return (None, false);
        }
        let mut next = self.expire_unreachable(id);
        let instances: Vec<Arc<Instance>> = self.cluster.instances_of(id).cloned().collect();
        let references: Vec<&Instance> = instances.iter().map(AsRef::as_ref).collect();
        let around = self.cluster.around(id, self.now);
        let blocked = around.blocked;
        let plan = plan(app.as_deref(), &references, &around);
        let deadlines = references.iter().filter_map(|instance| around.drain_of(instance)?.deadline);
        next = earlier(next, deadlines.filter(|deadline| *deadline > self.now).min());
        let (mut more, mut again) = (false, false);
        let moving = self.cluster.moving.len();
        let (mut killed, mut kept) = (false, None);
        for (instance, reason) in &plan.kill {
            let stays = app.as_ref().filter(|_| *reason == KillReason::Outdated).and_then(|app| self.stays(app, instance));
            if stays.is_some() {
                kept = kept.or(stays);
                continue;
            }
            killed = true;
            if *reason == KillReason::Surplus {
                self.spare_hold(instance);
            }
            self.stop_instance(instance, Goal::Decommissioned, reason.sentence());
        }
        if let Some(app) = &app {
            let waiting = references.iter().filter(|instance| instance.condition == Condition::Scheduled).count();
            let launch = plan.launch.min(SCHEDULED_MAX.saturating_sub(u32::try_from(waiting).unwrap_or(u32::MAX)));
            let stopped = self.stopped_instances(app, launch as usize);
            let mut ids = NewIds::of(&self.cluster.instances, &app.id);
            let fresh: Vec<Instance> = (stopped.len()..launch as usize)
                .map(|_| {
                    Instance::scheduled(ids.next(&self.cluster.instances, &app.id, &mut self.entropy), Arc::clone(app), self.now)
                })
                .collect();
            for (id, incarnation) in stopped {
                self.put_instance(Instance { incarnation, ..Instance::scheduled(id, Arc::clone(app), self.now) });
            }
            let held_back = plan.launch - launch;
            let (seated, left) = self.seat(app, fresh, held_back, blocked, seats);
            again = left && seated > 0;
            if std::mem::take(&mut self.spared) {
                next = earlier(next, Some(self.next_step()));
            }
            more = held_back > 0 && seated > 0;
            killed |= self.stop_if_room(app, &plan.kill_if_room, kept);
            // Moves that were given up leave a plan that was made with them.
            more |= self.cluster.moving.len() < moving;
        }
        if app.is_none() {
            self.cluster.stranded.remove(id);
            self.forget_promises(id);
        }
        if plan.done {
            self.note_done(id, app.is_none());
        }
        next = earlier(next, self.forget_replaced(id, app.as_ref()));
        // What this very call changed needs no second look, unless a kill freed a place.
        if !killed && !more {
            self.dirty_apps.remove(id);
        } else if more {
            self.dirty_apps.insert(id.clone());
        }
        (next, again)
    }

    /// Settles an app that has nothing to launch, to stop or to give up, without looking at its
    /// instances: most reports end here.
    fn settle_calm(&mut self, app: &App, calm: Calm) {
        self.cluster.stranded.remove(&app.id);
        self.cluster.pending.remove(&app.id);
        self.forget_promises(&app.id);
        if calm.serving == app.instances as usize && !self.cluster.around(&app.id, self.now).blocked {
            self.note_done(&app.id, false);
        }
        self.dirty_apps.remove(&app.id);
    }

    /// Stops instances that have to leave their nodes, as many as there are seats for elsewhere, which are kept
    /// for their successors. `kept`: why another one stays where it is.
    fn stop_if_room(&mut self, app: &Arc<App>, instances: &[InstanceId], kept: Option<Refusals>) -> bool {
        if instances.is_empty() {
            match kept {
                Some(refusals) => self.cluster.stranded.insert(app.id.clone(), Arc::new(refusals)),
                None => self.cluster.stranded.remove(&app.id),
            };
            return false;
        }
        if instances.iter().any(|id| self.cluster.moving.contains_key(id)) {
            let stopped = self.stop_for_target(app, instances, KillReason::Moved.sentence());
            match stopped.as_ref().err().or(kept.as_ref()) {
                Some(refusals) => self.cluster.stranded.insert(app.id.clone(), Arc::new(refusals.clone())),
                None => self.cluster.stranded.remove(&app.id),
            };
            return stopped.unwrap_or(false);
        }
        let (mut stopped, mut refusals) = (false, None);
        // Rules about the app's own instances look at those that stay: who moves is gone when its successor starts,
        // and each makes place for its own only.
        let at_once = if app.has_own_rules() { 1 } else { instances.len() };
        for some in instances.chunks(at_once) {
            let moving: Vec<Arc<Instance>> = some.iter().filter_map(|id| self.cluster.instances.get(id).cloned()).collect();
            for instance in &moving {
                self.ledger().release(instance);
            }
            // Those that are stopping have their seats already.
            let before = self.moving_in(&app.id);
            let (seats, refused) = self.find_seats(app, before + moving.len());
            for instance in &moving {
                self.ledger().allocate(instance);
            }
            let seats = moving.iter().zip(seats.get(before..).unwrap_or_default());
            for (instance, seat) in seats.filter(|(instance, seat)| instance.node() != Some(&seat.node)) {
                self.keep_room(app, &seat.node);
                self.stop_instance(&instance.id, Goal::Decommissioned, KillReason::Drained.sentence());
                stopped = true;
            }
            if refused.is_some() {
                refusals = refused;
                break;
            }
        }
        match refusals.or(kept) {
            Some(refusals) => self.cluster.stranded.insert(app.id.clone(), Arc::new(refusals)),
            None => self.cluster.stranded.remove(&app.id),
        };
        stopped
    }

    /// Takes an app that has reached its goal out of its deployments.
    fn note_done(&mut self, id: &AppId, removed: bool) {
        let waiting: Vec<Arc<Deployment>> =
            self.cluster.deployments.values().filter(|deployment| deployment.pending.contains(id)).cloned().collect();
        for deployment in waiting {
            let mut next = (*deployment).clone();
            next.pending.remove(id);
            let (before, after) = (deployment.current_step(), next.current_step());
            let next = Arc::new(next);
            for step in before..after {
                self.events.push(Event::DeploymentStepFinished { deployment: Arc::clone(&next), step });
            }
            if removed {
                self.events.push(Event::AppTerminated { app: id.clone() });
            }
            if next.pending.is_empty() {
                self.end_deployment(&next, true);
            } else {
                if before != after {
                    self.dirty_apps.extend(next.affected().cloned());
                }
                self.cluster.deployments.insert(next.id.as_str().into(), next);
            }
        }
    }
}
