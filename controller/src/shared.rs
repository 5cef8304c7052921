//! What a controller shows to its door, its names and its followers, whatever its role.

use crate::Clock;
use crate::arrivals::Arrivals;
use crate::audience::Audience;
use crate::election::{ControllerRecord, LeaderRecord, Tenure};
use crate::events::EventLog;
use crate::handle::Input;
use crate::names::Names;
use crate::outage::Outage;
use crate::peers::Peers;
use crate::replica::{ReplicaStream, Subscribe};
use arc_swap::ArcSwap;
use futures::StreamExt as _;
use orrery_core::cluster::Cluster;
use orrery_core::trust::Trust;
use orrery_core::{InstanceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

/// Silence of the leader after which a follower's answers count as stale.
const STALE_AFTER: Duration = Duration::from_millis(1_500);

/// What a controller is at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It does not know yet.
    Starting,
    /// It leads.
    Leading(LeaderRecord),
    /// Another one leads, or nobody does.
    Following(Option<LeaderRecord>),
}

impl Role {
    /// Who leads.
    pub const fn leader(&self) -> Option<&LeaderRecord> {
        match self {
            Self::Leading(leader) | Self::Following(Some(leader)) => Some(leader),
            Self::Starting | Self::Following(None) => None,
        }
    }
}

/// What is known of the leader's state.
#[derive(Debug, Clone, Copy)]
enum Heard {
    /// Nothing since this controller started.
    Nothing(Instant),
    /// When something was heard last.
    At(Instant),
    /// This controller leads.
    Itself,
}

/// The way to the leader's loop, while this controller leads.
struct Desk {
    inbox: mpsc::Sender<Input>,
    followers: mpsc::Sender<Subscribe>,
    tenure: Arc<Tenure>,
}

pub(crate) struct Shared {
    pub(crate) me: ControllerRecord,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) abdication: Notify,
    pub(crate) clock: Clock,
    pub(crate) events: EventLog,
    pub(crate) generation: watch::Sender<u64>,
    pub(crate) role: watch::Sender<Role>,
    /// While the store does not answer.
    pub(crate) outage: watch::Sender<Option<Outage>>,
    published: ArcSwap<Cluster>,
    serial: AtomicU64,
    names: Names,
    desk: Mutex<Option<Desk>>,
    heard: Mutex<Heard>,
    pub(crate) controllers: watch::Sender<BTreeMap<String, ControllerRecord>>,
    links: AtomicU64,
    pub(crate) arrivals: Arrivals,
    pub(crate) audience: Audience,
    /// Who is trusted, as a follower reads it from the store, and how often that has changed.
    trust: Mutex<(u64, Trust)>,
}

impl Shared {
    pub(crate) fn new(me: ControllerRecord, clock: Clock, names: Names, peers: Arc<dyn Peers>) -> Self {
        Self {
            controllers: watch::Sender::new(BTreeMap::from([(me.id.clone(), me.clone())])),
            me,
            peers,
            abdication: Notify::new(),
            clock,
            events: EventLog::default(),
            generation: watch::Sender::new(0),
            role: watch::Sender::new(Role::Starting),
            outage: watch::Sender::new(None),
            published: ArcSwap::default(),
            serial: AtomicU64::new(0),
            names,
            desk: Mutex::new(None),
            heard: Mutex::new(Heard::Nothing(Instant::now())),
            links: AtomicU64::new(1),
            arrivals: Arrivals::default(),
            audience: Audience::default(),
            trust: Mutex::default(),
        }
    }

    pub(crate) fn published(&self) -> Arc<Cluster> {
        self.published.load_full()
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial.load(Ordering::SeqCst)
    }

    pub(crate) fn next_link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes `cluster` what everybody sees, with its names; `touched` are the instances that differ.
    pub(crate) fn publish(&self, cluster: Cluster, touched: &BTreeSet<InstanceId>) {
        self.names.update(&cluster, touched);
        self.show(cluster);
    }

    /// Publishes a state of which it is not known how it differs. Costs its apps.
    pub(crate) fn publish_anew(&self, cluster: Cluster) {
        self.names.renew(&cluster);
        self.show(cluster);
    }

    fn show(&self, cluster: Cluster) {
        let generation = cluster.generation;
        self.published.store(Arc::new(cluster));
        self.serial.fetch_add(1, Ordering::SeqCst);
        self.generation.send_replace(generation);
    }

    /// Secrets do not go through the leader's stream: a follower has them from the store.
    pub(crate) fn set_trust(&self, trust: &Trust) {
        let mut known = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (known.0 + 1, trust.clone());
    }

