//! `/state`, `/state-summary` and what they share with `/version` and `/flags`.

use super::counters::count;
use super::framework::{framework, framework_id, summary};
use super::slave::slave;
use super::{MESOS_VERSION, MasterFacts, is_task};
use orrery_core::cluster::Cluster;
use orrery_core::node::NodeStatus;
use orrery_core::{Node, NodeId};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Builds are reproducible: they carry no date.
const BUILD_DATE: &str = "1970-01-01 00:00:00";
/// Who built.
const BUILD_USER: &str = "orrery";

/// `GET /version`.
pub fn version(facts: &MasterFacts) -> Value {
    Value::Object(build(facts))
}

fn build(facts: &MasterFacts) -> Map<String, Value> {
    let mut build = Map::new();
    build.insert("version".into(), json!(MESOS_VERSION));
    build.insert("git_tag".into(), json!(format!("orrery-{}", facts.version)));
    build.insert("build_date".into(), json!(BUILD_DATE));
    build.insert("build_time".into(), json!(0.0));
    build.insert("build_user".into(), json!(BUILD_USER));
    build
}

/// `GET /flags`: those that mean something here.
pub fn flags(facts: &MasterFacts) -> Value {
    json!({ "flags": flag_map(facts) })
}

pub(super) fn flag_map(facts: &MasterFacts) -> Value {
    let ip = facts.address.ip().to_string();
    json!({ "cluster": facts.cluster_name, "hostname": ip, "ip": ip, "port": facts.address.port().to_string() })
}

/// `GET /state`.
pub fn state(facts: &MasterFacts, cluster: &Cluster) -> Value {
    let started = facts.started_at.as_secs_f64();
    // The IP, not a name: the command line finds the leader among the addresses of `master.mesos`.
    let hostname = facts.address.ip().to_string();
    let leader_info = json!({ "id": facts.cluster_id, "pid": facts.pid(), "port": facts.address.port(), "hostname": hostname });
    let mut state = build(facts);
    let mut put = |key: &str, value: Value| state.insert(key.to_owned(), value);
    put("start_time", json!(started));
    put("elected_time", json!(started));
    put("id", json!(facts.cluster_id));
    put("pid", json!(facts.pid()));
    put("hostname", json!(hostname));
    put("capabilities", json!([]));
    put("activated_slaves", number_of(cluster, Node::accepts_tasks));
    put("deactivated_slaves", number_of(cluster, |node| node.status == NodeStatus::Active && node.is_closed()));
    put("unreachable_slaves", number_of(cluster, |node| node.status != NodeStatus::Active));
    put("leader", json!(facts.pid()));
    put("leader_info", leader_info);
    put("cluster", json!(facts.cluster_name));
    put("flags", flag_map(facts));
    put("slaves", cluster.nodes.values().map(|node| Value::Object(slave(facts, cluster, node))).collect());
    put("recovered_slaves", json!([]));
    put("frameworks", json!([framework(facts, cluster)]));
    put("completed_frameworks", json!([]));
    // Always empty since Mesos 1.2, and always there (platform.md 6.2).
    put("orphan_tasks", json!([]));
    put("unregistered_frameworks", json!([]));
    Value::Object(state)
}

fn number_of(cluster: &Cluster, is_counted: impl Fn(&Node) -> bool) -> Value {
    json!(cluster.nodes.values().filter(|node| is_counted(node)).count())
}

/// `GET /state-summary`: nodes and frameworks with numbers of tasks instead of tasks.
pub fn state_summary(facts: &MasterFacts, cluster: &Cluster) -> Value {
    let (total, by_node) = count(cluster);
    let id = framework_id(&cluster.id);
    let tasks = cluster.instances.values().filter(|instance| is_task(instance));
    let busy: BTreeSet<&NodeId> = tasks.filter_map(|instance| instance.node()).collect();
    let slaves: Vec<Value> = cluster
        .nodes
        .iter()
        .map(|(node_id, node)| {
            let mut slave = slave(facts, cluster, node);
            by_node.get(node_id).copied().unwrap_or_default().write(&mut slave);
            let frameworks: Vec<&str> = busy.contains(node_id).then_some(id.as_str()).into_iter().collect();
            slave.insert("framework_ids".into(), json!(frameworks));
            Value::Object(slave)
        })
        .collect();
    let mut framework = summary(facts, cluster);
    total.write(&mut framework);
    framework.insert("slave_ids".into(), json!(busy));
    json!({
        "hostname": facts.address.ip().to_string(),
        "cluster": facts.cluster_name,
        "slaves": slaves,
        "frameworks": [framework],
    })
}
