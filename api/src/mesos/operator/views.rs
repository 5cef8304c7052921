//! The cluster in the words of version 1: what version 0 calls slave is an agent here, ids are
//! objects, times are nanoseconds and resources are lists.

use crate::mesos::framework::{self, framework_id};
use crate::mesos::labels::{labels, pairs};
use crate::mesos::reserved;
use crate::mesos::resources::Amounts;
use crate::mesos::roles::role_uses;
use crate::mesos::slave::{self, domain};
use crate::mesos::state::flag_map;
use crate::mesos::task::{completed, container, discovery, facts as node_facts, living, statuses, unreachable};
use crate::mesos::{ANY_ROLE, MESOS_VERSION, MasterFacts, agent_pid, agent_port};
use orrery_core::cluster::Cluster;
use orrery_core::dns::MARATHON;
use orrery_core::{Instance, Node, Timestamp};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

fn id(value: impl serde::Serialize) -> Value {
    json!({ "value": value })
}

fn time(at: Timestamp) -> Value {
    json!({ "nanoseconds": at.as_millis().saturating_mul(1_000_000) })
}

fn types(capabilities: &[&str]) -> Value {
    capabilities.iter().map(|capability| json!({ "type": capability })).collect()
}

pub(super) fn agents(facts: &MasterFacts, cluster: &Cluster) -> Value {
    let agents: Vec<Value> = cluster.nodes.values().map(|node| agent(facts, cluster, node)).collect();
    json!({ "agents": agents, "recovered_agents": [] })
}

fn agent(facts: &MasterFacts, cluster: &Cluster, node: &Node) -> Value {
    let offered = Amounts::of_node(&node.facts.resources).list(&node.facts.role, None);
    let mut info = Map::new();
    info.insert("hostname".into(), json!(node.facts.hostname));
    info.insert("port".into(), json!(agent_port(&node.facts)));
    info.insert("resources".into(), offered);
    info.insert("attributes".into(), node.facts.attributes.iter().map(|(name, text)| attribute(name, text)).collect());
    info.insert("id".into(), id(&node.facts.id));
    if let Some(domain) = domain(&node.facts) {
        info.insert("domain".into(), domain);
    }
    let mut agent = Map::new();
    let mut put = |key: &str, value: Value| agent.insert(key.to_owned(), value);
    put("agent_info", Value::Object(info));
    put("active", json!(node.accepts_tasks()));
    put("deactivated", json!(node.is_closed()));
    if let Some(info) = slave::drain_info(node) {
        put("drain_info", info);
        if let Some(since) = node.administration.closed_since() {
            put("estimated_drain_start_time", time(since));
        }
    }
    put("version", json!(slave::version(facts, &node.facts)));
    put("pid", json!(agent_pid(&node.facts)));
    put("registered_time", time(node.registered_at));
    if node.since > node.registered_at {
        put("reregistered_time", time(node.since));
    }
    put("total_resources", reserved::total(node));
    put("allocated_resources", slave::used(cluster, node).list(&node.facts.role, None));
    put("offered_resources", json!([]));
    put("capabilities", types(&slave::CAPABILITIES));
    put("resource_providers", json!([]));
    Value::Object(agent)
}

fn attribute(name: &str, text: &str) -> Value {
    match slave::number(text) {
        Some(number) => json!({ "name": name, "type": "SCALAR", "scalar": { "value": number } }),
        None => json!({ "name": name, "type": "TEXT", "text": { "value": text } }),
    }
}

pub(super) fn frameworks(facts: &MasterFacts, cluster: &Cluster) -> Value {
    let info = json!({
        "user": framework::USER,
        "name": MARATHON,
        "id": id(framework_id(&cluster.id)),
        "failover_timeout": framework::FAILOVER_TIMEOUT,
        "checkpoint": true,
        "hostname": facts.address.ip().to_string(),
        "webui_url": framework::webui_url(facts),
        "capabilities": types(&framework::CAPABILITIES),
        "roles": framework::roles(cluster),
    });
    let framework = json!({
        "framework_info": info,
        "active": true,
        "connected": true,
        "recovered": false,
        "registered_time": time(facts.started_at),
        "allocated_resources": framework::used(cluster).list(ANY_ROLE, None),
        "offered_resources": [],
    });
    json!({ "frameworks": [framework], "completed_frameworks": [], "recovered_frameworks": [] })
}

