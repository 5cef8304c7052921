//! `/v2/deployments…`.

use super::{Call, deployed, failed, refused};
use crate::door::body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use orrery_api::marathon::{deployments_json, error};

pub(super) async fn answer(call: Call, rest: &str) -> Response {
    let id = rest.trim_matches('/').to_owned();
    match (call.method.clone(), id.is_empty()) {
        (Method::GET | Method::HEAD, true) => body::ok(&deployments_json(&call.door.handle.cluster())),
        (Method::DELETE, false) if call.flag("force", false) => match call.door.handle.edit(move |draft| draft.cancel(&id)).await
        {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(problem) => refused(&problem),
        },
        (Method::DELETE, false) => match call.door.handle.edit(move |draft| draft.roll_back(&id)).await {
            Ok(deployment) => deployed(StatusCode::OK, deployment.as_ref(), call.door.handle.now()),
            Err(problem) => refused(&problem),
        },
        _ => failed(error::wrong_method()),
    }
}
