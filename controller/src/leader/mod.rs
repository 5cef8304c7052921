//! The leader: one task that owns the cluster.

mod commit;
mod run;

use crate::events::EventLog;
use crate::handle::{Handle, INBOX_LIMIT};
use crate::{Clock, Seeds, names};
use arc_swap::ArcSwap;
use commit::Committer;
use orrery_core::cluster::{Cluster, ROOT};
use orrery_net::ZoneHandle;
use orrery_store::Store;
use run::Leader;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Settings of the leader.
pub struct LeaderOptions {
    /// Where decisions are kept.
    pub store: Arc<dyn Store>,
    /// Names that the cluster publishes.
    pub zone: ZoneHandle,
    /// Address of the door, published as `leader.mesos`.
    pub address: std::net::SocketAddr,
    /// How long a node may be away before it counts as lost.
    pub node_timeout: Duration,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Seeds,
}

/// Why the leader could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not answer.
    #[error("the store cannot be read: {0}")]
    Store(#[from] orrery_store::Error),
}

/// Takes over leadership: raises the epoch, loads the cluster and starts to serve it.
///
/// # Errors
/// [`StartError`] when the store cannot be read or written.
pub async fn start(options: LeaderOptions, stop: CancellationToken) -> Result<(Handle, tokio::task::JoinHandle<()>), StartError> {
    let committer = Committer::take_over(Arc::clone(&options.store)).await?;
    let entries = orrery_store::list(&*options.store, ROOT).await?.entries;
    let (cluster, faults) =
        Cluster::load(entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_ref())), options.clock.now());
    for fault in faults {
        tracing::error!(%fault, "a stored entry cannot be read and is left alone");
    }
    tracing::info!(epoch = committer.epoch(), apps = cluster.apps.len(), instances = cluster.instances.len(), "leading");
    let (inbox, received) = mpsc::channel(INBOX_LIMIT);
    let published = Arc::new(ArcSwap::from_pointee(cluster.clone()));
    let (generation, watch) = watch::channel(0);
    let events = Arc::new(EventLog::default());
    let handle = Handle {
        inbox,
        published: Arc::clone(&published),
        generation: watch,
        events: Arc::clone(&events),
        clock: options.clock.clone(),
    };
    let names = names::Names::new(options.zone, options.address);
    let mut leader = Leader::new(
        cluster,
        committer,
        published,
        generation,
        events,
        names,
        options.node_timeout,
        options.clock,
        options.entropy,
    );
    leader.first_step().await;
    let task = crate::surroundings::spawn(leader.run(received, stop));
    Ok((handle, task))
}
