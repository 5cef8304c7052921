//! An event on its way: definitions by name.

use super::instance::SentInstance;
use super::{Definitions, ReplicaFault};
use crate::cluster::{Cluster, Event};
use crate::deployment::Deployment;
use crate::node::brake::Held;
use crate::node::{Node, RetiredNode};
use crate::{App, AppId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum SentEvent {
    App { app: (AppId, Timestamp), uri: String },
    Group { version: Timestamp },
    Task { instance: SentInstance, message: String },
    Health { instance: SentInstance, alive: bool },
    Unhealthy { instance: SentInstance, reason: String },
    Terminated { app: AppId },
    Node { node: Arc<Node>, message: String },
    Retired { node: RetiredNode },
    Engaged { held: Arc<Held> },
    Released { held: Arc<Held> },
    Started { deployment: Sent },
    Step { deployment: Sent, step: usize },
    Finished { deployment: Sent, success: bool },
}

/// A deployment and the apps it still waits for.
type Sent = (Arc<Deployment>, BTreeSet<AppId>);

fn sent(deployment: &Arc<Deployment>) -> Sent {
    (Arc::clone(deployment), deployment.pending.clone())
}

fn received((deployment, pending): &Sent) -> Arc<Deployment> {
    Arc::new(Deployment { pending: pending.clone(), ..(**deployment).clone() })
}

impl SentEvent {
    pub(super) fn of(event: &Event, definitions: &mut Definitions<'_>) -> Self {
        match event {
            Event::AppChanged { app, uri } => Self::App { app: definitions.refer(app), uri: uri.clone() },
            Event::GroupChanged { version } => Self::Group { version: *version },
            Event::TaskChanged { instance, message } => {
                Self::Task { instance: SentInstance::of(instance, definitions.refer(&instance.app)), message: message.clone() }
            }
            Event::HealthChanged { instance, alive } => {
                Self::Health { instance: SentInstance::of(instance, definitions.refer(&instance.app)), alive: *alive }
            }
            Event::UnhealthyKilled { instance, reason } => {
                Self::Unhealthy { instance: SentInstance::of(instance, definitions.refer(&instance.app)), reason: reason.clone() }
            }
            Event::AppTerminated { app } => Self::Terminated { app: app.clone() },
            Event::NodeChanged { node, message } => Self::Node { node: Arc::clone(node), message: message.clone() },
            Event::NodeRetired { node } => Self::Retired { node: node.clone() },
            Event::BrakeEngaged { held } => Self::Engaged { held: Arc::clone(held) },
            Event::BrakeReleased { held } => Self::Released { held: Arc::clone(held) },
            Event::DeploymentStarted { deployment } => Self::Started { deployment: sent(deployment) },
            Event::DeploymentStepFinished { deployment, step } => Self::Step { deployment: sent(deployment), step: *step },
            Event::DeploymentFinished { deployment, success } => {
                Self::Finished { deployment: sent(deployment), success: *success }
            }
        }
    }

    pub(super) fn event(
        &self,
        definition: &impl Fn(&(AppId, Timestamp)) -> Result<Arc<App>, ReplicaFault>,
        cluster: &Cluster,
    ) -> Result<Event, ReplicaFault> {
        let whole = |sent: &SentInstance| Ok(Arc::new(sent.instance(definition(&sent.app)?, cluster)));
        Ok(match self {
            Self::App { app, uri } => Event::AppChanged { app: definition(app)?, uri: uri.clone() },
            Self::Group { version } => Event::GroupChanged { version: *version },
            Self::Task { instance, message } => Event::TaskChanged { instance: whole(instance)?, message: message.clone() },
            Self::Health { instance, alive } => Event::HealthChanged { instance: whole(instance)?, alive: *alive },
            Self::Unhealthy { instance, reason } => Event::UnhealthyKilled { instance: whole(instance)?, reason: reason.clone() },
            Self::Terminated { app } => Event::AppTerminated { app: app.clone() },
            Self::Node { node, message } => Event::NodeChanged { node: Arc::clone(node), message: message.clone() },
            Self::Retired { node } => Event::NodeRetired { node: node.clone() },
            Self::Engaged { held } => Event::BrakeEngaged { held: Arc::clone(held) },
            Self::Released { held } => Event::BrakeReleased { held: Arc::clone(held) },
            Self::Started { deployment } => Event::DeploymentStarted { deployment: received(deployment) },
            Self::Step { deployment, step } => Event::DeploymentStepFinished { deployment: received(deployment), step: *step },
            Self::Finished { deployment, success } => {
                Event::DeploymentFinished { deployment: received(deployment), success: *success }
            }
        })
    }
}
