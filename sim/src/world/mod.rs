//! One simulation: a world with a store, controllers, machines, clients and faults, from its seed to
//! the verdict.

mod clients;
mod controllers;
mod faults;
mod machines;
mod peers;
mod plan;
mod settle;

pub use plan::{Fault, Plan};

use crate::chance::Chance;
use crate::judge::Judge;
use crate::network::Network;
use crate::store::{Cell, Weather};
use crate::trace::Trace;
use controllers::Controller;
use machines::Slot;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The wall clock when a simulation begins: any time will do.
const WALL_START_MS: i64 = 1_700_000_000_000;

/// A world. Clones are the same one.
#[derive(Clone)]
pub(crate) struct World {
    plan: Arc<Plan>,
    chance: Chance,
    trace: Trace,
    judge: Judge,
    cell: Cell,
    network: Network,
    began: Instant,
    stormy: Arc<AtomicBool>,
    controllers: Arc<Mutex<Vec<Controller>>>,
    machines: Arc<Mutex<Vec<Slot>>>,
}

impl World {
    fn controllers(&self) -> MutexGuard<'_, Vec<Controller>> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machines(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether faults and clients go on.
    fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::SeqCst)
    }

    /// Sleeps, but not longer than the storm.
    async fn sleep_in_storm(&self, time: Duration) {
        let end = self.began + Duration::from_secs(self.plan.seconds);
        tokio::time::sleep_until((Instant::now() + time).min(end)).await;
    }
}

/// How a simulation went.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// Hash of the trace.
    pub hash: u64,
    /// Lines of the trace.
    pub events: u64,
    /// Virtual milliseconds it took.
    pub millis: u64,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// The end of the trace, or all of it when that was asked for.
    pub lines: Vec<String>,
}

/// Runs a plan on a runtime of its own, on this thread. `whole`: keeps the whole trace.
pub fn simulate(plan: Plan, whole: bool) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    // Building it opens nothing but memory.
    let runtime = runtime.unwrap_or_else(|error| unreachable!("a runtime without input and output: {error}"));
    runtime.block_on(run(plan, whole))
}

async fn run(plan: Plan, whole: bool) -> Verdict {
    let chance = Chance::new(plan.seed);
    let trace = Trace::start(whole);
    let judge = Judge::new(trace.clone());
    let cell = Cell::start();
    let witness = judge.clone();
    cell.observe(Box::new(move |revision, state| witness.revision(revision, state)), trace.clone());
    let world = World {
        chance: chance.clone(),
        network: Network::new(chance.split("network")),
        controllers: Arc::new(Mutex::new((0..plan.controllers).map(|_| Controller::new()).collect())),
        machines: Arc::default(),
        plan: Arc::new(plan),
        trace: trace.clone(),
        judge: judge.clone(),
        cell,
        began: Instant::now(),
        stormy: Arc::new(AtomicBool::new(true)),
    };
    (0..world.plan.controllers).for_each(|number| world.start_controller(number));
    (0..world.plan.machines).for_each(|number| world.start_machine(number));
    let requests = Arc::new(AtomicU64::new(1));
    for number in 0..world.plan.apps {
        tokio::spawn(clients::run(world.clone(), number, Arc::clone(&requests)));
    }
    for (fault, rate) in world.plan.rates.clone() {
        tokio::spawn(faults::run(world.clone(), fault, rate));
    }
    tokio::time::sleep(Duration::from_secs(world.plan.seconds)).await;
    world.stormy.store(false, Ordering::SeqCst);
    world.settle().await;
    // What runs in a world knows the world.
    drop((std::mem::take(&mut *world.controllers()), std::mem::take(&mut *world.machines())));
    Verdict {
        seed: world.plan.seed,
        hash: trace.hash(),
        events: trace.events(),
        millis: world.began.elapsed().as_millis() as u64,
        violations: judge.violations(),
        lines: trace.lines(),
    }
}

impl Weather {
    /// Takes the faults that `changed` names away again.
    fn calm(&mut self, changed: &Self) {
        let good = Self::default();
        let flag = |mine: &mut bool, theirs: bool| *mine = *mine && !theirs;
        flag(&mut self.requests_cut, changed.requests_cut);
        flag(&mut self.answers_cut, changed.answers_cut);
        flag(&mut self.quorum_lost, changed.quorum_lost);
        let rate = |mine: &mut u32, theirs: u32, good: u32| {
            if theirs > 0 {
                *mine = good;
            }
        };
        rate(&mut self.loses_request, changed.loses_request, good.loses_request);
        rate(&mut self.loses_answer, changed.loses_answer, good.loses_answer);
        rate(&mut self.slow, changed.slow, good.slow);
        rate(&mut self.stale, changed.stale, good.stale);
        rate(&mut self.refuses, changed.refuses, good.refuses);
        rate(&mut self.watch_loses, changed.watch_loses, good.watch_loses);
        rate(&mut self.watch_repeats, changed.watch_repeats, good.watch_repeats);
        rate(&mut self.watch_breaks, changed.watch_breaks, good.watch_breaks);
    }
}
