//! The follower's side: applies what the leader publishes, exactly, and shows it.

use super::frame::{Frame, FrameError, FrameReader, ReplicaStream};
use crate::election::LeaderRecord;
use crate::peers::Peers;
use crate::retry::{Retry, Rhythm};
use crate::shared::Shared;
use crate::succession::{Ending, Evidence, is_running_out};
use orrery_core::InstanceId;
use orrery_core::cluster::{Cluster, ReplicaFault};
use orrery_store::Store;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Silence of the leader after which its stream is opened again.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// Frames that are decoded before they are applied.
const FRAMES_AHEAD_MAX: usize = 4;
/// How long opening the stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
/// Pauses before a stream is opened again that brought nothing. Those with which the leader's end is
/// proven are shorter, and do not grow.
const OPEN_RETRY: Rhythm = Rhythm { least: Duration::from_millis(100), quick: 1, most: Duration::from_secs(3) };
/// How often it is looked meanwhile whether the leader's lease runs out.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// The copy, and what of it is not shown yet.
#[derive(Default)]
pub(crate) struct Replica {
    cluster: Cluster,
    touched: BTreeSet<InstanceId>,
    /// Begun anew: what is shown now is no base.
    anew: bool,
    /// The first snapshot is whole.
    begun: bool,
    /// Which state of the trust is shown.
    trust: u64,
}

impl Replica {
    /// Applies a frame; shows the state when it is whole.
    fn take(&mut self, shared: &Shared, frame: &Frame) -> Result<(), ReplicaFault> {
        let Frame::Step { delta, first_event, at } = frame else {
            if self.begun && shared.trust().0 != self.trust {
                self.show(shared);
            }
            return Ok(());
        };
        // A fault ends the stream, and this copy with it.
        let (cluster, events) = std::mem::take(&mut self.cluster).with_delta(delta)?;
        self.cluster = cluster;
        self.anew |= delta.after.is_none();
        if !self.anew {
            self.touched.extend(delta.touched().cloned());
        }
        if !delta.more {
            self.begun = true;
            self.show(shared);
        }
        if *first_event > 0 {
            shared.events.publish_from(*first_event, *at, events);
        }
        Ok(())
    }

    fn show(&mut self, shared: &Shared) {
        let touched = std::mem::take(&mut self.touched);
        (self.trust, self.cluster.trust) = shared.trust();
        if std::mem::take(&mut self.anew) {
            shared.publish_anew(self.cluster.clone());
        } else {
            shared.publish(self.cluster.clone(), &touched);
        }
    }
}

/// One tenure that is followed.
struct Pursuit {
    leader: LeaderRecord,
    evidence: Evidence,
    retry: Retry,
}

impl Pursuit {
    fn of(leader: LeaderRecord) -> Self {
        Self { leader, evidence: Evidence::default(), retry: Retry::new(OPEN_RETRY) }
    }

    /// Takes in that a stream has ended; tells the pause before the next one.
    fn note(&mut self, ending: Ending, reason: &str) -> Duration {
        self.evidence.note(ending);
        if ending == Ending::Broke {
            self.retry.succeeded();
        }
        let proving = self.evidence.pause();
        let pause = if proving < OPEN_RETRY.least { proving } else { self.retry.pause() };
        if self.retry.is_news(reason, pause, Instant::now()) {
            tracing::info!(
                leader = self.leader.controller.url,
                reason,
                ?pause,
                "the leader's stream has ended; opening it again"
            );
        }
        pause
    }

    /// Whether the leader may be succeeded although its lease has not ended.
    async fn is_over(&self, store: &dyn Store) -> bool {
        self.evidence.is_vacant(&self.leader) || is_running_out(store, &self.leader).await
    }
}

