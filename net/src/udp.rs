//! The UDP worker: takes a batch of packets, answers, sends a batch of replies.

use crate::answer::{Transport, Verdict, respond};
use crate::forward::failure;
use crate::reply::UDP_BYTES;
use crate::server::Service;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use socket2::{SockAddr, Socket};
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Packets taken and sent with one system call at most.
const BATCH: usize = 64;
/// Longest query read, bytes; the rest of longer ones is cut, which makes them malformed.
const QUERY_BYTES_MAX: usize = UDP_BYTES as usize;

/// Answers until the service is cancelled and the socket shut down. Blocks the thread.
///
/// Replies leave from the address that the socket is bound to.
pub(crate) fn work(socket: &Arc<Socket>, service: &Arc<Service>) {
    let descriptor = socket.as_raw_fd();
    let mut received = vec![[0_u8; QUERY_BYTES_MAX]; BATCH];
    let mut replies: Vec<Vec<u8>> = vec![Vec::new(); BATCH];
    let mut clients: Vec<Option<SockaddrStorage>> = Vec::with_capacity(BATCH);
    let mut incoming: Vec<(usize, Option<SockaddrStorage>)> = Vec::with_capacity(BATCH);
    let mut receive_headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut send_headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut entropy = Entropy::new();
    loop {
        incoming.clear();
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> = received.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            // Waits for the first packet only and takes what else is there.
            match recvmmsg(descriptor, &mut receive_headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
                Ok(results) => incoming.extend(results.map(|message| (message.bytes, message.address))),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) if service.is_cancelled() => {
                    tracing::trace!(%error, "DNS socket closed");
                }
                Err(error) => service.counts.note_socket_error(error),
            }
        }
        if service.is_cancelled() {
            return;
        }

        clients.clear();
        let mut malformed = 0;
        {
            let zone = service.zone.snapshot();
            for ((length, client), packet) in incoming.iter().zip(&received) {
                let Some(client) = client else { continue };
                let packet = &packet[..(*length).min(QUERY_BYTES_MAX)];
                // Replies are written to the front of the batch, without gaps.
                let reply = &mut replies[clients.len()];
                match respond(packet, Transport::Udp, &zone, service.forwards(), entropy.next(), reply) {
                    Verdict::Reply => clients.push(Some(*client)),
                    Verdict::Malformed => {
                        malformed += 1;
                        clients.push(Some(*client));
                    }
                    Verdict::Forward => {
                        let is_forwarded = address_of(client).is_some_and(|to| forward(packet, to, socket, service));
                        if !is_forwarded {
                            *reply = failure(packet);
                            clients.push(Some(*client));
                        }
                    }
                    Verdict::Drop => malformed += 1,
                }
            }
        }
        service.counts.add(incoming.len() as u64, malformed);

        let mut sent = 0;
        while sent < clients.len() {
            let slices: Vec<[IoSlice<'_>; 1]> = replies[sent..clients.len()].iter().map(|reply| [IoSlice::new(reply)]).collect();
            match sendmmsg(descriptor, &mut send_headers, slices.iter(), &clients[sent..], [], MsgFlags::empty()) {
                Ok(results) => sent += results.count().max(1),
                Err(Errno::EINTR) => {}
                // The first reply cannot be sent, its client being gone; the others can.
                Err(_) => sent += 1,
            }
        }
    }
}

/// Starts to forward; false when too many queries are under way.
fn forward(packet: &[u8], client: SocketAddr, socket: &Arc<Socket>, service: &Arc<Service>) -> bool {
    let Some(permit) = service.forwarder.admit() else { return false };
    service.counts.add_forwarded();
    let (packet, socket, shared) = (packet.to_vec(), socket.clone(), service.clone());
    service.spawn(async move {
        let reply = shared.forwarder.resolve(&packet, Transport::Udp).await;
        // Rather lost than waited for: this is not the thread to block.
        let flags = MsgFlags::MSG_DONTWAIT.bits();
        if let Err(error) = socket.send_to_with_flags(&reply, &SockAddr::from(client), flags) {
            tracing::debug!(%client, %error, "cannot send a forwarded reply");
        }
        drop(permit);
    });
    true
}

fn address_of(client: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(client) = client.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*client).into());
    }
    client.as_sockaddr_in6().map(|client| SocketAddrV6::from(*client).into())
}

/// A small generator: which record comes first need not be a secret.
struct Entropy(u64);

impl Entropy {
    fn new() -> Self {
        Self(rand::random::<u64>() | 1)
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
