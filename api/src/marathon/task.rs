//! Tasks as `/v2/tasks` shows them.

use orrery_core::cluster::Cluster;
use orrery_core::instance::Condition;
use orrery_core::{Instance, Timestamp};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// The states `/v2/tasks?status=` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Marathon's words")]
pub enum TaskState {
    Running,
    Staging,
}

impl TaskState {
    /// Reads a value of `status` or `status[]`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "running" => Some(Self::Running),
            "staging" => Some(Self::Staging),
            _ => None,
        }
    }

    /// Whether the instance is in this state.
    pub fn matches(self, instance: &Instance) -> bool {
        match self {
            Self::Running => instance.condition == Condition::Running,
            Self::Staging => matches!(instance.condition, Condition::Staging | Condition::Starting),
        }
    }
}

/// Tasks of an app by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Marathon's words")]
pub struct TaskCounts {
    pub staged: u32,
    pub running: u32,
    pub healthy: u32,
    pub unhealthy: u32,
}

/// Counts the tasks of `instances`. Instances without checks count as neither healthy nor
/// unhealthy, as in Marathon.
pub fn count_tasks<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> TaskCounts {
    let mut counts = TaskCounts::default();
    for instance in instances {
        match instance.condition {
            Condition::Staging | Condition::Starting => counts.staged += 1,
            Condition::Running => {
                counts.running += 1;
                match instance.healthy() {
                    Some(true) => counts.healthy += 1,
                    Some(false) => counts.unhealthy += 1,
                    None => {}
                }
            }
            _ => {}
        }
    }
    counts
}

/// The task of an instance; `None` while it has no node.
pub fn task_json(cluster: &Cluster, instance: &Instance) -> Option<Value> {
    let seat = instance.seat.as_ref()?;
    let node = cluster.nodes.get(&seat.node).map(|node| &node.facts);
    let app = &instance.app;
    let mut task = Map::new();
    let mut put = |key: &str, value: Value| task.insert(key.to_owned(), value);
    put("id", json!(instance.task_id()));
    put("appId", json!(app.id));
    put("host", json!(node.map_or("", |node| node.hostname.as_str())));
    put("ports", json!(seat.host_ports.iter().filter(|port| **port != 0).collect::<Vec<_>>()));
    put("servicePorts", json!(app.ports().iter().map(|port| port.service_port).collect::<Vec<_>>()));
    let addresses = match (instance.observed.addresses(), node) {
        (own, _) if !own.is_empty() => own.to_vec(),
        (_, Some(node)) if app.is_host_networked() => vec![node.address],
        _ => Vec::new(),
    };
    put("ipAddresses", addresses.iter().map(address_json).collect());
    put("slaveId", json!(seat.node));
    put("state", json!(instance.condition.task_state()));
    put("stagedAt", json!(instance.staged_at));
    if let Some(started) = instance.observed.started_at {
        put("startedAt", json!(started));
    }
    put("version", json!(app.version));
    put("localVolumes", local_volumes(instance));
    put("healthCheckResults", health_results(instance));
    if let Some(region) = node.and_then(|node| node.region.as_ref()) {
        put("region", json!(region));
    }
    if let Some(zone) = node.and_then(|node| node.zone.as_ref()) {
        put("zone", json!(zone));
    }
    put("role", json!(cluster.role_of(app)));
    Some(Value::Object(task))
}

/// `{"tasks": […]}` of the instances that have a node.
pub fn tasks_json<'a>(cluster: &Cluster, instances: impl IntoIterator<Item = &'a Instance>) -> Value {
    let tasks: Vec<Value> = instances.into_iter().filter_map(|instance| task_json(cluster, instance)).collect();
    json!({"tasks": tasks})
}

pub(super) fn address_json(address: &IpAddr) -> Value {
    json!({"ipAddress": address, "protocol": if address.is_ipv4() { "IPv4" } else { "IPv6" }})
}

fn health_results(instance: &Instance) -> Value {
    let results = instance.observed.health().iter().map(|health| {
        let mut result = serde_json::to_value(health).unwrap_or_default();
        result["alive"] = json!(health.is_alive());
        result["instanceId"] = json!(instance.id);
        result
    });
    results.collect()
}

fn local_volumes(instance: &Instance) -> Value {
    let volumes = instance.app.container.iter().flat_map(|container| &container.volumes);
    volumes
        .filter(|volume| volume.persistent.is_some())
        .map(|volume| {
            let id = format!("{}#{}", instance.id, volume.container_path);
            json!({"runSpecId": instance.app.id, "containerPath": volume.container_path, "uuid": instance.id, "persistenceId": id})
        })
        .collect()
}

/// Seconds the task has been running at `now`.
pub(super) fn lifetime_seconds(instance: &Instance, now: Timestamp) -> Option<f64> {
    instance.observed.started_at.map(|started| now.millis_since(started) as f64 / 1000.0)
}