pub(super) fn executors() -> Value {
    json!({ "executors": [], "orphan_executors": [] })
}

pub(super) fn tasks(cluster: &Cluster) -> Value {
    let framework = framework_id(&cluster.id);
    let all = |instances: &mut dyn Iterator<Item = &Instance>| -> Value {
        instances.map(|instance| task(cluster, &framework, instance)).collect()
    };
    json!({
        "pending_tasks": [],
        "tasks": all(&mut living(cluster)),
        "unreachable_tasks": all(&mut unreachable(cluster)),
        "completed_tasks": all(&mut completed(cluster)),
        "orphan_tasks": [],
    })
}

fn task(cluster: &Cluster, framework: &str, instance: &Instance) -> Value {
    let app = &instance.app;
    let node = node_facts(cluster, instance);
    let task_id = id(instance.task_id());
    let agent_id = id(instance.node().map(ToString::to_string).unwrap_or_default());
    let reserved_for = node.map_or(ANY_ROLE, |node| node.role.as_str());
    let mut task = Map::new();
    let mut put = |key: &str, value: Value| task.insert(key.to_owned(), value);
    put("name", json!(app.id.host_name()));
    put("task_id", task_id.clone());
    put("framework_id", id(framework));
    put("agent_id", agent_id.clone());
    put("state", json!(instance.condition.task_state()));
    put("resources", Amounts::of_task(app, instance.seat.as_ref()).list(reserved_for, Some(cluster.role_of(app))));
    let message = instance.observed.message();
    let full = |mut status: Value| {
        if let Some(status) = status.as_object_mut() {
            if let Some(message) = message.filter(|_| status.get("state") == Some(&json!(instance.condition.task_state()))) {
                status.insert("message".into(), json!(message));
            }
            status.insert("task_id".into(), task_id.clone());
            status.insert("agent_id".into(), agent_id.clone());
            status.insert("source".into(), json!("SOURCE_EXECUTOR"));
        }
        status
    };
    put("statuses", statuses(instance, node).map(full).collect());
    put("status_update_state", json!(instance.condition.task_state()));
    put("labels", json!({ "labels": labels(pairs(&app.labels)) }));
    put("discovery", discovery(instance));
    if let Some(container) = container(instance) {
        put("container", container);
    }
    if let Some(user) = &app.user {
        put("user", json!(user));
    }
    Value::Object(task)
}

pub(super) fn roles(cluster: &Cluster) -> Value {
    let framework = framework_id(&cluster.id);
    let role = |role: crate::mesos::roles::RoleUse<'_>| {
        let frameworks: Vec<Value> = role.has_framework.then(|| id(&framework)).into_iter().collect();
        let resources = role.allocated.list(ANY_ROLE, Some(role.name));
        let weight = cluster.roles.get(role.name).map_or(1.0, |role| role.weight.to_f64());
        json!({ "name": role.name, "weight": weight, "frameworks": frameworks, "resources": resources })
    };
    json!({ "roles": role_uses(cluster).into_iter().map(role).collect::<Vec<_>>() })
}

pub(super) fn master(facts: &MasterFacts) -> Value {
    let ip = facts.address.ip();
    let started = facts.started_at.as_secs_f64();
    // The packed form knows IPv4 only, in network order as the machine reads it.
    let packed = match ip {
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    let hostname = ip.to_string();
    json!({
        "master_info": {
            "id": facts.cluster_id,
            "ip": packed,
            "port": facts.address.port(),
            "pid": facts.pid(),
            "hostname": hostname,
            "version": MESOS_VERSION,
            "address": { "hostname": hostname, "ip": hostname, "port": facts.address.port() },
        },
        "start_time": started,
        "elected_time": started,
    })
}

pub(super) fn flags(facts: &MasterFacts) -> Value {
    let map = flag_map(facts);
    let flags = map.as_object().into_iter().flatten().map(|(name, value)| json!({ "name": name, "value": value }));
    json!({ "flags": flags.collect::<Vec<_>>() })
}
