//! Controllers: the real code, in processes that may stop and die.

use super::World;
use super::peers::SimulatedPeers;
use crate::judge::Judge;
use crate::network::Place;
use crate::process::Process;
use crate::store::{Client, Weather};
use orrery_controller::{Clock, ControllerOptions, ControllerRecord, Handle, LEASE_TTL, Seeds, Versions, start_controller};
use orrery_core::Timestamp;
use orrery_net::ZoneHandle;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a node may be silent before it counts as lost.
const SILENCE_LIMIT: Duration = Duration::from_millis(2_500);
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

    /// Whether it runs: neither dead nor stopped.
    pub(crate) fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.is_stopped())
    }
}

/// The id of controller `number`.
fn id(number: usize) -> String {
    format!("controller-{number}")
}

/// The number of a controller by its id.
pub(crate) fn number_of(id: &str) -> Option<usize> {
    id.strip_prefix("controller-")?.parse().ok()
}

impl World {
    /// Starts controller `number`, if it does not live.
    pub(crate) fn start_controller(&self, number: usize) {
        let mut controllers = self.controllers();
        let slot = &mut controllers[number];
        if slot.process.is_some() {
            return;
        }
        slot.lives += 1;
        let life = format!("{}/{}", id(number), slot.lives);
        self.trace.note(&life, format_args!("starts"));
        let chance = self.chance.split(&life);
        let way = (Arc::clone(&slot.weather), chance.split("store"));
        let store = Client::new(&life, self.cell.clone(), way, self.judge.clone(), self.trace.clone(), self.plan.planted);
        let clock = Clock::starting_at(self.wall());
        let seeds = Seeds::repeating(chance.clone().next());
        let handle = Arc::new(Mutex::new(None));
        slot.handle = Arc::clone(&handle);
        let judge = self.judge.clone();
        let me = ControllerRecord {
            id: id(number),
            url: format!("simulated://{number}"),
            address: ([10, 1, 0, number as u8], 8080).into(),
            protocol: Versions::spoken(),
        };
        let peers = Arc::new(SimulatedPeers::new(self.clone(), number, chance.split("peers")));
        slot.process = Some(Process::start(async move {
            loop {
                let options = ControllerOptions {
                    me: me.clone(),
                    store: Arc::new(store.clone()),
                    zone: ZoneHandle::new(),
                    silence_limit: SILENCE_LIMIT,
                    clock: clock.clone(),
                    entropy: seeds.clone(),
                    lease_ttl: Some(LEASE_TTL),
                    peers: Arc::clone(&peers) as _,
                    cluster_id: None,
                };
                match start_controller(options, CancellationToken::new()).await {
                    Ok((serving, task)) => {
                        tokio::spawn(read(serving.clone(), life.clone(), judge.clone()));
                        *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
                        let ended = task.await;
                        judge.object(format!("{life} ended: {ended:?}"));
                    }
                    Err(_) => tokio::time::sleep(START_AGAIN).await,
                }
            }
        }));
    }

    /// Kills controller `number`: its connections end, as far as the network lets that be known.
    pub(crate) fn kill_controller(&self, number: usize) {
        self.trace.note(&id(number), format_args!("is killed"));
        let mut controllers = self.controllers();
        let slot = &mut controllers[number];
        if let Some(process) = slot.process.take() {
            process.kill();
        }
        *slot.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(controllers);
        self.network.reset_all(Place::Controller(number));
    }

    /// The way to whoever leads by the belief of controller `number`, through it.
    pub(crate) fn leader_through(&self, number: usize) -> Option<(usize, Handle)> {
        let controllers = self.controllers();
        let asked = controllers[number].handle()?;
        if asked.leads() {
            return Some((number, asked));
        }
        let leader = number_of(&asked.leader()?.controller.id).filter(|leader| *leader != number)?;
        Some((leader, controllers[leader].handle()?))
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
    loop {
        generation.borrow_and_update();
        judge.published(&name, &handle.cluster());
        if generation.changed().await.is_err() {
            return;
        }
    }
}
