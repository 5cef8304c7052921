//! Nodes as agents (platform.md 2.2, slave object).

use super::reserved;
use super::resources::{Amounts, nothing};
use super::{MasterFacts, agent_pid, agent_port};
use orrery_core::Node;
use orrery_core::cluster::Cluster;
use orrery_core::node::{Administration, AfterDrain, NodeFacts};
use serde_json::{Map, Value, json};

/// What agents here can do, in the words of Mesos.
pub(super) const CAPABILITIES: [&str; 2] = ["MULTI_ROLE", "HIERARCHICAL_ROLE"];

/// `GET /slaves`, all of them or the one with an id.
pub fn slaves(facts: &MasterFacts, cluster: &Cluster, slave_id: Option<&str>) -> Value {
    let nodes = cluster.nodes.values().filter(|node| slave_id.is_none_or(|id| node.facts.id.as_str() == id));
    let slaves: Vec<Value> = nodes
        .map(|node| {
            let mut slave = slave(facts, cluster, node);
            put_full(&mut slave, cluster, node);
            Value::Object(slave)
        })
        .collect();
    json!({ "slaves": slaves, "recovered_slaves": [] })
}

/// The object that all answers share.
pub(super) fn slave(facts: &MasterFacts, cluster: &Cluster, node: &Node) -> Map<String, Value> {
    let total = Amounts::of_node(&node.facts.resources);
    let (reserved, unreserved) = reserved::by_role(node);
    let reserved: Map<String, Value> = reserved.into_iter().map(|(role, amounts)| (role, amounts.map())).collect();
    let mut slave = Map::new();
    let mut put = |key: &str, value: Value| slave.insert(key.to_owned(), value);
    put("id", json!(node.facts.id));
    put("hostname", json!(node.facts.hostname));
    put("port", json!(agent_port(&node.facts)));
    put("attributes", attributes(&node.facts));
    if let Some(domain) = domain(&node.facts) {
        put("domain", domain);
    }
    put("pid", json!(agent_pid(&node.facts)));
    put("registered_time", json!(node.registered_at.as_secs_f64()));
    if node.since > node.registered_at {
        put("reregistered_time", json!(node.since.as_secs_f64()));
    }
    put("resources", total.map());
    put("used_resources", used(cluster, node).map());
    put("offered_resources", nothing());
    put("reserved_resources", Value::Object(reserved));
    put("unreserved_resources", unreserved.map());
    put("active", json!(node.accepts_tasks()));
    put("deactivated", json!(node.is_closed()));
    if let Some(info) = drain_info(node) {
        put("drain_info", info);
        if let Some(since) = node.administration.closed_since() {
            put("estimated_drain_start_time_seconds", json!(since.as_millis() / 1000));
        }
    }
    put("version", json!(version(facts, &node.facts)));
    put("capabilities", json!(CAPABILITIES));
    slave
}

/// How far a drain is, in the words of Mesos. Its `max_grace_period` is our deadline, in whole seconds
/// from the start of the drain.
pub(super) fn drain_info(node: &Node) -> Option<Value> {
    match node.administration {
        Administration::Draining(drain) => {
            let mut config = json!({ "mark_gone": drain.then == AfterDrain::Decommission });
            if let Some(deadline) = drain.deadline {
                let seconds = deadline.millis_since(drain.since).max(0) / 1000;
                config["max_grace_period"] = json!({ "seconds": seconds, "nanos": 0 });
            }
            Some(json!({ "state": "DRAINING", "config": config }))
        }
        Administration::Deactivated { drained: true, .. } => {
            Some(json!({ "state": "DRAINED", "config": { "mark_gone": false } }))
        }
        Administration::Deactivated { drained: false, .. } | Administration::Active => None,
    }
}

/// What is taken on a node; instances with data take theirs whether they run or not.
pub(super) fn used(cluster: &Cluster, node: &Node) -> Amounts {
    let mut used = cluster.loads.get(&node.facts.id).map(Amounts::of_load).unwrap_or_default();
    if !node.claims.holds.is_empty() {
        used.add(&Amounts::of_bundle(&node.claims.held()));
    }
    used
}

/// Version of an agent; those in the master's own process may not say.
pub(super) fn version<'a>(facts: &'a MasterFacts, node: &'a NodeFacts) -> &'a str {
    if node.version.is_empty() { &facts.version } else { &node.version }
}

/// Attributes: numbers as numbers, all else as text.
fn attributes(node: &NodeFacts) -> Value {
    Value::Object(node.attributes.iter().map(|(name, text)| (name.clone(), attribute(text))).collect())
}

fn attribute(text: &str) -> Value {
    number(text).map_or_else(|| json!(text), |number| json!(number))
}

/// The number that an attribute is, if it is one.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Region and zone; Mesos knows them only together.
pub(super) fn domain(node: &NodeFacts) -> Option<Value> {
    if node.region.is_none() && node.zone.is_none() {
        return None;
    }
    let name = |name: &Option<String>| json!({ "name": name.as_deref().unwrap_or_default() });
    Some(json!({ "fault_domain": { "region": name(&node.region), "zone": name(&node.zone) } }))
}

/// Typed resources, which only `/slaves` shows.
fn put_full(slave: &mut Map<String, Value>, cluster: &Cluster, node: &Node) {
    let role = node.facts.role.as_str();
    let (_, unreserved) = reserved::by_role(node);
    slave.insert("reserved_resources_full".into(), Value::Object(reserved::full(node)));
    slave.insert("unreserved_resources_full".into(), unreserved.list(role, None));
    slave.insert("used_resources_full".into(), used(cluster, node).list(role, None));
    slave.insert("offered_resources_full".into(), json!([]));
}
