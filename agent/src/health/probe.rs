//! Single probes over the network.

use super::Prober;
use orrery_core::app::{HealthCheck, HealthProtocol};
use orrery_core::health::Probe;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// Redirects are answers here, certificates are not looked at, and nothing goes through a proxy.
pub(super) fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(0)
        .user_agent("orrery-agent")
        .build()
        .map_err(|error| format!("cannot set up the client of health checks: {error}"))
}

/// The last cause in the chain says what happened; the outer ones say that something did.
fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

/// Asks for a page; the body is not read.
pub(super) async fn ask(prober: &Prober, secure: bool, at: SocketAddr, path: &str, timeout: Duration) -> Result<u16, String> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{}://{at}{slash}{path}", if secure { "https" } else { "http" });
    match prober.client()?.get(&url).timeout(timeout).send().await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) if error.is_timeout() => Err(format!("GET {url}: no answer within {} s", timeout.as_secs())),
        Err(error) => Err(format!("GET {url}: {}", cause(&error))),
    }
}

/// Runs an HTTP, HTTPS or TCP check against `address` and `port`.
pub(super) async fn probe(prober: &Prober, check: &HealthCheck, address: IpAddr, port: u16) -> Probe {
    let at = SocketAddr::new(address, port);
    let timeout = Duration::from_secs(u64::from(check.timeout_seconds.max(1)));
    let secure = match check.protocol {
        HealthProtocol::Tcp | HealthProtocol::MesosTcp => {
            return match tokio::time::timeout(timeout, TcpStream::connect(at)).await {
                Ok(Ok(_)) => Probe::Success,
                Ok(Err(error)) => Probe::Failure(format!("connect to {at}: {error}")),
                Err(_) => Probe::Failure(format!("connect to {at}: no answer within {} s", timeout.as_secs())),
            };
        }
        HealthProtocol::Https | HealthProtocol::MesosHttps => true,
        _ => false,
    };
    let path = check.path.as_deref().unwrap_or("/");
    match ask(prober, secure, at, path, timeout).await {
        Ok(200..=399) => Probe::Success,
        Ok(100..=199) if check.ignore_http1xx => Probe::Ignored,
        Ok(status) => Probe::Failure(format!("GET {path} on port {port} answered {status}")),
        Err(message) => Probe::Failure(message),
    }
}
