//! `/v1/…`: our own interface.

use super::{Door, body};
use crate::apply::{ApplyError, ApplyRequest, DOCUMENTS_MAX, apply};
use crate::explain::explain;
use crate::handle::ControlError;
use crate::outage::Outage;
use crate::packages;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use orrery_api::marathon::app::APP_SCHEMA;
use orrery_core::AppId;
use orrery_core::instance::Condition;
use serde_json::{Value, json};

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/v1/apply", post(post_apply))
        .route("/v1/apps/{*path}", get(get_explain))
        .route("/v1/status", get(status))
        .route("/v1/schemas/app", get(app_schema))
        .route("/v1/repositories", get(repositories))
}

async fn post_apply(State(door): State<Door>, body: Body) -> Response {
    let bytes = match body::read(body).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let request: ApplyRequest = match serde_json::from_slice(&bytes) {
        Ok(request) => request,
        Err(error) => {
            return body::answer(
                StatusCode::BAD_REQUEST,
                &json!({ "message": format!("the request is not valid JSON for apply: {error}") }),
            );
        }
    };
    if request.documents.len() > DOCUMENTS_MAX {
        let message =
            format!("{} documents are more than the {DOCUMENTS_MAX} of one request; split them up", request.documents.len());
        return body::answer(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "message": message }));
    }
    match apply(&door.handle, &door.catalog, request).await {
        Ok(outcome) => body::ok(&json!(outcome)),
        Err(ApplyError::Faults(faults)) => {
            let message = format!("{} faults in the documents; nothing was applied", faults.len());
            body::answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "message": message, "faults": faults }))
        }
        Err(ApplyError::Control(ControlError::Edit(error))) => {
            body::answer(StatusCode::CONFLICT, &json!({ "message": error.to_string() }))
        }
        Err(ApplyError::Control(error)) => {
            body::answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "message": error.to_string() }))
        }
    }
}

/// `/v1/apps/<id>/explain`; ids have slashes, so the path is taken apart here.
async fn get_explain(State(door): State<Door>, Path(path): Path<String>) -> Response {
    let id = path.strip_suffix("/explain").and_then(|id| AppId::parse(id).ok());
    match id.as_ref().and_then(|id| explain(&door.handle.cluster(), id, door.handle.now())) {
        Some(value) => body::ok(&value),
        None => body::answer(
            StatusCode::NOT_FOUND,
            &json!({ "message": format!("App '/{}' does not exist", path.trim_end_matches("/explain")) }),
        ),
    }
}

async fn status(State(door): State<Door>) -> Response {
    let cluster = door.handle.cluster();
    let running = cluster.instances.values().filter(|instance| instance.condition == Condition::Running).count();
    body::ok(&json!({
        "cluster": { "id": &*cluster.id, "name": door.facts.name },
        "version": env!("CARGO_PKG_VERSION"),
        "url": door.handle.me().url,
        "dns": door.facts.dns,
        "startedAt": door.facts.started_at,
        "nodes": cluster.nodes.len(),
        "nodesAway": cluster.away.len(),
        "brake": super::nodes::brake_json(&cluster),
        "store": store_json(door.handle.outage().borrow().as_ref()),
        "apps": cluster.apps.len(),
        "tasks": { "running": running, "total": cluster.instances.len() },
        "deployments": cluster.deployments.len(),
        "generation": cluster.generation,
    }))
}

fn store_json(outage: Option<&Outage>) -> Value {
    match outage {
        Some(outage) => json!({ "answers": false, "silentSince": outage.since, "reason": outage.reason }),
        None => json!({ "answers": true }),
    }
}

/// The schema of apps, for editors.
async fn app_schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], APP_SCHEMA).into_response()
}

async fn repositories(State(door): State<Door>) -> Response {
    let list = packages::repositories(&door.handle.cluster(), &door.catalog);
    door.catalog.index(&list).await;
    let health = |health: crate::catalog::Health| {
        json!({
            "name": health.repository.name,
            "uri": health.repository.uri,
            "packageVersions": health.packages,
            "error": health.error,
            "faults": health.faults,
        })
    };
    let list: Vec<Value> = door.catalog.health(&list).into_iter().map(health).collect();
    body::ok(&json!({ "repositories": list }))
}
