//! `/v2/tasks…` and the tasks of one app.

use super::{Call, deployed, failed, refused};
use crate::door::body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use orrery_api::marathon::{TaskState, error, task_json, tasks_json};
use orrery_core::cluster::KillRequest;
use orrery_core::{AppId, Instance, TaskId};
use serde_json::{Value, json};

pub(super) async fn answer(call: Call, rest: &str) -> Response {
    match (call.method.clone(), rest.trim_matches('/')) {
        (Method::GET | Method::HEAD, "") => list(&call),
        (Method::POST, "delete") => kill_listed(call).await,
        _ => failed(error::wrong_method()),
    }
}

fn list(call: &Call) -> Response {
    let cluster = call.door.handle.cluster();
    let states: Vec<TaskState> = call.values("status").filter_map(TaskState::parse).collect();
    let wanted = |instance: &&Instance| states.is_empty() || states.iter().any(|state| state.matches(instance));
    body::ok(&tasks_json(&cluster, cluster.instances.values().map(AsRef::as_ref).filter(wanted)))
}

async fn kill_listed(mut call: Call) -> Response {
    let value = match call.json().await {
        Ok(value) => value,
        Err(response) => return response,
    };
    let Some(ids) = value.get("ids").and_then(Value::as_array) else {
        return failed(error::invalid_object(&[orrery_core::Fault::new("/ids", "must be a list of task ids")]));
    };
    let mut tasks = Vec::new();
    for id in ids.iter().map(|id| id.as_str().unwrap_or_default()) {
        match TaskId::parse(id) {
            Ok(task) => tasks.push(task),
            Err(problem) => return failed(error::bad_task_id(id, &problem.to_string())),
        }
    }
    kill(call, tasks, true, |tasks| json!({ "tasks": tasks })).await
}

pub(super) async fn kill_of_app(call: Call, id: AppId) -> Response {
    let cluster = call.door.handle.cluster();
    if cluster.app(&id).is_none() {
        return failed(error::no_app(id.as_str(), None));
    }
    let host = call.value("host").filter(|host| *host != "*").map(str::to_owned);
    let on_host = |instance: &&std::sync::Arc<Instance>| match &host {
        None => true,
        Some(host) => instance
            .node()
            .and_then(|node| cluster.nodes.get(node))
            .is_some_and(|node| node.facts.hostname.contains(host.as_str())),
    };
    let tasks = cluster
        .instances_of(&id)
        .filter(|instance| instance.seat.is_some())
        .filter(on_host)
        .map(|instance| instance.task_id())
        .collect();
    kill(call, tasks, true, |tasks| json!({ "tasks": tasks })).await
}

pub(super) async fn kill_one(call: Call, id: AppId, task: TaskId) -> Response {
    let cluster = call.door.handle.cluster();
    if cluster.app(&id).is_none() {
        return failed(error::no_app(id.as_str(), None));
    }
    kill(call, vec![task], false, |mut tasks| json!({ "task": if tasks.is_empty() { Value::Null } else { tasks.remove(0) } }))
        .await
}

/// Kills and answers with the tasks as they were; with `scale`, with the deployment.
async fn kill(call: Call, tasks: Vec<TaskId>, none_is_fine: bool, shape: impl FnOnce(Vec<Value>) -> Value) -> Response {
    let (scale, wipe) = (call.flag("scale", false), call.flag("wipe", false));
    if scale && wipe {
        return failed(error::scale_and_wipe());
    }
    let cluster = call.door.handle.cluster();
    let found: Vec<Value> = tasks
        .iter()
        .filter_map(|task| cluster.instances.get(task.instance()).filter(|instance| instance.task_id() == *task))
        .filter_map(|instance| task_json(&cluster, instance))
        .collect();
    if found.is_empty() {
        if none_is_fine {
            // Nothing to kill is nothing to scale either.
            return if scale { deployed(StatusCode::OK, None, call.door.handle.now()) } else { body::ok(&shape(found)) };
        }
        return failed(error::no_task(&tasks.first().map_or_else(String::new, TaskId::to_string)));
    }
    let request = KillRequest { tasks, scale, wipe, force: call.flag("force", false) };
    match call.door.handle.edit(move |draft| draft.kill(&request)).await {
        Ok(deployment) if scale => deployed(StatusCode::OK, deployment.as_ref(), call.door.handle.now()),
        Ok(_) => body::ok(&shape(found)),
        Err(problem) => refused(&problem),
    }
}
