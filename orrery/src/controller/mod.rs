//! `orrery controller`: one of several controllers on a shared etcd.

pub(crate) mod identity;
mod store;

use crate::arguments::ControllerArguments;
use crate::front::{self, FrontOptions};
use crate::instance_file::{InstanceFile, Kind};
use crate::signals::Signals;
use crate::{announce, attach, create_private, up};
use anyhow::Context as _;
use identity::Identity;
use orrery_controller::door::{AgentDirectory, ClusterFacts, Door};
use orrery_controller::trust::SecureDial;
use orrery_controller::{
    Clock, ControllerOptions, ControllerRecord, Handle, HttpPeers, LEASE_TTL, Seeds, StartError, start_controller,
};
use orrery_link::protocol::Versions;
use orrery_net::{DnsConfig, ZoneHandle, serve};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// Silence after which the tasks of a node count as lost.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_millis(2_500);
/// How long a start takes before `orrery status` is told that it waits.
const WAITING_SHOWN: Duration = Duration::from_secs(1);
/// How long open connections may take to end when the controller stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until a signal asks to stop. Tasks run on; another controller takes over at once.
pub(crate) async fn controller(arguments: Box<ControllerArguments>) -> anyhow::Result<ExitCode> {
    up::refuse::names(arguments.dns_listen)?;
    up::raise_open_files();
    let data = arguments.data.path()?;
    create_private(&data)?;
    if let Some(running) = InstanceFile::read(&data) {
        anyhow::bail!(
            "orrery already runs on {} at {}; stop it with `orrery down` or choose another --data-dir",
            data.display(),
            running.url
        );
    }
    let identity = Identity::open(&data)?;
    let waiting = tokio::spawn(note_waiting(waiting_file(&arguments, identity.cluster()?), data.clone()));
    let result = serve_as(arguments, data.clone(), identity, waiting.abort_handle()).await;
    waiting.abort();
    InstanceFile::remove(&data);
    result
}

