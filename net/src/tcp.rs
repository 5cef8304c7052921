//! DNS over TCP (RFC 7766).

use crate::answer::{Transport, Verdict, respond};
use crate::forward::failure;
use crate::server::Service;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections at a time; further clients wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may be silent, or a client not read, before it is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Longest query, bytes. A connection with a longer one is closed.
const QUERY_BYTES_MAX: usize = 4096;
/// Pause after a connection could not be accepted (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the service is cancelled.
pub(crate) async fn accept(listener: TcpListener, service: Arc<Service>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = service.clone();
                service.spawn(async move {
                    if let Err(error) = converse(stream, &shared).await {
                        tracing::trace!(%error, "DNS connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a DNS connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, service: &Service) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut query = Vec::new();
    let mut reply = Vec::new();
    loop {
        timeout(IDLE, read_message(&mut stream, &mut query)).await??;
        let zone = service.zone.snapshot();
        let verdict = respond(&query, Transport::Tcp, &zone, service.forwards(), rand::random(), &mut reply);
        service.counts.add(1, u64::from(matches!(verdict, Verdict::Malformed | Verdict::Drop)));
        match verdict {
            Verdict::Reply | Verdict::Malformed => {}
            Verdict::Drop => return Ok(()),
            Verdict::Forward => {
                reply = match service.forwarder.admit() {
                    Some(_permit) => {
                        service.counts.add_forwarded();
                        service.forwarder.resolve(&query, Transport::Tcp).await
                    }
                    None => failure(&query),
                };
            }
        }
        let length = u16::try_from(reply.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        reply.splice(..0, length.to_be_bytes());
        timeout(IDLE, stream.write_all(&reply)).await??;
        if verdict == Verdict::Malformed {
            return Ok(());
        }
    }
}

async fn read_message(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.resize(length, 0);
    stream.read_exact(message).await.map(drop)
}
