//! Marathon's interface at `/service/marathon/…`, `/marathon/…` and bare.

mod apps;
mod deployments;
mod events;
mod groups;
mod others;
mod tasks;
mod update;

use super::{Door, body};
use crate::handle::ControlError;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use orrery_api::marathon::{deployment_result, error, parse_boolean};
use orrery_core::Timestamp;
use orrery_core::deployment::Deployment;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/service/marathon/{*rest}", any(prefixed))
        .route("/marathon/{*rest}", any(prefixed))
        .route("/v2/{*rest}", any(bare))
        .route("/ping", any(bare))
}

async fn prefixed(State(door): State<Door>, Path(rest): Path<String>, request: Request) -> Response {
    Call::new(door, &rest, request).answer().await
}

async fn bare(State(door): State<Door>, request: Request) -> Response {
    let path = percent_decoded(request.uri().path());
    Call::new(door, &path, request).answer().await
}

fn percent_decoded(path: &str) -> String {
    // Ids hold nothing that is ever escaped but by careful clients, which escape slashes.
    path.replace("%2F", "/").replace("%2f", "/")
}

/// One request.
struct Call {
    door: Door,
    method: Method,
    /// Below the prefix, without slashes at the start: `v2/apps/…`.
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    client: Option<SocketAddr>,
    body: Body,
}

impl Call {
    fn new(door: Door, rest: &str, request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let client = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        Self {
            door,
            method: parts.method,
            path: rest.trim_start_matches('/').to_owned(),
            query,
            headers: parts.headers,
            client,
            body,
        }
    }

    async fn answer(self) -> Response {
        let leader = self.door.handle.leader().and_then(|leader| HeaderValue::from_str(&leader.controller.url).ok());
        let mut response = self.dispatch().await;
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, no-store, must-revalidate"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
        headers.extend(leader.map(|leader| (HeaderName::from_static("x-marathon-leader"), leader)));
        response
    }

    async fn dispatch(self) -> Response {
        let path = self.path.clone();
        let (root, rest) =
            path.strip_prefix("v2/").map_or((path.as_str(), ""), |path| path.split_once('/').unwrap_or((path, "")));
        let is_v2 = path.starts_with("v2/");
        match (is_v2, root) {
            (true, "apps") => apps::answer(self, rest).await,
            (true, "groups") => groups::answer(self, rest).await,
            (true, "deployments") => deployments::answer(self, rest).await,
            (true, "tasks") => tasks::answer(self, rest).await,
            (true, "events") => events::answer(&self),
            (true, "queue") => others::queue(self, rest).await,
            (true, "info") => others::info(&self),
            (true, "leader") => others::leader(&self),
            (true, "plugins") => body::ok(&serde_json::json!({ "plugins": [] })),
            (false, "ping") => others::ping(&self),
            (false, "metrics") => body::ok(
                &serde_json::json!({ "version": "3.0.0", "gauges": {}, "counters": {}, "histograms": {}, "meters": {}, "timers": {} }),
            ),
            (false, "" | "ui/" | "ui") => axum::response::Redirect::temporary("/").into_response(),
            _ => failed(error::unmapped_path()),
        }
    }

    /// Values of a query parameter, with and without `[]`.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key.strip_suffix("[]").unwrap_or(key) == name).map(|(_, value)| value.as_str())
    }

    fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).last()
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.value(name).and_then(parse_boolean).unwrap_or(default)
    }

    /// The body as JSON; an empty one is `null`.
    async fn json(&mut self) -> Result<Value, Response> {
        let bytes = body::read(std::mem::take(&mut self.body)).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|problem| failed(error::invalid_json(&problem.to_string())))
    }
}

/// An error answer.
fn failed((status, value): error::Answer) -> Response {
    body::answer(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &value)
}

fn refused(problem: &ControlError) -> Response {
    match problem {
        ControlError::Edit(edit) => failed(error::refused_edit(edit)),
        other => failed(error::unavailable(&other.to_string())),
    }
}

/// Adds the header that tells a change's deployment.
fn with_deployment(mut response: Response, id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("marathon-deployment-id", id);
    }
    response
}

/// The usual answer to a change. A change that changes nothing has a deployment that is over.
fn deployed(status: StatusCode, deployment: Option<&Arc<Deployment>>, version: Timestamp) -> Response {
    let (version, id) = match deployment {
        Some(deployment) => (deployment.version, deployment.id.clone()),
        None => (version, uuid::Uuid::new_v4().to_string()),
    };
    with_deployment(body::answer(status, &deployment_result(version, &id)), &id)
}
