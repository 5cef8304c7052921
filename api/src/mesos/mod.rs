//! What a Mesos master tells of the cluster (platform.md 2.2–2.8): version 0 JSON, and the operator
//! interface version 1 as JSON and protobuf.
//!
//! Every app is a task of one framework, Marathon; every node is an agent. Offers, reservations and
//! executors do not exist here and are shown as empty.

mod amount;
mod counters;
mod framework;
mod labels;
mod metrics;
pub mod operator;
mod reserved;
mod resources;
mod roles;
mod slave;
mod state;
mod task;
#[cfg(test)]
pub(crate) mod view_test;

pub use framework::{framework_id, frameworks};
pub use metrics::metrics_snapshot;
pub use roles::{quota, read_guarantee, read_quota, read_weights, roles, weights};
pub use slave::slaves;
pub use state::{flags, state, state_summary, version};
pub use task::{TASKS_LIMIT_DEFAULT, TaskOrder, TaskQuery, tasks};

use orrery_core::instance::Condition;
use orrery_core::node::NodeFacts;
use orrery_core::{Instance, Timestamp};
use std::net::{IpAddr, SocketAddr};

/// The version of Mesos whose interface this is. Clients choose paths and fields by it.
pub const MESOS_VERSION: &str = "1.11.0";

/// Role of apps and nodes that name none.
pub(crate) const ANY_ROLE: &str = "*";

/// Port shown for agents without an HTTP service of their own: that of a Mesos agent.
const AGENT_PORT: u16 = 5051;

/// What the master says of itself.
#[derive(Debug, Clone)]
pub struct MasterFacts {
    /// UUID of the cluster; also the master's id.
    pub cluster_id: String,
    /// Name for people.
    pub cluster_name: String,
    /// Where it answers.
    pub address: SocketAddr,
    /// When it started, which is when it was elected.
    pub started_at: Timestamp,
    /// Version of the program that serves; shown as the tag of the build, beside [`MESOS_VERSION`].
    pub version: String,
}

impl MasterFacts {
    /// `master@<ip>:<port>`.
    pub(crate) fn pid(&self) -> String {
        format!("master@{}", self.address)
    }
}

/// Where an agent answers.
fn agent_address(node: &NodeFacts) -> SocketAddr {
    SocketAddr::new(node.address, agent_port(node))
}

fn agent_port(node: &NodeFacts) -> u16 {
    if node.port == 0 { AGENT_PORT } else { node.port }
}

/// `slave(1)@<ip>:<port>`; clients take the text after `@` apart (clients.md, gotcha 13).
fn agent_pid(node: &NodeFacts) -> String {
    format!("slave(1)@{}", agent_address(node))
}

/// Whether Mesos would know the instance as a task: it has been given to a node and has not ended.
fn is_task(instance: &Instance) -> bool {
    instance.seat.is_some() && !instance.condition.is_terminal() && instance.condition != Condition::Scheduled
}

/// Addresses a task is reached by: its own, or those of its node.
fn addresses_of(instance: &Instance, node: Option<&NodeFacts>) -> Vec<IpAddr> {
    if instance.observed.addresses().is_empty() {
        node.map(|node| node.address).into_iter().collect()
    } else {
        instance.observed.addresses().to_vec()
    }
}

fn protocol_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
