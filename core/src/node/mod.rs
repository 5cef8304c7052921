//! Nodes: machines that offer resources.

mod id;
mod ports;
mod resources;

pub use id::{NodeId, NodeIdError};
pub use ports::{PortRange, PortRanges};
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
}

fn any_role() -> String {
    "*".into()
}

/// Whether a node can be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStatus {
    /// Its agent is connected.
    #[default]
    Active,
    /// Its agent is lost.
    Unreachable,
}

/// A node as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it said when it joined.
    pub facts: NodeFacts,
    /// Whether it can be used.
    pub status: NodeStatus,
    /// Since when `status` holds.
    pub since: Timestamp,
    /// First time it joined.
    pub registered_at: Timestamp,
    /// Closed for new tasks by an operator.
    pub deactivated: bool,
}

impl Node {
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
        self.status == NodeStatus::Active && !self.deactivated
    }
}
