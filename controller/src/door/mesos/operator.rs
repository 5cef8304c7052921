//! `POST /api/v1`: the operator interface.

use super::super::nodes::refused;
use super::super::{Door, body};
use super::views::{View, Views};
use super::{facts, reservations};
use crate::handle::ControlError;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use orrery_api::mesos::operator::{self, Call, CallType, Media};
use orrery_api::mesos::{self, framework_id};
use orrery_core::NodeId;
use orrery_core::cluster::{Decommission, EditError, QuotaEdit};
use orrery_core::node::AfterDrain;
use serde_json::json;

/// Longest grace period, seconds (a year).
const GRACE_SECONDS_MAX: i64 = 366 * 86_400;

pub(super) async fn call(door: &Door, views: &Views, headers: &HeaderMap, body: Body) -> Response {
    let text = |name: header::HeaderName| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let Some(sent) = Media::parse(text(header::CONTENT_TYPE)) else {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json or application/x-protobuf");
    };
    let Some(wanted) = Media::parse(text(header::ACCEPT)) else {
        return refuse(StatusCode::NOT_ACCEPTABLE, "accept application/json or application/x-protobuf");
    };
    let bytes = match body::read(body).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let call = match operator::decode(&bytes, sent == Media::Protobuf) {
        Ok(call) => call,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match call.kind {
        CallType::GetHealth
        | CallType::GetFlags
        | CallType::GetVersion
        | CallType::GetState
        | CallType::GetAgents
        | CallType::GetFrameworks
        | CallType::GetExecutors
        | CallType::GetTasks
        | CallType::GetRoles
        | CallType::GetWeights
        | CallType::GetMaster
        | CallType::GetQuota => views.answer(door, View::Operator(call.kind, wanted), wanted.content_type()).await,
        // Shows the time, so that it is not kept.
        CallType::GetMetrics => {
            let answer = operator::answer(call.kind, &facts(door), &door.handle.cluster(), door.handle.now());
            let answer = answer.unwrap_or_default();
            let bytes = match wanted {
                Media::Json => answer.to_string().into_bytes(),
                Media::Protobuf => operator::to_protobuf(&answer),
            };
            let content_type = HeaderValue::from_static(wanted.content_type());
            (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], bytes).into_response()
        }
        CallType::UpdateQuota => match mesos::read_quota(&call.arguments) {
            Ok((quotas, force)) => changed(door.handle.edit(move |draft| draft.update_quota(quotas, force)).await),
            Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
        },
        CallType::RemoveQuota => match call.argument("role").map(str::to_owned) {
            Some(role) => delete_quota(door, &role).await,
            None => refuse(StatusCode::BAD_REQUEST, "Expecting 'remove_quota' to be present"),
        },
        CallType::UpdateWeights => {
            let weights = call.arguments.get("weight_infos").unwrap_or(&serde_json::Value::Null);
            match mesos::read_weights(weights) {
                Ok(weights) => changed(door.handle.edit(move |draft| draft.update_weights(weights)).await),
                Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
            }
        }
        CallType::ReserveResources
        | CallType::UnreserveResources
        | CallType::DestroyVolumes
        | CallType::GrowVolume
        | CallType::ShrinkVolume => reservations::call(door, &call).await,
        CallType::CreateVolumes => refuse(StatusCode::BAD_REQUEST, reservations::NO_VOLUMES),
        CallType::Teardown => teardown(door, &call),
        CallType::DrainAgent | CallType::DeactivateAgent | CallType::ReactivateAgent | CallType::MarkAgentGone => {
            agent_call(door, &call).await
        }
        _ => {
            let message = format!("{} is not served by this cluster", call.kind.word());
            refuse(StatusCode::NOT_IMPLEMENTED, &message)
        }
    }
}

