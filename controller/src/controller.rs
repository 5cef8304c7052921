//! A controller: campaigns, leads, steps down and follows, for ever.

use crate::election::{self, Candidacy, ControllerRecord, LeaderRecord, Tenure};
use crate::handle::Handle;
use crate::leader::{self, Departure, Office};
use crate::mirror::StoreMirror;
use crate::names::Names;
use crate::outage::Observed;
use crate::peers::{NoPeers, Peers};
use crate::retry::{Retry, Rhythm};
use crate::shared::Shared;
use crate::{Clock, Seeds, members, replica, succession};
use futures::StreamExt as _;
use orrery_core::cluster::{LEADER_KEY, ROOT};
use orrery_link::protocol::Versions;
use orrery_net::ZoneHandle;
use orrery_store::{Store, WatchStream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause before an election, on which everything waits, is held again after the store failed.
const STORE_RETRY: Duration = Duration::from_millis(200);
/// Pauses before the store is read again after it failed: an etcd that elects a leader is back within
/// the quick ones.
const READ_RETRY: Rhythm = Rhythm { least: STORE_RETRY, quick: 5, most: Duration::from_secs(2) };
/// Candidates wait up to this long, so that they do not all run at once.
const CAMPAIGN_JITTER_MS: u64 = 40;
/// How often the leader's key is read itself while nothing is heard of the leader: a watch may lose
/// its deletion.
const LEADER_CHECK: Duration = Duration::from_secs(3);
/// How long a leader that stepped down on request leaves the field to others.
const ABDICATION_PAUSE: Duration = Duration::from_millis(500);
/// How long one does that nobody reached.
const UNHEARD_PAUSE: Duration = Duration::from_secs(2);
/// How long one that gave way to others, and leads again, does not do so once more: they may be no better off.
const GIVES_WAY_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);
/// Least pause between two states that are shown without a leader's stream.
const SHOW_PAUSE: Duration = Duration::from_secs(1);

/// Settings of a leader that is alone.
pub struct LeaderOptions {
    /// Where decisions are kept.
    pub store: Arc<dyn Store>,
    /// Names that the cluster publishes.
    pub zone: ZoneHandle,
    /// Address of the door, published as `leader.mesos`.
    pub address: SocketAddr,
    /// How long a node may be silent before it counts as lost.
    pub node_timeout: Duration,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Seeds,
}

/// Settings of a controller among others.
pub struct ControllerOptions {
    /// Who it is.
    pub me: ControllerRecord,
    /// Where decisions are kept; all controllers of a cluster share it.
    pub store: Arc<dyn Store>,
    /// Names that the cluster publishes.
    pub zone: ZoneHandle,
    /// How long a node may be silent before it counts as lost.
    pub silence_limit: Duration,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Seeds,
    /// Time to live of the leader's lease ([`crate::LEASE_TTL`]); `None` when nobody else can lead.
    pub lease_ttl: Option<Duration>,
    /// The way to the others.
    pub peers: Arc<dyn Peers>,
    /// Cluster that this controller belonged to before; on another one's store it refuses to start.
    pub cluster_id: Option<String>,
}

/// Why a controller could not start, or had to stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The store does not answer.
    #[error("the store cannot be read: {0}")]
    Store(#[from] orrery_store::Error),
    /// The store is that of another cluster.
    #[error(
        "this store belongs to cluster {found}, but this data directory to cluster {remembered}; check --store, or choose \
         another --data-dir"
    )]
    OtherCluster {
        /// Cluster of the store.
        found: String,
        /// Cluster of the data directory.
        remembered: String,
    },
    /// The store is empty, but the controller has belonged to a cluster.
    #[error(
        "this store is empty, but this data directory belongs to cluster {remembered}; check --store, bring back the cluster with \
         `orrery backup restore`, or choose another --data-dir to begin a new one"
    )]
    EmptyStore {
        /// Cluster of the data directory.
        remembered: String,
    },
    /// The leader is of a version that cannot be understood.
    #[error("{0}")]
    OtherVersion(String),
    /// The cluster is elsewhere, or not all here yet.
    #[error("the store is closed: {0}")]
    Closed(crate::backup::Closed),
    /// Agents and the other controllers could not reach it.
    #[error(
        "only this machine reaches {url}, but other controllers of this cluster run elsewhere, at {other}; give an address \
         that they and the agents reach, with --listen ADDR:PORT or --advertise URL"
    )]
    OnlyHere {
        /// Its own.
        url: String,
        /// That of another controller.
        other: String,
    },
    /// Another process leads on a store that only this one should use.
    #[error("another process has taken over this store: {0}")]
    Deposed(String),
    /// Two processes have one id.
    #[error(
        "another controller with the id of this one runs at {url}: this data directory is a copy of its; stop this controller, \
         remove the file controller-id of this data directory, and start it again"
    )]
    Double {
        /// Where the other one is.
        url: String,
    },
    /// The controller ended before it was ready.
    #[error("the controller ended before it was ready")]
    Ended,
}

