//! Controllers of one process on one store, that reach each other by memory.

use crate::faulty::Gate;
use axum::body::Body;
use axum::http::{Request, Response};
use orrery_controller::{
    Clock, ControlError, ControllerOptions, ControllerRecord, Handle, LeaderRecord, Peers, ReplicaStream, Seeds, StartError,
    Versions, start_controller,
};
use orrery_core::cluster::AppEdit;
use orrery_core::{App, AppId};
use orrery_net::ZoneHandle;
use orrery_store::{Embedded, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ends a test that hangs; far above what anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Shortest that a store grants.
const TTL: Duration = Duration::from_secs(1);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it happens before the test is given up")
}

pub(crate) async fn create(handle: &Handle, id: &str) -> Result<(), ControlError> {
    let mut app = App::new(AppId::parse(id).unwrap());
    app.cmd = Some("true".into());
    handle.edit(move |draft| draft.edit(vec![AppEdit::Create(app)], false, "")).await.map(drop)
}

type Handles = Arc<Mutex<BTreeMap<String, Handle>>>;

/// Reaches a controller by its URL.
struct Local(Handles);

#[async_trait::async_trait]
impl Peers for Local {
    async fn replica(&self, leader: &LeaderRecord) -> std::io::Result<ReplicaStream> {
        let name = leader.controller.url.trim_start_matches("local://");
        let handle = self.0.lock().unwrap().get(name).cloned();
        let handle = handle.ok_or_else(|| std::io::Error::other("it is not there"))?;
        handle.replica().await.ok_or_else(|| std::io::Error::other("it does not lead"))
    }
    async fn forward(&self, _: &LeaderRecord, _: Request<Body>) -> std::io::Result<Response<Body>> {
        Err(std::io::Error::other("nobody forwards here"))
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
    gate: Arc<Gate>,
}

pub(crate) struct World {
    pub(crate) store: Arc<Embedded>,
    handles: Handles,
    running: BTreeMap<String, Running>,
    /// Counts starts and stops, so that whoever looks for the leader looks again.
    changed: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Embedded::in_memory().unwrap());
        Self { store, handles: Handles::default(), running: BTreeMap::new(), changed: watch::Sender::new(0) }
    }

    pub(crate) async fn start(&mut self, id: &str) {
        self.try_start(id, None).await.unwrap();
    }

    pub(crate) async fn try_start(&mut self, id: &str, cluster_id: Option<&str>) -> Result<(), StartError> {
        self.try_start_as(id, id, cluster_id).await
    }

    /// Starts a controller called `name` with the id `id`.
    pub(crate) async fn try_start_as(&mut self, name: &str, id: &str, cluster_id: Option<&str>) -> Result<(), StartError> {
        let gate = Arc::new(Gate::new(Arc::clone(&self.store)));
        let stop = CancellationToken::new();
        let options = ControllerOptions {
            me: ControllerRecord {
                id: id.into(),
                url: format!("local://{name}"),
                address: "127.0.0.1:1".parse().unwrap(),
                protocol: Versions::spoken(),
            },
            store: Arc::clone(&gate) as Arc<dyn Store>,
            zone: ZoneHandle::new(),
            silence_limit: Duration::from_secs(5),
            clock: Clock::system(),
            entropy: Seeds::repeating(name.bytes().map(u64::from).sum()),
            lease_ttl: Some(TTL),
            peers: Arc::new(Local(Arc::clone(&self.handles))),
            cluster_id: cluster_id.map(str::to_owned),
        };
        let (handle, task) = soon(start_controller(options, stop.clone())).await?;
        self.handles.lock().unwrap().insert(name.into(), handle);
        self.running.insert(name.into(), Running { stop, task, gate });
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    pub(crate) async fn stop(&mut self, id: &str) {
        let running = self.running.remove(id).unwrap();
        running.stop.cancel();
        soon(running.task).await.unwrap().unwrap();
        self.handles.lock().unwrap().remove(id);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until a controller ends by itself.
    pub(crate) async fn end(&mut self, name: &str) -> Result<(), StartError> {
        let ended = soon(self.running.remove(name).unwrap().task).await.unwrap();
        self.handles.lock().unwrap().remove(name);
        self.changed.send_modify(|count| *count += 1);
        ended
    }

    /// Ends a controller as a kill does: it gives nothing back.
    pub(crate) async fn kill(&mut self, name: &str) {
        let running = self.running.remove(name).unwrap();
        running.gate.close();
        running.stop.cancel();
        soon(running.task).await.unwrap().unwrap();
        self.handles.lock().unwrap().remove(name);
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn handle(&self, id: &str) -> Handle {
        self.handles.lock().unwrap()[id].clone()
    }

    pub(crate) fn gate(&self, id: &str) -> Arc<Gate> {
        Arc::clone(&self.running[id].gate)
    }

    /// Waits until one leads.
    pub(crate) async fn leader(&self) -> String {
        self.leader_but("").await
    }

    pub(crate) async fn leader_but(&self, other: &str) -> String {
        soon(leading(&self.handles, &self.changed, other)).await.0
    }

    /// Waits until a controller shows `generation`.
    pub(crate) async fn reaches(&self, id: &str, generation: u64) {
        let mut shown = self.handle(id).generation();
        soon(shown.wait_for(|shown| *shown >= generation)).await.unwrap();
    }

    /// Creates apps, one after the other, through whoever leads, until it is told to stop.
    pub(crate) fn write_until_told(&self) -> Writer {
        let (handles, changed) = (Arc::clone(&self.handles), self.changed.clone());
        let acknowledged = watch::Sender::new(BTreeSet::new());
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
            async move {
                let mut number = 0;
                while !stop.is_cancelled() {
                    let (_, handle) = leading(&handles, &changed, "").await;
                    let name = format!("/w{number}");
                    number += 1;
                    if create(&handle, &name).await.is_ok() {
                        acknowledged.send_modify(|all: &mut BTreeSet<String>| all.extend([name]));
                    }
                }
            }
        });
        Writer { acknowledged, stop, task }
    }
}

async fn leading(handles: &Handles, changed: &watch::Sender<u64>, but: &str) -> (String, Handle) {
    let mut changed = changed.subscribe();
    loop {
        changed.mark_unchanged();
        let all: Vec<(String, Handle)> = handles
            .lock()
            .unwrap()
            .iter()
            .filter(|(id, _)| *id != but)
            .map(|(id, handle)| (id.clone(), handle.clone()))
            .collect();
        if let Some(found) = all.iter().find(|(_, handle)| handle.leads()) {
            return found.clone();
        }
        let mut roles: Vec<_> = all.iter().map(|(_, handle)| handle.role()).collect();
        let any = futures::future::select_all(roles.iter_mut().map(|role| Box::pin(role.changed())));
        // A role may have changed between the look and the wait, hence the bound.
        tokio::select! {
            _ = any => {}
            _ = changed.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

pub(crate) struct Writer {
    acknowledged: watch::Sender<BTreeSet<String>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.borrow().len()
    }

    pub(crate) async fn acknowledges(&self, count: usize) {
        self.acknowledged.subscribe().wait_for(|all| all.len() >= count).await.unwrap();
    }

    pub(crate) async fn finish(self) -> BTreeSet<String> {
        self.stop.cancel();
        soon(self.task).await.unwrap();
        self.acknowledged.borrow().clone()
    }
}