/// `POST /quota`, as before Mesos 1.9: for a role that has none.
pub(super) async fn post_quota(door: &Door, body: Body) -> Response {
    let body = match read_json(body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let (quota, force) = match mesos::read_guarantee(&body) {
        Ok(read) => read,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    let set = door.handle.edit(move |draft| {
        if draft.cluster().roles.get(quota.role.as_str()).is_some_and(|role| role.has_quota()) {
            let message = format!("role {} has a quota already; delete it first, or send UPDATE_QUOTA", quota.role);
            return Err(EditError::Role(message));
        }
        draft.update_quota(vec![quota], force)
    });
    changed(set.await)
}

/// `DELETE /quota/ROLE` and REMOVE_QUOTA. A role without a quota is refused by both, as in Mesos.
pub(super) async fn delete_quota(door: &Door, role: &str) -> Response {
    let role = role.to_owned();
    let removed = door.handle.edit(move |draft| {
        if draft.cluster().roles.get(role.as_str()).is_none_or(|role| !role.has_quota()) {
            return Err(EditError::Role(format!("role {role} has no quota")));
        }
        draft.update_quota(vec![QuotaEdit { role, ..QuotaEdit::default() }], true)
    });
    changed(removed.await)
}

/// `PUT /weights`.
pub(super) async fn put_weights(door: &Door, body: Body) -> Response {
    let list = match read_json(body).await {
        Ok(list) => list,
        Err(response) => return response,
    };
    match mesos::read_weights(&list) {
        Ok(weights) => changed(door.handle.edit(move |draft| draft.update_weights(weights)).await),
        Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
    }
}

async fn read_json(body: Body) -> Result<serde_json::Value, Response> {
    let bytes = body::read(body).await?;
    serde_json::from_slice(&bytes).map_err(|_| refuse(StatusCode::BAD_REQUEST, "the body is not JSON"))
}

/// The answer to a change: nothing, or why not.
fn changed(result: Result<(), ControlError>) -> Response {
    match result {
        Ok(()) => StatusCode::OK.into_response(),
        Err(ControlError::Edit(error)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

pub(super) fn refuse(status: StatusCode, message: &str) -> Response {
    body::answer(status, &json!({ "message": message }))
}

fn teardown(door: &Door, call: &Call) -> Response {
    match call.argument("framework_id/value") {
        Some(id) if id == framework_id(&door.handle.cluster().id) => {
            let message = "Marathon is a part of this cluster and cannot be shut down; remove its apps: dcos marathon app remove";
            refuse(StatusCode::FORBIDDEN, message)
        }
        Some(_) => refuse(StatusCode::BAD_REQUEST, "No framework found with specified ID"),
        None => refuse(StatusCode::BAD_REQUEST, "Expecting 'teardown' to be present"),
    }
}

/// The calls that change an agent. Nothing of ours is hidden behind them: a drain keeps to the budgets
/// of the apps, `max_grace_period` is its deadline.
async fn agent_call(door: &Door, call: &Call) -> Response {
    let Some(text) = call.argument("agent_id/value") else {
        return refuse(StatusCode::BAD_REQUEST, "the call names no agent: agent_id.value is missing");
    };
    let unknown = || refuse(StatusCode::NOT_FOUND, &format!("there is no agent {text}; see `dcos node list`"));
    let Ok(id) = NodeId::parse(text) else { return unknown() };
    let (kind, deadline) = (call.kind, grace_period(call).map(|seconds| door.handle.now().plus_millis(seconds * 1000)));
    let then =
        if call.arguments.get("mark_gone") == Some(&json!(true)) { AfterDrain::Decommission } else { AfterDrain::Deactivate };
    let ordered = door.handle.edit(move |draft| match kind {
        CallType::DrainAgent => draft.drain_node(&id, deadline, then).map(drop),
        CallType::DeactivateAgent => draft.deactivate_node(&id).map(drop),
        CallType::ReactivateAgent => draft.reactivate_node(&id).map(drop),
        // Final in Mesos, connected or not. One that is connected stops its tasks first.
        _ => draft.decommission_node(&id, Decommission { gone: true, force: true }).map(drop),
    });
    match ordered.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(ControlError::Edit(EditError::NoNode(_))) => unknown(),
        Err(error) => refused(&error),
    }
}

/// Whole seconds of `max_grace_period`, in the forms of JSON for a duration: an object or `"5s"`.
fn grace_period(call: &Call) -> Option<i64> {
    let period = call.arguments.get("max_grace_period")?;
    let text = || period.as_str()?.strip_suffix('s')?.parse::<f64>().ok().map(|seconds| seconds.ceil() as i64);
    let seconds = period.get("seconds").and_then(serde_json::Value::as_i64).or_else(text)?;
    Some(seconds.clamp(0, GRACE_SECONDS_MAX))
}

/// A machine as Mesos' maintenance calls name it.
#[derive(serde::Deserialize)]
struct Machine {
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    ip: String,
}

/// `POST /machine/down` and `/machine/up` with a list of machines: down is a drain without delay.
pub(super) async fn machines(door: &Door, up: bool, body: Body) -> Response {
    let bytes = match body::read(body).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let Ok(machines) = serde_json::from_slice::<Vec<Machine>>(&bytes) else {
        return refuse(StatusCode::BAD_REQUEST, "send a list of machines: [{\"hostname\": …, \"ip\": …}]");
    };
    let cluster = door.handle.cluster();
    let mut ids = Vec::new();
    for machine in &machines {
        let name = if machine.ip.is_empty() { &machine.hostname } else { &machine.ip };
        match cluster.find_node(name) {
            Ok(node) => ids.push(node.facts.id.clone()),
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
    let now = door.handle.now();
    let ordered = door.handle.edit(move |draft| {
        for id in &ids {
            if up {
                draft.reactivate_node(id)?;
            } else {
                draft.drain_node(id, Some(now), AfterDrain::Deactivate)?;
            }
        }
        Ok(())
    });
    match ordered.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refused(&error),
    }
}
