//! Simulated agents: they say at once that what they were told to run is running.

use super::controllers::Doors;
use orrery_controller::{AgentLink, Signs};
use orrery_core::assignment::{Down, Launch, PROTOCOL_VERSION, TaskReport, Up};
use orrery_core::instance::Condition;
use orrery_core::node::{NodeFacts, NodeId, PortRanges, Resources};
use orrery_core::{Scalar, TaskId, Timestamp};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Orders waiting for one agent, as in a real link.
const ORDERS_LIMIT: usize = 8_192;
/// Reports waiting for the leader.
const REPORTS_LIMIT: usize = 64;
/// Between signs of life, as a real agent gives them.
const SIGN_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);
/// Parts of that interval, in each of which a part of the agents gives its sign.
const SIGN_SLICES: usize = 20;
/// Before an agent that was cut off connects again.
const REJOIN_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// Orders taken at a time.
const ORDERS_BATCH: usize = 32;

/// What the agents of a fleet have seen, together.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Messages, snapshots included.
    pub(super) messages: AtomicU64,
    /// Connections that have ended.
    pub(super) connections: AtomicU64,
    /// Tasks they were told to run that they did not run before.
    pub(super) runs: AtomicU64,
    /// Bytes of the messages as JSON; only counted while `weighs` is set.
    pub(super) bytes: AtomicU64,
    /// Whether messages are weighed.
    pub(super) weighs: std::sync::atomic::AtomicBool,
    /// Nanoseconds since the fleet began when the last order to run arrived.
    pub(super) last_run: AtomicU64,
}

/// Agents in this process.
pub(super) struct Fleet {
    pub(super) seen: Arc<Seen>,
    pub(super) began: std::time::Instant,
    agents: Vec<JoinHandle<()>>,
    heart: Option<JoinHandle<()>>,
    links: Links,
}

/// Each agent's present connection, and where its signs of life are noted: a real connection does so where
/// it reads them.
type Links = Arc<Mutex<Vec<Option<(mpsc::WeakSender<Up>, Arc<Signs>)>>>>;

/// Gives the signs of life of all agents: a timer for each of them would be counted as the leader's.
async fn beat(links: Links) {
    let mut slices = tokio::time::interval(SIGN_INTERVAL / SIGN_SLICES as u32);
    for slice in (0..SIGN_SLICES).cycle() {
        slices.tick().await;
        let links = links.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = links.iter().skip(slice).step_by(SIGN_SLICES).flatten().filter(|(up, _)| up.strong_count() > 0);
        connected.for_each(|(_, signs)| signs.note());
    }
}

impl Fleet {
    /// Connects agents number `0..count`.
    pub(super) fn connect(doors: &Doors, count: u32) -> anyhow::Result<Self> {
        let links = Arc::new(Mutex::new(vec![None; count as usize]));
        let heart = Some(tokio::spawn(beat(Arc::clone(&links))));
        let mut fleet = Self { seen: Arc::default(), began: std::time::Instant::now(), agents: Vec::new(), heart, links };
        for number in 0..count {
            let agent = fleet.agent(doors, facts(number)?, number as usize);
            fleet.agents.push(agent);
        }
        Ok(fleet)
    }