/// Serves as the controller of this identity; `waiting` is at an end once it is known where.
async fn serve_as(
    arguments: Box<ControllerArguments>,
    data: PathBuf,
    identity: Identity,
    waiting: AbortHandle,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    // A signal must end the wait for a store that does not answer.
    let store = tokio::select! {
        connected = store::connect(&arguments) => Arc::new(connected?),
        _ = signals.wait() => return Ok(ExitCode::SUCCESS),
    };
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --listen, port 0 takes a free one", arguments.listen)
    })?;
    let address = front::reachable(listener.local_addr()?);
    let url = arguments.advertise.clone().unwrap_or_else(|| front::url_of(address));
    let zone = ZoneHandle::new();
    let upstreams = (!arguments.dns_upstream.is_empty()).then(|| arguments.dns_upstream.clone());
    let dns = serve(DnsConfig { upstreams, ..DnsConfig::new(arguments.dns_listen) }, zone.clone(), &stop).await?;
    let catalog = up::catalog(&data, arguments.universe.as_deref()).await?;

    crate::backup::socket::serve(&data, store.clone(), stop.clone())?;
    // Known once there is an authority, which the first leader makes.
    let (certificate, own) = watch::channel(None);
    let options = ControllerOptions {
        me: ControllerRecord { id: identity.id.clone(), url: url.clone(), address, protocol: Versions::spoken() },
        store,
        zone: zone.clone(),
        silence_limit: SILENCE_LIMIT,
        clock: Clock::system(),
        entropy: Seeds::random(),
        lease_ttl: Some(LEASE_TTL),
        peers: Arc::new(HttpPeers::new(&identity.id, Arc::new(SecureDial::new(own)))),
        cluster_id: identity.cluster()?,
    };
    let (handle, mut running) = tokio::select! {
        started = start_controller(options, stop.clone()) => started?,
        _ = signals.wait() => return Ok(ExitCode::SUCCESS),
    };
    let cluster_id = handle.cluster().id.to_string();
    identity.remember(&cluster_id)?;
    up::warm(&catalog, &handle);
    let facts = ClusterFacts {
        name: arguments.name.clone(),
        address,
        dns: dns.local_addr,
        dns_upstreams: dns.upstreams.clone(),
        started_at: up::now(),
    };
    let agents = Arc::new(AgentDirectory::default());
    let door = Door {
        handle: handle.clone(),
        catalog,
        zone,
        agents: Arc::clone(&agents),
        facts: Arc::new(facts),
        asset: crate::universe::asset,
    };
    let mut front = front::set_up(
        FrontOptions {
            listener,
            data: data.clone(),
            handle: handle.clone(),
            agents,
            name: identity.id.clone(),
            names: host_of(&url).into_iter().collect(),
            url: url.clone(),
        },
        &stop,
    )?;
    let mut source = front.keeper.own.clone();
    tokio::spawn(async move {
        loop {
            let present = source.borrow_and_update().clone();
            certificate.send_replace(present);
            if source.changed().await.is_err() {
                return;
            }
        }
    });
    if let Some(share) = arguments.mass_loss_brake {
        tokio::spawn(set_brake(handle.clone(), share));
    }
    front.ready().await?;
    let guarded = front.guarded;
    let serving = tokio::spawn(front.serve(door, stop.clone()));

    let own = InstanceFile {
        url: url.clone(),
        dns: dns.local_addr.to_string(),
        cluster_id,
        authority: front::authority_fingerprint(&handle),
        ..InstanceFile::of_this_process(Kind::Controller)
    };
    waiting.abort();
    own.write(&data).with_context(|| format!("cannot write to {}", data.display()))?;
    let noting = tokio::spawn(note_outages(handle.clone(), own.clone(), data.clone()));
    let trusted = front::authority(&handle).filter(|_| guarded);
    if !arguments.no_attach
        && let Err(error) = attach::attach(&own.cluster_id, &arguments.name, &url, trusted.as_deref())
    {
        tracing::warn!(%error, "the dcos command could not be attached; use `dcos cluster setup {url}`");
    }
    tracing::info!(%url, dns = %dns.local_addr, "serving");
    announce(&format!("ready {url}"));
    if let Some(hint) = front::password_hint(&data).filter(|_| guarded) {
        announce(&format!("log in with `dcos auth login`: {hint}"));
    }

    let ended = tokio::select! {
        _ = signals.wait() => None,
        ended = &mut running => Some(ended),
    };
    stop.cancel();
    let result = match ended {
        Some(ended) => ended,
        // First of all leadership is given up, so that a successor stands at once.
        None => running.await,
    };
    // A connection that does not end in time is cut with the process.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, serving).await;
    noting.abort();
    result.map_err(anyhow::Error::from)?.map_err(|error: StartError| anyhow::anyhow!("the controller has stopped: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// What `orrery status` and `orrery down` find while the store does not answer.
fn waiting_file(arguments: &ControllerArguments, cluster: Option<String>) -> InstanceFile {
    InstanceFile {
        url: arguments.advertise.clone().unwrap_or_else(|| front::url_of(arguments.listen)),
        dns: arguments.dns_listen.to_string(),
        cluster_id: cluster.unwrap_or_default(),
        store_outage: Some(format!("it waits for its store since {}", up::now())),
        ..InstanceFile::of_this_process(Kind::Controller)
    }
}

/// Notes that this process has the data directory but serves nothing yet, if that takes long.
async fn note_waiting(own: InstanceFile, data: PathBuf) {
    tokio::time::sleep(WAITING_SHOWN).await;
    if let Err(error) = own.write(&data) {
        tracing::warn!(%error, "`orrery status` cannot be told that this controller waits for its store");
    }
}

/// Keeps for `orrery status` whether the store answers: who asks has no login, and nobody may lead.
async fn note_outages(handle: Handle, mut own: InstanceFile, data: PathBuf) {
    let mut outage = handle.outage();
    loop {
        own.store_outage = outage.borrow_and_update().as_ref().map(ToString::to_string);
        if let Err(error) = own.write(&data) {
            tracing::warn!(%error, "`orrery status` cannot be told whether the store answers");
        }
        if outage.changed().await.is_err() {
            return;
        }
    }
}

/// Sets the brake's share whenever this controller becomes the leader: followers cannot.
async fn set_brake(handle: Handle, share: u8) {
    let mut role = handle.role();
    loop {
        role.borrow_and_update();
        if handle.leads() {
            let edit = move |draft: &mut orrery_core::cluster::Draft| {
                draft.set_brake_share(share);
                Ok(())
            };
            if let Err(error) = handle.edit(edit).await {
                tracing::warn!(%error, "the brake could not be set");
            }
        }
        if role.changed().await.is_err() {
            return;
        }
    }
}

/// The host of a URL: a name or an address.
fn host_of(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next()?;
    let host = match rest.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => rest.split(':').next()?,
    };
    Some(host.to_owned()).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn the_host_of_a_url_is_what_certificates_name() {
        for (url, host) in [
            ("https://c1.example:8443", "c1.example"),
            ("https://c1.example/", "c1.example"),
            ("https://10.1.2.3:8443", "10.1.2.3"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ] {
            assert_eq!(host_of(url).as_deref(), Some(host), "{url}");
        }
    }
}
