//! `/v1/nodes…`: nodes, and what operators order for them.

use super::{Door, body};
use crate::handle::ControlError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use orrery_core::cluster::{Cluster, Decommission, EditError, FindNodeError};
use orrery_core::node::{Administration, AfterDrain, Node, NodeStatus};
use orrery_core::placement::NodeLoad;
use orrery_core::{NodeId, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Nodes of one page when the client does not say.
const PAGE_DEFAULT: usize = 500;
/// Most nodes of one page.
const PAGE_MAX: usize = 5_000;
/// Longest deadline of a drain, seconds (a year).
const DEADLINE_SECONDS_MAX: u64 = 366 * 86_400;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/v1/nodes", get(list))
        .route("/v1/nodes/brake", get(brake).put(set_brake))
        .route("/v1/nodes/brake/release", post(release_brake))
        .route("/v1/nodes/{node}", get(show))
        .route("/v1/nodes/{node}/drain", post(drain))
        .route("/v1/nodes/{node}/deactivate", post(deactivate))
        .route("/v1/nodes/{node}/reactivate", post(reactivate))
        .route("/v1/nodes/{node}/decommission", post(decommission))
}

/// Which nodes to list; all conditions must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    /// The word of [`Node::state`].
    state: Option<String>,
    role: Option<String>,
    hostname: Option<String>,
    region: Option<String>,
    zone: Option<String>,
    /// `name` or `name:value`.
    attribute: Option<String>,
    /// Only nodes with a higher id: the `next` of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

impl Filter {
    fn takes(&self, node: &Node) -> bool {
        let facts = &node.facts;
        let equal = |wanted: &Option<String>, have: Option<&str>| wanted.as_deref().is_none_or(|wanted| have == Some(wanted));
        let attribute = self.attribute.as_deref().is_none_or(|wanted| match wanted.split_once(':') {
            Some((name, value)) => facts.attributes.get(name).is_some_and(|have| have == value),
            None => facts.attributes.contains_key(wanted),
        });
        attribute
            && equal(&self.state, Some(node.state()))
            && equal(&self.role, Some(&facts.role))
            && equal(&self.hostname, Some(&facts.hostname))
            && equal(&self.region, facts.region.as_deref())
            && equal(&self.zone, facts.zone.as_deref())
    }
}

async fn list(State(door): State<Door>, query: Result<Query<Filter>, axum::extract::rejection::QueryRejection>) -> Response {
    let Ok(Query(filter)) = query else {
        let message = "filter by state, role, hostname, region, zone and attribute; page by limit and after";
        return body::answer(StatusCode::BAD_REQUEST, &json!({ "message": message }));
    };
    let (cluster, now) = (door.handle.cluster(), door.handle.now());
    let limit = filter.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let after = |node: &&std::sync::Arc<Node>| filter.after.as_deref().is_none_or(|after| node.facts.id.as_str() > after);
    let mut page: Vec<&Node> =
        cluster.nodes.values().filter(after).map(AsRef::as_ref).filter(|node| filter.takes(node)).take(limit + 1).collect();
    let next = (page.len() > limit).then(|| page[limit - 1].facts.id.clone());
    page.truncate(limit);
    body::ok(&json!({
        "nodes": page.iter().map(|node| node_json(&cluster, node, now)).collect::<Vec<_>>(),
        "next": next,
        "total": cluster.nodes.len(),
        "brake": brake_json(&cluster),
    }))
}

async fn show(State(door): State<Door>, Path(name): Path<String>) -> Response {
    let cluster = door.handle.cluster();
    match cluster.find_node(&name) {
        Ok(node) => body::ok(&node_json(&cluster, node, door.handle.now())),
        Err(error) => not_found(&error),
    }
}

fn not_found(error: &FindNodeError) -> Response {
    let status = match error {
        FindNodeError::Nobody(_) => StatusCode::NOT_FOUND,
        FindNodeError::Ambiguous { .. } => StatusCode::CONFLICT,
        FindNodeError::Retired(_) => StatusCode::GONE,
    };
    body::answer(status, &json!({ "message": error.to_string() }))
}

/// What the end of a drain waits for when the node is not there to confirm it.
const NOT_CONNECTED: &str = "the node is not connected and may still run tasks: bring it back, or, when the machine is dead for \
                             good: dcos node decommission --gone";