/// Takes over leadership where nobody else can lead, and serves it.
///
/// # Errors
/// [`StartError`] when the store cannot be read or written.
pub async fn start(
    options: LeaderOptions,
    stop: CancellationToken,
) -> Result<(Handle, JoinHandle<Result<(), StartError>>), StartError> {
    let address = options.address;
    // Beyond this machine a door speaks TLS only.
    let scheme = if address.ip().is_loopback() { "http" } else { "https" };
    let url = format!("{scheme}://{address}");
    let me = ControllerRecord { id: "alone".into(), url, address, protocol: Versions::spoken() };
    let options = ControllerOptions {
        me,
        store: options.store,
        zone: options.zone,
        silence_limit: options.node_timeout,
        clock: options.clock,
        entropy: options.entropy,
        lease_ttl: None,
        peers: Arc::new(NoPeers),
        cluster_id: None,
    };
    start_controller(options, stop).await
}

/// Starts a controller; returns when it serves, as leader or as follower of one. It runs until `stop`.
///
/// # Errors
/// [`StartError`] when the store cannot be read or is another cluster's.
pub async fn start_controller(
    options: ControllerOptions,
    stop: CancellationToken,
) -> Result<(Handle, JoinHandle<Result<(), StartError>>), StartError> {
    if let Some(closed) = crate::backup::closed(&*options.store).await? {
        return Err(StartError::Closed(closed));
    }
    let shared =
        Arc::new(Shared::new(options.me.clone(), options.clock.clone(), Names::new(options.zone), Arc::clone(&options.peers)));
    let store = Observed::new(options.store, options.clock, shared.outage.clone());
    let controller = Controller {
        alone: options.lease_ttl.is_none(),
        lease_ttl: options.lease_ttl,
        peers: options.peers,
        cluster_id: options.cluster_id,
        office: Office {
            store: Arc::new(store),
            shared: Arc::clone(&shared),
            entropy: options.entropy,
            silence_limit: options.silence_limit,
            compacts: options.lease_ttl.is_some(),
        },
    };
    let mut role = shared.role.subscribe();
    let mut generation = shared.generation.subscribe();
    let mut task = crate::surroundings::spawn(controller.run(stop));
    loop {
        let named = !shared.published().id.is_empty();
        if named && role.borrow_and_update().leader().is_some() {
            return Ok((Handle { shared }, task));
        }
        tokio::select! {
            biased;
            ended = &mut task => return Err(ended.ok().and_then(Result::err).unwrap_or(StartError::Ended)),
            _ = role.changed() => {}
            _ = generation.changed() => {}
        }
    }
}

/// What a follower hears besides the store.
struct News {
    /// Whether the leader's stream is whole.
    live: watch::Receiver<bool>,
    /// Whose process is gone or stands still.
    vacant: watch::Receiver<Option<LeaderRecord>>,
    /// When this controller was deposed last although it lived.
    deposed_alive: Option<Instant>,
}

struct Controller {
    office: Office,
    lease_ttl: Option<Duration>,
    alone: bool,
    peers: Arc<dyn Peers>,
    cluster_id: Option<String>,
}

impl Controller {
    async fn run(self, stop: CancellationToken) -> Result<(), StartError> {
        let stop = stop.child_token();
        let members = (!self.alone).then(|| {
            crate::surroundings::spawn(members::attend(
                Arc::clone(&self.office.shared),
                Arc::clone(&self.office.store),
                stop.clone(),
            ))
        });
        let mut result = Box::pin(self.serve(&stop)).await;
        if let Some(members) = members {
            if result.is_err() {
                members.abort();
            }
            if let Ok(Some(double)) = members.await {
                result = Err(StartError::Double { url: double.url });
            }
        }
        tracing::info!("the controller has stopped");
        result
    }

