//! What the door and the agents hold of the controller, whatever its role.

use crate::clock::Clock;
use crate::election::LeaderRecord;
use crate::events::EventLog;
use crate::links::AgentLink;
use crate::outage::Outage;
use crate::shared::{Role, Shared};
use orrery_core::assignment::{Down, TaskReport};
use orrery_core::cluster::{Cluster, Draft, EditError};
use orrery_core::node::NodeFacts;
use orrery_core::{NodeId, Timestamp};
use std::sync::Arc;
use std::time::Duration;
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
    /// The store did not say whether it was stored.
    #[error("the change was not confirmed: {0}; it may have been made, look before you try again")]
    Unknown(String),
    /// Another controller leads, or none does.
    #[error("this controller does not lead; try again in a moment")]
    NotLeading,
}

type Act = Box<dyn FnOnce(&mut Draft) -> Answer + Send>;
/// Sends the answer, given whether the step was stored.
type Answer = Box<dyn FnOnce(Result<(), ControlError>) + Send>;

pub(crate) enum Input {
    Edit(Act),
    Register {
        facts: Box<NodeFacts>,
        tasks: Vec<TaskReport>,
        link: u64,
        down: mpsc::Sender<Down>,
        signs: Arc<crate::liveness::Signs>,
        /// Kept until it is taken.
        arrival: crate::arrivals::Arrival,
    },
    Reports {
        node: NodeId,
        link: u64,
        tasks: Vec<TaskReport>,
    },
    Destroyed {
        node: NodeId,
        link: u64,
        instances: Vec<orrery_core::InstanceId>,
    },
    Lost {
        node: NodeId,
        link: u64,
    },
}

/// A cheap handle on the controller.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// The last published snapshot.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.shared.published()
    }

    /// Counts the snapshots that this controller has published. Taken before [`Handle::cluster`], it
    /// tells whether what was derived from that is still current.
    pub fn serial(&self) -> u64 {
        self.shared.serial()
    }

    /// The event stream.
    pub fn events(&self) -> &EventLog {
        &self.shared.events
    }

    /// Now, by the clock that all deadlines of the cluster are compared with.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Changes whenever a new snapshot is published; the value is the leader's generation that it shows.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// What this controller is at present; changes with every election.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.shared.role.subscribe()
    }

    /// Whether this controller leads, and surely still does by its own clock.
    pub fn leads(&self) -> bool {
        self.shared.leads()
    }

    /// Who leads, as far as this controller knows.
    pub fn leader(&self) -> Option<LeaderRecord> {
        self.shared.role.borrow().leader().cloned()
    }

    /// The stream of everything this controller publishes, for a follower; `None` unless it leads.
    pub async fn replica(&self) -> Option<crate::ReplicaStream> {
        self.shared.replica().await
    }

    /// The way to other controllers.
    pub fn peers(&self) -> &Arc<dyn crate::Peers> {
        &self.shared.peers
    }

    /// Who this controller is.
    pub fn me(&self) -> &crate::ControllerRecord {
        &self.shared.me
    }

    /// Gives up leadership, if this controller leads and others could take over. Returns whether it did.
    pub fn abdicate(&self) -> bool {
        self.shared.abdicate()
    }

    /// The controllers that are there.
    pub fn controllers(&self) -> Vec<crate::ControllerRecord> {
        self.shared.controllers()
    }

    /// How long nothing was heard of the leader; `None` while what this controller shows is current.
    pub fn stale_for(&self) -> Option<Duration> {
        self.shared.stale_for()
    }

    /// The store, while it does not answer.
    pub fn outage(&self) -> watch::Receiver<Option<Outage>> {
        self.shared.outage.subscribe()
    }

    /// Runs `act` on the next draft and answers once its step is durable.
    ///
    /// # Errors
    /// What `act` refuses, [`ControlError::Store`] when the step could not be stored,
    /// [`ControlError::Unknown`] when that is not known, [`ControlError::NotLeading`].
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
        let inbox = self.shared.inbox().ok_or(ControlError::NotLeading)?;
        inbox.send(Input::Edit(act)).await.map_err(|_| ControlError::NotLeading)?;
        receiver.await.unwrap_or_else(|_| Err(ControlError::Unknown("this controller has ceased to lead".into())))
    }

    /// Serves one connection of an agent until either side ends it. Ends at once when this controller
    /// does not lead.
    pub fn attach(&self, link: AgentLink) {
        if let Some(inbox) = self.shared.inbox() {
            crate::surroundings::spawn(link.serve(inbox, Arc::clone(&self.shared)));
        }
    }
}
