//! Staying connected: to any controller, with a certificate that holds.

use super::complaint::Complaint;
use super::{controllers, rotate};
use orrery_agent::{Agent, Link};
use orrery_core::assignment::{Down, Up};
use orrery_link::address::ControllerAddress;
use orrery_link::client::{Connection, DialError, Dialer};
use orrery_link::credentials::Credentials;
use orrery_link::fingerprint::Fingerprint;
use orrery_link::join::refusal;
use orrery_link::stream::{LinkChannels, LinkState, StreamOptions};
use orrery_link::tls::{Trust, client_config};
use orrery_link::{authority, tunnel};
use rand::Rng as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// First pause after all controllers were tried.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: a node is back within seconds of its network.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A connection that lived as long as this ended for a new reason: others are tried at once.
const SETTLED: Duration = Duration::from_secs(1);
/// Pause while another machine is connected as this node.
const PAUSE_TAKEN: Duration = Duration::from_secs(10);
/// Pause before a connection with a new certificate is tried again, on which controller ever.
const PAUSE_RENEWED: Duration = Duration::from_secs(2);
/// Pause before a tunnel that ended is opened anew.
const TUNNEL_PAUSE: Duration = Duration::from_secs(1);
/// Silence after which another way is looked for; a node counts as lost after 2.5 s.
const SUSPICION: Duration = Duration::from_millis(1_200);
/// How long one other controller is tried then.
const DETOUR_TIMEOUT: Duration = Duration::from_millis(700);
/// How long the connection before stays when a new one has taken over.
const OVERLAP: Duration = Duration::from_secs(2);

/// A connection with its link and its tunnel.
struct Joined {
    connection: Arc<Connection>,
    link: LinkChannels<Down, Up>,
    tunnel: JoinHandle<()>,
    /// Which controllers there are, as this connection tells.
    controllers: watch::Receiver<Vec<String>>,
}

/// Keeps the agent connected; returns only when there is no way back, with what to do about it.
pub(crate) async fn stay_joined(
    agent: Arc<Agent>,
    data: PathBuf,
    mut credentials: Credentials,
    registered: watch::Sender<Option<String>>,
) -> anyhow::Error {
    let machine = machine_id(&data);
    let mut pause = PAUSE_MIN;
    // Agents spread over the controllers.
    let first = rand::rng().random_range(0..usize::MAX / 2);
    // Where the last connection went: it is tried last, since it may be silent and take its time.
    let mut last = String::new();
    let mut complaint = Complaint::default();
    loop {
        let addresses: Vec<ControllerAddress> = credentials.controllers.iter().filter_map(|url| url.parse().ok()).collect();
        if addresses.is_empty() {
            return anyhow::anyhow!("no controller is known; start the agent with --join URL");
        }
        let (mut refused, mut settled): (Option<DialError>, bool) = (None, false);
        let (tried, fresh): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.to_string() == last);
        let turn = if fresh.is_empty() { 0 } else { first % fresh.len() };
        for address in fresh[turn..].iter().chain(&fresh[..turn]).chain(&tried) {
            match establish(&agent, &credentials, address, &machine, &registered).await {
                Ok(joined) => {
                    pause = PAUSE_MIN;
                    if let Some(other) = refused.take() {
                        complaint.say(&other.to_string());
                    }
                    if complaint.succeeded() {
                        tracing::info!(url = joined.connection.url(), "connected again");
                    }
                    let since = Instant::now();
                    match Box::pin(serve(&agent, &data, credentials, joined, &machine, &registered)).await {
                        Ok((next, url)) => {
                            // A certificate that came while the connection ended lies there already.
                            credentials = Credentials::read(&data).ok().flatten().unwrap_or(next);
                            last = url;
                        }
                        Err(dismissed) => return dismissed.into(),
                    }
                    settled = since.elapsed() >= SETTLED;
                    break;
                }
                // The last one is said below, or ends the agent.
                Err(error) => {
                    if let Some(other) = refused.replace(error) {
                        complaint.say(&other.to_string());
                    }
                }
            }
        }
        match refused {
            Some(DialError::Refused { code, message, .. }) if code == refusal::REVOKED || code == refusal::FOREIGN => {
                return anyhow::anyhow!("{message}");
            }
            Some(DialError::Refused { code, message, .. }) if code == refusal::RETIRED => {
                tracing::warn!("{message}");
                agent.stop_all("its node has left the cluster for ever").await;
                return anyhow::anyhow!("{message}");
            }
            Some(error @ DialError::OtherCluster { .. }) if addresses.len() == 1 => return error.into(),
            Some(DialError::Certificate { .. }) if rotate::is_expired(&credentials) => {
                return anyhow::anyhow!(
                    "the certificate of node {} has expired; start the agent once more with --token TOKEN to come back as the same node \
                     (`orrery token create` on a controller's machine prints one); the tasks run on",
                    credentials.node
                );
            }
            Some(DialError::Refused { code, message, .. }) if code == refusal::TAKEN => {
                complaint.say(&message);
                tokio::time::sleep(PAUSE_TAKEN).await;
            }
            // Jittered, so that a thousand agents do not come back in the same moment.
            Some(error) => {
                complaint.say(&error.to_string());
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            None if settled => {}
            None => tokio::time::sleep(jittered(PAUSE_MIN)).await,
        }
    }
}

