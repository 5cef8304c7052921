//! Reservations and volumes through the operator interface, version 1 and before.

use super::super::Door;
use super::super::body;
use super::operator::refuse;
use crate::handle::ControlError;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use orrery_api::mesos::operator::{Call, CallType, read_node, read_reservations, read_resize, read_volume, read_volumes};
use orrery_core::cluster::EditError;
use serde_json::{Value, json};

/// Volumes belong to instances here, which make them.
pub(super) const NO_VOLUMES: &str =
    "volumes are made by the instances of apps: declare container.volumes with \"persistent\" in an app";

/// RESERVE_RESOURCES, UNRESERVE_RESOURCES, DESTROY_VOLUMES, GROW_VOLUME, SHRINK_VOLUME.
pub(super) async fn call(door: &Door, call: &Call) -> Response {
    let arguments = &call.arguments;
    let node = match read_node(arguments) {
        Ok(node) => node,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    let result = match call.kind {
        CallType::ReserveResources => match read_reservations(arguments.get("resources")) {
            Ok(edit) => door.handle.edit(move |draft| draft.reserve(&node, &edit)).await,
            Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
        },
        CallType::UnreserveResources => match read_reservations(arguments.get("resources")) {
            Ok(edit) => door.handle.edit(move |draft| draft.unreserve(&node, &edit)).await,
            Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
        },
        CallType::DestroyVolumes => match read_volumes(arguments.get("volumes")) {
            Ok(volumes) => door.handle.edit(move |draft| draft.destroy_volumes(&node, &volumes)).await,
            Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
        },
        _ => {
            let volume = read_volume(arguments.get("volume").unwrap_or(&Value::Null));
            match volume.and_then(|volume| Ok((volume, read_resize(arguments)?))) {
                Ok((volume, by)) => door.handle.edit(move |draft| draft.resize_volume(&node, &volume, by)).await,
                Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
            }
        }
    };
    match result {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(ControlError::Edit(error @ EditError::Claim(_))) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(ControlError::Edit(error)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// The calls as forms: `POST /reserve`, `/unreserve`, `/create-volumes` and `/destroy-volumes` with
/// `slaveId` and `resources` or `volumes` in JSON. `None` when the path is none of them.
pub(super) async fn form(door: &Door, path: &str, body: Body) -> Option<Response> {
    let (kind, list) = match path {
        "reserve" => (CallType::ReserveResources, "resources"),
        "unreserve" => (CallType::UnreserveResources, "resources"),
        "destroy-volumes" => (CallType::DestroyVolumes, "volumes"),
        "create-volumes" => return Some(refuse(StatusCode::BAD_REQUEST, NO_VOLUMES)),
        _ => return None,
    };
    let bytes = match body::read(body).await {
        Ok(bytes) => bytes,
        Err(response) => return Some(response),
    };
    let mut arguments = json!({});
    for (key, value) in url::form_urlencoded::parse(&bytes) {
        match &*key {
            "slaveId" => arguments["agent_id"] = json!({ "value": value }),
            key if key == list => match serde_json::from_str::<Value>(&value) {
                Ok(value) => arguments[list] = value,
                Err(error) => return Some(refuse(StatusCode::BAD_REQUEST, &format!("{list} is no JSON: {error}"))),
            },
            _ => {}
        }
    }
    Some(call(door, &Call { kind, arguments }).await)
}
