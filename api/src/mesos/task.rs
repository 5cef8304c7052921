//! Tasks (platform.md 2.2, task object).

use super::labels::{labels, pairs};
use super::resources::Amounts;
use super::{addresses_of, framework_id, is_task, protocol_of};
use orrery_core::app::{Container, ContainerKind, Limit, NetworkMode, VolumeMode};
use orrery_core::cluster::Cluster;
use orrery_core::instance::Condition;
use orrery_core::node::NodeFacts;
use orrery_core::{App, Instance, Timestamp};
use serde_json::{Map, Value, json};

/// Tasks of one answer when the client asks for no number (Mesos).
pub const TASKS_LIMIT_DEFAULT: usize = 100;

/// Order of `/tasks`, by the time of the first status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Mesos' words")]
pub enum TaskOrder {
    Ascending,
    #[default]
    Descending,
}

/// What `/tasks` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuery {
    /// At most so many.
    pub limit: usize,
    /// Leave out so many first.
    pub offset: usize,
    /// Order.
    pub order: TaskOrder,
    /// Only tasks of this framework.
    pub framework_id: Option<String>,
    /// Only this task.
    pub task_id: Option<String>,
}

impl Default for TaskQuery {
    fn default() -> Self {
        Self { limit: TASKS_LIMIT_DEFAULT, offset: 0, order: TaskOrder::default(), framework_id: None, task_id: None }
    }
}

/// `GET /tasks`: living, unreachable and ended tasks.
pub fn tasks(cluster: &Cluster, query: &TaskQuery) -> Value {
    let framework = framework_id(&cluster.id);
    if query.framework_id.as_ref().is_some_and(|wanted| *wanted != framework) {
        return json!({ "tasks": [] });
    }
    let mut found: Vec<&Instance> = living(cluster)
        .chain(unreachable(cluster))
        .chain(completed(cluster))
        .filter(|instance| query.task_id.as_ref().is_none_or(|wanted| instance.task_id().to_string() == *wanted))
        .collect();
    found.sort_by_key(|instance| first_status_at(instance));
    if query.order == TaskOrder::Descending {
        found.reverse();
    }
    let page = found.into_iter().skip(query.offset).take(query.limit);
    json!({ "tasks": page.map(|instance| task(cluster, &framework, instance)).collect::<Vec<_>>() })
}

fn first_status_at(instance: &Instance) -> Timestamp {
    instance.observed.started_at.unwrap_or(instance.staged_at)
}

/// Living tasks that are not lost, in the order of their ids.
pub(super) fn living(cluster: &Cluster) -> impl Iterator<Item = &Instance> {
    let instances = cluster.instances.values().map(AsRef::as_ref);
    instances.filter(|instance: &&Instance| is_task(instance) && instance.condition != Condition::Unreachable)
}

/// Tasks on lost nodes.
pub(super) fn unreachable(cluster: &Cluster) -> impl Iterator<Item = &Instance> {
    let instances = cluster.instances.values().map(AsRef::as_ref);
    instances.filter(|instance: &&Instance| is_task(instance) && instance.condition == Condition::Unreachable)
}

/// Ended tasks, oldest first.
pub(super) fn completed(cluster: &Cluster) -> impl Iterator<Item = &Instance> {
    cluster.completed.iter().map(|task| task.instance.as_ref())
}

/// The task of an instance in version 0.
pub(super) fn task(cluster: &Cluster, framework: &str, instance: &Instance) -> Value {
    let app = &instance.app;
    let node = facts(cluster, instance);
    let mut task = Map::new();
    let mut put = |key: &str, value: Value| task.insert(key.to_owned(), value);
    put("id", json!(instance.task_id()));
    put("name", json!(app.id.host_name()));
    put("framework_id", json!(framework));
    // Empty for tasks of the command executor; log paths then use the task id (platform.md 6.2).
    put("executor_id", json!(""));
    put("slave_id", json!(instance.node().map(ToString::to_string).unwrap_or_default()));
    put("state", json!(instance.condition.task_state()));
    put("resources", Amounts::of_task(app, instance.seat.as_ref()).map());
    if let Some(limits) = limits(app) {
        put("limits", limits);
    }
    put("role", json!(cluster.role_of(app)));
    put("statuses", statuses(instance, node).collect());
    if let Some(user) = &app.user {
        put("user", json!(user));
    }
    put("labels", labels(pairs(&app.labels)));
    put("discovery", discovery(instance));
    if let Some(container) = container(instance) {
        put("container", container);
    }
    Value::Object(task)
}

pub(super) fn facts<'a>(cluster: &'a Cluster, instance: &Instance) -> Option<&'a NodeFacts> {
    instance.node().and_then(|node| cluster.nodes.get(node)).map(|node| &node.facts)
}

fn limits(app: &App) -> Option<Value> {
    let limits = app.resource_limits.as_ref()?;
    let mut map = Map::new();
    for (name, limit) in [("cpus", limits.cpus), ("mem", limits.mem)] {
        match limit {
            Some(Limit::Amount(amount)) => map.insert(name.to_owned(), json!(amount.to_f64())),
            // JSON has no number for it.
            Some(Limit::Unlimited) => map.insert(name.to_owned(), json!("Infinity")),
            None => None,
        };
    }
    (!map.is_empty()).then_some(Value::Object(map))
}

