//! Connections to controllers.

use crate::address::ControllerAddress;
use crate::identity::Peer;
use crate::protocol::{self, PROTOCOL_HEADER};
use crate::stream::{self, Accepted, LinkBody, LinkChannels, StreamOptions};
use crate::tls::Distrust;
use crate::tunnel;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Path of links.
pub const LINK_PATH: &str = "/link/v1/agent";
/// Path of tunnels.
pub const TUNNEL_PATH: &str = "/link/v1/tunnel";
/// Path where a machine joins with a token.
pub const JOIN_PATH: &str = "/link/v1/join";
/// Path where a node renews its certificate.
pub const RENEW_PATH: &str = "/link/v1/renew";
/// Header that tells a machine from copies of it.
pub const MACHINE_HEADER: &str = "orrery-machine";
/// Header in which a controller tells the URLs of all controllers, separated by commas.
pub const CONTROLLERS_HEADER: &str = "orrery-controllers";

/// Time to connect and shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the answer's head: the controller may have to ask its leader.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer of a call, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes on the way for one stream.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes on the way for a connection: more than all its streams, so that none can block another.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Why a controller could not be reached or did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody answers there.
    #[error("{url} cannot be reached: {reason}; check the address and that the controller runs")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The machine answers that nothing listens there.
    #[error("{url} refuses connections: nothing listens there; check the address and that the controller runs")]
    Closed {
        /// Where.
        url: String,
    },
    /// Somebody answers, without TLS or without HTTP/2.
    #[error("{url} is no controller: it does not answer as one ({reason}); give the address of an `orrery controller`")]
    NotController {
        /// Where.
        url: String,
        /// What it did.
        reason: String,
    },
    /// A controller of another cluster.
    #[error("{url} belongs to another cluster than this {by}; use the URL and the token of one cluster")]
    OtherCluster {
        /// Where.
        url: String,
        /// What says so: `token` or `node`.
        by: &'static str,
    },
    /// Clocks differ.
    #[error(
        "the certificate of {url} does not hold at this machine's time; set the clocks of both machines right (for example with chrony)"
    )]
    Clock {
        /// Where.
        url: String,
    },
    /// The controller does not take this node's certificate.
    #[error("{url} does not accept this node's certificate: {reason}")]
    Certificate {
        /// Where.
        url: String,
        /// What the controller says.
        reason: String,
    },
    /// It answered with a refusal.
    #[error("{message}")]
    Refused {
        /// Status.
        status: u16,
        /// Short name of the reason, for programs; may be empty.
        code: String,
        /// What the controller says.
        message: String,
    },
}

impl DialError {
    /// Whether it may be otherwise a little later or elsewhere.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Closed { .. } | Self::Clock { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::NotController { .. } | Self::OtherCluster { .. } | Self::Certificate { .. } => false,
        }
    }
}

/// What [`Connection`]s show and believe.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// TLS.
    pub tls: Arc<ClientConfig>,
    /// `token` or `node`: what says which cluster is meant.
    pub by: &'static str,
}

/// An HTTP/2 connection to one controller. Dropping it ends everything on it.
pub struct Connection {
    sender: SendRequest<LinkBody>,
    url: String,
    authority: String,
    peer: Peer,
    closed: CancellationToken,
    _close: DropGuard,
}

