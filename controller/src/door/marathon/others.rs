//! Smaller resources: queue, info, leader, ping.

use super::{Call, failed, refused};
use crate::door::body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use orrery_api::marathon::{InfoView, error, info_json, queue_json};
use orrery_core::AppId;
use serde_json::json;

pub(super) async fn queue(call: Call, rest: &str) -> Response {
    match (call.method.clone(), rest.trim_matches('/')) {
        (Method::GET | Method::HEAD, "") => {
            let offers = call.values("embed").any(|embed| embed == "lastUnusedOffers");
            let (cluster, now) = (call.door.handle.cluster(), call.door.handle.now());
            if !offers {
                return body::ok(&queue_json(&cluster, now, false));
            }
            // Looks at every node for every app that waits.
            match tokio::task::spawn_blocking(move || queue_json(&cluster, now, true)).await {
                Ok(queue) => body::ok(&queue),
                Err(problem) => failed(error::bad_argument(&problem.to_string())),
            }
        }
        (Method::DELETE, path) => {
            let Some(Ok(id)) = path.strip_suffix("/delay").map(AppId::parse) else { return failed(error::unmapped_path()) };
            match call.door.handle.edit(move |draft| draft.reset_delay(&id)).await {
                Ok(()) => StatusCode::NO_CONTENT.into_response(),
                Err(problem) => refused(&problem),
            }
        }
        _ => failed(error::wrong_method()),
    }
}

pub(super) fn info(call: &Call) -> Response {
    let leader = call.door.handle.leader().map(|leader| leader.controller.address.to_string());
    let framework = format!("{}-0001", call.door.handle.cluster().id);
    body::ok(&info_json(&InfoView {
        leader: leader.as_deref(),
        elected: leader.is_some(),
        framework_id: &framework,
        hostname: &call.door.facts.address.ip().to_string(),
        http_port: call.door.facts.address.port(),
        build: concat!("orrery-", env!("CARGO_PKG_VERSION")),
    }))
}

pub(super) fn leader(call: &Call) -> Response {
    match call.method {
        Method::GET | Method::HEAD => match call.door.handle.leader() {
            Some(leader) => body::ok(&json!({ "leader": leader.controller.address.to_string() })),
            None => body::answer(StatusCode::NOT_FOUND, &json!({ "message": "There is no leader" })),
        },
        Method::DELETE if call.door.handle.abdicate() => body::ok(&json!({ "message": "Leadership abdicated" })),
        Method::DELETE => failed(error::unavailable("this cluster has one controller; there is nobody to hand leadership to")),
        _ => failed(error::wrong_method()),
    }
}

/// `pong` as text or JSON, as the client accepts (marathon.md 1.2).
pub(super) fn ping(call: &Call) -> Response {
    let accept = call.headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    if accept.contains("text/plain") || accept.contains("*/*") || accept.contains("text/*") {
        return "pong".into_response();
    }
    if accept.contains("json") {
        return body::ok(&json!("pong"));
    }
    StatusCode::NO_CONTENT.into_response()
}