/// Between half of a pause and all of it.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// Connects and opens link and tunnel.
async fn establish(
    agent: &Arc<Agent>,
    credentials: &Credentials,
    address: &ControllerAddress,
    machine: &str,
    registered: &watch::Sender<Option<String>>,
) -> Result<Joined, DialError> {
    let damaged = |reason: String| DialError::Certificate { url: address.to_string(), reason };
    let trusted = authority::certificate_der(&credentials.authority).map_err(|error| damaged(error.to_string()))?;
    let tls =
        client_config(Trust::Authority(trusted), Some(&credentials.certified())).map_err(|error| damaged(error.to_string()))?;
    let connection = Arc::new(Dialer { tls, by: "node" }.connect(address).await?);
    let (url, registered) = (address.to_string(), registered.clone());
    let (tell, controllers) = watch::channel(Vec::new());
    let told = tell.clone();
    let accept = move |message: &Down| {
        match message {
            // The first snapshot says that the cluster has taken the registration.
            Down::Snapshot { .. } => drop(registered.send_replace(Some(url.clone()))),
            Down::Controllers { urls } => drop(tell.send_replace(urls.clone())),
            _ => {}
        }
        Ok(())
    };
    let (link, at_first) = connection.open_link_if(StreamOptions::AGENT, machine, accept).await?;
    // What has changed since is newer.
    told.send_if_modified(|urls| {
        let is_first = urls.is_empty();
        if is_first {
            *urls = at_first;
        }
        is_first
    });
    let tunnel = tokio::spawn(keep_tunnel(Arc::clone(agent), Arc::clone(&connection)));
    Ok(Joined { connection, link, tunnel, controllers })
}

/// Serves connections until one ends by itself; a new certificate brings a new connection, which
/// takes over from the one before, and so do facts that have changed. Returns the
/// credentials to go on with, and the URL of the connection that ended; never after the goodbye.
///
/// # Errors
/// The node was dismissed.
async fn serve(
    agent: &Arc<Agent>,
    data: &Path,
    mut credentials: Credentials,
    mut joined: Joined,
    machine: &str,
    registered: &watch::Sender<Option<String>>,
) -> Result<(Credentials, String), orrery_agent::Error> {
    loop {
        let Joined { connection, link, tunnel, mut controllers } = joined;
        let state = link.state.clone();
        let serving = agent.serve(Link { down: link.incoming, up: link.outgoing });
        tokio::pin!(serving);
        let next = loop {
            remember(data, &mut credentials, &controllers.borrow_and_update());
            break tokio::select! {
                ended = serving.as_mut() => {
                    if let Err(dismissed @ orrery_agent::Error::Dismissed(_)) = ended {
                        return Err(dismissed);
                    } else if ended.is_ok() {
                        tracing::info!("the agent said goodbye");
                        // Whoever stopped the tasks ends the process.
                        std::future::pending().await
                    } else if matches!(ended, Err(orrery_agent::Error::FactsChanged)) {
                        tracing::info!(url = connection.url(), "the node registers anew: what it offers has changed");
                        // At once and here: others are tried when this controller does not answer.
                        again(agent, &credentials, &connection, machine, registered).await.map(|joined| (credentials.clone(), joined))
                    } else {
                        let why = tokio::time::timeout(PAUSE_MIN, state.ended()).await.map(|why| why.to_string());
                        tracing::warn!(url = connection.url(), "the link has ended: {}", why.unwrap_or_else(|_| "closed".into()));
                        None
                    }
                }
                Ok(()) = controllers.changed() => continue,
                next = next_connection(agent, data, &credentials, &connection, machine, registered) => Some(next),
                joined = another_way(agent, &credentials, &connection, &state, machine, registered) => Some((credentials.clone(), joined)),
            };
        };
        tunnel.abort();
        let Some((renewed, next)) = next else { return Ok((credentials, connection.url().to_owned())) };
        credentials = renewed;
        joined = next;
        // What was under way on the old connection is told again on the new one.
        tokio::spawn(async move {
            tokio::time::sleep(OVERLAP).await;
            drop(connection);
        });
    }
}