/// What has been reported, oldest first. Never empty, and each with the container: clients read the
/// first one and the last running one without looking (clients.md, gotcha 13).
pub(super) fn statuses(instance: &Instance, node: Option<&NodeFacts>) -> impl Iterator<Item = Value> {
    let container_status = container_status(instance, node);
    let started = instance.observed.started_at;
    let before = started.filter(|_| instance.condition != Condition::Running).map(|at| (Condition::Running, at));
    let now = match (instance.condition, started) {
        (Condition::Running, Some(started)) => (Condition::Running, started),
        (condition, _) => (condition, instance.since),
    };
    let healthy = instance.healthy();
    before.into_iter().chain([now]).map(move |(condition, at)| {
        let mut status = Map::new();
        status.insert("state".into(), json!(condition.task_state()));
        status.insert("timestamp".into(), json!(at.as_secs_f64()));
        status.insert("container_status".into(), container_status.clone());
        // Absent is not false: a task without checks is not unhealthy (platform.md 6.2).
        if let (Condition::Running, Some(healthy)) = (condition, healthy) {
            status.insert("healthy".into(), json!(healthy));
        }
        Value::Object(status)
    })
}

fn container_status(instance: &Instance, node: Option<&NodeFacts>) -> Value {
    let addresses: Vec<Value> = addresses_of(instance, node)
        .into_iter()
        .map(|address| json!({ "ip_address": address.to_string(), "protocol": protocol_of(address) }))
        .collect();
    let mut network = Map::new();
    network.insert("ip_addresses".into(), json!(addresses));
    if let Some(name) = network_name(&instance.app) {
        network.insert("name".into(), json!(name));
    }
    json!({
        "container_id": { "value": instance.observed.container().unwrap_or_default() },
        "network_infos": [network],
    })
}

fn network_name(app: &App) -> Option<&str> {
    app.networks.iter().find_map(|network| network.name.as_deref())
}

/// Names and ports for service discovery (marathon.md, DiscoveryInfo): one entry for each protocol.
pub(super) fn discovery(instance: &Instance) -> Value {
    let app = &instance.app;
    let host_ports = instance.seat.as_ref().map(|seat| &*seat.host_ports).unwrap_or_default();
    let mut ports = Vec::new();
    for (index, request) in app.ports().into_iter().enumerate() {
        let host_port = host_ports.get(index).copied().filter(|port| *port != 0);
        let Some(number) = host_port.or(request.container_port.filter(|port| *port != 0)) else { continue };
        let mut pairs: Vec<(&str, &str)> = pairs(request.labels).collect();
        if request.container_port.is_some() {
            pairs.push(("network-scope", if host_port.is_some() { "host" } else { "container" }));
            pairs.extend(network_name(app).filter(|_| host_port.is_none()).map(|name| ("network-name", name)));
        }
        for protocol in request.protocol.names() {
            let mut port = Map::new();
            port.insert("number".into(), json!(number));
            if let Some(name) = request.name {
                port.insert("name".into(), json!(name));
            }
            port.insert("protocol".into(), json!(protocol));
            if !pairs.is_empty() {
                port.insert("labels".into(), json!({ "labels": labels(pairs.iter().copied()) }));
            }
            ports.push(Value::Object(port));
        }
    }
    json!({ "visibility": "FRAMEWORK", "name": app.id.host_name(), "ports": { "ports": ports } })
}

/// The container settings; `None` for plain commands.
pub(super) fn container(instance: &Instance) -> Option<Value> {
    let app = &instance.app;
    let settings = app.container.as_ref()?;
    let mut container = Map::new();
    container.insert("type".into(), json!(settings.kind));
    if let Some(docker) = &settings.docker {
        match settings.kind {
            ContainerKind::Docker => container.insert("docker".into(), docker_info(instance, settings)),
            ContainerKind::Mesos => {
                let image = json!({ "type": "DOCKER", "docker": { "name": docker.image }, "cached": !docker.force_pull_image });
                container.insert("mesos".into(), json!({ "image": image }))
            }
        };
    }
    let volumes = settings.volumes.iter().map(|volume| {
        let mode = if volume.mode == Some(VolumeMode::ReadOnly) { "RO" } else { "RW" };
        let mut entry = Map::new();
        entry.insert("mode".into(), json!(mode));
        entry.insert("container_path".into(), json!(volume.container_path));
        if let Some(path) = &volume.host_path {
            entry.insert("host_path".into(), json!(path));
        }
        Value::Object(entry)
    });
    container.insert("volumes".into(), volumes.collect());
    let networks = app.networks.iter().filter(|network| network.mode == NetworkMode::Container);
    let networks = networks.map(|network| {
        let mut entry = Map::new();
        if let Some(name) = &network.name {
            entry.insert("name".into(), json!(name));
        }
        entry.insert("labels".into(), json!({ "labels": labels(pairs(&network.labels)) }));
        Value::Object(entry)
    });
    container.insert("network_infos".into(), networks.collect());
    Some(Value::Object(container))
}

fn docker_info(instance: &Instance, settings: &Container) -> Value {
    let app = &instance.app;
    let Some(docker) = &settings.docker else { return Value::Null };
    let network = match app.networks.first().map(|network| network.mode) {
        Some(NetworkMode::Bridge) => "BRIDGE",
        Some(NetworkMode::Container) => "USER",
        Some(NetworkMode::Host) | None => "HOST",
    };
    let host_ports = instance.seat.as_ref().map(|seat| &*seat.host_ports).unwrap_or_default();
    let mut mappings = Vec::new();
    for (request, host_port) in app.ports().iter().zip(host_ports).filter(|(_, port)| **port != 0) {
        let Some(container_port) = request.container_port else { continue };
        // 0 inside means the same as outside.
        let container_port = if container_port == 0 { *host_port } else { container_port };
        let mapping = |protocol: &&str| json!({ "host_port": host_port, "container_port": container_port, "protocol": protocol });
        mappings.extend(request.protocol.names().iter().map(mapping));
    }
    json!({
        "image": docker.image,
        "network": network,
        "port_mappings": mappings,
        "privileged": docker.privileged,
        "parameters": docker.parameters,
        "force_pull_image": docker.force_pull_image,
    })
}
