//! The accepting side: one port for TLS and, where allowed, plain HTTP.

use crate::handshakes::{Handshake, Handshakes, Limits};
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
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that shake hands at once; for more the oldest give way, and while all are young they
/// wait in the listener's queue.
const HANDSHAKES_MAX: usize = 512;
/// Of these, those of one address that are not dropped before all others.
const HANDSHAKES_PER_PEER_MAX: usize = 64;
/// Time for the first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(3);
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
/// Silence after which the other end of a connection over HTTP/2 is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Time for its answer; the connection is closed then.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

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
    let limits = Limits { total: HANDSHAKES_MAX, per_peer: HANDSHAKES_PER_PEER_MAX };
    serve_within(limits, listener, options, handler, stop).await;
}

async fn serve_within<F, Fut, B>(
    limits: Limits,
    listener: TcpListener,
    options: ListenerOptions,
    handler: F,
    stop: CancellationToken,
) where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let handshakes = Handshakes::new(limits);
    let tasks = TaskTracker::new();
    loop {
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
        let handshake = tokio::select! {
            () = stop.cancelled() => break,
            handshake = handshakes.begin(address.ip()) => handshake,
        };
        let (options, handler, stop) = (options.clone(), handler.clone(), stop.clone());
        tasks.spawn(async move {
            let shaking = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(tcp, address, &options, &handshake));
            let shaken = tokio::select! {
                () = handshake.dropped() => {
                    tracing::debug!(%address, "no handshake while others wait");
                    return;
                }
                shaken = shaking => shaken,
            };
            drop(handshake);
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
    handshake: &Handshake,
) -> std::io::Result<Option<(Io, Arrival)>> {
    tcp.set_nodelay(true)?;
    let mut first = [0];
    let peeked = tokio::time::timeout(FIRST_BYTE_TIMEOUT, tcp.peek(&mut first)).await;
    if peeked.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? == 0 {
        return Ok(None);
    }
    handshake.speaks();
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
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;
    use tokio::io::AsyncReadExt as _;
    use tokio::time::Instant;
    use tokio_util::sync::DropGuard;

    /// A door with room for four handshakes, which never gets a certificate.
    async fn door() -> (SocketAddr, DropGuard, watch::Sender<Option<Arc<ServerConfig>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (certificate, tls) = watch::channel(None);
        let options = ListenerOptions { tls, plain: true, connections: Connections::default() };
        let stop = CancellationToken::new();
        let answer = |_| async { Ok(Response::new(Empty::<Bytes>::new())) };
        tokio::spawn(serve_within(Limits { total: 4, per_peer: 2 }, listener, options, answer, stop.clone()));
        (address, stop.drop_guard(), certificate)
    }

    #[tokio::test]
    async fn who_does_not_shake_hands_keeps_nobody_out() {
        let (address, _stop, _certificate) = door().await;
        for said in [&b""[..], &[TLS_HANDSHAKE]] {
            let mut idle = Vec::new();
            for _ in 0..6 {
                let mut tcp = TcpStream::connect(address).await.unwrap();
                tcp.write_all(said).await.unwrap();
                idle.push(tcp);
            }
            let mut honest = TcpStream::connect(address).await.unwrap();
            honest.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            honest.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
            let open = idle[5].try_read(&mut [0]).unwrap_err();
            assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock, "it did not wait for the end of all others");
            // A byte that was not read makes it a reset.
            let ended = idle[0].read(&mut [0]).await;
            assert!(!ended.is_ok_and(|bytes| bytes > 0), "the oldest is still there");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_waited_for() {
        let (address, _stop, _certificate) = door().await;
        let since = Instant::now();
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        assert!(since.elapsed() < HANDSHAKE_TIMEOUT, "{:?}", since.elapsed());
    }
}
