//! The loop: collect, settle, store, publish, tell.

use super::commit::Committer;
use crate::clock;
use crate::events::EventLog;
use crate::handle::{ControlError, Input};
use crate::names::Names;
use arc_swap::ArcSwap;
use orrery_core::assignment::Down;
use orrery_core::cluster::{Cluster, Draft, Entropy, Step};
use orrery_core::placement::Ledger;
use orrery_core::{NodeId, Timestamp};
use std::collections::{BTreeMap, HashMap};
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
    links: HashMap<NodeId, Link>,
    /// Nodes without a connection and when they count as lost.
    absent: BTreeMap<NodeId, Timestamp>,
    wake_at: Option<Timestamp>,
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
    ) -> Self {
        let due = clock::now().plus_millis(node_timeout.as_millis() as i64);
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
            links: HashMap::new(),
            absent,
            wake_at: None,
        }
    }

    /// Names the cluster and looks at everything once, before anybody else may.
    pub(crate) async fn first_step(&mut self) {
        let mut draft = self.draft();
        draft.name_cluster();
        draft.wake_all();
        self.finish(draft.settle(), Vec::new()).await;
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
        let now = clock::now();
        let next = self.absent.values().copied().chain(self.wake_at).min();
        let millis = next.map(|at| at.millis_since(now).max(0) as u64);
        millis.map_or(SLEEP_MAX, Duration::from_millis).min(SLEEP_MAX)
    }

    fn draft(&mut self) -> Draft {
        let ledger = self.ledger.take();
        Draft::new(&self.cluster, clock::now(), self.committer.epoch(), Entropy::new(seed())).with_ledger(ledger)
    }

    async fn step(&mut self, batch: &mut Vec<Input>) {
        let now = clock::now();
        let mut draft = self.draft();
        let mut answers = Vec::new();
        for input in batch.drain(..) {
            match input {
                Input::Edit(act) => answers.push(act(&mut draft)),
                Input::Register { facts, tasks, link, down } => {
                    self.absent.remove(&facts.id);
                    self.links.insert(facts.id.clone(), Link { id: link, down });
                    draft.register(*facts, tasks);
                }
                Input::Reports { node, tasks } => tasks.into_iter().for_each(|report| draft.observe(&node, report)),
                Input::Lost { node, link } => {
                    if self.links.get(&node).is_some_and(|current| current.id == link) {
                        self.links.remove(&node);
                        self.absent.insert(node, now.plus_millis(self.node_timeout.as_millis() as i64));
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
        draft.wake_unreachable();
        self.finish(draft.settle(), answers).await;
    }

    /// Stores the step; only then it becomes true.
    async fn finish(&mut self, mut step: Step, answers: Vec<Answer>) {
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
            // Reports of this step are lost with it: agents tell everything again when they return.
            self.links.clear();
            tokio::time::sleep(STORE_RETRY).await;
            return;
        }
        self.ledger = step.ledger.take();
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(step.cluster.generation);
        }
        self.wake_at = step.wake_at;
        let now = clock::now();
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
    }

    fn send(&mut self, node: &NodeId, order: Down) {
        // A node without a connection gets a snapshot when it comes back.
        let Some(link) = self.links.get(node) else { return };
        if let Err(error) = link.down.try_send(order) {
            tracing::warn!(%node, %error, "the agent does not take its orders; connection closed");
            self.links.remove(node);
        }
    }
}

/// A number nobody can predict.
fn seed() -> u64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high
}
