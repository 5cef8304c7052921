//! `POST /api/v1`: the operator interface.

use super::super::{Door, body};
use super::facts;
use super::views::{View, Views};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use orrery_api::mesos::framework_id;
use orrery_api::mesos::operator::{self, Call, CallType, Media};
use orrery_core::NodeId;
use serde_json::json;

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
        CallType::Teardown => teardown(door, &call),
        CallType::DrainAgent | CallType::DeactivateAgent | CallType::ReactivateAgent | CallType::MarkAgentGone => {
            agent_call(door, &call)
        }
        _ => {
            let message = format!("{} is not served by this cluster", call.kind.word());
            refuse(StatusCode::NOT_IMPLEMENTED, &message)
        }
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
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

fn agent_call(door: &Door, call: &Call) -> Response {
    let Some(id) = call.argument("agent_id/value") else {
        return refuse(StatusCode::BAD_REQUEST, "the call names no agent: agent_id.value is missing");
    };
    let known = NodeId::parse(id).is_ok_and(|id| door.handle.cluster().nodes.contains_key(&id));
    if known {
        refuse(StatusCode::NOT_IMPLEMENTED, &format!("{} is not served by this cluster", call.kind.word()))
    } else {
        refuse(StatusCode::NOT_FOUND, &format!("there is no agent {id}; see `dcos node list`"))
    }
}
