//! The front of a controller: one port for everything, and what protects it.

use anyhow::Context as _;
use axum::body::Body;
use orrery_controller::Handle;
use orrery_controller::door::{AgentDirectory, Door, Gate, LinkDoor, guarded, lingering, link_routes, router, vouch};
use orrery_controller::trust::{Keeper, KeeperOptions, Logins, keep};
use orrery_link::authority::CERTIFICATE_LIFETIME;
use orrery_link::server::{Connections, ListenerOptions, serve};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// File with the first user's password, below the data directory of the first leader.
pub(crate) const PASSWORD_FILE: &str = "admin-password";
/// File with which commands on a controller's machine act, below its data directory.
pub(crate) const OPERATOR_FILE: &str = "operator.json";
/// How long the first leader may take to make the authority, and a controller its certificate.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Life of certificates in seconds, for tests of rotation.
const LIFETIME_VARIABLE: &str = "ORRERY_CERTIFICATE_SECONDS";

/// What the front needs.
pub(crate) struct FrontOptions {
    pub(crate) listener: TcpListener,
    pub(crate) data: PathBuf,
    pub(crate) handle: Handle,
    pub(crate) agents: Arc<AgentDirectory>,
    /// Name of this controller.
    pub(crate) name: String,
    /// Host names and addresses in its certificate, besides its own.
    pub(crate) names: Vec<String>,
    /// Where agents reach this controller.
    pub(crate) url: String,
}

/// A front that is set up.
pub(crate) struct Front {
    listener: TcpListener,
    handle: Handle,
    link: LinkDoor,
    connections: Connections,
    /// Its certificate.
    pub(crate) keeper: Keeper,
    /// Whether everything needs a login.
    pub(crate) guarded: bool,
}

/// Whether a door at this address serves plain HTTP and asks for no login.
pub(crate) fn is_open(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Sets up the certificate; call [`Front::serve`] to answer.
pub(crate) fn set_up(options: FrontOptions, stop: &CancellationToken) -> anyhow::Result<Front> {
    let address = options.listener.local_addr()?;
    let lifetime = lifetime()?;
    let connections = Connections::default();
    let (mut names, mut addresses) = own_names(address.ip());
    for name in options.names {
        match name.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => names.push(name),
        }
    }
    addresses.sort();
    addresses.dedup();
    names.dedup();
    let keeper = keep(
        KeeperOptions {
            names,
            addresses,
            lifetime,
            operator_file: Some(options.data.join(OPERATOR_FILE)),
            connections: connections.clone(),
            ..KeeperOptions::new(options.handle.clone(), options.name, options.data.join(PASSWORD_FILE))
        },
        stop.clone(),
    );
    let handle = options.handle;
    let link = LinkDoor {
        handle: handle.clone(),
        agents: options.agents,
        url: options.url,
        lifetime,
        machines: orrery_controller::door::Machines::default(),
    };
    Ok(Front { listener: options.listener, handle, link, connections, keeper, guarded: !is_open(address) })
}

impl Front {
    /// Waits until there is a certificate: from then on everything works that needs one.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let ready = tokio::time::timeout(READY_TIMEOUT, self.keeper.tls.wait_for(Option::is_some)).await;
        let ready = ready.map_err(anyhow::Error::from).and_then(|ready| ready.map(drop).map_err(Into::into));
        ready.context("the controller has no certificate in time; the log says why")
    }

    /// Answers until `stop`, then until open requests have ended.
    pub(crate) async fn serve(self, door: Door, stop: CancellationToken) {
        let routes = router(door);
        let routes = if self.guarded { guarded(routes, Gate { handle: self.handle, logins: Logins::default() }) } else { routes };
        let routes = link_routes(self.link).fallback_service(routes);
        let options = ListenerOptions { tls: self.keeper.tls, plain: !self.guarded, connections: self.connections };
        let answer = move |request: hyper::Request<hyper::body::Incoming>| {
            let routes = routes.clone();
            async move {
                let mut request = lingering(request.map(Body::new));
                match vouch(&mut request) {
                    Ok(()) => routes.oneshot(request).await,
                    Err(refusal) => Ok(refusal),
                }
            }
        };
        serve(self.listener, options, answer, stop).await;
    }
}

fn lifetime() -> anyhow::Result<Duration> {
    match std::env::var(LIFETIME_VARIABLE) {
        Ok(text) => {
            let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
            seconds.map(Duration::from_secs).with_context(|| format!("{LIFETIME_VARIABLE}: \"{text}\" is no number of seconds"))
        }
        Err(_) => Ok(CERTIFICATE_LIFETIME),
    }
}

/// Names and addresses of this machine, as clients may write them.
fn own_names(listen: IpAddr) -> (Vec<String>, Vec<IpAddr>) {
    let mut names = vec!["localhost".to_owned()];
    let hostname = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_dns =
        |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    names.extend(Some(hostname).filter(is_dns).filter(|name| name != "localhost"));
    names.extend(["leader.mesos", "master.mesos"].map(str::to_owned));
    let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap_or(IpAddr::from([127, 0, 0, 1]))];
    if listen.is_unspecified() {
        addresses.extend(interface_addresses());
    } else {
        addresses.push(listen);
    }
    addresses.sort();
    addresses.dedup();
    (names, addresses)
}

fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addresses = interfaces.filter_map(|interface| interface.address).filter_map(|address| {
        let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))
    });
    // A link-local address means nothing without its interface.
    let usable = |address: &IpAddr| !matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    addresses.filter(usable).collect()
}

/// The address of a door for others: one of the machine's own when it listens on all.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let others = interface_addresses();
    let best = others.iter().find(|address| address.is_ipv4() && !address.is_loopback()).or_else(|| others.first());
    best.map_or(address, |best| SocketAddr::new(*best, address.port()))
}

/// URL of a door: plain HTTP for an open one.
pub(crate) fn url_of(address: SocketAddr) -> String {
    if is_open(address) { format!("http://{address}") } else { format!("https://{address}") }
}

/// The authority's certificate, PEM.
pub(crate) fn authority(handle: &Handle) -> Option<String> {
    handle.cluster().trust.authority.as_ref().map(|authority| authority.certificate.clone())
}

/// SHA-256 of the authority's certificate, as `openssl x509 -fingerprint -sha256` prints it.
pub(crate) fn authority_fingerprint(handle: &Handle) -> Option<String> {
    let der = orrery_link::authority::certificate_der(&authority(handle)?).ok()?;
    let plain = orrery_link::fingerprint::Fingerprint::of(&der).to_string().to_ascii_uppercase();
    let pairs: Vec<&str> = plain.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()).collect();
    Some(pairs.join(":"))
}

/// Waits until the cluster has its authority.
pub(crate) async fn established(handle: &Handle) -> anyhow::Result<()> {
    let mut generation = handle.generation();
    let established = async { while authority(handle).is_none() && generation.changed().await.is_ok() {} };
    let waited = tokio::time::timeout(READY_TIMEOUT, established).await;
    waited.context("the cluster's certificate authority was not made in time; the log says why")
}

/// What a person is told about logging in, once the cluster is new.
pub(crate) fn password_hint(data: &Path) -> Option<String> {
    let path = data.join(PASSWORD_FILE);
    path.exists().then(|| format!("user admin, password in {}", path.display()))
}
