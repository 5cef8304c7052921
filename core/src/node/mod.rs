//! Nodes: machines that offer resources.

mod administration;
pub mod brake;
mod bundle;
mod check;
mod claims;
mod id;
mod ports;
mod record;
mod resources;

pub use administration::{Administration, AfterDrain, Drain};
pub use bundle::Bundle;
pub use check::{ATTRIBUTES_MAX, CPUS_MAX, CUSTOM_MAX, EXECUTORS_MAX, GPUS_MAX, HOSTNAME_BYTES_MAX, MIB_MAX, TEXT_BYTES_MAX};
pub use claims::{Claims, Hold, Made, Marks, RESERVATION_PARTS_MAX, RESERVATIONS_MAX, Reservation, accepts_reserved, may_use};
pub use id::{NodeId, NodeIdError};
pub use ports::{PortRange, PortRanges};
pub use record::{NodeDocument, NodeRecord, RetiredNode};
pub use resources::Resources;

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a node says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Stable id, chosen by the cluster at the first join.
    pub id: NodeId,
    /// Name that tasks get as `HOST` and constraints see as `hostname`.
    pub hostname: String,
    /// Address other nodes and clients reach it by.
    pub address: IpAddr,
    /// Port of the agent's own HTTP service; 0 when it has none.
    #[serde(default)]
    pub port: u16,
    /// What it offers.
    pub resources: Resources,
    /// Free-form attributes, values as Mesos writes them.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Fault domain: region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Fault domain: zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Resource role; `*` for everyone.
    #[serde(default = "any_role")]
    pub role: String,
    /// Executors that work there: `process`, `docker`.
    #[serde(default)]
    pub executors: Vec<String>,
    /// Version of the agent.
    #[serde(default)]
    pub version: String,
    /// Its agent is stopping its tasks and takes no new ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

impl NodeFacts {
    /// A node at `address` that offers nothing yet, to everyone.
    pub fn new(id: NodeId, hostname: String, address: IpAddr) -> Self {
        Self {
            id,
            hostname,
            address,
            port: 0,
            resources: Resources::default(),
            attributes: BTreeMap::new(),
            region: None,
            zone: None,
            role: any_role(),
            executors: Vec::new(),
            version: String::new(),
            leaving: false,
        }
    }
}

fn any_role() -> String {
    "*".into()
}

/// What is heard of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStatus {
    /// Its agent is connected.
    #[default]
    Active,
    /// Its connection ended a moment ago: shown as unreachable, gets nothing new, its tasks count as
    /// they did.
    Disconnected,
    /// It was silent for too long: its tasks are unreachable.
    Unreachable,
}

/// A node as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it said when it joined.
    pub facts: NodeFacts,
    /// What is heard of it.
    pub status: NodeStatus,
    /// Since when `status` holds.
    pub since: Timestamp,
    /// First time it joined.
    pub registered_at: Timestamp,
    /// What operators have ordered.
    pub administration: Administration,
    /// What was impossible in what it said, for people.
    pub faults: Vec<String>,
    /// What is set aside on it.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
}

impl Node {
    /// A node that joins now for the first time.
    pub fn joined(facts: NodeFacts, now: Timestamp) -> Self {
        Self {
            claims: Claims::default().with_fixed(&facts.resources.reserved),
            facts,
            status: NodeStatus::Active,
            since: now,
            registered_at: now,
            administration: Administration::Active,
            faults: Vec::new(),
        }
    }

    /// What the store keeps of it.
    pub fn record(&self) -> NodeRecord {
        NodeRecord {
            lost_since: Some(self.since).filter(|_| self.status == NodeStatus::Unreachable),
            facts: self.facts.clone(),
            registered_at: Some(self.registered_at),
            administration: self.administration,
            claims: self.claims.clone(),
        }
    }

    /// Whether an operator closed it for new tasks.
    pub const fn is_closed(&self) -> bool {
        !self.administration.accepts_tasks()
    }

    /// Its state in one word, what operators ordered first.
    pub const fn state(&self) -> &'static str {
        match (self.status, self.administration) {
            (NodeStatus::Disconnected | NodeStatus::Unreachable, Administration::Active) => "unreachable",
            (NodeStatus::Active, Administration::Active) => "active",
            (_, Administration::Draining(_)) => "draining",
            (_, Administration::Deactivated { drained: true, .. }) => "drained",
            (_, Administration::Deactivated { drained: false, .. }) => "deactivated",
        }
    }

    /// Value of a constraint field on this node; `None` when the node does not have it.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "hostname" | "@hostname" => Some(&self.facts.hostname),
            "@region" => self.facts.region.as_deref(),
            "@zone" => self.facts.zone.as_deref(),
            attribute => self.facts.attributes.get(attribute).map(String::as_str),
        }
    }

    /// Whether new tasks may be placed here.
    pub fn accepts_tasks(&self) -> bool {
        matches!(self.status, NodeStatus::Active) && self.administration.accepts_tasks() && !self.facts.leaving
    }
}
