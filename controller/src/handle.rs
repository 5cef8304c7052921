//! What the door and the agents hold of the leader.

use crate::clock::Clock;
use crate::events::EventLog;
use crate::links::AgentLink;
use arc_swap::ArcSwap;
use orrery_core::assignment::{Down, TaskReport};
use orrery_core::cluster::{Cluster, Draft, EditError};
use orrery_core::node::NodeFacts;
use orrery_core::{NodeId, Timestamp};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests and messages waiting for the leader.
pub(crate) const INBOX_LIMIT: usize = 16_384;

/// Why a change did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// It was refused.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It could not be stored; nothing has changed.
    #[error("the change could not be stored and was not made: {0}; try again")]
    Store(String),
    /// There is no leader to take it.
    #[error("the controller is shutting down; try again in a moment")]
    Stopping,
}

type Act = Box<dyn FnOnce(&mut Draft) -> Answer + Send>;
/// Sends the answer, given whether the step was stored.
type Answer = Box<dyn FnOnce(Result<(), ControlError>) + Send>;

pub(crate) enum Input {
    Edit(Act),
    Register { facts: Box<NodeFacts>, tasks: Vec<TaskReport>, link: u64, down: mpsc::Sender<Down> },
    Reports { node: NodeId, link: u64, tasks: Vec<TaskReport> },
    Lost { node: NodeId, link: u64 },
}

/// A cheap handle on the leader.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) published: Arc<ArcSwap<Cluster>>,
    pub(crate) generation: watch::Receiver<u64>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) clock: Clock,
}

impl Handle {
    /// The last published snapshot.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.published.load_full()
    }

    /// The event stream.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// Now, by the clock that all deadlines of the cluster are compared with.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Changes whenever a new snapshot is published.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }

    /// Runs `act` on the next draft and answers once its step is durable.
    ///
    /// # Errors
    /// What `act` refuses, or [`ControlError::Store`] when the step could not be stored.
    pub async fn edit<T, F>(&self, act: F) -> Result<T, ControlError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Draft) -> Result<T, EditError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let act: Act = Box::new(move |draft| {
            let result = act(draft);
            // A requester that went away is no error.
            Box::new(move |stored| drop(sender.send(stored.and_then(|()| result.map_err(Into::into)))))
        });
        self.inbox.send(Input::Edit(act)).await.map_err(|_| ControlError::Stopping)?;
        receiver.await.unwrap_or(Err(ControlError::Stopping))
    }

    /// Serves one connection of an agent until either side ends it.
    pub fn attach(&self, link: AgentLink) {
        crate::surroundings::spawn(link.serve(self.inbox.clone()));
    }
}
