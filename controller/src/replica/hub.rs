//! The leader's side: encodes each step once and hands it to all who follow.

use super::frame::{Frame, ReplicaStream};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use orrery_core::cluster::{Cluster, Delta, Event};
use orrery_core::{InstanceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

/// Steps that wait to be encoded; when there are more, followers get a snapshot.
const STEPS_WAITING_MAX: usize = 256;
/// Encoded steps that wait for one follower; one that lags more begins anew with a snapshot.
const FRAMES_WAITING_MAX: usize = 1_024;
/// Followers that ask for the stream at once.
const SUBSCRIBING_MAX: usize = 64;
/// Parts of a snapshot that are encoded before they are asked for.
const PARTS_AHEAD_MAX: usize = 2;
/// Pause after which the leader says that it is there.
const ALIVE_INTERVAL: Duration = Duration::from_millis(500);

/// A published step.
pub(crate) struct Published {
    /// The state before; none when only what follows is known.
    pub(crate) before: Option<Cluster>,
    pub(crate) after: Cluster,
    pub(crate) touched: BTreeSet<InstanceId>,
    pub(crate) events: Vec<Event>,
    pub(crate) first_event: u64,
    pub(crate) at: Timestamp,
}

impl Published {
    /// A state of which it is not known how it differs: followers begin anew.
    pub(crate) fn jump(after: Cluster) -> Self {
        Self { before: None, after, touched: BTreeSet::new(), events: Vec::new(), first_event: 0, at: Timestamp::default() }
    }
}

/// Asks for the stream.
pub(crate) type Subscribe = oneshot::Sender<ReplicaStream>;

/// The leader's end.
#[derive(Clone)]
pub(crate) struct Hub {
    steps: mpsc::Sender<Published>,
    followers: Arc<AtomicUsize>,
}

impl Hub {
    /// Whether anybody follows.
    pub(crate) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Relaxed) > 0
    }

    /// Hands a step on. Never waits: followers that miss one begin anew.
    pub(crate) fn publish(&self, step: Published) {
        // When it is full, the next step shows the gap.
        let _ = self.steps.try_send(step);
    }
}

/// Makes a hub that begins with `cluster`: the leader's end, the followers' door and the work itself,
/// which ends with the leader's end.
pub(crate) fn serve(cluster: Cluster) -> (Hub, mpsc::Sender<Subscribe>, impl Future<Output = ()> + Send) {
    let (steps, waiting) = mpsc::channel(STEPS_WAITING_MAX);
    let (door, asking) = mpsc::channel(SUBSCRIBING_MAX);
    let followers = Arc::new(AtomicUsize::new(0));
    let hub = Hub { steps, followers: Arc::clone(&followers) };
    (hub, door, run(cluster, waiting, asking, followers))
}

/// A follower that still takes its snapshot: it gets what happened meanwhile in one piece, however
/// long it takes and however much that is.
struct Joining {
    /// What the snapshot shows.
    base: Cluster,
    /// What has changed since.
    touched: BTreeSet<InstanceId>,
    frames: mpsc::Sender<Bytes>,
}

async fn run(
    mut current: Cluster,
    mut steps: mpsc::Receiver<Published>,
    mut asking: mpsc::Receiver<Subscribe>,
    count: Arc<AtomicUsize>,
) {
    let mut followers: Vec<mpsc::Sender<Bytes>> = Vec::new();
    let mut joining: BTreeMap<u64, Joining> = BTreeMap::new();
    let mut taken = FuturesUnordered::new();
    let mut next = 0;
    let mut alive = tokio::time::interval(ALIVE_INTERVAL);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            step = steps.recv() => {
                let Some(step) = step else { return };
                let before = step.before.filter(|before| before.generation == current.generation);
                if let Some(before) = before {
                    for follower in joining.values_mut() {
                        follower.touched.extend(step.touched.iter().cloned());
                    }
                    if !followers.is_empty() {
                        let delta = Delta::between(&before, &step.after, &step.touched, &step.events);
                        let frame = Frame::Step { delta: Box::new(delta), first_event: step.first_event, at: step.at };
                        send(&mut followers, &frame.encode());
                    }
                } else {
                    // A step was missed: whoever follows begins anew.
                    followers.clear();
                    joining.clear();
                }
                current = step.after;
            }
            Some(asked) = asking.recv() => {
                let (sender, frames) = mpsc::channel(FRAMES_WAITING_MAX);
                let (done, whole) = oneshot::channel::<()>();
                let (parts, taken_parts) = mpsc::channel(PARTS_AHEAD_MAX);
                let stream = ReceiverStream::new(taken_parts).chain(ReceiverStream::new(frames)).map(Ok);
                if asked.send(Box::pin(stream)).is_ok() {
                    crate::surroundings::spawn(tell_all(current.clone(), parts, done));
                    joining.insert(next, Joining { base: current.clone(), touched: BTreeSet::new(), frames: sender });
                    taken.push(async move { (next, whole.await.is_ok()) });
                    next += 1;
                }
            }
            Some((number, is_taken)) = taken.next(), if !taken.is_empty() => {
                if let Some(follower) = joining.remove(&number).filter(|_| is_taken) {
                    if follower.base.generation != current.generation {
                        let delta = Delta::between(&follower.base, &current, &follower.touched, &[]);
                        let frame = Frame::Step { delta: Box::new(delta), first_event: 0, at: Timestamp::default() };
                        // Nothing else is in it yet.
                        let _ = follower.frames.try_send(frame.encode());
                    }
                    followers.push(follower.frames);
                }
            }
            _ = alive.tick(), if !followers.is_empty() => send(&mut followers, &Frame::Alive.encode()),
        }
        count.store(followers.len() + joining.len(), Ordering::Relaxed);
    }
}

/// Encodes the whole of `cluster` for one follower, beside the steps and while the follower reads what came
/// before; ends early when it has gone. `done` is told when the last part is on its way.
async fn tell_all(cluster: Cluster, parts: mpsc::Sender<Bytes>, done: oneshot::Sender<()>) {
    for part in Delta::snapshot(&cluster) {
        let frame = Frame::Step { delta: Box::new(part), first_event: 0, at: Timestamp::default() };
        if parts.send(frame.encode()).await.is_err() {
            return;
        }
    }
    // Whoever waited for it has ended with the hub.
    let _ = done.send(());
}

fn send(followers: &mut Vec<mpsc::Sender<Bytes>>, frame: &Bytes) {
    followers.retain(|follower| match follower.try_send(frame.clone()) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Full(_)) => {
            tracing::warn!("a follower lags; it begins anew with a snapshot");
            false
        }
        Err(mpsc::error::TrySendError::Closed(_)) => false,
    });
}
