//! The loop: collect, settle, store, publish, tell.

use super::attendance::Attendance;
use super::commit::{CommitError, Committer};
use super::present;
use crate::Seeds;
use crate::election::Tenure;
use crate::handle::{ControlError, Input};
use crate::mirror::StoreMirror;
use crate::replica::{Hub, Published};
use crate::shared::Shared;
use crate::surroundings::compute;
use orrery_core::assignment::Down;
use orrery_core::cluster::{Cluster, Draft, Entropy, Event, Step};
use orrery_core::placement::Ledger;
use orrery_core::{NodeId, Timestamp};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Inputs taken into one step.
const BATCH_MAX: usize = 1_024;
/// Inputs from which on a step is taken for one that may last.
const LARGE_BATCH: usize = 64;
/// Longest sleep of the loop; it wakes for events, this only bounds a mistake.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Pause before inputs are taken again after the store failed.
const STORE_RETRY: Duration = Duration::from_millis(250);

pub(crate) struct Leader {
    cluster: Cluster,
    /// Derived from `cluster`; moves through every draft and back.
    ledger: Option<Ledger>,
    committer: Committer,
    tenure: Arc<Tenure>,
    shared: Arc<Shared>,
    hub: Hub,
    entropy: Seeds,
    attendance: Attendance,
    wake_at: Option<Timestamp>,
    /// The first step, which looks at everything, has been stored.
    begun: bool,
    /// The store may hold something else than what is believed.
    doubtful: bool,
    /// How long the last step took.
    busy: Duration,
}

/// Whether the brake engages with these events, which are logged.
fn engages(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::BrakeEngaged { .. }))
}

type Answer = Box<dyn FnOnce(Result<(), ControlError>) + Send>;

/// What became of a step.
enum Outcome {
    Done,
    /// Nothing of it was stored.
    Dropped,
    /// A part of it may be stored.
    Doubtful,
    Deposed,
}

impl Leader {
    pub(crate) fn new(
        cluster: Cluster,
        committer: Committer,
        tenure: Arc<Tenure>,
        shared: Arc<Shared>,
        hub: Hub,
        entropy: Seeds,
        attendance: Attendance,
    ) -> Self {
        Self {
            ledger: Some(Ledger::of(&cluster)),
            cluster,
            committer,
            tenure,
            shared,
            hub,
            entropy,
            attendance,
            wake_at: None,
            begun: false,
            doubtful: false,
            busy: Duration::ZERO,
        }
    }

