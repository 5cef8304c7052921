//! A byte stream made of the two bodies of one request, and HTTP inside it the other way round: the
//! agent, which opened the connection, is the server.

use crate::stream::LinkBody;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio_util::io::ReaderStream;

/// Bytes that may wait in each direction of a tunnel.
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes taken from the buffer at once.
const PIECE_BYTES: usize = 64 << 10;
/// Requests at once through one tunnel.
const REQUESTS_MAX: u32 = 256;
/// Bytes on the way for one request of a tunnel.
const REQUEST_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes on the way for all of them: more than some slow readers can hold up.
const TUNNEL_WINDOW_BYTES: u32 = 16 << 20;
/// A tunnel whose other end does not answer for this long is closed.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Time to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The sending half of a tunnel: a body for the request or response.
pub fn open() -> (LinkBody, Opening) {
    let (own, transport) = tokio::io::duplex(BUFFER_BYTES);
    let (reader, writer) = tokio::io::split(transport);
    // A duplex stream does not fail to be read; its end is the end of the body.
    let pieces = ReaderStream::with_capacity(reader, PIECE_BYTES).map_ok(Frame::data).map_err(|_| ());
    let pieces = futures::StreamExt::filter_map(pieces, |piece| std::future::ready(piece.ok().map(Ok::<_, Infallible>)));
    (LinkBody::new(StreamBody::new(pieces)), Opening { own, writer })
}

/// A tunnel whose other body is still to come.
#[must_use]
pub struct Opening {
    own: DuplexStream,
    writer: tokio::io::WriteHalf<DuplexStream>,
}

impl Opening {
    /// The byte stream, once the other end's body is there.
    pub fn receive<B>(self, mut body: B) -> DuplexStream
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let mut writer = self.writer;
        tokio::spawn(async move {
            while let Some(Ok(piece)) = body.frame().await {
                if let Ok(piece) = piece.into_data()
                    && writer.write_all(&piece).await.is_err()
                {
                    return;
                }
            }
            // Nobody is left to tell when this fails.
            let _ = writer.shutdown().await;
        });
        self.own
    }
}

/// The agent's end: answers requests until the tunnel ends.
///
/// # Errors
/// A sentence when the tunnel broke.
pub async fn serve<F, Fut, B>(tunnel: DuplexStream, handler: F) -> Result<(), String>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(REQUEST_WINDOW_BYTES)
        .initial_connection_window_size(TUNNEL_WINDOW_BYTES)
        .max_concurrent_streams(REQUESTS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(tunnel), hyper::service::service_fn(handler))
        .await
        .map_err(|error| error.to_string())
}

/// The controller's end: the sender of requests, and the connection itself, which must be polled
/// (spawned) for as long as the tunnel is to live.
///
/// # Errors
/// A sentence when the other end does not speak HTTP/2.
pub async fn client<B>(
    tunnel: DuplexStream,
) -> Result<(SendRequest<B>, impl Future<Output = Result<(), hyper::Error>> + Send), String>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(REQUEST_WINDOW_BYTES)
        .initial_connection_window_size(TUNNEL_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(tunnel))
        .await
        .map_err(|error| error.to_string())
}
