//! Controllers: the real code, in processes that may stop and die.

use super::World;
use crate::judge::Judge;
use crate::process::Process;
use crate::store::{Client, Weather};
use orrery_controller::{Clock, Handle, LeaderOptions, Seeds, start};
use orrery_core::Timestamp;
use orrery_net::ZoneHandle;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a node may be away before it counts as lost.
const NODE_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Pause before a controller that could not start tries again.
const START_AGAIN: Duration = Duration::from_millis(300);

/// One controller, alive or not.
pub(crate) struct Controller {
    pub(crate) weather: Arc<Mutex<Weather>>,
    pub(crate) process: Option<Process>,
    handle: Arc<Mutex<Option<Handle>>>,
    lives: u64,
}

impl Controller {
    pub(crate) fn new() -> Self {
        Self { weather: Arc::default(), process: None, handle: Arc::default(), lives: 0 }
    }

    /// The handle of the living controller, when it serves.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_weather(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.weather.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl World {
    /// Starts controller `number`.
    pub(crate) fn start_controller(&self, number: usize) {
        let mut controllers = self.controllers();
        let slot = &mut controllers[number];
        if slot.process.is_some() {
            return;
        }
        slot.lives += 1;
        let name = format!("controller-{number}");
        let life = format!("{name}/{}", slot.lives);
        self.trace.note(&name, format_args!("starts"));
        let chance = self.chance.split(&life);
        let store = Client::new(
            &name,
            self.cell.clone(),
            Arc::clone(&slot.weather),
            chance.split("store"),
            self.trace.clone(),
            self.plan.planted,
        );
        let clock = Clock::starting_at(self.wall());
        let seeds = Seeds::repeating(chance.clone().next());
        let handle = Arc::clone(&slot.handle);
        let judge = self.judge.clone();
        *handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
        slot.process = Some(Process::start(async move {
            let stop = CancellationToken::new();
            loop {
                let options = LeaderOptions {
                    store: Arc::new(store.clone()),
                    zone: ZoneHandle::new(),
                    address: ([127, 0, 0, 1], 8080).into(),
                    node_timeout: NODE_TIMEOUT,
                    clock: clock.clone(),
                    entropy: seeds.clone(),
                };
                match start(options, stop.clone()).await {
                    Ok((leading, task)) => {
                        tokio::spawn(read(leading.clone(), name.clone(), judge.clone()));
                        *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(leading);
                        let _ = task.await;
                    }
                    Err(_) => tokio::time::sleep(START_AGAIN).await,
                }
            }
        }));
    }

    /// Kills controller `number`: its connections end, as far as the network lets that be known.
    pub(crate) fn kill_controller(&self, number: usize) {
        self.trace.note(&format!("controller-{number}"), format_args!("is killed"));
        let mut controllers = self.controllers();
        let slot = &mut controllers[number];
        if let Some(process) = slot.process.take() {
            process.kill();
        }
        *slot.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(controllers);
        self.network.reset_all(crate::network::Place::Controller(number));
    }

    /// The wall clock of this world.
    pub(crate) fn wall(&self) -> Timestamp {
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(super::WALL_START_MS + elapsed)
    }
}

/// Looks at everything a controller publishes.
async fn read(handle: Handle, name: String, judge: Judge) {
    let mut generation = handle.generation();
    while generation.changed().await.is_ok() {
        generation.borrow_and_update();
        judge.published(&name, &handle.cluster());
    }
}