/// The drain of a node, and what it waits for.
fn drain_json(cluster: &Cluster, node: &Node, now: Timestamp) -> Option<Value> {
    let tasks = cluster.loads.get(&node.facts.id).map_or(0, |load| load.instances.len());
    let drain = node.administration.drain()?;
    let waiting = cluster.drain_progress(&node.facts.id, now).into_iter();
    let waiting = waiting.map(|one| json!({ "app": one.app, "instances": one.instances, "reason": one.reason }));
    // Nobody is there who could say that nothing is left.
    let absent = (tasks == 0 && node.status != NodeStatus::Active)
        .then(|| json!({ "app": "anything left", "instances": tasks, "reason": NOT_CONNECTED }));
    Some(json!({
        "since": drain.since,
        "deadline": drain.deadline,
        "then": drain.then,
        "tasksLeft": tasks,
        "waitingFor": waiting.chain(absent).collect::<Vec<_>>(),
    }))
}

/// A node as `/v1/nodes` shows it.
fn node_json(cluster: &Cluster, node: &Node, now: Timestamp) -> Value {
    let facts = &node.facts;
    let mut load = cluster.loads.get(&facts.id).cloned().unwrap_or_default();
    // Instances with data take what they hold, whether they run or not.
    let held = node.claims.held();
    load.cpus += held.cpus;
    load.mem += held.mem;
    load.disk += held.disk;
    load.gpus = load.gpus.saturating_add(held.gpus);
    let mut faults = node.faults.clone();
    faults.extend(overcommitment(node, &load));
    json!({
        "id": facts.id,
        "hostname": facts.hostname,
        "address": facts.address,
        "port": facts.port,
        "state": node.state(),
        "connected": node.status == NodeStatus::Active,
        "lost": node.status == NodeStatus::Unreachable,
        "since": node.since,
        "registeredAt": node.registered_at,
        "closedSince": node.administration.closed_since(),
        "drain": drain_json(cluster, node, now),
        "role": facts.role,
        "region": facts.region,
        "zone": facts.zone,
        "attributes": facts.attributes,
        "resources": facts.resources,
        "used": { "cpus": load.cpus, "mem": load.mem, "disk": load.disk, "gpus": load.gpus, "ports": load.ports.len() },
        "tasks": load.instances.len(),
        "executors": facts.executors,
        "version": facts.version,
        "faults": faults,
    })
}

/// A node may come back with less than its tasks take.
fn overcommitment(node: &Node, load: &NodeLoad) -> Option<String> {
    let offered = &node.facts.resources;
    let amounts =
        [("cpus", load.cpus, offered.cpus), ("MiB of mem", load.mem, offered.mem), ("MiB of disk", load.disk, offered.disk)];
    let over = amounts.iter().filter(|(_, used, offered)| used > offered);
    let over: Vec<String> = over.map(|(name, used, offered)| format!("{used} of {offered} {name}")).collect();
    (!over.is_empty()).then(|| {
        format!(
            "its tasks take more than it offers now: {}; they run on, and nothing is added that needs more of it",
            over.join(", ")
        )
    })
}

/// The state of the brake, also shown by `/v1/status`.
pub(super) fn brake_json(cluster: &Cluster) -> Value {
    json!({
        "sharePercent": cluster.brake_settings.share,
        "engaged": cluster.brake.is_some(),
        "since": cluster.brake.as_ref().map(|held| held.since),
        "missing": cluster.brake.as_ref().map(|held| held.missing.iter().collect::<Vec<_>>()),
        "message": cluster.brake.as_ref().map(|held| held.sentence()),
        "released": cluster.brake_settings.released,
    })
}