    /// Leads until another controller does. The first step names the cluster and looks at everything;
    /// only then `ready` is told.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Input>, ready: impl FnOnce(&Cluster) + Send) -> String {
        let mut ready = Some(ready);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            if self.doubtful && !self.reload().await {
                return "another controller leads now".into();
            }
            if self.begun
                && let Some(ready) = ready.take()
            {
                ready(&self.cluster);
            }
            // Before the first step is stored nobody else's requests are taken.
            let taking = ready.is_none();
            let wake = self.wake(Instant::now());
            tokio::select! {
                biased;
                received = inbox.recv_many(&mut batch, BATCH_MAX), if taking => if received == 0 { return "nobody asks any more".into() },
                () = tokio::time::sleep_until(wake) => {}
            }
            if batch.is_empty() && self.begun {
                // A step is for those that have not been heard.
                self.attendance.put_off();
                let now = Instant::now();
                if now < self.wake(now) {
                    continue;
                }
            }
            if !self.step(&mut batch).await {
                return "another controller leads now".into();
            }
        }
    }

    /// When to step next even if nobody asks: not after `now` when something is due.
    fn wake(&self, now: Instant) -> Instant {
        if !self.begun {
            return now;
        }
        let planned = self.wake_at.map(|at| {
            let millis = at.millis_since(self.shared.now()).max(0);
            now + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
        });
        self.attendance.next().into_iter().chain(planned).min().unwrap_or(now + SLEEP_MAX).min(now + SLEEP_MAX)
    }

    fn draft(&mut self) -> Draft {
        let ledger = self.ledger.take();
        let seed = self.entropy.next_seed();
        Draft::new(&self.cluster, self.shared.now(), self.committer.epoch(), Entropy::new(seed)).with_ledger(ledger)
    }

    /// Returns whether this controller still leads.
    async fn step(&mut self, batch: &mut Vec<Input>) -> bool {
        let is_large = !self.begun || batch.len() >= LARGE_BATCH || !self.cluster.unsettled.is_empty();
        let mut answers = Vec::new();
        let attendance = self.attendance.clone();
        // What agents told is lost with a step that is dropped; what was only asked is answered.
        let told = !self.begun || batch.iter().any(|input| !matches!(input, Input::Edit(_)));
        let began = Instant::now();
        let mut decide = || std::panic::catch_unwind(AssertUnwindSafe(|| self.decide(batch, &mut answers)));
        let decided = if is_large { compute(decide) } else { decide() };
        let Ok(step) = decided else {
            // A fault of ours in one request must not end the cluster: the draft is dropped.
            tracing::error!("a step panicked and was dropped; please report the lines above");
            batch.clear();
            self.ledger = None;
            self.undo(attendance);
            for answer in answers {
                answer(Err(ControlError::Store("an internal error".into())));
            }
            if !self.begun {
                tokio::time::sleep(STORE_RETRY).await;
            }
            return true;
        };
        let outcome = self.finish(step, answers).await;
        self.busy = began.elapsed();
        match outcome {
            Outcome::Done => {}
            Outcome::Deposed => return false,
            Outcome::Dropped => {
                if told {
                    self.undo(attendance);
                } else {
                    self.attendance = attendance;
                }
                tokio::time::sleep(STORE_RETRY).await;
            }
            Outcome::Doubtful => {
                self.undo(attendance);
                self.doubtful = true;
            }
        }
        true
    }

    /// After a step that was dropped: reports in it are lost, so that agents must tell everything
    /// again. One that does not come back to do so counts as lost in its time, as do those that the
    /// step would have lost.
    fn undo(&mut self, attendance: Attendance) {
        self.attendance = attendance;
        self.attendance.disconnect_all(present(&self.cluster));
        if !self.begun {
            self.wake_at = Some(self.shared.now());
        }
    }

    /// Reads again what is stored, after a step of which it is not known what was. Returns whether
    /// this controller still leads.
    async fn reload(&mut self) -> bool {
        loop {
            // What may still be on its way must not arrive after it was looked for.
            let fenced = self.committer.move_fence().await;
            if fenced == Err(CommitError::Fenced) {
                return false;
            }
            let loaded = match fenced {
                Ok(()) => StoreMirror::load(&**self.committer.store(), self.shared.now()).await.map_err(CommitError::Unknown),
                Err(error) => Err(error),
            };
            match loaded {
                Ok(loaded) => {
                    let (cluster, ledger) = compute(|| {
                        let mut cluster = loaded.mirror().cluster().clone().with_observations_of(&self.cluster);
                        cluster.generation = self.cluster.generation + 1;
                        let ledger = Ledger::of(&cluster);
                        (cluster, ledger)
                    });
                    self.ledger = Some(ledger);
                    self.hub.publish(Published::jump(cluster.clone()));
                    self.shared.publish_anew(cluster.clone());
                    self.cluster = cluster;
                    self.doubtful = false;
                    // Everything is looked at again.
                    self.begun = false;
                    tracing::warn!("read the cluster from the store again");
                    return true;
                }
                Err(error) => {
                    tracing::error!(%error, "the store cannot be read again yet");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
    }

    /// The pure part of a step.
    fn decide(&mut self, batch: &mut Vec<Input>, answers: &mut Vec<Answer>) -> Step {
        let mut draft = self.draft();
        if !self.begun {
            draft.name_cluster();
            draft.wake_all();
        }
        for input in batch.drain(..) {
            match input {
                Input::Edit(act) => answers.push(act(&mut draft)),
                Input::Register { facts, tasks, link, down, signs, arrival } => {
                    self.attendance.connect(&facts.id, link, down, signs);
                    draft.register(*facts, tasks);
                    drop(arrival);
                }
                Input::Reports { node, link, tasks } => {
                    // What an older connection says late is older than the registration on the newer.
                    if self.attendance.is_current(&node, link) {
                        for report in tasks {
                            draft.observe(&node, report);
                        }
                    }
                }
                Input::Destroyed { node, link, instances } => {
                    if self.attendance.is_current(&node, link) {
                        draft.note_destroyed(&node, &instances);
                    }
                }
                Input::Lost { node, link } => {
                    if self.attendance.is_current(&node, link) {
                        self.attendance.disconnect(&node);
                    }
                }
            }
        }
        let silent = self.attendance.take_silent(self.busy);
        for node in self.attendance.take_disconnected() {
            draft.disconnect_node(&node);
        }
        for node in silent {
            // One that has left in order says nothing any more, and nobody waits for it.
            if draft.cluster().nodes.contains_key(&node) {
                tracing::warn!(%node, "the agent is lost");
            }
            draft.lose_node(&node);
        }
        draft.wake_paused();
        draft.settle()
    }

    /// Stores the step; only then it becomes true.
    async fn finish(&mut self, mut step: Step, answers: Vec<Answer>) -> Outcome {
        let stored = if step.writes.is_empty() {
            // Nothing fences a step that writes nothing: a leader that was paused must notice here.
            if self.tenure.holds() { Ok(()) } else { Err(CommitError::Fenced) }
        } else {
            self.committer.commit(std::mem::take(&mut step.writes)).await
        };
        if let Err(error) = stored {
            let (outcome, problem) = match error {
                CommitError::Fenced => (Outcome::Deposed, ControlError::NotLeading),
                CommitError::Refused(error) => {
                    tracing::error!(%error, "a step could not be stored; nothing of it was done");
                    (Outcome::Dropped, ControlError::Store(error.to_string()))
                }
                CommitError::Unknown(error) => {
                    tracing::error!(%error, "it is not known whether a step was stored");
                    (Outcome::Doubtful, ControlError::Unknown(error.to_string()))
                }
            };
            for answer in answers {
                answer(Err(problem.clone()));
            }
            self.ledger = step.ledger.take();
            if let Some(ledger) = &mut self.ledger {
                ledger.rollback();
            }
            return outcome;
        }
        self.ledger = step.ledger.take();
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(step.cluster.generation);
        }
        if let Some(held) = step.cluster.brake.as_ref().filter(|_| !self.begun && !engages(&step.events)) {
            // Of the time of another leader: no event tells of it.
            tracing::warn!("{}", held.sentence());
        }
        self.begun = true;
        self.wake_at = step.wake_at;
        let now = self.shared.now();
        let before = std::mem::replace(&mut self.cluster, step.cluster);
        self.shared.publish(self.cluster.clone(), &step.touched);
        for answer in answers {
            answer(Ok(()));
        }
        for (node, order) in step.orders {
            self.send(&node, order);
        }
        let events = if self.hub.is_followed() { step.events.clone() } else { Vec::new() };
        let first_event = self.shared.events.publish(now, step.events);
        self.hub.publish(Published {
            before: Some(before),
            after: self.cluster.clone(),
            touched: step.touched,
            events,
            first_event,
            at: now,
        });
        Outcome::Done
    }

    fn send(&mut self, node: &NodeId, order: Down) {
        // A node without a connection gets a snapshot when it comes back.
        let Some(down) = self.attendance.down(node) else { return };
        if let Err(error) = down.try_send(order) {
            tracing::warn!(%node, %error, "the agent does not take its orders; connection closed");
            self.attendance.disconnect(node);
        }
    }
}