impl Dialer {
    /// Connects to the controller at `address`.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect(&self, address: &ControllerAddress) -> Result<Connection, DialError> {
        let url = address.to_string();
        let unreachable = |reason: String| DialError::Unreachable { url: url.clone(), reason };
        match tokio::time::timeout(CONNECT_TIMEOUT, self.establish(address)).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    /// Connects and shakes hands: a byte stream to a controller.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn stream(&self, address: &ControllerAddress) -> Result<TlsStream<TcpStream>, DialError> {
        let url = address.to_string();
        let unreachable = |error: std::io::Error| DialError::Unreachable { url: url.clone(), reason: error.to_string() };
        let tcp = match open(address).await {
            Ok(tcp) => tcp,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Err(DialError::Closed { url }),
            Err(error) => return Err(unreachable(error)),
        };
        tcp.set_nodelay(true).map_err(unreachable)?;
        // Names are not checked, so that any will do where this one cannot be sent.
        let name = ServerName::try_from(address.host().to_owned()).or_else(|_| ServerName::try_from("controller"));
        let name = name.map_err(|error| DialError::Unreachable { url: url.clone(), reason: error.to_string() })?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await;
        tls.map_err(|error| self.explain(&url, &error))
    }

    async fn establish(&self, address: &ControllerAddress) -> Result<Connection, DialError> {
        let url = address.to_string();
        let tls = self.stream(address).await?;
        let (_, session) = tls.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let not_controller = |reason: String| DialError::NotController { url: url.clone(), reason };
        let peer = certificate.ok_or_else(|| not_controller("it shows no certificate".into()))?;
        let peer = Peer::of(peer).map_err(|error| not_controller(error.to_string()))?;
        if session.alpn_protocol() != Some(b"h2") {
            return Err(not_controller("it does not speak HTTP/2".into()));
        }
        let connected = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(tls))
            .await;
        let (sender, connection) = connected.map_err(|error| self.explain(&url, &error))?;
        let closed = CancellationToken::new();
        let ending = closed.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ending.cancelled() => {}
                // Whoever uses a stream of it is told by that stream.
                ended = connection => if let Err(error) = ended { tracing::debug!(%error, "a connection to a controller ended") },
            }
            ending.cancel();
        });
        let authority = address.authority();
        Ok(Connection { sender, url, authority, peer, _close: closed.clone().drop_guard(), closed })
    }

    fn explain(&self, url: &str, error: &(dyn StdError + 'static)) -> DialError {
        explain(url, self.by, error)
    }
}

/// Opens a TCP connection. It was refused only when every address refuses it.
async fn open(address: &ControllerAddress) -> std::io::Result<TcpStream> {
    let mut failure = None;
    for place in tokio::net::lookup_host((address.host(), address.port())).await? {
        match TcpStream::connect(place).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => failure = failure.or(Some(error)),
            Err(error) => failure = Some(std::io::Error::other(error)),
        }
    }
    Err(failure.unwrap_or_else(|| std::io::Error::other("its name has no address")))
}

/// Finds what rustls says somewhere below an error.
fn tls_fault<'a>(mut error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error hides what it wraps from `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        error = match inner {
            Some(inner) => inner,
            None => error.source()?,
        };
    }
}

fn explain(url: &str, by: &'static str, error: &(dyn StdError + 'static)) -> DialError {
    let url = url.to_owned();
    match tls_fault(error) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(why))) => match why.0.downcast_ref::<Distrust>() {
            Some(Distrust::Authority) => DialError::OtherCluster { url, by },
            Some(Distrust::Time) => DialError::Clock { url },
            Some(Distrust::Role) | None => DialError::NotController { url, reason: why.to_string() },
        },
        Some(rustls::Error::AlertReceived(alert)) => alerted(url, &format!("{alert:?}")),
        Some(rustls::Error::InvalidMessage(_)) => DialError::NotController { url, reason: "it does not speak TLS".into() },
        Some(other) => DialError::NotController { url, reason: other.to_string() },
        None => {
            let mut reason = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                reason = format!("{reason}: {cause}");
                source = cause.source();
            }
            // HTTP/2 keeps only the text of what TLS says after the handshake, as TLS 1.3 does.
            match reason.split_once("received fatal alert: ").map(|(_, alert)| alert.to_owned()) {
                Some(alert) => alerted(url, alert.split([':', ' ']).next().unwrap_or_default()),
                None => DialError::Unreachable { url, reason },
            }
        }
    }
}

/// What an alert of the other end (its name in rustls) says of our certificate.
fn alerted(url: String, alert: &str) -> DialError {
    match alert {
        "CertificateExpired" => {
            DialError::Certificate { url, reason: "it has expired, or the clock of one of the machines is wrong".into() }
        }
        "BadCertificate"
        | "CertificateUnknown"
        | "CertificateRevoked"
        | "UnsupportedCertificate"
        | "UnknownCA"
        | "DecryptError"
        | "AccessDenied" => DialError::Certificate { url, reason: "it was not made by the authority of that cluster".into() },
        other => DialError::NotController { url, reason: format!("it answers with the alert {other}") },
    }
}