async fn brake(State(door): State<Door>) -> Response {
    body::ok(&brake_json(&door.handle.cluster()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BrakeRequest {
    /// 0–100; 0 switches the brake off.
    share_percent: u8,
}

async fn set_brake(State(door): State<Door>, body: Body) -> Response {
    let request: BrakeRequest = match read(body).await {
        Ok(Some(request)) => request,
        Ok(None) => return bad_request("send {\"sharePercent\": 0–100}; 0 switches the brake off"),
        Err(response) => return response,
    };
    if request.share_percent > 100 {
        return bad_request("sharePercent is 0–100; 0 switches the brake off");
    }
    let set = door.handle.edit(move |draft| {
        draft.set_brake_share(request.share_percent);
        Ok(())
    });
    match set.await {
        Ok(()) => body::ok(&brake_json(&door.handle.cluster())),
        Err(error) => refused(&error),
    }
}

async fn release_brake(State(door): State<Door>) -> Response {
    match door.handle.edit(|draft| Ok(draft.release_brake())).await {
        Ok(Some(held)) => {
            let message = format!("released: the tasks of {} missing nodes are replaced now", held.missing.len());
            body::ok(&json!({ "released": held.missing, "message": message }))
        }
        Ok(None) => body::ok(&json!({ "released": [], "message": "the brake does not hold anything" })),
        Err(error) => refused(&error),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct DrainRequest {
    /// Seconds from now until what is left is stopped anyway; none: wait as long as it takes.
    deadline_seconds: Option<u64>,
    /// Remove the node from the cluster afterwards.
    decommission: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DecommissionRequest {
    gone: bool,
    force: bool,
}

async fn drain(State(door): State<Door>, Path(name): Path<String>, body: Body) -> Response {
    let request: DrainRequest = match read(body).await {
        Ok(request) => request.unwrap_or_default(),
        Err(response) => return response,
    };
    if request.deadline_seconds.is_some_and(|seconds| seconds > DEADLINE_SECONDS_MAX) {
        return bad_request("deadlineSeconds is more than a year; leave it out to wait as long as it takes");
    }
    let deadline = request.deadline_seconds.map(|seconds| door.handle.now().plus_millis(seconds as i64 * 1000));
    let then = if request.decommission { AfterDrain::Decommission } else { AfterDrain::Deactivate };
    order(&door, &name, move |draft, id| draft.drain_node(id, deadline, then).map(drop)).await
}

async fn deactivate(State(door): State<Door>, Path(name): Path<String>) -> Response {
    order(&door, &name, |draft, id| draft.deactivate_node(id).map(drop)).await
}

async fn reactivate(State(door): State<Door>, Path(name): Path<String>) -> Response {
    order(&door, &name, |draft, id| draft.reactivate_node(id).map(drop)).await
}

async fn decommission(State(door): State<Door>, Path(name): Path<String>, body: Body) -> Response {
    let request: DecommissionRequest = match read(body).await {
        Ok(request) => request.unwrap_or_default(),
        Err(response) => return response,
    };
    let how = Decommission { gone: request.gone, force: request.force };
    order(&door, &name, move |draft, id| draft.decommission_node(id, how).map(drop)).await
}

/// Carries out an order for the node called `name` and shows the node as it is then.
async fn order<F>(door: &Door, name: &str, act: F) -> Response
where
    F: FnOnce(&mut orrery_core::cluster::Draft, &NodeId) -> Result<(), EditError> + Send + 'static,
{
    let id = match door.handle.cluster().find_node(name) {
        Ok(node) => node.facts.id.clone(),
        Err(error) => return not_found(&error),
    };
    let named = id.clone();
    match door.handle.edit(move |draft| act(draft, &named)).await {
        Ok(()) => {
            let cluster = door.handle.cluster();
            match cluster.nodes.get(&id) {
                Some(node) => body::ok(&node_json(&cluster, node, door.handle.now())),
                None => body::ok(&json!({ "id": id, "state": "decommissioned" })),
            }
        }
        Err(error) => refused(&error),
    }
}

/// The answer to an order that was not carried out.
pub(super) fn refused(error: &ControlError) -> Response {
    let status = match error {
        ControlError::Edit(EditError::NoNode(_)) => StatusCode::NOT_FOUND,
        ControlError::Edit(EditError::NodeRetired(_)) => StatusCode::GONE,
        ControlError::Edit(_) => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    body::answer(status, &json!({ "message": error.to_string() }))
}

fn bad_request(message: &str) -> Response {
    body::answer(StatusCode::BAD_REQUEST, &json!({ "message": message }))
}

/// A JSON body; an empty one is none.
async fn read<T: DeserializeOwned>(body: Body) -> Result<Option<T>, Response> {
    let bytes = body::read(body).await?;
    // Structures could be read from lists as well, by place.
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Ok(None),
        Some(b'{') => {}
        Some(_) => return Err(bad_request("the body cannot be used: send a JSON object, or nothing")),
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| bad_request(&format!("the body cannot be used: {error}")))
}

/// Nodes that operators have closed, as Mesos' maintenance status shows machines.
pub(super) fn maintenance_status(cluster: &Cluster) -> Value {
    let machine = |node: &Node| json!({ "hostname": node.facts.hostname, "ip": node.facts.address });
    let (mut draining, mut down) = (Vec::new(), Vec::new());
    for node in cluster.nodes.values() {
        match node.administration {
            Administration::Draining(_) => draining.push(json!({ "id": machine(node) })),
            Administration::Deactivated { .. } => down.push(machine(node)),
            Administration::Active => {}
        }
    }
    let mut status = serde_json::Map::new();
    // Mesos leaves empty lists out.
    for (name, machines) in [("draining_machines", draining), ("down_machines", down)] {
        if !machines.is_empty() {
            status.insert(name.into(), Value::Array(machines));
        }
    }
    Value::Object(status)
}

#[cfg(test)]
#[path = "nodes_test.rs"]
mod tests;