/// Connects once more to the controller of `connection`.
async fn again(
    agent: &Arc<Agent>,
    credentials: &Credentials,
    connection: &Connection,
    machine: &str,
    registered: &watch::Sender<Option<String>>,
) -> Option<Joined> {
    let address = connection.url().parse().ok()?;
    establish(agent, credentials, &address, machine, registered).await.inspect_err(|error| tracing::warn!("{error}")).ok()
}

/// When nothing is heard for a while, looks for a controller that can be reached, before this node
/// counts as lost. The present link goes on meanwhile: it may only be slow.
async fn another_way(
    agent: &Arc<Agent>,
    credentials: &Credentials,
    connection: &Connection,
    state: &LinkState,
    machine: &str,
    registered: &watch::Sender<Option<String>>,
) -> Joined {
    let others = credentials.controllers.iter().filter(|url| !controllers::are_same(url, connection.url()));
    let others: Vec<ControllerAddress> = others.filter_map(|url| url.parse().ok()).collect();
    if others.is_empty() {
        return std::future::pending().await;
    }
    loop {
        for address in &others {
            state.quiet_for(SUSPICION).await;
            let tried = tokio::time::timeout(DETOUR_TIMEOUT, establish(agent, credentials, address, machine, registered));
            if let Ok(Ok(joined)) = tried.await {
                tracing::info!(silent = connection.url(), url = %address, "another controller was reached first");
                return joined;
            }
        }
    }
}

/// Waits until the certificate is due, renews it and connects with the new one.
async fn next_connection(
    agent: &Arc<Agent>,
    data: &Path,
    present: &Credentials,
    connection: &Connection,
    machine: &str,
    registered: &watch::Sender<Option<String>>,
) -> (Credentials, Joined) {
    loop {
        tokio::time::sleep(rotate::due_in(present)).await;
        match rotate::renew(connection, data, present).await {
            Ok(renewed) => {
                // The present connection goes on meanwhile, at most until the old certificate ends.
                let joined = with_new_certificate(agent, &renewed, connection.url(), machine, registered).await;
                return (renewed, joined);
            }
            Err(error) => {
                tracing::warn!("the certificate cannot be renewed yet: {error}");
                tokio::time::sleep(rotate::retry_in(present)).await;
            }
        }
    }
}

/// Connects with a new certificate: to the present controller when that goes well, else to any.
async fn with_new_certificate(
    agent: &Arc<Agent>,
    credentials: &Credentials,
    present: &str,
    machine: &str,
    registered: &watch::Sender<Option<String>>,
) -> Joined {
    let mut complaint = Complaint::default();
    loop {
        let others = credentials.controllers.iter().map(String::as_str).filter(|url| !controllers::are_same(url, present));
        for address in std::iter::once(present).chain(others).filter_map(|url| url.parse().ok()) {
            match establish(agent, credentials, &address, machine, registered).await {
                Ok(joined) => return joined,
                Err(error) => complaint.say(&format!("the new certificate is not in use yet: {error}")),
            }
        }
        tokio::time::sleep(jittered(PAUSE_RENEWED)).await;
    }
}

/// Keeps the URLs of all controllers for the next start. One that is not told of now may only be
/// restarting: it stays, behind the others, until newer ones push it out.
fn remember(data: &Path, credentials: &mut Credentials, told: &[String]) {
    let known = controllers::distinct(told.iter().chain(&credentials.controllers));
    if known == credentials.controllers {
        return;
    }
    credentials.controllers = known;
    if let Err(error) = credentials.write(data) {
        tracing::warn!("the controllers' URLs cannot be kept: {error}");
    }
}

/// Answers the controller's requests for logs and files, for as long as the connection lives.
async fn keep_tunnel(agent: Arc<Agent>, connection: Arc<Connection>) {
    loop {
        match connection.open_tunnel().await {
            Ok(stream) => {
                let routes = agent.routes();
                let answered = tunnel::serve(stream, move |request: hyper::Request<hyper::body::Incoming>| {
                    routes.clone().oneshot(request.map(axum::body::Body::new))
                });
                if let Err(error) = answered.await {
                    tracing::debug!(%error, "the tunnel ended");
                }
            }
            Err(error) => tracing::debug!(%error, "no tunnel"),
        }
        tokio::select! {
            () = connection.closed() => return,
            () = tokio::time::sleep(TUNNEL_PAUSE) => {}
        }
    }
}

/// Tells this machine and data directory from copies of them: the boot, where the directory lies in its file system,
/// and the number of that, which may be another one after each start; with dots between them.
fn machine_id(data: &Path) -> String {
    let short = |text: String| Fingerprint::of(text.as_bytes()).to_string()[..16].to_owned();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let (device, inode) = std::fs::metadata(data).map(|metadata| (metadata.dev(), metadata.ino())).unwrap_or_default();
    format!("{}.{}.{device:x}", short(boot), short(format!("{inode} {}", data.display())))
}
