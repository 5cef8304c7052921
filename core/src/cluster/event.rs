//! What happened in a step, for event streams.

use crate::deployment::Deployment;
use crate::node::brake::Held;
use crate::node::{Node, RetiredNode};
use crate::{App, AppId, Instance, Timestamp};
use std::sync::Arc;

/// Something that happened; the façades give it their words.
#[derive(Debug, Clone)]
pub enum Event {
    /// An app was created or changed.
    AppChanged {
        /// The new definition.
        app: Arc<App>,
        /// Request path, as Marathon reports it.
        uri: String,
    },
    /// The groups changed as a whole.
    GroupChanged {
        /// New version of the root group.
        version: Timestamp,
    },
    /// A task changed its state; the instance is as it is afterwards (or was last).
    TaskChanged {
        /// The instance.
        instance: Arc<Instance>,
        /// Text that came with the change.
        message: String,
    },
    /// A task became healthy or unhealthy.
    HealthChanged {
        /// The instance.
        instance: Arc<Instance>,
        /// Whether it is healthy now.
        alive: bool,
    },
    /// A task was stopped because of its health.
    UnhealthyKilled {
        /// The instance as it was.
        instance: Arc<Instance>,
        /// Why.
        reason: String,
    },
    /// A removed app has no instances left.
    AppTerminated {
        /// The app.
        app: AppId,
    },
    /// A deployment was accepted.
    DeploymentStarted {
        /// The deployment.
        deployment: Arc<Deployment>,
    },
    /// A step of a deployment was reached.
    DeploymentStepFinished {
        /// The deployment.
        deployment: Arc<Deployment>,
        /// Which step.
        step: usize,
    },
    /// A node was lost or found, or an operator's order for it changed.
    NodeChanged {
        /// The node as it is now.
        node: Arc<Node>,
        /// What happened, one sentence.
        message: String,
    },
    /// A node has left for ever.
    NodeRetired {
        /// Which.
        node: RetiredNode,
    },
    /// A large part of the nodes vanished: replacements are held.
    BrakeEngaged {
        /// How many.
        held: Arc<Held>,
    },
    /// Replacements go on.
    BrakeReleased {
        /// What held them.
        held: Arc<Held>,
    },
    /// A deployment ended.
    DeploymentFinished {
        /// The deployment.
        deployment: Arc<Deployment>,
        /// Whether it reached its goal; otherwise it was cancelled or superseded.
        success: bool,
    },
}
