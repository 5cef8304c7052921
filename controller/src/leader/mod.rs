//! The leader: one task that owns the cluster for as long as its tenure lasts.

mod attendance;
mod commit;
mod run;
mod tend;

use crate::Seeds;
use crate::audience;
use crate::election::Tenure;
use crate::handle::INBOX_LIMIT;
use crate::liveness::Wakefulness;
use crate::mirror::StoreMirror;
use crate::replica;
use crate::shared::Shared;
use crate::surroundings::compute;
use attendance::Attendance;
use commit::Committer;
use orrery_core::NodeId;
use orrery_core::cluster::Cluster;
use orrery_core::node::NodeStatus;
use orrery_store::Store;
use run::Leader;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Generations of one epoch: they rise from one leader to the next, whatever a new one has not seen.
const GENERATIONS_OF_AN_EPOCH: u32 = 32;

/// Why leadership ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Departure {
    /// It was given up on request.
    #[error("it was asked to step down")]
    Asked,
    /// It was given up because nobody reaches this controller.
    #[error("neither agents nor other controllers reach it; is its address reachable, and its clock right?")]
    Unheard,
    /// It was lost.
    #[error("{0}")]
    Lost(String),
}

/// What a leader works with.
pub(crate) struct Office {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) entropy: Seeds,
    /// Silence after which the tasks of a node count as lost.
    pub(crate) silence_limit: Duration,
    /// Compacts the history of the store; a store of our own does that by itself.
    pub(crate) compacts: bool,
}

/// The nodes that are not lost already.
pub(crate) fn present(cluster: &Cluster) -> impl Iterator<Item = &NodeId> {
    cluster.nodes.iter().filter(|(_, node)| node.status != NodeStatus::Unreachable).map(|(id, _)| id)
}

/// Leads until the right to do so ends; returns why. Begins with what is stored, which `mirror` holds
/// exactly, and with what was last seen of the cluster; every node has its whole time to come back.
/// Gives way when nobody is heard, if `yields`.
pub(crate) async fn lead(office: &Office, tenure: Arc<Tenure>, mirror: StoreMirror, yields: bool) -> Departure {
    let (store, shared) = (&office.store, &office.shared);
    // From the first moment: what follows takes the longer the larger the cluster is.
    let keeping = AbortOnDropHandle::new(crate::surroundings::spawn({
        let (tenure, store) = (Arc::clone(&tenure), Arc::clone(store));
        async move { tenure.keep(&*store).await }
    }));
    let epoch = tenure.record.epoch;
    let cluster = compute(|| {
        let mut cluster = mirror.mirror().cluster().clone().with_observations_of(&shared.published());
        drop(mirror);
        cluster.generation = (cluster.generation + 1).max(epoch << GENERATIONS_OF_AN_EPOCH);
        cluster
    });
    tracing::info!(epoch, apps = cluster.apps.len(), instances = cluster.instances.len(), "leading");
    shared.publish_anew(cluster.clone());
    let awake = Arc::new(Mutex::new(Wakefulness::new()));
    let attendance = Attendance::new(office.silence_limit, Arc::clone(&awake), shared.arrivals.clone(), present(&cluster));
    let (hub, followers, hub_work) = replica::serve(cluster.clone());
    let (inbox, received) = mpsc::channel(INBOX_LIMIT);
    let committer = Committer::new(Arc::clone(store), epoch, tenure.fence);
    let leader = compute(|| {
        Leader::new(cluster, committer, Arc::clone(&tenure), Arc::clone(shared), hub, office.entropy.clone(), attendance)
    });
    // Apart from the loop, so that a long step delays none of them.
    let _hub = AbortOnDropHandle::new(crate::surroundings::spawn(hub_work));
    let _pulse = AbortOnDropHandle::new(crate::surroundings::spawn(tend::pulse(awake)));
    let ready = |_: &_| shared.lead(&tenure, inbox, followers);
    let compaction = async {
        if office.compacts {
            tend::compact(&**store).await;
        }
        std::future::pending::<()>().await;
    };
    let unheard = async {
        if yields {
            audience::is_gone(shared.audience.count(), shared.controllers.subscribe(), |all| all.len().saturating_sub(1)).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let reason = tokio::select! {
        biased;
        reason = keeping => Departure::Lost(reason.unwrap_or_else(|error| error.to_string())),
        reason = tend::watch_leadership(&**store, &tenure) => Departure::Lost(reason),
        () = shared.abdication.notified() => Departure::Asked,
        () = unheard => Departure::Unheard,
        () = compaction => Departure::Lost("compaction".into()),
        reason = leader.run(received, ready) => Departure::Lost(reason),
    };
    shared.follow(None);
    reason
}
