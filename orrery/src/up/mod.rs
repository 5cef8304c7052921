//! `orrery up`: store, leader, agents, names and door in one process.

mod agents;
pub(crate) mod attributes;
pub(crate) mod nodes;
pub(crate) mod refuse;

use crate::arguments::UpOptions;
use crate::front::{self, FrontOptions};
use crate::instance_file::{InstanceFile, Kind};
use crate::signals::Signals;
use crate::store_command::STORE_FILE;
use crate::{announce, attach, create_private, universe};
use anyhow::Context as _;
use orrery_controller::catalog::{BUILTIN_URI, CatalogService};
use orrery_controller::door::{AgentDirectory, ClusterFacts, Door};
use orrery_controller::packages::repositories;
use orrery_controller::{Clock, Handle, LeaderOptions, Seeds, start};
use orrery_core::Timestamp;
use orrery_core::node::NodeStatus;
use orrery_core::package::Repository;
use orrery_net::{DnsConfig, ZoneHandle, serve};
use orrery_store::Embedded;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long an agent of this very process may be away before its tasks are placed elsewhere.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections may take to end when the cluster stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the nodes of this process may take to join before the cluster is announced without them.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until a signal asks to stop; then stops the tasks and leaves.
pub(crate) async fn up(options: Box<UpOptions>) -> anyhow::Result<ExitCode> {
    refuse::check(&options)?;
    raise_open_files();
    let data = options.data.path()?;
    create_private(&data)?;
    if let Some(running) = InstanceFile::read(&data) {
        anyhow::bail!(
            "a cluster already runs on {} at {}; stop it with `orrery down` or choose another --data-dir",
            data.display(),
            running.url
        );
    }
    // It may hold the only password of a cluster.
    if crate::controller::identity::is_controller(&data) {
        anyhow::bail!(
            "{} is the data directory of a controller on an etcd; start it again with `orrery controller`, or choose another \
             --data-dir for a cluster of its own",
            data.display()
        );
    }
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    let store = Arc::new(Embedded::open(data.join(STORE_FILE)).context("the store cannot be opened")?);
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --listen, port 0 takes a free one", options.listen)
    })?;
    let address = front::reachable(listener.local_addr()?);
    let zone = ZoneHandle::new();
    let upstreams = (!options.dns_upstream.is_empty()).then(|| options.dns_upstream.clone());
    let dns = serve(DnsConfig { upstreams, ..DnsConfig::new(options.dns_listen) }, zone.clone(), &stop).await?;

    let catalog = catalog(&data, options.universe.as_deref()).await?;
    crate::backup::socket::serve(&data, store.clone(), stop.clone())?;
    let leader = LeaderOptions {
        store,
        zone: zone.clone(),
        address,
        node_timeout: NODE_TIMEOUT,
        clock: Clock::system(),
        entropy: Seeds::random(),
    };
    let (handle, mut leading) = start(leader, stop.clone()).await?;
    if let Some(share) = options.mass_loss_brake {
        let set = move |draft: &mut orrery_core::cluster::Draft| {
            draft.set_brake_share(share);
            Ok(())
        };
        handle.edit(set).await?;
    }
    let cluster_id = handle.cluster().id.to_string();
    let directory = Arc::new(AgentDirectory::default());
    warm(&catalog, &handle);
    let agents = agents::start(&options, &data, &cluster_id, &handle, &directory).await?;

    let facts = ClusterFacts {
        name: options.name.clone(),
        address,
        dns: dns.local_addr,
        dns_upstreams: dns.upstreams.clone(),
        started_at: now(),
    };
    let door = Door {
        handle: handle.clone(),
        catalog,
        zone,
        agents: Arc::clone(&directory),
        facts: Arc::new(facts),
        asset: universe::asset,
    };
    let url = front::url_of(address);
    let mut front = front::set_up(
        FrontOptions {
            listener,
            data: data.clone(),
            handle: handle.clone(),
            agents: directory,
            name: "up".into(),
            names: Vec::new(),
            url: url.clone(),
        },
        &stop,
    )?;
    front::established(&handle).await?;
    front.ready().await?;
    let guarded = front.guarded;
    let serving = tokio::spawn(front.serve(door, stop.clone()));

    let own = InstanceFile {
        url: url.clone(),
        dns: dns.local_addr.to_string(),
        cluster_id: cluster_id.clone(),
        authority: front::authority_fingerprint(&handle),
        ..InstanceFile::of_this_process(Kind::Cluster)
    };
    own.write(&data).with_context(|| format!("cannot write to {}", data.display()))?;
    if !options.no_attach
        && let Err(error) =
            attach::attach(&cluster_id, &options.name, &url, front::authority(&handle).filter(|_| guarded).as_deref())
    {
        tracing::warn!(%error, "the dcos command could not be attached; use `dcos cluster setup {url}`");
    }
    joined(&handle, usize::from(options.agents)).await;
    tracing::info!(%url, dns = %dns.local_addr, "serving");
    announce(&format!("ready {url}"));
    if let Some(hint) = front::password_hint(&data).filter(|_| guarded) {
        announce(&format!("log in with `dcos auth login`: {hint}"));
    }

    tokio::select! {
        _ = signals.wait() => {}
        _ = &mut leading => {
            InstanceFile::remove(&data);
            anyhow::bail!("the leader ended unexpectedly; tasks run on, start again with `orrery up`");
        }
    }
    tracing::info!("stopping: tasks first, then the rest");
    agents.stop_tasks().await;
    stop.cancel();
    // A connection that does not end in time is cut with the process.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, serving).await;
    let _ = leading.await;
    InstanceFile::remove(&data);
    Ok(ExitCode::SUCCESS)
}

