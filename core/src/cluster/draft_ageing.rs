//! What waiting is worth: an app that waits comes earlier by and by, and what it got by waiting it keeps for a
//! while against more important ones.

use super::draft::Draft;
use crate::instance::Instance;
use crate::{AppId, InstanceId, Timestamp};

/// Milliseconds of waiting that count as one step of priority, and after which a seat has lost one.
const STEP_MS: i64 = 60_000;
/// Most steps of priority that waiting is worth: more than any priority given.
const STEPS_MAX: i64 = 2_001;
/// Most steps that a seat keeps of the waiting for it: an app that always waits for more instances would
/// otherwise be safe from everybody.
const KEPT_MAX: i64 = 10;
/// Most seats of which it is known that they were waited for; others keep nothing.
const SEATS_MAX: usize = 10_000;

/// A seat that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitedFor {
    /// Steps of priority that the waiting was worth.
    steps: i64,
    /// When it was given.
    at: Timestamp,
}

impl WaitedFor {
    /// Steps that are left of it.
    const fn left(self, now: Timestamp) -> i64 {
        self.steps - now.millis_since(self.at) / STEP_MS
    }
}

impl Draft {
    /// Steps of priority that an app has by waiting.
    pub(super) fn age(&self, app: &AppId) -> i64 {
        let since = self.cluster.pending.get(app).map_or(self.now, |pending| pending.since);
        (self.now.millis_since(since) / STEP_MS).clamp(0, STEPS_MAX)
    }

    /// An instance of an app gets a seat for which it may have waited.
    pub(super) fn keep_age(&mut self, app: &AppId, id: &InstanceId) {
        let waited_for = WaitedFor { steps: self.age(app).min(KEPT_MAX), at: self.now };
        if waited_for.steps == 0 {
            return;
        }
        let seats = &mut self.cluster.waited_for;
        // At the limit all are looked at, once a step.
        if seats.len() >= SEATS_MAX && !std::mem::replace(&mut self.ages_tidied, true) {
            *seats = seats.iter().filter(|(_, seat)| seat.left(self.now) > 0).map(|(id, seat)| (id.clone(), *seat)).collect();
        }
        if seats.len() < SEATS_MAX {
            seats.insert(id.clone(), waited_for);
        }
    }

    /// What an instance weighs against others: the priority of its app, and what is left of its waiting.
    pub(super) fn weight(&self, instance: &Instance) -> i64 {
        let left = self.cluster.waited_for.get(&instance.id).map_or(0, |waited_for| waited_for.left(self.now).max(0));
        i64::from(instance.app.placement.priority) + left
    }

    /// When waiting will have become worth one step more.
    pub(super) const fn next_step(&self) -> Timestamp {
        self.now.plus_millis(STEP_MS)
    }
}
