//! The network between machines, controllers and the store: who reaches whom, and connections that
//! delay, hang, or end.

use crate::chance::Chance;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// A place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A controller, by number.
    Controller(usize),
    /// A machine, by number.
    Machine(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller(number) => write!(f, "controller-{number}"),
            Self::Machine(number) => write!(f, "machine-{number}"),
        }
    }
}

/// The network. Clones are the same network.
#[derive(Debug, Clone)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
    /// Wakes in the order of waiting; tokio's `watch` does not, and histories would differ.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    /// One-way.
    blocked: BTreeSet<(Place, Place)>,
    /// Both ways: a firewall that answers in the other's name.
    rejected: BTreeSet<(Place, Place)>,
    /// Chance per mille that a message takes long.
    slow: u32,
    /// Open connections, to be reset.
    connections: Vec<(Place, Place, CancellationToken)>,
    chance: Chance,
}

impl Network {
    /// A network where everybody reaches everybody.
    pub fn new(chance: Chance) -> Self {
        let inner = Inner { blocked: BTreeSet::new(), rejected: BTreeSet::new(), slow: 0, connections: Vec::new(), chance };
        Self { inner: Arc::new(Mutex::new(inner)), changed: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        self.changed.notify_waiters();
    }

    /// Nothing gets from `from` to `to` any more. What is under way waits, as in TCP's buffers.
    pub fn block(&self, from: Place, to: Place) {
        self.lock().blocked.insert((from, to));
    }

    /// It gets through again.
    pub fn unblock(&self, from: Place, to: Place) {
        self.lock().blocked.remove(&(from, to));
        self.touch();
    }

    /// Everything gets through again.
    pub fn heal(&self) {
        let mut inner = self.lock();
        inner.blocked.clear();
        inner.rejected.clear();
        inner.slow = 0;
        drop(inner);
        self.touch();
    }

    /// Chance per mille that a message takes long (lost packets, sent again).
    pub fn set_slow(&self, per_mille: u32) {
        self.lock().slow = per_mille;
    }

    /// Whether something sent now would arrive.
    pub fn is_blocked(&self, from: Place, to: Place) -> bool {
        self.lock().blocked.contains(&(from, to))
    }

    /// From now on a firewall refuses connections between two places, and resets those that are open.
    pub fn reject(&self, a: Place, b: Place) {
        self.lock().rejected.extend([(a, b), (b, a)]);
        self.reset(a, b);
    }

    /// The firewall lets them through again.
    pub fn accept(&self, a: Place, b: Place) {
        self.lock().rejected.retain(|pair| *pair != (a, b) && *pair != (b, a));
    }

    /// Whether a firewall refuses connections between two places.
    pub fn is_rejected(&self, a: Place, b: Place) -> bool {
        self.lock().rejected.contains(&(a, b))
    }

    /// Resets the connections between two places; both ends see them end.
    pub fn reset(&self, a: Place, b: Place) {
        let mut inner = self.lock();
        inner.connections.retain(|(from, to, token)| {
            let hit = (*from, *to) == (a, b) || (*from, *to) == (b, a);
            if hit {
                token.cancel();
            }
            !hit
        });
    }

    /// Ends all connections of a place, as the kernel does for a process that died.
    pub fn reset_all(&self, place: Place) {
        let mut inner = self.lock();
        inner.connections.retain(|(from, to, token)| {
            let hit = *from == place || *to == place;
            if hit {
                token.cancel();
            }
            !hit
        });
    }

    /// A new connection, to carry pipes of both directions.
    pub fn connect(&self, from: Place, to: Place) -> CancellationToken {
        let token = CancellationToken::new();
        let mut inner = self.lock();
        inner.connections.retain(|(_, _, token)| !token.is_cancelled());
        inner.connections.push((from, to, token.clone()));
        token
    }

    /// Waits until something sent now has arrived.
    pub async fn arrive(&self, from: Place, to: Place, delay: std::time::Duration) {
        tokio::time::sleep(delay).await;
        self.until_open(from, to).await;
    }

    async fn until_open(&self, from: Place, to: Place) {
        loop {
            let changed = self.changed.notified();
            if !self.is_blocked(from, to) {
                return;
            }
            changed.await;
        }
    }

    async fn pass(&self, from: Place, to: Place, chance: &mut Chance) {
        let slow = self.lock().slow;
        let delay = if chance.hits(slow) { chance.millis(200, 1_500) } else { chance.millis(0, 4) };
        tokio::time::sleep(delay).await;
        self.until_open(from, to).await;
    }

    /// Carries messages in order from one end to the other until either end closes or the
    /// connection is reset. `filter` may change, drop or multiply what passes: planted bugs only.
    pub fn pipe<T: Send + 'static>(
        &self,
        (from, to): (Place, Place),
        capacity: usize,
        destination: mpsc::Sender<T>,
        reset: CancellationToken,
        mut filter: impl FnMut(T) -> Vec<T> + Send + 'static,
    ) -> mpsc::Sender<T> {
        let (sender, mut source) = mpsc::channel(capacity);
        let mut chance = {
            let mut inner = self.lock();
            Chance::new(inner.chance.next())
        };
        let network = self.clone();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    biased;
                    () = reset.cancelled() => return,
                    () = destination.closed() => {
                        // The other end's farewell travels too.
                        network.pass(to, from, &mut chance).await;
                        return;
                    }
                    message = source.recv() => message,
                };
                tokio::select! {
                    biased;
                    () = reset.cancelled() => return,
                    () = network.pass(from, to, &mut chance) => {}
                }
                let Some(message) = message else { return };
                for message in filter(message) {
                    tokio::select! {
                        biased;
                        () = reset.cancelled() => return,
                        sent = destination.send(message) => if sent.is_err() { return },
                    }
                }
            }
        });
        sender
    }
}
