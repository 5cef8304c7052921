//! Queries about names that are not ours: passed to upstream servers, replies passed back.

use crate::answer::Transport;
use crate::query::{Header, Query};
use crate::reply::{Code, write_error};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Forwarded queries under way at most; further ones fail at once.
pub(crate) const IN_FLIGHT_MAX: usize = 1024;
/// How long one upstream server has to answer. Three of them fit into a client's usual 5 s.
const UPSTREAM_TIMEOUT: Duration = Duration::from_millis(1500);
/// Attempts over all upstream servers at least; each server gets at least one.
const ATTEMPTS_MIN: usize = 2;
/// Longest message, bytes.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Asks upstream servers.
#[derive(Debug)]
pub(crate) struct Forwarder {
    upstreams: Vec<SocketAddr>,
    /// Index of the server that answered last.
    preferred: AtomicUsize,
    in_flight: Arc<Semaphore>,
}

impl Forwarder {
    pub(crate) fn new(upstreams: Vec<SocketAddr>) -> Self {
        Self { upstreams, preferred: AtomicUsize::new(0), in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)) }
    }

    pub(crate) fn upstreams(&self) -> &[SocketAddr] {
        &self.upstreams
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.upstreams.is_empty()
    }

    /// Room for one more query; `None` when there is none.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.in_flight.clone().try_acquire_owned().ok()
    }

    /// The reply to `query`: that of the first upstream server that gives a usable one, with the
    /// client's id; SERVFAIL when none does. A truncated reply goes back to a UDP client as it is
    /// (the client asks again over TCP) and is asked for again over TCP for a TCP client.
    pub(crate) async fn resolve(&self, query: &[u8], transport: Transport) -> Vec<u8> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut refusal = None;
        for attempt in 0..self.upstreams.len().max(ATTEMPTS_MIN) {
            let Some(index) = (first + attempt).checked_rem(self.upstreams.len()) else { break };
            let upstream = self.upstreams[index];
            let reply = match timeout(UPSTREAM_TIMEOUT, ask(upstream, query, transport)).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => {
                    tracing::debug!(%upstream, %error, "upstream name server does not answer");
                    continue;
                }
                Err(_) => {
                    tracing::debug!(%upstream, "upstream name server does not answer in time");
                    continue;
                }
            };
            let code = Header::read(&reply).map_or(Code::ServFail as u8, Header::response_code);
            if code == Code::ServFail as u8 || code == Code::Refused as u8 {
                refusal = Some(reply);
                continue;
            }
            self.preferred.store(index, Ordering::Relaxed);
            return reply;
        }
        refusal.unwrap_or_else(|| failure(query))
    }
}

/// SERVFAIL for `query`.
pub(crate) fn failure(query: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    let read = Header::read(query).and_then(|header| Query::read(query, header));
    write_error(query, read.as_ref(), Code::ServFail, &mut reply);
    reply
}

async fn ask(upstream: SocketAddr, query: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    let mut asked = query.to_vec();
    let id: [u8; 2] = rand::random();
    asked[..2].copy_from_slice(&id);
    let mut reply = ask_over_udp(upstream, &asked).await?;
    if transport == Transport::Tcp && Header::read(&reply).is_some_and(Header::is_truncated) {
        reply = ask_over_tcp(upstream, &asked).await?;
    }
    reply[..2].copy_from_slice(&query[..2]);
    Ok(reply)
}

/// A socket of its own for each query: its random port is the better half of what makes forged
/// replies hard.
async fn ask_over_udp(upstream: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if upstream.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(upstream).await?;
    socket.send(asked).await?;
    loop {
        // A port that nobody listens on shows as an error, not as something to read.
        let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
        if ready.is_error() {
            return Err(socket.take_error()?.unwrap_or_else(|| ErrorKind::ConnectionRefused.into()));
        }
        // After the wait, so that waiting queries hold no buffers.
        let mut reply = vec![0; MESSAGE_BYTES_MAX];
        match socket.try_recv(&mut reply) {
            Ok(length) if is_reply_to(&reply[..length], asked) => {
                reply.truncate(length);
                reply.shrink_to_fit();
                return Ok(reply);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn ask_over_tcp(upstream: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    let length = u16::try_from(asked.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    stream.write_all(&[&length.to_be_bytes()[..], asked].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    if is_reply_to(&reply, asked) { Ok(reply) } else { Err(ErrorKind::InvalidData.into()) }
}

/// Same id, a response, same question. Servers may change the case of the name.
fn is_reply_to(reply: &[u8], asked: &[u8]) -> bool {
    let read = |packet| Header::read(packet).and_then(|header| Query::read(packet, header));
    let (Some(header), Some(question)) = (Header::read(reply), read(asked)) else { return false };
    let range = crate::query::HEADER_BYTES..question.question_end();
    // An error without a question is a valid answer to one that was not understood.
    let is_bare_error = reply.len() == crate::query::HEADER_BYTES && header.response_code() != 0;
    header.is_response()
        && reply[..2] == asked[..2]
        && (is_bare_error
            || matches!((reply.get(range.clone()), asked.get(range)), (Some(a), Some(b)) if a.eq_ignore_ascii_case(b)))
}