/// Waits for the nodes of this process, so that whoever reads `ready` finds them.
async fn joined(handle: &Handle, wanted: usize) {
    let mut generation = handle.generation();
    let joined = async {
        let active = || handle.cluster().nodes.values().filter(|node| node.status == NodeStatus::Active).count();
        while active() < wanted && generation.changed().await.is_ok() {}
    };
    if tokio::time::timeout(JOIN_TIMEOUT, joined).await.is_err() {
        tracing::warn!("not every node of this machine has joined yet");
    }
}

/// Every task, connection and log takes descriptors; the soft limit of a login shell is for people.
pub(crate) fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, most, most)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Reads the repositories before anybody asks.
pub(crate) fn warm(catalog: &Arc<CatalogService>, handle: &Handle) {
    let (catalog, repositories) = (Arc::clone(catalog), repositories(&handle.cluster(), catalog));
    tokio::spawn(async move { drop(catalog.index(&repositories).await) });
}

/// The catalog, with its copies of repositories below `data`.
pub(crate) async fn catalog(data: &Path, universe: Option<&str>) -> anyhow::Result<Arc<CatalogService>> {
    let builtin = tokio::task::spawn_blocking(universe::builtin).await?;
    Ok(Arc::new(CatalogService::new(data.join("repositories"), Arc::new(builtin), vec![default_repository(universe)?])))
}

/// The list of repositories while nobody has changed it.
fn default_repository(universe: Option<&str>) -> anyhow::Result<Repository> {
    let uri = match universe {
        None => BUILTIN_URI.to_owned(),
        Some(uri) if uri.contains("://") || uri == BUILTIN_URI => uri.to_owned(),
        Some(path) => {
            let path = std::path::absolute(path)?;
            anyhow::ensure!(path.exists(), "--universe: there is nothing at {}", path.display());
            format!("file://{}", path.display())
        }
    };
    orrery_controller::catalog::Source::parse(&uri).map_err(|error| anyhow::anyhow!("--universe: {error}"))?;
    Ok(Repository { name: "Universe".into(), uri })
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
}
