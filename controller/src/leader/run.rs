//! The loop: collect, settle, store, publish, tell.

use super::commit::Committer;
use crate::events::EventLog;
use crate::handle::{ControlError, Input};
use crate::names::Names;
use crate::{Clock, Seeds};
use arc_swap::ArcSwap;
use orrery_core::assignment::Down;
use orrery_core::cluster::{Cluster, Draft, Entropy, Step};
use orrery_core::node::NodeStatus;
use orrery_core::placement::Ledger;
use orrery_core::{NodeId, Timestamp};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Inputs taken into one step.
const BATCH_MAX: usize = 1_024;
/// Longest sleep of the loop; it wakes for events, this only bounds a clock that jumped.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Pause before inputs are taken again after the store failed.
const STORE_RETRY: Duration = Duration::from_millis(250);

struct Link {
    id: u64,
    down: mpsc::Sender<Down>,
}

pub(crate) struct Leader {
    cluster: Cluster,
    /// Derived from `cluster`; moves through every draft and back.
    ledger: Option<Ledger>,
    committer: Committer,
    published: Arc<ArcSwap<Cluster>>,
    generation: watch::Sender<u64>,
    events: Arc<EventLog>,
    names: Names,
    node_timeout: Duration,
    clock: Clock,
    entropy: Seeds,
    links: BTreeMap<NodeId, Link>,
    /// Nodes without a connection and when they count as lost.
    absent: BTreeMap<NodeId, Timestamp>,
    wake_at: Option<Timestamp>,
    /// The first step, which looks at everything, has been stored.
    begun: bool,
}

type Answer = Box<dyn FnOnce(Result<(), ControlError>) + Send>;

impl Leader {
    pub(crate) fn new(
        cluster: Cluster,
        committer: Committer,
        published: Arc<ArcSwap<Cluster>>,
        generation: watch::Sender<u64>,
        events: Arc<EventLog>,
        names: Names,
        node_timeout: Duration,
        clock: Clock,
        entropy: Seeds,
    ) -> Self {
        let due = clock.now().plus_millis(i64::try_from(node_timeout.as_millis()).unwrap_or(i64::MAX));
        let absent = cluster.nodes.keys().map(|node| (node.clone(), due)).collect();
        Self {
            ledger: Some(Ledger::of(&cluster)),
            cluster,
            committer,
            published,
            generation,
            events,
            names,
            node_timeout,
            clock,
            entropy,
            links: BTreeMap::new(),
            absent,
            wake_at: None,
            begun: false,
        }
    }