    pub(crate) fn trust(&self) -> (u64, Trust) {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn inbox(&self) -> Option<mpsc::Sender<Input>> {
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.as_ref().filter(|desk| desk.tenure.holds()).map(|desk| desk.inbox.clone())
    }

    /// The stream of what this controller publishes, while it leads.
    pub(crate) async fn replica(&self) -> Option<ReplicaStream> {
        let followers = {
            let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            desk.as_ref().filter(|desk| desk.tenure.holds()).map(|desk| desk.followers.clone())
        }?;
        let (answer, stream) = oneshot::channel();
        followers.send(answer).await.ok()?;
        let listener = self.audience.admit();
        let stream = stream.await.ok()?;
        Some(Box::pin(stream.map(move |frame| {
            let _here = &listener;
            frame
        })))
    }

    pub(crate) fn leads(&self) -> bool {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|desk| desk.tenure.holds())
    }

    pub(crate) fn abdicate(&self) -> bool {
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let leads = desk.as_ref().is_some_and(|desk| desk.tenure.is_leased() && desk.tenure.holds());
        if leads {
            self.abdication.notify_waiters();
        }
        leads
    }

    /// From now on this controller leads.
    pub(crate) fn lead(&self, tenure: &Arc<Tenure>, inbox: mpsc::Sender<Input>, followers: mpsc::Sender<Subscribe>) {
        let desk = Desk { inbox, followers, tenure: Arc::clone(tenure) };
        *self.desk.lock().unwrap_or_else(PoisonError::into_inner) = Some(desk);
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Heard::Itself;
        self.role.send_replace(Role::Leading(tenure.record.clone()));
        self.show_masters();
    }

    /// From now on it follows `leader`.
    pub(crate) fn follow(&self, leader: Option<LeaderRecord>) {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // What it shows was current until now.
        if matches!(*heard, Heard::Itself) {
            *heard = Heard::At(Instant::now());
        }
        drop(heard);
        let role = Role::Following(leader);
        self.role.send_if_modified(|before| std::mem::replace(before, role.clone()) != role);
        self.show_masters();
    }

    /// Something was heard of the leader.
    pub(crate) fn note_leader(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Heard::At(Instant::now());
    }

    pub(crate) fn stale_for(&self) -> Option<Duration> {
        if self.leads() {
            return None;
        }
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            // The store does not tell what runs: until the leader does, much may be missing.
            Heard::Nothing(since) => Some(since.elapsed()),
            Heard::At(at) => Some(at.elapsed()).filter(|silence| *silence >= STALE_AFTER),
            // The right to lead has just ended by the clock.
            Heard::Itself => Some(STALE_AFTER),
        }
    }

    /// The controllers that are there, by id.
    pub(crate) fn set_controllers(&self, mut controllers: BTreeMap<String, ControllerRecord>) {
        controllers.insert(self.me.id.clone(), self.me.clone());
        if self.controllers.send_if_modified(|before| std::mem::replace(before, controllers.clone()) != controllers) {
            self.show_masters();
        }
    }

    pub(crate) fn controllers(&self) -> Vec<ControllerRecord> {
        self.controllers.borrow().values().cloned().collect()
    }

    /// Where agents reach controllers: this one, whose door says where that is, then the others that are there.
    pub(crate) fn controller_urls(&self, own: &str) -> Vec<String> {
        let controllers = self.controllers.borrow();
        let others = controllers.values().filter(|other| other.id != self.me.id).map(|other| other.url.clone());
        std::iter::once(own.to_owned()).chain(others).collect()
    }

    fn show_masters(&self) {
        let masters: Vec<_> = self.controllers().into_iter().map(|controller| controller.address).collect();
        let leader = self.role.borrow().leader().map(|leader| leader.controller.address);
        self.names.masters(&masters, leader);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_follower_is_stale_until_it_has_heard_the_leader() {
        let protocol = orrery_link::protocol::Versions::spoken();
        let record = |id: &str| ControllerRecord {
            id: id.into(),
            url: format!("https://{id}"),
            address: ([127, 0, 0, 1], 1).into(),
            protocol,
        };
        let peers = Arc::new(crate::peers::NoPeers);
        let shared = Shared::new(record("a"), Clock::system(), Names::new(orrery_net::ZoneHandle::new()), peers);
        let leader = LeaderRecord { controller: record("b"), epoch: 1, steadfast: false, lease: None };
        shared.follow(Some(leader));
        assert_eq!(shared.stale_for(), Some(Duration::ZERO));
        shared.note_leader();
        assert_eq!(shared.stale_for(), None);
        tokio::time::advance(STALE_AFTER).await;
        shared.follow(None);
        assert_eq!(shared.stale_for(), Some(STALE_AFTER));
    }
}
