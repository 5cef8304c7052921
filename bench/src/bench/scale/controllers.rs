//! Controllers in this process, each on threads of its own, so that one can die.

use crate::peer::Etcd;
use anyhow::Context as _;
use async_trait::async_trait;
use axum::body::Body;
use http::{Request, Response};
use orrery_controller::{
    Clock, ControllerOptions, ControllerRecord, Handle, LEASE_TTL, LeaderRecord, Peers, ReplicaStream, Seeds, StartError,
    Versions, start_controller,
};
use orrery_core::cluster::Cluster;
use orrery_core::instance::Condition;
use orrery_net::ZoneHandle;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a node may be away.
const NODE_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a cluster may stand still before the bench says what it waits for.
const PROGRESS: Duration = Duration::from_secs(3);
/// Threads of a controller.
const THREADS: usize = 2;
/// Name of all threads of controllers, by which their CPU time is told from that of the agents.
const THREAD_NAME: &str = "controller";
/// A thread that has ended would take its CPU time with it.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(3_600);

/// CPU time that the threads of all controllers have used so far, seconds.
pub(super) fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |thread: std::fs::DirEntry| {
        let name = std::fs::read_to_string(thread.path().join("comm")).ok()?;
        if name.trim_end() != THREAD_NAME {
            return None;
        }
        // The first number is the time on a processor in nanoseconds.
        let spent = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        spent.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.filter_map(of).sum::<u64>() as f64 / 1e9
}

/// The controllers that live, by id: their agents and each other's way to them.
#[derive(Clone, Default)]
pub(super) struct Doors(Arc<Mutex<BTreeMap<String, Handle>>>);

impl Doors {
    fn of(&self, id: &str) -> Option<Handle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The controller that leads.
    pub(super) fn leader(&self) -> Option<Handle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().find(|handle| handle.leads()).cloned()
    }
}

#[async_trait]
impl Peers for Doors {
    async fn replica(&self, leader: &LeaderRecord) -> Result<ReplicaStream> {
        // Who is dead does not listen.
        let handle = self.of(&leader.controller.id).ok_or(ErrorKind::ConnectionRefused)?;
        handle.replica().await.ok_or_else(|| Error::other("it does not lead"))
    }

    async fn forward(&self, _: &LeaderRecord, _: Request<Body>) -> Result<Response<Body>> {
        Err(Error::other("nothing is forwarded here"))
    }
}

/// A living controller.
pub(super) struct Controller {
    id: String,
    pub(super) handle: Handle,
    doors: Doors,
    /// None once it has ended.
    runtime: Option<Runtime>,
    stop: CancellationToken,
    task: JoinHandle<std::result::Result<(), StartError>>,
}

impl Controller {
    /// Starts controller `number`; returns when it leads or follows.
    pub(super) async fn start(number: u16, doors: &Doors, etcd: &Etcd) -> anyhow::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(THREADS).thread_name(THREAD_NAME).thread_keep_alive(THREAD_KEEP_ALIVE);
        let runtime = runtime.enable_all().build()?;
        let (id, stop) = (format!("controller-{number}"), CancellationToken::new());
        let me = ControllerRecord {
            id: id.clone(),
            url: format!("bench://{number}"),
            address: ([127, 0, 0, 1], 8_080 + number).into(),
            protocol: Versions::spoken(),
        };
        let connecting = etcd.connecting();
        let (peers, stopping) = (Arc::new(doors.clone()), stop.clone());
        // All of it lives on the controller's threads, its connections to the store too.
        let started = runtime.spawn(async move {
            let options = ControllerOptions {
                me,
                store: Arc::new(connecting.await?),
                zone: ZoneHandle::new(),
                silence_limit: NODE_TIMEOUT,
                clock: Clock::system(),
                entropy: Seeds::random(),
                lease_ttl: Some(LEASE_TTL),
                peers,
                cluster_id: None,
            };
            anyhow::Ok(start_controller(options, stopping).await?)
        });
        let (handle, task) = started.await??;
        doors.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), handle.clone());
        Ok(Self { id, handle, doors: doors.clone(), runtime: Some(runtime), stop, task })
    }

    fn leave(&self) {
        self.doors.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }

    /// Ends as a killed process does: nothing is said to anybody.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// Ends in order; returns when its threads have ended and all its memory is given back.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.leave();
        self.stop.cancel();
        (&mut self.task).await??;
        let runtime = self.runtime.take();
        drop(self);
        let ended = tokio::task::spawn_blocking(move || runtime.map(|runtime| runtime.shutdown_timeout(PATIENCE)));
        ended.await?;
        Ok(())
    }

    /// Waits until what it shows is as wanted.
    pub(super) async fn until(&self, what: &str, wanted: impl Fn(&Cluster) -> bool) -> anyhow::Result<()> {
        let mut generation = self.handle.generation();
        let reached = async {
            while !wanted(&self.handle.cluster()) {
                let changed = tokio::time::timeout(PROGRESS, generation.changed()).await;
                let Ok(changed) = changed else {
                    tell(&self.handle.cluster(), what);
                    continue;
                };
                changed?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, reached).await.with_context(|| format!("waited too long until {what}"))?
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.leave();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Says what a cluster that does not move waits for.
#[expect(clippy::print_stderr, reason = "beside the figures")]
fn tell(cluster: &Cluster, what: &str) {
    let mut conditions = BTreeMap::<Condition, usize>::new();
    for instance in cluster.instances.values() {
        *conditions.entry(instance.condition).or_default() += 1;
    }
    let active = cluster.nodes.len() - cluster.away.len();
    let (deployments, unsettled) = (cluster.deployments.len(), cluster.unsettled.len());
    let pending = cluster.pending.values().next();
    eprintln!(
        "still waiting until {what}: generation {}, instances {conditions:?}, {active} nodes active, {deployments} deployments, \
         {unsettled} apps unsettled, pending {pending:?}",
        cluster.generation
    );
}
