//! The accepting side: one port for TLS and, where allowed, plain HTTP.

use crate::identity::Peer;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that shake hands at once; more wait in the listener's queue.
const HANDSHAKES_MAX: usize = 512;
/// Time for the first byte and the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the head of a request over HTTP/1.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after the listener failed, as it does when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Requests at once on one connection.
const REQUESTS_MAX: u32 = 1_024;
/// Bytes on the way for one request.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes on the way for a connection: more than what slow handlers of some requests hold up, so that
/// the others, above all the link, go on.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// A connection whose other end does not answer for this long is closed.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// How a request came in; an extension of every request.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where from.
    pub address: SocketAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Whether that was TLS 1.3.
    pub modern: bool,
    /// Who showed a certificate of the cluster.
    pub peer: Option<Arc<Peer>>,
    /// The connection; cancel to cut it.
    pub connection: CancellationToken,
}

/// What speaks TLS with whoever connects; replaced when the certificate is renewed. While there is
/// none, connections wait.
pub type TlsSource = watch::Receiver<Option<Arc<ServerConfig>>>;

/// Open connections of holders of certificates.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    next: Arc<AtomicU64>,
    open: Arc<Mutex<HashMap<u64, OpenConnection>>>,
}

/// Who is at the other end, and what ends it.
type OpenConnection = (Arc<Peer>, CancellationToken);

impl Connections {
    fn insert(&self, peer: Arc<Peer>, connection: CancellationToken) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (peer, connection));
        id
    }

    fn remove(&self, id: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Cuts the connections of all whom `is_revoked` names; returns how many.
    pub fn cut(&self, is_revoked: impl Fn(&Peer) -> bool) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let revoked = open.values().filter(|(peer, _)| is_revoked(peer));
        revoked.map(|(_, connection)| connection.cancel()).count()
    }
}

/// Settings of a door's listener.
#[derive(Clone)]
pub struct ListenerOptions {
    /// TLS.
    pub tls: TlsSource,
    /// Whether plain HTTP is served too. Only for loopback addresses.
    pub plain: bool,
    /// Where connections with certificates are noted.
    pub connections: Connections,
}

/// Serves until `stop`, then lets requests that run end for as long as the caller waits.
pub async fn serve<F, Fut, B>(listener: TcpListener, options: ListenerOptions, handler: F, stop: CancellationToken)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let tasks = TaskTracker::new();
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // One connection that broke while it waited is no fault of the door.
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (options, handler, stop) = (options.clone(), handler.clone(), stop.clone());
        tasks.spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(tcp, address, &options)).await;
            drop(permit);
            match shaken {
                Ok(Ok(Some((Io::Tls(io), arrival)))) => talk(*io, arrival, &options.connections, handler, stop).await,
                Ok(Ok(Some((Io::Plain(io), arrival)))) => talk(io, arrival, &options.connections, handler, stop).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%address, %error, "no handshake"),
                Err(_) => tracing::debug!(%address, "no handshake in time"),
            }
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

enum Io {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

async fn shake_hands(
    mut tcp: TcpStream,
    address: SocketAddr,
    options: &ListenerOptions,
) -> std::io::Result<Option<(Io, Arrival)>> {
    tcp.set_nodelay(true)?;
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    let connection = CancellationToken::new();
    if first[0] != TLS_HANDSHAKE {
        if options.plain {
            let arrival = Arrival { address, secure: false, modern: false, peer: None, connection };
            return Ok(Some((Io::Plain(tcp), arrival)));
        }
        refuse_plain(&mut tcp).await?;
        return Ok(None);
    }
    let mut source = options.tls.clone();
    let config = source.wait_for(Option::is_some).await.ok().and_then(|config| config.clone());
    let Some(config) = config else { return Ok(None) };
    let tls = TlsAcceptor::from(config).accept(tcp).await?;
    let (_, session) = tls.get_ref();
    let modern = session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
    // A certificate of the authority that names nobody is as good as none.
    let peer =
        session.peer_certificates().and_then(<[_]>::first).and_then(|certificate| Peer::of(certificate).ok()).map(Arc::new);
    Ok(Some((Io::Tls(Box::new(tls)), Arrival { address, secure: true, modern, peer, connection })))
}

/// Tells whoever speaks plain HTTP to a door that is not for it.
async fn refuse_plain(tcp: &mut TcpStream) -> std::io::Result<()> {
    const MESSAGE: &str = "This address speaks TLS only: use https:// instead of http://.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{MESSAGE}",
        MESSAGE.len()
    );
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await
}

async fn talk<I, F, Fut, B>(io: I, arrival: Arrival, connections: &Connections, handler: F, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let cut = arrival.connection.clone();
    let noted = arrival.peer.clone().map(|peer| connections.insert(peer, cut.clone()));
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(arrival.clone());
        handler(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(REQUESTS_MAX)
        .keep_alive_interval(PING_INTERVAL);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    tokio::pin!(serving);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            () = cut.cancelled() => break Ok(()),
            ended = serving.as_mut() => break ended,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
    if let Some(id) = noted {
        connections.remove(id);
    }
}