    fn agent(&self, doors: &Doors, facts: NodeFacts, number: usize) -> JoinHandle<()> {
        let (doors, seen, began, links) = (doors.clone(), Arc::clone(&self.seen), self.began, Arc::clone(&self.links));
        tokio::spawn(async move {
            let mut tasks = BTreeMap::new();
            loop {
                if let Some(leader) = doors.leader() {
                    let (down, orders) = mpsc::channel(ORDERS_LIMIT);
                    let (up, reports) = mpsc::channel(REPORTS_LIMIT);
                    let signs = Arc::new(Signs::new());
                    let connection = Some((up.downgrade(), Arc::clone(&signs)));
                    links.lock().unwrap_or_else(PoisonError::into_inner)[number] = connection;
                    leader.attach(AgentLink { down, up: reports, signs });
                    drop(leader);
                    serve(facts.clone(), &mut tasks, orders, up, &seen, began).await;
                    seen.connections.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(REJOIN_PAUSE).await;
            }
        })
    }

    /// Cuts an agent's connection.
    pub(super) fn cut(&self, number: usize) {
        self.agents[number].abort();
    }

    /// Ends all agents; returns when what they held is given back.
    pub(super) async fn end(mut self) {
        let all: Vec<_> = std::mem::take(&mut self.agents).into_iter().chain(self.heart.take()).collect();
        all.iter().for_each(JoinHandle::abort);
        for ended in all {
            // Aborted, all of them.
            let _ = ended.await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for agent in self.agents.iter().chain(&self.heart) {
            agent.abort();
        }
    }
}

async fn serve(
    facts: NodeFacts,
    tasks: &mut BTreeMap<TaskId, Timestamp>,
    mut orders: mpsc::Receiver<Down>,
    up: mpsc::Sender<Up>,
    seen: &Seen,
    began: std::time::Instant,
) {
    let known = tasks.iter().map(|(task, at)| running(task, *at)).collect();
    let registration = Up::Register { protocol: PROTOCOL_VERSION, facts: Box::new(facts), tasks: known };
    if up.send(registration).await.is_err() {
        return;
    }
    let mut batch = Vec::new();
    while orders.recv_many(&mut batch, ORDERS_BATCH).await > 0 {
        seen.messages.fetch_add(batch.len() as u64, Ordering::Relaxed);
        if seen.weighs.load(Ordering::Relaxed) {
            let bytes: usize = batch.iter().map(|order| serde_json::to_vec(order).map_or(0, |bytes| bytes.len() + 4)).sum();
            seen.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        let told = |order: &Down| match order {
            Down::Launch { launch, .. } => launch.instances.len(),
            // One that was cut off meanwhile is told when it is back.
            Down::Snapshot { launches, .. } => {
                launches.iter().flat_map(Launch::tasks).filter(|task| !tasks.contains_key(task)).count()
            }
            _ => 0,
        };
        let runs = batch.iter().map(told).sum::<usize>() as u64;
        if runs > 0 {
            seen.last_run.fetch_max(began.elapsed().as_nanos() as u64, Ordering::SeqCst);
            seen.runs.fetch_add(runs, Ordering::SeqCst);
            // What it does now it would do on a machine of its own: others are told first.
            tokio::task::yield_now().await;
        }
        let mut reports = Vec::new();
        let at = now();
        for order in batch.drain(..) {
            match order {
                Down::Snapshot { launches, .. } => {
                    for task in launches.iter().flat_map(Launch::tasks) {
                        if let Entry::Vacant(vacant) = tasks.entry(task) {
                            reports.push(running(vacant.key(), at));
                            vacant.insert(at);
                        }
                    }
                }
                Down::Launch { launch, .. } => {
                    for task in launch.tasks() {
                        reports.push(running(&task, at));
                        tasks.insert(task, at);
                    }
                }
                Down::Stop { task, .. } => {
                    tasks.remove(&task);
                    reports.push(stopped(task, at));
                }
                Down::Run { .. }
                | Down::Forget { .. }
                | Down::Destroy { .. }
                | Down::Dismiss { .. }
                | Down::Controllers { .. } => {}
            }
        }
        if !reports.is_empty() && up.send(Up::Reports { tasks: reports }).await.is_err() {
            return;
        }
    }
}

pub(super) fn running(task: &TaskId, at: Timestamp) -> TaskReport {
    let container = task.instance().uuid().to_string();
    let sandbox = format!("/var/lib/orrery/agent/slaves/S0/frameworks/f/executors/{task}/runs/{container}");
    TaskReport {
        condition: Condition::Running,
        at,
        started_at: Some(at),
        container: Some(container),
        sandbox: Some(sandbox),
        ready: true,
        ..TaskReport::first(task.clone(), at)
    }
}

fn stopped(task: TaskId, at: Timestamp) -> TaskReport {
    let reason = Some(orrery_core::assignment::FailureReason::Stopped);
    TaskReport { condition: Condition::Killed, reason, ..TaskReport::first(task, at) }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn facts(number: u32) -> anyhow::Result<NodeFacts> {
    Ok(NodeFacts {
        port: 5051,
        resources: Resources {
            cpus: Scalar::from_units(32),
            mem: Scalar::from_units(131_072),
            disk: Scalar::from_units(1_000_000),
            ports: PortRanges::new([(20_000, 31_000)]),
            ..Resources::default()
        },
        attributes: BTreeMap::from([("rack".to_owned(), format!("r{}", number % 75))]),
        executors: vec!["process".into()],
        version: env!("CARGO_PKG_VERSION").into(),
        ..NodeFacts::new(
            NodeId::parse(&format!("0b5a8e0e-6a5c-4c3e-9d0f-3f2f6f0c7d11-S{number}"))?,
            format!("host-{number}.example.org"),
            std::net::Ipv4Addr::from(0x0a00_0000 + number).into(),
        )
    })
}