impl Connection {
    /// Where it leads.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who is there.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    async fn send(&self, path: &str, machine: &str, body: LinkBody) -> Result<Response<Incoming>, DialError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("https://{}{path}", self.authority))
            .header("content-type", "application/json")
            .header(MACHINE_HEADER, machine)
            .header(PROTOCOL_HEADER, protocol::header())
            .header("user-agent", concat!("orrery/", env!("CARGO_PKG_VERSION")))
            .body(body)
            .map_err(|error| DialError::NotController { url: self.url.clone(), reason: error.to_string() })?;
        let mut sender = self.sender.clone();
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, async {
            sender.ready().await?;
            sender.send_request(request).await
        });
        let Ok(answered) = answer.await else {
            let reason = format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
            return Err(DialError::Unreachable { url: self.url.clone(), reason });
        };
        let response = answered.map_err(|error| explain(&self.url, "node", &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    async fn refusal(&self, response: Response<Incoming>) -> DialError {
        let status = response.status();
        let body = stream::read_body(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer["message"].as_str() {
            Some(message) => DialError::Refused {
                status: status.as_u16(),
                code: answer["code"].as_str().unwrap_or_default().to_owned(),
                message: message.to_owned(),
            },
            None if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                DialError::Unreachable { url: self.url.clone(), reason: format!("it answers {status}") }
            }
            None => DialError::NotController { url: self.url.clone(), reason: format!("it answers {status}") },
        }
    }

    /// Asks and reads a small answer.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn call<A: DeserializeOwned>(&self, path: &str, question: &impl Serialize) -> Result<A, DialError> {
        let not_controller = |reason: String| DialError::NotController { url: self.url.clone(), reason };
        let question = serde_json::to_vec(question).map_err(|error| not_controller(error.to_string()))?;
        let response = self.send(path, "", stream::whole_body(question)).await?;
        let body = tokio::time::timeout(ANSWER_TIMEOUT, stream::read_body(response.into_body(), ANSWER_BYTES_MAX)).await;
        let body = body.map_err(|_| not_controller("its answer does not end".into()))?.map_err(not_controller)?;
        serde_json::from_slice(&body).map_err(|error| not_controller(format!("its answer cannot be read: {error}")))
    }

    /// Opens the link; with it come the URLs of all controllers, when the controller tells them.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn open_link<In, Out>(&self, options: StreamOptions) -> Result<(LinkChannels<In, Out>, Vec<String>), DialError>
    where
        In: DeserializeOwned + Send + Sync + 'static,
        Out: Serialize + Send + 'static,
    {
        self.open_link_if(options, "", |_| Ok(())).await
    }

    /// The same, telling which machine this is, with messages that `accept` refuses ending the link.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn open_link_if<In, Out>(
        &self,
        options: StreamOptions,
        machine: &str,
        accept: impl Fn(&In) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<(LinkChannels<In, Out>, Vec<String>), DialError>
    where
        In: DeserializeOwned + Send + Sync + 'static,
        Out: Serialize + Send + 'static,
    {
        let (body, opening) = stream::open(options);
        let response = self.send(LINK_PATH, machine, body).await?;
        let controllers = controllers_of(&response);
        let accept = move |message: &In| accept(message).map(|()| Accepted::Message);
        Ok((opening.receive_if(response.into_body(), accept), controllers))
    }

    /// Opens a tunnel.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn open_tunnel(&self) -> Result<DuplexStream, DialError> {
        let (body, opening) = tunnel::open();
        let response = self.send(TUNNEL_PATH, "", body).await?;
        Ok(opening.receive(response.into_body()))
    }

    /// Passes on any request, as a follower does to its leader. `request` has path and query only.
    ///
    /// # Errors
    /// [`DialError`] when the connection ends before the answer begins.
    pub async fn forward(&self, request: Request<LinkBody>) -> Result<Response<Incoming>, DialError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("https://{}{path}", self.authority).parse().map_err(|error: http::uri::InvalidUri| {
            DialError::NotController { url: self.url.clone(), reason: error.to_string() }
        })?;
        parts.version = http::Version::HTTP_2;
        let mut sender = self.sender.clone();
        let explain = |error: hyper::Error| explain(&self.url, "node", &error);
        sender.ready().await.map_err(explain)?;
        sender.send_request(Request::from_parts(parts, body)).await.map_err(explain)
    }
}

fn controllers_of(response: &Response<Incoming>) -> Vec<String> {
    let value = response.headers().get(CONTROLLERS_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect()
}

/// A small body of JSON.
pub fn json_body(value: &impl Serialize) -> LinkBody {
    // Our own answers always serialize.
    stream::whole_body(Bytes::from(serde_json::to_vec(value).unwrap_or_default()))
}
