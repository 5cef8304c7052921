//! Giving seats: which waiting instances start where, and what those that find none are told.

use super::Event;
use super::draft::Draft;
use super::draft_holds::Relaunch;
use super::draft_moves::Next;
use super::pending::Pending;
use crate::assignment::{Down, Launch, Launched, TaskReport, resolve};
use crate::instance::{Condition, Goal, Instance, Observed, Seat};
use crate::placement::Refusals;
use crate::{App, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Draft {
    /// Gives seats to the scheduled instances of `app`, as far as pauses and nodes allow; returns how
    /// many, and whether more might get one in another turn. `fresh` are instances that begin to exist
    /// now, `held_back` those that wait to be created. While an earlier step of the deployment
    /// `blocked` the app, what waited before the change goes on waiting.
    pub(super) fn seat(
        &mut self,
        app: &Arc<App>,
        fresh: Vec<Instance>,
        held_back: u32,
        blocked: bool,
        most: usize,
    ) -> (usize, bool) {
        let held_back = held_back as usize;
        let paused = self.cluster.delays.get(&app.id).is_some_and(|delay| delay.until > self.now);
        let known = self.waiting(app, blocked);
        if paused {
            // Instances that had been stable do not share the pause of the failing ones.
            let (ready, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(|instance| instance.excused);
            self.note_pending(app, rest.len() + fresh.len() + held_back, None);
            for instance in fresh {
                self.put_instance(instance);
            }
            self.limit_promises(&app.id, ready.len());
            return self.seat_waiting(app, ready, Vec::new(), None, most);
        }
        self.seat_waiting(app, known, fresh, Some(held_back), most)
    }

    /// The instances of `app` that wait for a node.
    fn waiting(&self, app: &App, blocked: bool) -> Vec<Arc<Instance>> {
        self.cluster
            .instances_of(&app.id)
            .filter(|instance| instance.condition == Condition::Scheduled && instance.goal == Goal::Running)
            .filter(|instance| {
                !blocked || instance.app.version_info.last_config_change_at == app.version_info.last_config_change_at
            })
            .cloned()
            .collect()
    }

    /// Seats `known` instances first, then `fresh` ones; notes how many wait, together with those
    /// `held_back`, unless that has been noted.
    fn seat_waiting(
        &mut self,
        app: &Arc<App>,
        mut known: Vec<Arc<Instance>>,
        fresh: Vec<Instance>,
        held_back: Option<usize>,
        most: usize,
    ) -> (usize, bool) {
        let Relaunch { seats: again, waiting: pinned, refusals: missing, left: more } = self.relaunch(app, &mut known, most);
        let (held_back, most) = (held_back.map(|held_back| held_back + pinned), most - again.len());
        let waiting = known.len() + fresh.len();
        if waiting == 0 {
            if let Some(held_back) = held_back {
                self.note_pending(app, held_back, missing);
                self.forget_promises(&app.id);
            }
            let count = again.len();
            self.launch(app, again);
            return (count, more);
        }
        // Each target is found with all seats before it taken.
        let moves_on = self.moves_on(&app.id);
        let most = if moves_on { most.min(1) } else { most };
        let wanted = waiting.min(most);
        let (allowed, mut over_quota) = self.within_quota(app, wanted);
        // Moving is no more than was there before: neither quotas nor guarantees hold up who takes the place of an
        // instance that leaves, or that has left already.
        let unsucceeded = self.unsucceeded(&app.id);
        let (to_targets, mut leaving): (Vec<_>, Vec<_>) = unsucceeded.into_iter().partition(|id| self.has_target(id));
        let moving_in = self.moving_in(&app.id);
        let next = if moves_on && allowed + moving_in + to_targets.len() > 0 {
            self.next_move(app, allowed > 0)
        } else {
            Next::Anywhere
        };
        let allowed = allowed.max((leaving.len() + moving_in).min(wanted));
        let beside = if let Next::Anywhere = next { self.seats_beside_avoided(app, allowed) } else { Vec::new() };
        let partly = !beside.is_empty() && beside.len() < allowed;
        let (seats, refusals) = match next {
            Next::Seat(seat, moved) => {
                leaving = moved.into_iter().collect();
                (vec![seat], None)
            }
            Next::Anywhere if !beside.is_empty() => (beside, None),
            Next::Anywhere if allowed > 0 => self.find_seats(app, allowed),
            Next::Anywhere | Next::Waits => (Vec::new(), None),
        };
        let found = seats.len();
        if allowed == 0
            && let Some(over_quota) = &mut over_quota
        {
            self.say_what_else(app, over_quota);
        }
        let mut launched = again;
        let mut seats = seats.into_iter();
        let known = known.into_iter().map(|instance| (true, (*instance).clone()));
        for (is_known, instance) in known.chain(fresh.into_iter().map(|instance| (false, instance))) {
            let Some(seat) = seats.next() else {
                if !is_known {
                    self.put_instance(instance);
                }
                continue;
            };
            let started = self.start(app, instance, seat);
            if let Some(left) = leaving.pop() {
                self.cluster.successors.insert(left, started.id.clone());
            }
            launched.push(started);
        }
        let left = more || partly || found == wanted && found < waiting;
        if allowed < wanted {
            // Room that the app may not take is not kept from others.
            self.limit_promises(&app.id, allowed.saturating_sub(found));
        }
        let refusals =
            refusals.map(|refusals| self.preempt(app, allowed.saturating_sub(found), refusals)).or(over_quota).or(missing);
        if waiting == found {
            self.forget_promises(&app.id);
        }
        let count = launched.len();
        self.launch(app, launched);
        if let Some(held_back) = held_back {
            self.note_pending(app, waiting - found + held_back, refusals);
        }
        (count, left)
    }

    /// Adds to the hint what nodes would refuse beside the quota.
    fn say_what_else(&mut self, app: &Arc<App>, over_quota: &mut Refusals) {
        let refused = self.find_seats(app, 1).1.and_then(|refused| refused.hint);
        let also = refused.as_deref().and_then(|hint| hint.strip_prefix("it would fit "));
        if let (Some(hint), Some(also)) = (&mut over_quota.hint, also) {
            *hint = format!("{hint} and {also}");
        }
    }

    /// Gives an instance its seat.
    pub(super) fn start(&mut self, app: &Arc<App>, instance: Instance, seat: Seat) -> Arc<Instance> {
        let (node, incarnation) = (seat.node.clone(), instance.incarnation + 1);
        self.take_hold(&instance.id, app, &node, incarnation);
        self.keep_age(&app.id, &instance.id);
        self.keep_promise(&app.id, &node);
        self.started.insert(app.id.clone());
        self.put_instance(Instance {
            app: Arc::clone(app),
            incarnation,
            seat: Some(seat),
            condition: Condition::Staging,
            since: self.now,
            staged_at: self.now,
            excused: false,
            observed: Observed::default(),
            ..instance
        })
    }

    /// Orders nodes to run what has just got a seat there: one order for each node.
    fn launch(&mut self, app: &Arc<App>, instances: Vec<Arc<Instance>>) {
        // What cannot be run depends on the definition, so that one launch tells for all.
        let refused = instances.first().and_then(|first| resolve(app, &Launched::of(first)?, "").err());
        let mut orders: BTreeMap<NodeId, Vec<Launched>> = BTreeMap::new();
        for instance in instances {
            let (Some(node), Some(launched)) = (instance.node().cloned(), Launched::of(&instance)) else { continue };
            if let Some(message) = &refused {
                self.observe(&node, TaskReport::unlaunchable(instance.task_id(), self.now, message.clone()));
                continue;
            }
            orders.entry(node).or_default().push(launched);
            self.events.push(Event::TaskChanged { instance, message: String::new() });
        }
        for (node, instances) in orders {
            let launch = Launch { app: Arc::clone(app), instances };
            self.orders.push((node, Down::Launch { epoch: self.epoch, launch }));
        }
    }

    pub(super) fn find_seats(&mut self, app: &Arc<App>, count: usize) -> (Vec<crate::instance::Seat>, Option<Refusals>) {
        let salt = self.entropy.next_number();
        let strategy = app.placement.strategy.unwrap_or_default();
        self.ledger_for(app).place_batch(app, count, strategy, salt)
    }

    fn note_pending(&mut self, app: &App, count: usize, refusals: Option<Refusals>) {
        if count == 0 {
            self.cluster.pending.remove(&app.id);
            return;
        }
        let before = self.cluster.pending.get(&app.id);
        let attempts = before.map_or(0, |before| before.attempts) + u64::from(refusals.is_some());
        let refusals = refusals.or_else(|| before.and_then(|before| before.refusals.clone()));
        let since = before.map_or(self.now, |before| before.since);
        self.cluster.pending.insert(app.id.clone(), Arc::new(Pending { since, count: count as u32, refusals, attempts }));
    }
}
