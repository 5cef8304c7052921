//! A small TCP proxy that can delay, stall (half-open links) and cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Bytes moved at once.
const CHUNK: usize = 16 << 10;

#[derive(Default)]
struct State {
    delay_ms: AtomicU64,
    stalled: AtomicBool,
    /// Connections made before this count move nothing any more.
    abandoned: AtomicU64,
    connections: AtomicU64,
    changed: Notify,
    cut: Notify,
    bytes: AtomicU64,
}

/// A proxy in front of one address.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of `listen` and passes on to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(listen: &str, target: String) -> Self {
        let listener = TcpListener::bind((listen, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (state, target) = (Arc::clone(&shared), target.clone());
                let number = state.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = state.cut.notified() => {}
                        () = pass(near_read, far_write, &state, number) => {}
                        () = pass(far_read, near_write, &state, number) => {}
                    }
                });
            }
        });
        Self { address, state, task }
    }

    /// Delays everything from now on.
    pub fn delay(&self, delay: Duration) {
        self.state.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Keeps connections open and moves nothing, as a dead peer behind a live link does.
    pub fn stall(&self, stalled: bool) {
        self.state.stalled.store(stalled, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }

    /// From now on nothing moves on the present connections, which stay open at both ends; new ones work.
    pub fn abandon(&self) {
        self.state.abandoned.store(self.state.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Bytes passed on so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::SeqCst)
    }
}

async fn pass(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, state: &State, number: u64) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(count) = from.read(&mut chunk).await else { return };
        if count == 0 {
            return;
        }
        let delay = state.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        loop {
            let changed = state.changed.notified();
            if number < state.abandoned.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            if !state.stalled.load(Ordering::SeqCst) {
                break;
            }
            changed.await;
        }
        state.bytes.fetch_add(count as u64, Ordering::SeqCst);
        if to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
