//! Messages between controller and agent.

use super::{Assignment, Launch, TaskReport};
use crate::node::NodeFacts;
use crate::{InstanceId, TaskId};
use serde::{Deserialize, Serialize};

/// Version of these messages; an agent and a controller agree on the lower one.
pub const PROTOCOL_VERSION: u32 = 2;
/// Since which version agents understand [`Down::Controllers`].
pub const CONTROLLERS_SINCE: u32 = 2;

/// Controller → agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Down {
    /// Everything the node must run. What is not listed must be stopped. Sent first on every
    /// connection, and again when the agent lagged.
    Snapshot {
        /// Epoch of the leader; lower epochs than the last seen are ignored.
        epoch: u64,
        /// What it must run, by definition.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        launches: Vec<Launch>,
        /// What it must run besides.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        assignments: Vec<Assignment>,
        /// Tasks that are assigned but must be stopping.
        stopping: Vec<TaskId>,
    },
    /// Run more instances of one definition.
    Launch {
        /// Epoch of the leader.
        epoch: u64,
        /// Which.
        launch: Launch,
    },
    /// Run one more, described in full: for what is no app. Controllers do not send it yet.
    Run {
        /// Epoch of the leader.
        epoch: u64,
        /// What to run.
        assignment: Box<Assignment>,
    },
    /// Stop one.
    Stop {
        /// Epoch of the leader.
        epoch: u64,
        /// Which.
        task: TaskId,
        /// Why, for people.
        because: String,
    },
    /// The controller has taken note of the end of these tasks: their records may be dropped.
    Forget {
        /// Epoch of the leader.
        epoch: u64,
        /// Which.
        tasks: Vec<TaskId>,
    },
    /// Delete the data that these instances kept on the node; none of their tasks is left. Answered by
    /// [`Up::Destroyed`], repeated on every connection until then.
    Destroy {
        /// Epoch of the leader.
        epoch: u64,
        /// Whose.
        instances: Vec<InstanceId>,
    },
    /// The node has left the cluster for ever: stop all tasks and exit. Sent after an empty snapshot,
    /// which an older agent understands.
    Dismiss {
        /// Epoch of the leader.
        epoch: u64,
        /// Why, for people.
        because: String,
    },
    /// Other controllers than before are there: whoever loses this one's connection finds the cluster by them.
    Controllers {
        /// Where agents reach them, the sender first.
        urls: Vec<String>,
    },
}

/// Agent → controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Up {
    /// First message of a connection: who I am and all that I run.
    Register {
        /// Version of the messages the agent speaks.
        protocol: u32,
        /// Facts.
        facts: Box<NodeFacts>,
        /// All tasks known to the agent, also ended ones not yet forgotten.
        tasks: Vec<TaskReport>,
    },
    /// What changed.
    Reports {
        /// Changed tasks.
        tasks: Vec<TaskReport>,
    },
    /// The data of these instances are deleted, or there were none.
    Destroyed {
        /// Whose.
        instances: Vec<InstanceId>,
    },
    /// Still here.
    Heartbeat,
    /// Leaving on purpose: tasks have been stopped.
    Goodbye,
}
