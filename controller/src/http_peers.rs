//! Other controllers over HTTP/2: one connection to the leader, on which everything is multiplexed.

use crate::door::FORWARDED_HEADER;
use crate::election::LeaderRecord;
use crate::peers::Peers;
use crate::replica::ReplicaStream;
use crate::trust::SecureDial;
use async_trait::async_trait;
use axum::body::Body;
use futures::TryStreamExt as _;
use http::{HeaderName, Request, Response, Uri, header};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use orrery_link::protocol::{self, PROTOCOL_HEADER};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

/// Path of the stream of what the leader publishes.
pub(crate) const REPLICA_PATH: &str = "/link/v1/replica";

/// How long connecting may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// A leader that does not answer pings is given up after their sum.
const PING_INTERVAL: Duration = Duration::from_millis(500);
const PING_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Bytes on their way on one stream, and on all: a slow reader holds up nobody else.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A byte stream to another controller.
pub trait PeerIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PeerIo for T {}

/// Opens byte streams to other controllers: where TLS comes in.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects to the door at `url`, ready for HTTP/2.
    ///
    /// # Errors
    /// It cannot be reached (when nothing listens there: `ConnectionRefused`), or is not who it should be.
    async fn dial(&self, url: &str) -> io::Result<Box<dyn PeerIo>>;
}

#[async_trait]
impl Dial for SecureDial {
    async fn dial(&self, url: &str) -> io::Result<Box<dyn PeerIo>> {
        Ok(Box::new(self.connect(url).await?))
    }
}

/// Reaches the leader over HTTP/2.
pub struct HttpPeers {
    dial: Arc<dyn Dial>,
    me: String,
    connection: Mutex<Option<(String, SendRequest<Body>)>>,
}

impl HttpPeers {
    /// The ways of the controller `me`.
    pub fn new(me: &str, dial: Arc<dyn Dial>) -> Self {
        Self { dial, me: me.to_owned(), connection: Mutex::new(None) }
    }

    /// A sender on a connection that is alive.
    async fn sender(&self, url: &str) -> io::Result<SendRequest<Body>> {
        let mut kept = self.connection.lock().await;
        if let Some((known, sender)) = kept.as_mut()
            && known == url
            && sender.ready().await.is_ok()
        {
            return Ok(sender.clone());
        }
        *kept = None;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("{url} does not answer"));
        let stream = tokio::time::timeout(DIAL_TIMEOUT, self.dial.dial(url)).await.map_err(|_| late())??;
        let handshake = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream));
        let (sender, connection) =
            tokio::time::timeout(DIAL_TIMEOUT, handshake).await.map_err(|_| late())?.map_err(io::Error::other)?;
        crate::surroundings::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the leader has ended");
            }
        });
        *kept = Some((url.to_owned(), sender.clone()));
        Ok(sender)
    }
}

#[async_trait]
impl Peers for HttpPeers {
    async fn replica(&self, leader: &LeaderRecord) -> io::Result<ReplicaStream> {
        let request = Request::get(REPLICA_PATH)
            .header(PROTOCOL_HEADER, protocol::header())
            .body(Body::empty())
            .map_err(io::Error::other)?;
        let response = self.forward(leader, request).await?;
        if !response.status().is_success() {
            return Err(io::Error::other(format!("{} answered {}", leader.controller.url, response.status())));
        }
        Ok(Box::pin(response.into_body().into_data_stream().map_err(io::Error::other)))
    }

    async fn forward(&self, leader: &LeaderRecord, mut request: Request<Body>) -> io::Result<Response<Body>> {
        let url = &leader.controller.url;
        let base: Uri = url.parse().map_err(io::Error::other)?;
        let mut parts = base.into_parts();
        // Inside the connection, which is proven already.
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        parts.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(parts).map_err(io::Error::other)?;
        *request.version_mut() = http::Version::HTTP_2;
        let headers = request.headers_mut();
        // HTTP/2 has no headers of a connection, and names the host in the address.
        for name in
            [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")]
        {
            headers.remove(name);
        }
        headers.insert(FORWARDED_HEADER, self.me.parse().map_err(io::Error::other)?);
        let mut sender = self.sender(url).await?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        Ok(response.map(Body::new))
    }
}
