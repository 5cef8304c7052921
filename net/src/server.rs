//! Starting and stopping the server.

use crate::forward::Forwarder;
use crate::{ZoneHandle, resolv_conf, tcp, udp};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Receive buffer asked of the kernel, bytes: a burst of some thousand queries.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// Connections the kernel keeps waiting.
const TCP_BACKLOG: i32 = 128;
/// Attempts to find a port that is free for UDP and TCP alike.
const PORT_ATTEMPTS: usize = 16;
/// Worker threads at most.
const WORKERS_MAX: usize = 64;
/// Stack of a worker thread, bytes.
const WORKER_STACK_BYTES: usize = 256 * 1024;

/// How to serve.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// UDP and TCP address; port 0 finds a free one.
    pub listen: SocketAddr,
    /// Servers that know the rest of the world; `None` = those of `/etc/resolv.conf`. The server
    /// itself is left out, and at most three are used.
    pub upstreams: Option<Vec<SocketAddr>>,
    /// UDP threads, 1–64. More than one share the port (`SO_REUSEPORT`).
    pub workers: usize,
}

impl DnsConfig {
    /// One worker, the machine's upstream servers.
    pub const fn new(listen: SocketAddr) -> Self {
        Self { listen, upstreams: None, workers: 1 }
    }
}

/// Why serving could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be used.
    #[error("cannot serve DNS on {address}: {error}; choose another address, or port 0 for any free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread for DNS: {0}")]
    Thread(#[source] io::Error),
}

/// What a server has done since it started.
#[derive(Debug, Default)]
pub struct Counts {
    queries: AtomicU64,
    malformed: AtomicU64,
    forwarded: AtomicU64,
    socket_errors: AtomicU64,
}

impl Counts {
    /// Packets received.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Packets that were no queries.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Queries passed to upstream servers.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, queries: u64, malformed: u64) {
        self.queries.fetch_add(queries, Ordering::Relaxed);
        if malformed > 0 {
            let before = self.malformed.fetch_add(malformed, Ordering::Relaxed);
            // Ever more rarely: whenever the number of digits in base two grows.
            if before.leading_zeros() != (before + malformed).leading_zeros() {
                tracing::warn!(packets = before + malformed, "malformed DNS packets received so far");
            }
        }
    }

    pub(crate) fn add_forwarded(&self) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_socket_error(&self, error: Errno) {
        let count = self.socket_errors.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(%error, count, "cannot receive DNS packets");
        }
    }
}

/// What all parts of one server share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) zone: ZoneHandle,
    pub(crate) forwarder: Forwarder,
    pub(crate) counts: Arc<Counts>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    runtime: Handle,
}

impl Service {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(crate) fn forwards(&self) -> bool {
        !self.forwarder.is_empty()
    }

    /// Runs `work` until it ends or the server is cancelled. May be called from any thread.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        let work = async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = work => {}
            }
        };
        self.tasks.spawn_on(work, &self.runtime);
    }
}

/// A running server. It stops when its cancellation token is cancelled, not when this is dropped.
#[derive(Debug)]
pub struct ServerHandle {
    /// Where it listens, UDP and TCP.
    pub local_addr: SocketAddr,
    /// The upstream servers in use.
    pub upstreams: Vec<SocketAddr>,
    /// What it has done.
    pub counts: Arc<Counts>,
    tasks: TaskTracker,
}

impl ServerHandle {
    /// Waits until the server has stopped entirely.
    pub async fn closed(&self) {
        self.tasks.wait().await;
    }
}

/// Serves `zone` until `cancel` is cancelled. UDP is answered by threads of its own, TCP and
/// forwarding run on the current tokio runtime.
pub async fn serve(config: DnsConfig, zone: ZoneHandle, cancel: &CancellationToken) -> Result<ServerHandle, ServeError> {
    let address = config.listen;
    let workers = config.workers.clamp(1, WORKERS_MAX);
    let (sockets, listener) = bind(address, workers).map_err(|error| ServeError::Listen { address, error })?;
    let local_addr = listener.local_addr().map_err(|error| ServeError::Listen { address, error })?;
    let known = match config.upstreams {
        Some(upstreams) => upstreams,
        None => resolv_conf::parse(&tokio::fs::read_to_string(resolv_conf::PATH).await.unwrap_or_default()),
    };
    let cancel = cancel.child_token();
    let service = Arc::new(Service {
        zone,
        forwarder: Forwarder::new(resolv_conf::without_self(&known, local_addr)),
        counts: Arc::default(),
        cancel: cancel.clone(),
        tasks: TaskTracker::new(),
        runtime: Handle::current(),
    });

    let stop = Stop { cancel, sockets };
    let mut threads = Vec::with_capacity(workers);
    for (index, socket) in stop.sockets.iter().enumerate() {
        let (socket, service) = (socket.clone(), service.clone());
        let builder = thread::Builder::new().name(format!("dns-{index}")).stack_size(WORKER_STACK_BYTES);
        match builder.spawn(move || udp::work(&socket, &service)) {
            Ok(thread) => threads.push(thread),
            Err(error) => return Err(ServeError::Thread(error)),
        }
    }
    service.spawn(tcp::accept(listener, service.clone()));
    service.tasks.spawn(async move {
        stop.cancel.cancelled().await;
        drop(stop);
        // They end at once: nothing they do after waking up blocks.
        let join = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        drop(join.await);
    });
    service.tasks.close();
    tracing::info!(%local_addr, upstreams = ?service.forwarder.upstreams(), workers, "serving DNS");
    Ok(ServerHandle {
        local_addr,
        upstreams: service.forwarder.upstreams().to_vec(),
        counts: service.counts.clone(),
        tasks: service.tasks.clone(),
    })
}

/// Stops the workers when dropped, be it because the server was cancelled or because its runtime
/// went away.
struct Stop {
    cancel: CancellationToken,
    sockets: Vec<Arc<Socket>>,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.cancel.cancel();
        for socket in &self.sockets {
            // The system reports that the socket is not connected, and wakes its readers all the same.
            drop(socket.shutdown(Shutdown::Both));
        }
    }
}

fn bind(address: SocketAddr, workers: usize) -> io::Result<(Vec<Arc<Socket>>, TcpListener)> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let first = bind_udp(address, workers)?;
        let Some(bound) = first.local_addr()?.as_socket() else { return Err(ErrorKind::AddrNotAvailable.into()) };
        let listener = match bind_tcp(bound) {
            // Taken by someone else: another port may be free for both.
            Err(error) if error.kind() == ErrorKind::AddrInUse && address.port() == 0 && attempt < PORT_ATTEMPTS => continue,
            result => result?,
        };
        let mut sockets = vec![Arc::new(first)];
        for _ in 1..workers {
            sockets.push(Arc::new(bind_udp(bound, workers)?));
        }
        return Ok((sockets, listener));
    }
}

fn bind_udp(address: SocketAddr, workers: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if workers > 1 {
        socket.set_reuse_port(true)?;
    }
    // A smaller buffer is no reason not to serve.
    drop(socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES));
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    TcpListener::from_std(socket.into())
}
