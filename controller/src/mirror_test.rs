//! Reading a store in pages of any size, and knowing when that is all.

use super::StoreMirror;
use crate::election::{self, Candidacy, ControllerRecord};
use async_trait::async_trait;
use orrery_core::Timestamp;
use orrery_core::cluster::{AppEdit, CONTROLLERS, Cluster, Draft, Entropy, INSTANCES, ROOT};
use orrery_core::node::{NodeFacts, PortRanges, Resources};
use orrery_core::{App, AppId, NodeId, Scalar};
use orrery_link::protocol::Versions;
use orrery_store::{Embedded, LeaseId, LeaseTime, Range, Result, Revision, Store, Transaction, WatchStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Gives out pages of a few entries, and may compact what is being read.
struct SmallPages {
    store: Embedded,
    page: usize,
    compact_at: AtomicUsize,
}

#[async_trait]
impl Store for SmallPages {
    async fn range(&self, prefix: &str, at: Option<Revision>, _: usize, after: Option<&str>) -> Result<Range> {
        if self.compact_at.fetch_sub(1, Ordering::SeqCst) == 1 {
            let revision = self.store.transact(Transaction::new().put(format!("{ROOT}packages/x"), b"?".to_vec())).await?;
            self.store.compact(revision).await?;
        }
        self.store.range(prefix, at, self.page, after).await
    }
    async fn get(&self, key: &str) -> Result<Option<orrery_store::Entry>> {
        self.store.get(key).await
    }
    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        self.store.transact(transaction).await
    }
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        self.store.watch(prefix, from).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.store.grant(ttl).await
    }
    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.store.keep_alive(lease).await
    }
    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.store.remaining(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.store.revoke(lease).await
    }
    async fn compact(&self, revision: Revision) -> Result<()> {
        self.store.compact(revision).await
    }
    async fn revision(&self) -> Result<Revision> {
        self.store.revision().await
    }
}

fn facts(number: u32) -> NodeFacts {
    let resources = Resources {
        cpus: Scalar::from_units(1000),
        mem: Scalar::from_units(1_000_000),
        ports: PortRanges::new([(31000, 32000)]),
        ..Resources::default()
    };
    let id = NodeId::parse(&format!("c-S{number}")).unwrap();
    NodeFacts { resources, ..NodeFacts::new(id, format!("h{number}"), "127.0.0.1".parse().unwrap()) }
}

fn app(number: usize, instances: u32) -> App {
    App { instances, cmd: Some("true".into()), ..App::new(AppId::parse(&format!("/a{number}")).unwrap()) }
}

/// A store with nodes and apps of several pages of instances each.
async fn stored() -> Embedded {
    let store = Embedded::in_memory().unwrap();
    let mut cluster = Cluster::default();
    for apps in [false, true] {
        let mut draft = Draft::new(&cluster, Timestamp::from_millis(1), 1, Entropy::new(7));
        if apps {
            draft.edit((0..5).map(|number| AppEdit::Create(app(number, 150))).collect(), false, "").unwrap();
        } else {
            (0..4).for_each(|number| draft.register(facts(number), Vec::new()));
        }
        let step = draft.settle();
        cluster = step.cluster;
        let puts = step.writes.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let all = puts.fold(Transaction::new(), |transaction, (key, value)| transaction.put(key, value));
        store.transact(all).await.unwrap();
    }
    assert_eq!(cluster.instances.values().filter(|instance| instance.seat.is_some()).count(), 750);
    store
}

fn shown(mirror: &StoreMirror) -> String {
    let Cluster { apps, instances, nodes, loads, .. } = mirror.mirror().cluster();
    format!("{apps:?} {instances:?} {nodes:?} {loads:?} {:?} {:?}", mirror.revisions, mirror.at)
}

async fn load(store: &dyn Store) -> StoreMirror {
    StoreMirror::load(store, Timestamp::from_millis(2)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_make_the_same_mirror() {
    let store = stored().await;
    let whole = load(&store).await;
    assert_eq!(whole.mirror().cluster().instances.len(), 750);
    assert!(whole.mirror().faults().is_empty());
    let mut small = SmallPages { store, page: 0, compact_at: AtomicUsize::new(0) };
    // Five apps with three pages each, their versions and four nodes: pages end before, within and after
    // the instances.
    for page in 1..=32 {
        small.page = page;
        assert_eq!(shown(&load(&small).await), shown(&whole), "pages of {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_compacted_starts_over() {
    for compact_at in 2..12 {
        let small = SmallPages { store: stored().await, page: 3, compact_at: AtomicUsize::new(compact_at) };
        let loaded = load(&small).await;
        assert_eq!(loaded.at, small.store.revision().await.unwrap(), "compacted at read {compact_at}");
        assert_eq!(shown(&loaded), shown(&load(&small.store).await), "compacted at read {compact_at}");
    }
}

/// Elects a controller after `writes`, and tells whether what was read before them is known to be all.
async fn is_exact_after(writes: &[&str]) -> bool {
    let store = stored().await;
    let mut mirror = load(&store).await;
    let mut changes = store.watch(ROOT, mirror.next()).await.unwrap();
    for key in writes {
        store.transact(Transaction::new().put(format!("{ROOT}{key}"), b"{}".to_vec())).await.unwrap();
    }
    let (id, url, protocol) = ("a".to_owned(), "local://a".to_owned(), Versions::spoken());
    let me = ControllerRecord { id, url, address: ([127, 0, 0, 1], 1).into(), protocol };
    let candidacy = Candidacy { me: &me, ttl: None, over: None, steadfast: false };
    let tenure = election::campaign(&store, candidacy).await.unwrap().unwrap();
    mirror.is_exact(tenure.fence, &mut changes, Timestamp::from_millis(3)).await
}

#[tokio::test]
async fn what_was_just_read_is_all_unless_something_was_written() {
    for (writes, exact) in [
        (&[][..], true),
        (&["controllers/b"], true),
        (&["controllers/b", "controllers/c"], true),
        (&["apps/x"], false),
        (&["controllers/b", "instances/a0!00000000"], false),
        (&["apps/x", "controllers/b"], false),
    ] {
        assert_eq!(is_exact_after(writes).await, exact, "{writes:?}");
    }
}

#[tokio::test]
async fn a_change_that_a_watch_has_lost_is_missed() {
    let store = stored().await;
    let mut mirror = load(&store).await;
    let from = mirror.next();
    store.transact(Transaction::new().delete(format!("{INSTANCES}/a0!00000000"))).await.unwrap();
    let fence = store.transact(Transaction::new().put(format!("{CONTROLLERS}b"), b"{}".to_vec())).await.unwrap();
    // The first change is lost.
    let mut changes = store.watch(ROOT, from.next()).await.unwrap();
    assert!(!mirror.is_exact(fence, &mut changes, Timestamp::from_millis(3)).await);
    mirror.make_exact(&store, Timestamp::from_millis(3)).await.unwrap();
    assert_eq!(shown(&mirror), shown(&load(&store).await));
}