    /// Names the cluster and looks at everything once, before anybody else may.
    pub(crate) async fn first_step(&mut self) {
        self.step(&mut Vec::new()).await;
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Input>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let pause = self.pause();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = inbox.recv_many(&mut batch, BATCH_MAX) => if received == 0 { break },
                () = tokio::time::sleep(pause) => {}
            }
            self.step(&mut batch).await;
        }
        tracing::info!("the leader has stopped");
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let next = self.absent.values().copied().chain(self.wake_at).min();
        let millis = next.map(|at| at.millis_since(now).max(0) as u64);
        millis.map_or(SLEEP_MAX, Duration::from_millis).min(SLEEP_MAX)
    }

    fn draft(&mut self) -> Draft {
        let ledger = self.ledger.take();
        Draft::new(&self.cluster, self.clock.now(), self.committer.epoch(), Entropy::new(self.entropy.next_seed()))
            .with_ledger(ledger)
    }

    async fn step(&mut self, batch: &mut Vec<Input>) {
        let mut answers = Vec::new();
        let absent = self.absent.clone();
        let decided = std::panic::catch_unwind(AssertUnwindSafe(|| self.decide(batch, &mut answers)));
        let Ok(step) = decided else {
            // A fault of ours in one request must not end the cluster: the draft is dropped.
            tracing::error!("a step panicked and was dropped; please report the lines above");
            batch.clear();
            self.undo(absent);
            for answer in answers {
                answer(Err(ControlError::Store("an internal error".into())));
            }
            return;
        };
        if !self.finish(step, answers).await {
            self.undo(absent);
            tokio::time::sleep(STORE_RETRY).await;
        }
    }

    /// After a step that was dropped: reports in it are lost, so that agents must tell everything
    /// again. One that does not come back to do so counts as lost in its time, as do those that the
    /// step would have lost.
    fn undo(&mut self, absent: BTreeMap<NodeId, Timestamp>) {
        self.links.clear();
        self.absent = absent;
        let due = self.due();
        for (node, _) in self.cluster.nodes.iter().filter(|(_, node)| node.status == NodeStatus::Active) {
            self.absent.entry(node.clone()).or_insert(due);
        }
        if !self.begun {
            self.wake_at = Some(self.clock.now());
        }
    }

    /// When a node that is absent from now on counts as lost.
    fn due(&self) -> Timestamp {
        self.clock.now().plus_millis(i64::try_from(self.node_timeout.as_millis()).unwrap_or(i64::MAX))
    }

    /// The pure part of a step.
    fn decide(&mut self, batch: &mut Vec<Input>, answers: &mut Vec<Answer>) -> Step {
        let now = self.clock.now();
        let mut draft = self.draft();
        if !self.begun {
            draft.name_cluster();
            draft.wake_all();
        }
        for input in batch.drain(..) {
            match input {
                Input::Edit(act) => answers.push(act(&mut draft)),
                Input::Register { facts, tasks, link, down } => {
                    self.absent.remove(&facts.id);
                    self.links.insert(facts.id.clone(), Link { id: link, down });
                    draft.register(*facts, tasks);
                }
                Input::Reports { node, link, tasks } => {
                    // What an older connection says late is older than the registration on the newer.
                    if self.links.get(&node).is_some_and(|current| current.id == link) {
                        for report in tasks {
                            draft.observe(&node, report);
                        }
                    }
                }
                Input::Lost { node, link } => {
                    if self.links.get(&node).is_some_and(|current| current.id == link) {
                        self.links.remove(&node);
                        draft.disconnect_node(&node);
                        self.absent.insert(node, self.due());
                    }
                }
            }
        }
        let lost: Vec<NodeId> = self.absent.iter().filter(|(_, due)| **due <= now).map(|(node, _)| node.clone()).collect();
        for node in lost {
            tracing::warn!(%node, "the agent is lost");
            self.absent.remove(&node);
            draft.lose_node(&node);
        }
        draft.wake_paused();
        draft.settle()
    }

    /// Stores the step; only then it becomes true. Returns whether it did.
    async fn finish(&mut self, mut step: Step, answers: Vec<Answer>) -> bool {
        if !step.writes.is_empty()
            && let Err(error) = self.committer.commit(step.writes).await
        {
            tracing::error!(%error, "a step could not be stored; nothing of it was done");
            for answer in answers {
                answer(Err(ControlError::Store(error.to_string())));
            }
            self.ledger = step.ledger.take();
            if let Some(ledger) = &mut self.ledger {
                ledger.rollback();
            }
            return false;
        }
        self.ledger = step.ledger.take();
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(step.cluster.generation);
        }
        self.begun = true;
        self.wake_at = step.wake_at;
        let now = self.clock.now();
        self.names.update(&self.cluster, &step.cluster, &step.touched);
        self.cluster = step.cluster;
        self.published.store(Arc::new(self.cluster.clone()));
        self.generation.send_replace(self.cluster.generation);
        for answer in answers {
            answer(Ok(()));
        }
        for (node, order) in step.orders {
            self.send(&node, order);
        }
        self.events.publish(now, step.events);
        true
    }

    fn send(&mut self, node: &NodeId, order: Down) {
        // A node without a connection gets a snapshot when it comes back.
        let Some(link) = self.links.get(node) else { return };
        if let Err(error) = link.down.try_send(order) {
            tracing::warn!(%node, %error, "the agent does not take its orders; connection closed");
            self.links.remove(node);
            // The end of that connection is no news any more, so its time runs from here.
            self.absent.insert(node.clone(), self.due());
        }
    }
}
