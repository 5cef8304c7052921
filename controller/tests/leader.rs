//! The leader with a store that refuses.

use orrery_controller::{AgentLink, Clock, ControlError, Handle, LeaderOptions, Seeds, start};
use orrery_core::assignment::{Down, PROTOCOL_VERSION, TaskReport, Up};
use orrery_core::cluster::{AppEdit, Cluster};
use orrery_core::instance::Condition;
use orrery_core::node::{NodeFacts, NodeStatus, PortRanges, Resources};
use orrery_core::{App, AppId, NodeId, Scalar, Timestamp};
use orrery_net::ZoneHandle;
use orrery_store::{Embedded, Entry, Error, LeaseId, LeaseTime, Range, Result, Revision, Store, Transaction, WatchStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio_util::sync::CancellationToken;

struct Moody {
    inner: Embedded,
    refuses: AtomicBool,
}

#[async_trait::async_trait]
impl Store for Moody {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.inner.get(key).await
    }
    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        self.inner.range(prefix, at, limit, start_after).await
    }
    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::Conflict { key: "/".into() });
        }
        self.inner.transact(transaction).await
    }
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        self.inner.watch(prefix, from).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.inner.grant(ttl).await
    }
    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.inner.keep_alive(lease).await
    }
    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.inner.remaining(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.inner.revoke(lease).await
    }
    async fn compact(&self, revision: Revision) -> Result<()> {
        self.inner.compact(revision).await
    }
    async fn revision(&self) -> Result<Revision> {
        self.inner.revision().await
    }
}

fn facts(number: u32) -> NodeFacts {
    NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(4),
            mem: Scalar::from_units(4096),
            disk: Scalar::from_units(4096),
            ports: PortRanges::new([(31000, 31020)]),
            ..Resources::default()
        },
        executors: vec!["process".into()],
        ..NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), format!("h{number}"), "127.0.0.1".parse().unwrap())
    }
}

async fn until(handle: &Handle, what: impl Fn(&Cluster) -> bool) {
    let mut generation = handle.generation();
    while !what(&handle.cluster()) {
        generation.changed().await.unwrap();
    }
}

fn has(status: NodeStatus) -> impl Fn(&Cluster) -> bool {
    move |cluster| cluster.nodes.values().any(|node| node.status == status)
}

async fn register(handle: &Handle, number: u32) -> (mpsc::Sender<Up>, mpsc::Receiver<Down>) {
    let (down, orders) = mpsc::channel(64);
    let (up, reports) = mpsc::channel(64);
    handle.attach(AgentLink { down, up: reports, signs: Arc::default() });
    let registration = Up::Register { protocol: PROTOCOL_VERSION, facts: Box::new(facts(number)), tasks: Vec::new() };
    up.send(registration).await.unwrap();
    (up, orders)
}

fn options(store: Arc<dyn Store>, node_timeout: Duration) -> LeaderOptions {
    LeaderOptions {
        store,
        zone: ZoneHandle::new(),
        address: "127.0.0.1:8080".parse().unwrap(),
        node_timeout,
        clock: Clock::system(),
        entropy: Seeds::random(),
    }
}

#[tokio::test]
async fn a_node_that_goes_while_the_store_refuses_counts_as_lost() {
    let store = Arc::new(Moody { inner: Embedded::in_memory().unwrap(), refuses: AtomicBool::new(false) });
    let options = options(Arc::clone(&store) as Arc<dyn Store>, Duration::from_secs(2));
    let (handle, _leading) = start(options, CancellationToken::new()).await.unwrap();
    let (up, mut orders) = register(&handle, 0).await;
    let signs = up.clone();
    let alive = tokio::spawn(async move {
        while signs.send(Up::Heartbeat).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    until(&handle, has(NodeStatus::Active)).await;

    store.refuses.store(true, Ordering::SeqCst);
    let mut app = App::new(AppId::parse("/a").unwrap());
    app.cmd = Some("true".into());
    let refused = handle.edit(|draft| draft.edit(vec![AppEdit::Create(app)], false, "")).await;
    assert!(matches!(refused, Err(ControlError::Store(_))), "{refused:?}");
    assert!(matches!(orders.recv().await, Some(Down::Snapshot { .. })));
    assert_eq!(orders.try_recv(), Err(TryRecvError::Empty), "what was only asked is answered, and cuts nobody off");
    // What a node told is lost with the step, and with it what others told: all are cut off, so that they
    // tell everything again. The first never does.
    let (_other, mut others_orders) = register(&handle, 1).await;
    assert_eq!(others_orders.recv().await, None);
    while orders.recv().await.is_some() {}
    store.refuses.store(false, Ordering::SeqCst);
    alive.abort();
    drop(up);
    // Without a loss in time this waits for ever and the test runner ends it.
    until(&handle, has(NodeStatus::Unreachable)).await;
    assert!(handle.cluster().apps.is_empty());
}

/// A launch that waits for its delay comes when that is over, though nobody says a word meanwhile. Without
/// it this waits for ever and the test runner ends it.
#[tokio::test]
async fn what_is_due_later_needs_no_one_to_ask() {
    // No look at the node wakes the leader either.
    let options = options(Arc::new(Embedded::in_memory().unwrap()), Duration::from_secs(3_600));
    let (handle, _leading) = start(options, CancellationToken::new()).await.unwrap();
    let (up, mut orders) = register(&handle, 0).await;
    let mut app = App::new(AppId::parse("/a").unwrap());
    (app.cmd, app.backoff_seconds) = (Some("false".into()), Scalar::from_thousandths(200));
    handle.edit(|draft| draft.edit(vec![AppEdit::Create(app)], false, "")).await.unwrap();
    for _ in 0..3 {
        let task = loop {
            match orders.recv().await.unwrap() {
                Down::Launch { launch, .. } => break launch.tasks().next().unwrap(),
                Down::Snapshot { launches, .. } if !launches.is_empty() => break launches[0].tasks().next().unwrap(),
                _ => {}
            }
        };
        let first = TaskReport::first(task, Timestamp::from_millis(2_000));
        let report = TaskReport { condition: Condition::Failed, started_at: Some(first.at), ..first };
        up.send(Up::Reports { tasks: vec![report] }).await.unwrap();
    }
}
