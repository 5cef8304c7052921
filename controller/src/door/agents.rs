//! `/agent/<id>/…` and `/slave/<id>/…`: the agents' own HTTP services.

use super::{Door, body};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use orrery_core::NodeId;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use tower::ServiceExt as _;

/// Ways to the agents' services.
#[derive(Default)]
pub struct AgentDirectory {
    next: AtomicU64,
    ways: RwLock<HashMap<String, (u64, Router)>>,
}

impl AgentDirectory {
    /// Makes the routes of an agent reachable, in this process or through a tunnel, instead of those
    /// before. Returns the number of this way, for [`AgentDirectory::remove`].
    pub fn insert(&self, node: &NodeId, routes: Router) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.ways.write().unwrap_or_else(PoisonError::into_inner).insert(node.to_string(), (number, routes));
        number
    }

    /// Forgets a way, unless a newer one has taken its place.
    pub fn remove(&self, node: &NodeId, number: u64) {
        let mut ways = self.ways.write().unwrap_or_else(PoisonError::into_inner);
        if ways.get(node.as_str()).is_some_and(|(present, _)| *present == number) {
            ways.remove(node.as_str());
        }
    }

    pub(crate) fn get(&self, node: &str) -> Option<Router> {
        self.ways.read().unwrap_or_else(PoisonError::into_inner).get(node).map(|(_, routes)| routes.clone())
    }
}

pub(crate) fn routes() -> Router<Door> {
    Router::new().route("/agent/{id}/{*rest}", any(forward)).route("/slave/{id}/{*rest}", any(forward))
}

async fn forward(State(door): State<Door>, Path((id, rest)): Path<(String, String)>, request: Request) -> Response {
    // `slave(1)/state` is the libprocess spelling of `/state` (platform.md 2.0).
    let rest = rest.strip_prefix("slave(1)/").unwrap_or(&rest);
    call(&door, &id, rest, request).await
}

/// Hands a request to an agent, with `path` instead of its own path.
pub(crate) async fn call(door: &Door, node: &str, path: &str, mut request: Request) -> Response {
    let Some(routes) = door.agents.get(node) else {
        let message = format!("there is no agent {node} that can be reached");
        return body::answer(StatusCode::NOT_FOUND, &json!({ "message": message }));
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    match format!("/{path}{query}").parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return body::answer(StatusCode::BAD_REQUEST, &json!({ "message": "the path cannot be forwarded" })),
    }
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
    .into_response()
}