/// Follows whoever leads, for ever. `live` tells whether the stream is whole, `vacant` whose tenure may
/// be ended because its process is gone or stands still.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    peers: Arc<dyn Peers>,
    mut leader: watch::Receiver<Option<LeaderRecord>>,
    live: watch::Sender<bool>,
    vacant: watch::Sender<Option<LeaderRecord>>,
) {
    let mut known: Option<Pursuit> = None;
    loop {
        let record = leader.borrow_and_update().clone().filter(|record| !record.controller.is_left_from(&shared.me));
        let Some(record) = record else {
            live.send_replace(false);
            vacant.send_replace(None);
            if leader.changed().await.is_err() {
                return;
            }
            continue;
        };
        let pursuit = match &mut known {
            Some(pursuit) if pursuit.leader == record => pursuit,
            _ => known.insert(Pursuit::of(record.clone())),
        };
        let pause = tokio::select! {
            biased;
            changed = leader.wait_for(|now| now.as_ref() != Some(&record)) => {
                if changed.is_err() {
                    return;
                }
                pursuit.evidence.pause()
            }
            (ending, reason) = stream(&shared, &*peers, &record, &live) => pursuit.note(ending, &reason),
        };
        live.send_replace(false);
        pause_with(pursuit, pause, &*store, &mut leader, &vacant).await;
    }
}

/// Waits before the next stream, unless another leader is named; tells all the while whether this one
/// may be succeeded.
async fn pause_with(
    pursuit: &Pursuit,
    pause: Duration,
    store: &dyn Store,
    leader: &mut watch::Receiver<Option<LeaderRecord>>,
    vacant: &watch::Sender<Option<LeaderRecord>>,
) {
    let mut ends = None;
    loop {
        let gone = pursuit.is_over(store).await.then(|| pursuit.leader.clone());
        vacant.send_if_modified(|before| std::mem::replace(before, gone.clone()) != gone);
        let now = Instant::now();
        let end = *ends.get_or_insert(now + pause);
        let look = end.min(now + LOOK_PAUSE);
        tokio::select! {
            biased;
            _ = leader.changed() => return,
            () = tokio::time::sleep_until(look) => {}
        }
        if look == end {
            return;
        }
    }
}

/// Follows one stream until it ends; says how and why.
async fn stream(shared: &Shared, peers: &dyn Peers, leader: &LeaderRecord, live: &watch::Sender<bool>) -> (Ending, String) {
    let opened = match tokio::time::timeout(OPEN_TIMEOUT, peers.replica(leader)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return (Ending::Refused, error.to_string()),
        Ok(Err(error)) => return (Ending::Unclear, error.to_string()),
        Err(_) => return (Ending::Unclear, "it cannot be opened in time".into()),
    };
    let mut whole = Ending::Unclear;
    let (decoded, mut frames) = mpsc::channel(FRAMES_AHEAD_MAX);
    let _reading = AbortOnDropHandle::new(crate::surroundings::spawn(read(opened, decoded)));
    let mut replica = Replica::default();
    loop {
        let frame = match tokio::time::timeout(SILENCE_MAX, frames.recv()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return (whole, error.to_string()),
            Ok(None) => return (whole, "it is not read any more".into()),
            Err(_) => return (whole, "the leader is silent".into()),
        };
        // A leader of an earlier epoch has nothing to say any more.
        if let Err(fault) = replica.take(shared, &frame) {
            return (whole, fault.to_string());
        }
        let partial = matches!(&frame, Frame::Step { delta, .. } if delta.more);
        if !partial {
            whole = Ending::Broke;
            shared.note_leader();
            live.send_if_modified(|live| !std::mem::replace(live, true));
        }
    }
}

/// Reads frames while those before are being applied, until the stream ends or nobody takes them.
async fn read(opened: ReplicaStream, decoded: mpsc::Sender<Result<Frame, FrameError>>) {
    let mut frames = FrameReader::new(opened);
    loop {
        let frame = frames.next().await;
        let ended = frame.is_err();
        if decoded.send(frame).await.is_err() || ended {
            return;
        }
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("generation", &self.cluster.generation).finish_non_exhaustive()
    }
}