    async fn serve(&self, stop: &CancellationToken) -> Result<(), StartError> {
        let mut deposed_alive = None;
        let mut gave_way: Option<Instant> = None;
        loop {
            let (tenure, mirror) = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                won = self.follow(deposed_alive) => won?,
            };
            let tenure = Arc::new(tenure);
            let yields = !self.alone && gave_way.is_none_or(|at| at.elapsed() >= GIVES_WAY_AGAIN_AFTER);
            let reason = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                reason = leader::lead(&self.office, Arc::clone(&tenure), mirror, yields) => Some(reason),
            };
            self.office.shared.follow(None);
            if tenure.holds() && matches!(reason, Some(Departure::Lost(_))) {
                deposed_alive = Some(Instant::now());
            }
            tenure.resign(&*self.office.store).await;
            let Some(reason) = reason else { return Ok(()) };
            tracing::warn!(epoch = tenure.record.epoch, %reason, "no longer leading");
            if self.alone {
                return Err(StartError::Deposed(reason.to_string()));
            }
            let pause = match reason {
                Departure::Lost(_) => continue,
                Departure::Asked => ABDICATION_PAUSE,
                Departure::Unheard => {
                    gave_way = Some(Instant::now());
                    UNHEARD_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Follows until it has won an election; the mirror is exact then.
    async fn follow(&self, deposed_alive: Option<Instant>) -> Result<(Tenure, StoreMirror), StartError> {
        let leader = watch::Sender::new(None);
        let (live, vacant) = (watch::Sender::new(false), watch::Sender::new(None));
        let (heard, news) = (leader.subscribe(), News { live: live.subscribe(), vacant: vacant.subscribe(), deposed_alive });
        let replica = replica::follow(
            Arc::clone(&self.office.shared),
            Arc::clone(&self.office.store),
            Arc::clone(&self.peers),
            heard,
            live,
            vacant,
        );
        tokio::select! {
            biased;
            won = self.stand(&leader, news) => won,
            () = replica, if !self.alone => Err(StartError::Ended),
        }
    }

    /// Keeps the mirror, and stands for election whenever nobody leads.
    async fn stand(&self, leader: &watch::Sender<Option<LeaderRecord>>, news: News) -> Result<(Tenure, StoreMirror), StartError> {
        let News { mut live, mut vacant, deposed_alive } = news;
        let (store, shared) = (&*self.office.store, &*self.office.shared);
        let (mut reads, mut elections) = (Retry::new(READ_RETRY), Retry::new(READ_RETRY));
        loop {
            let mut mirror = match StoreMirror::load(store, shared.now()).await {
                Ok(mirror) => mirror,
                Err(error) => {
                    let pause = reads.pause();
                    if reads.is_news(&error.to_string(), pause, Instant::now()) {
                        tracing::warn!(%error, ?pause, "the store cannot be read; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            self.check(&mirror)?;
            // Once it serves it is told to agents and may lead; a store that fails now is read again below.
            if let Ok(Some(other)) = members::abroad(store, &shared.me).await {
                return Err(StartError::OnlyHere { url: shared.me.url.clone(), other });
            }
            shared.set_trust(&mirror.mirror().cluster().trust);
            let Ok(mut changes) = store.watch(ROOT, mirror.next()).await else {
                tokio::time::sleep(reads.pause()).await;
                continue;
            };
            reads.succeeded();
            let mut check_at = Instant::now() + LEADER_CHECK;
            // What the mirror knows is shown while there is no leader's stream, now and then.
            let mut show_at = Some(Instant::now());
            loop {
                let present =
                    mirror.leader().filter(|present| !present.controller.is_left_from(&shared.me) && !self.alone).cloned();
                if let Some(leader) = &present {
                    self.understands(leader)?;
                }
                leader.send_if_modified(|before| std::mem::replace(before, present.clone()) != present);
                // Its lease has not ended, but its process is gone or stands still.
                let over = vacant.borrow_and_update().clone().filter(|gone| present.as_ref() == Some(gone));
                if present.is_none() || over.is_some() {
                    if !self.alone {
                        shared.follow(None);
                    }
                    if let Ok(Some(closed)) = crate::backup::closed(store).await {
                        return Err(StartError::Closed(closed));
                    }
                    match self.campaign(&mut mirror, &mut changes, over.as_ref(), deposed_alive, &mut elections).await {
                        Some(tenure) => return Ok((tenure, mirror)),
                        None => continue,
                    }
                }
                shared.follow(present);
                if *live.borrow_and_update() {
                    show_at = None;
                } else if show_at.is_some_and(|at| at <= Instant::now()) {
                    let known = shared.published();
                    shared.publish_anew(mirror.mirror().cluster().clone().with_observations_of(&known));
                    show_at = None;
                }
                let show = show_at.unwrap_or(check_at).min(check_at);
                tokio::select! {
                    biased;
                    batch = changes.next() => {
                        let taken = match batch {
                            Some(Ok(batch)) => {
                                let trusts = batch.events.iter().any(|event| orrery_core::trust::Trust::default().entry(event.key(), None).is_some());
                                let taken = mirror.take(batch, shared.now());
                                if trusts {
                                    shared.set_trust(&mirror.mirror().cluster().trust);
                                }
                                taken
                            }
                            Some(Err(error)) => Err(error),
                            None => Err(orrery_store::Error::WatchLost { reason: "it has ended".into() }),
                        };
                        if let Err(error) = taken {
                            tracing::info!(%error, "the store is listed again");
                            if !error.needs_relist() {
                                tokio::time::sleep(STORE_RETRY).await;
                            }
                            break;
                        }
                        if !*live.borrow() {
                            show_at.get_or_insert_with(|| Instant::now() + SHOW_PAUSE);
                        }
                    }
                    changed = live.changed() => {
                        if changed.is_ok() && !*live.borrow() {
                            show_at.get_or_insert_with(|| Instant::now() + SHOW_PAUSE);
                        }
                    }
                    _ = vacant.changed() => {}
                    () = tokio::time::sleep_until(show) => {
                        if check_at <= Instant::now() {
                            check_at = Instant::now() + LEADER_CHECK;
                            if !*live.borrow() && let Ok(entry) = store.get(LEADER_KEY).await {
                                mirror.set_leader(entry.and_then(|entry| LeaderRecord::parse(&entry.value)));
                            }
                        }
                    }
                }
            }
        }
    }

    fn check(&self, mirror: &StoreMirror) -> Result<(), StartError> {
        let found = &mirror.mirror().cluster().id;
        match &self.cluster_id {
            Some(remembered) if found.is_empty() => Err(StartError::EmptyStore { remembered: remembered.clone() }),
            Some(remembered) if **remembered != **found => {
                Err(StartError::OtherCluster { found: found.to_string(), remembered: remembered.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A controller that could not follow must not stand for election either.
    fn understands(&self, leader: &LeaderRecord) -> Result<(), StartError> {
        let (mine, theirs) = (self.office.shared.me.protocol, leader.controller.protocol);
        if mine.agree(theirs).is_some() {
            return Ok(());
        }
        let other = format!("the leader at {}", leader.controller.url);
        Err(StartError::OtherVersion(mine.refusal("this controller", &other, theirs)))
    }

    /// Runs for leadership once; when it is won, the mirror is made exact.
    async fn campaign(
        &self,
        mirror: &mut StoreMirror,
        changes: &mut WatchStream,
        over: Option<&LeaderRecord>,
        deposed_alive: Option<Instant>,
        elections: &mut Retry,
    ) -> Option<Tenure> {
        let (store, shared) = (&*self.office.store, &*self.office.shared);
        if let Some(gone) = over {
            tokio::time::sleep(succession::turn(&shared.me.id, &shared.controllers(), &gone.controller.id)).await;
            tracing::warn!(
                leader = gone.controller.url,
                epoch = gone.epoch,
                "the leader's process is gone or stands still; standing for election"
            );
        } else if !self.alone {
            tokio::time::sleep(Duration::from_millis(self.office.entropy.next_seed() % CAMPAIGN_JITTER_MS)).await;
        }
        let steadfast = succession::is_steadfast(deposed_alive, Instant::now());
        let candidacy = Candidacy { me: &shared.me, ttl: self.lease_ttl, over, steadfast };
        let tenure = match election::campaign(store, candidacy).await {
            Ok(Some(tenure)) => tenure,
            Ok(None) => {
                if let Ok(entry) = store.get(LEADER_KEY).await {
                    mirror.set_leader(entry.and_then(|entry| LeaderRecord::parse(&entry.value)));
                }
                return None;
            }
            Err(error) => {
                if elections.is_news(&error.to_string(), STORE_RETRY, Instant::now()) {
                    tracing::warn!(%error, "the election cannot be held; trying again");
                }
                tokio::time::sleep(STORE_RETRY).await;
                return None;
            }
        };
        let exact = async {
            if mirror.is_exact(tenure.fence, changes, shared.now()).await {
                return;
            }
            let mut reads = Retry::new(READ_RETRY);
            while let Err(error) = mirror.make_exact(store, shared.now()).await {
                let pause = reads.pause();
                if reads.is_news(&error.to_string(), pause, Instant::now()) {
                    tracing::warn!(%error, ?pause, "the store cannot be compared; trying again");
                }
                tokio::time::sleep(pause).await;
            }
        };
        let lost = tokio::select! {
            biased;
            reason = tenure.keep(store) => Some(reason),
            () = exact => None,
        };
        match lost {
            None => Some(tenure),
            Some(reason) => {
                tracing::warn!(reason, "leadership was lost before it began");
                tenure.resign(store).await;
                None
            }
        }
    }
}
