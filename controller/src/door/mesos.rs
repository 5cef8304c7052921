//! `/mesos/…`, `/master/…` and `/cache/master/…`: what a Mesos master answers.
//!
//! Clients spell one path in many ways: with and without `master/`, with and without `.json`
//! (platform.md 2.0). Answers that show the cluster are built once for each published snapshot, off
//! the threads that serve, however many clients poll.

mod host;
mod operator;
mod reservations;
mod views;

use self::views::{View, Views};
use super::nodes::maintenance_status;
use super::{Door, body};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use orrery_api::mesos::{self, MasterFacts, TaskOrder, TaskQuery};
use orrery_api::metadata;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Most tasks of one answer of `/tasks`.
const TASKS_LIMIT_MAX: usize = 10_000;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/mesos/{*path}", any(dispatch))
        .route("/master/{*path}", any(dispatch))
        .route("/cache/master/{*path}", any(dispatch))
        .route("/metrics/snapshot", get(metrics))
        .route("/net/v1/nodes", get(net_nodes))
        .route_layer(Extension(Arc::new(Views::default())))
}

/// What the master says of itself.
fn facts(door: &Door) -> MasterFacts {
    MasterFacts {
        cluster_id: door.handle.cluster().id.to_string(),
        cluster_name: door.facts.name.clone(),
        address: door.leader_address(),
        started_at: door.facts.started_at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

type Parameters = HashMap<String, String>;

async fn dispatch(
    State(door): State<Door>,
    Extension(views): Extension<Arc<Views>>,
    Path(path): Path<String>,
    query: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let path = plain(&path);
    if path == "api/v1" {
        return if method == Method::POST { operator::call(&door, &views, &headers, body).await } else { not_taken(path) };
    }
    if method == Method::POST && matches!(path, "machine/down" | "machine/up") {
        return operator::machines(&door, path == "machine/up", body).await;
    }
    if method == Method::POST && is_reservation(path) {
        return reservations::form(&door, path, body).await.unwrap_or_else(|| not_found(path));
    }
    let Ok(Query(query)) = query else {
        return body::answer(StatusCode::BAD_REQUEST, &json!({ "message": "the query of the address cannot be read" }));
    };
    if path == "weights" && method == Method::PUT {
        return operator::put_weights(&door, body).await;
    }
    if path == "quota" && method == Method::POST {
        return operator::post_quota(&door, body).await;
    }
    if let Some(role) = path.strip_prefix("quota/").filter(|_| method == Method::DELETE) {
        return operator::delete_quota(&door, role).await;
    }
    if !is_shown(path) || (method != Method::GET && method != Method::HEAD) {
        return not_taken(path);
    }
    let wanted = |key: &str| query.get(key).map(String::as_str);
    let cluster = || door.handle.cluster();
    match path {
        "state" => views.json(&door, View::State).await,
        "state-summary" => views.json(&door, View::StateSummary).await,
        "slaves" => match wanted("slave_id") {
            None => views.json(&door, View::Slaves).await,
            Some(id) => body::ok(&mesos::slaves(&facts(&door), &cluster(), Some(id))),
        },
        "frameworks" => match wanted("framework_id") {
            Some(id) if id != mesos::framework_id(&cluster().id) => {
                body::ok(&mesos::frameworks(&facts(&door), &cluster(), Some(id)))
            }
            _ => views.json(&door, View::Frameworks).await,
        },
        "roles" => views.json(&door, View::Roles).await,
        "tasks" => match task_query(&query) {
            Ok(query) => body::ok(&mesos::tasks(&cluster(), &query)),
            Err(message) => body::answer(StatusCode::BAD_REQUEST, &json!({ "message": message })),
        },
        "quota" => body::ok(&mesos::quota(&cluster())),
        "weights" => body::ok(&mesos::weights(&cluster())),
        "maintenance/schedule" => body::ok(&json!({})),
        "maintenance/status" => body::ok(&maintenance_status(&cluster())),
        "metrics/snapshot" => metrics(State(door)).await,
        "system/stats" => body::ok(&host::stats().await),
        "version" => body::ok(&mesos::version(&facts(&door))),
        "flags" => body::ok(&mesos::flags(&facts(&door))),
        "health" => StatusCode::OK.into_response(),
        "redirect" => redirect(&door),
        _ => not_found(path),
    }
}

/// Whether a path is one of the calls about reservations.
fn is_reservation(path: &str) -> bool {
    matches!(path, "reserve" | "unreserve" | "create-volumes" | "destroy-volumes")
}

/// The path in its shortest spelling.
fn plain(path: &str) -> &str {
    let path = path.trim_matches('/');
    let path = path.strip_prefix("master/").unwrap_or(path);
    path.strip_suffix(".json").unwrap_or(path)
}

/// What GET shows.
const SHOWN: [&str; 16] = [
    "state",
    "state-summary",
    "slaves",
    "frameworks",
    "roles",
    "tasks",
    "quota",
    "weights",
    "maintenance/schedule",
    "maintenance/status",
    "metrics/snapshot",
    "system/stats",
    "version",
    "flags",
    "health",
    "redirect",
];

fn is_shown(path: &str) -> bool {
    SHOWN.contains(&path)
}

/// The methods that a path takes; `None` when there is nothing at it.
fn methods(path: &str) -> Option<&'static str> {
    match path {
        "quota" => Some("GET, HEAD, POST"),
        "weights" => Some("GET, HEAD, PUT"),
        "api/v1" | "machine/down" | "machine/up" => Some("POST"),
        path if is_reservation(path) => Some("POST"),
        path if path.strip_prefix("quota/").is_some_and(|role| !role.is_empty()) => Some("DELETE"),
        path => is_shown(path).then_some("GET, HEAD"),
    }
}

/// The answer to a method that a path does not take.
fn not_taken(path: &str) -> Response {
    methods(path).map_or_else(|| not_found(path), wrong_method)
}

fn not_found(path: &str) -> Response {
    body::answer(StatusCode::NOT_FOUND, &json!({ "message": format!("the Mesos interface has nothing at {path}") }))
}

fn wrong_method(allowed: &'static str) -> Response {
    let message = format!("this address takes {allowed} only");
    let mut response = body::answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "message": message }));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// To the leader, without a scheme (platform.md 2.0).
fn redirect(door: &Door) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("//{}/", door.leader_address()))]).into_response()
}

fn task_query(query: &Parameters) -> Result<TaskQuery, String> {
    let number = |key: &str, default: usize| match query.get(key) {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| format!("{key}={text} is not a whole number from 0 up")),
    };
    let order = match query.get("order").map(String::as_str) {
        Some("asc") => TaskOrder::Ascending,
        None | Some("des") => TaskOrder::Descending,
        Some(other) => return Err(format!("order={other} is neither asc nor des")),
    };
    Ok(TaskQuery {
        limit: number("limit", mesos::TASKS_LIMIT_DEFAULT)?.min(TASKS_LIMIT_MAX),
        offset: number("offset", 0)?,
        order,
        framework_id: query.get("framework_id").cloned(),
        task_id: query.get("task_id").cloned(),
    })
}

/// Metrics of the cluster and of the machine the master runs on.
async fn metrics(State(door): State<Door>) -> Response {
    let mut snapshot = mesos::metrics_snapshot(&facts(&door), &door.handle.cluster(), door.handle.now());
    if let (Some(snapshot), Value::Object(host)) = (snapshot.as_object_mut(), host::metrics().await) {
        snapshot.extend(host);
    }
    body::ok(&snapshot)
}

async fn net_nodes(State(door): State<Door>) -> Response {
    body::ok(&metadata::net_nodes(&door.handle.cluster()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path() {
        for path in ["state", "state.json", "master/state", "master/state.json", "/master/state/"] {
            assert_eq!(plain(path), "state", "{path}");
        }
        assert_eq!(plain("master/metrics/snapshot"), "metrics/snapshot");
        assert_eq!(plain("api/v1"), "api/v1");
        assert_eq!(plain("master"), "master");
    }

    #[test]
    fn methods_are_those_that_work() {
        for (path, expected) in [
            ("quota", Some("GET, HEAD, POST")),
            ("quota/dev", Some("DELETE")),
            ("quota/eng/prod", Some("DELETE")),
            ("quota/", None),
            ("weights", Some("GET, HEAD, PUT")),
            ("api/v1", Some("POST")),
            ("machine/up", Some("POST")),
            ("reserve", Some("POST")),
            ("create-volumes", Some("POST")),
            ("state", Some("GET, HEAD")),
            ("nothing", None),
        ] {
            assert_eq!(methods(path), expected, "{path}");
        }
        assert!(SHOWN.iter().all(|path| methods(path).is_some_and(|methods| methods.starts_with("GET, HEAD"))));
    }

    #[test]
    fn pages_of_tasks() {
        let query = |pairs: &[(&str, &str)]| {
            task_query(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(query(&[("jsonp", "f")]).unwrap(), TaskQuery::default());
        let page = query(&[("limit", "5"), ("offset", "2"), ("order", "asc"), ("task_id", "a")]).unwrap();
        assert_eq!((page.limit, page.offset, page.order, page.task_id.as_deref()), (5, 2, TaskOrder::Ascending, Some("a")));
        assert_eq!(query(&[("limit", "999999999")]).unwrap().limit, TASKS_LIMIT_MAX);
        for pairs in [("limit", "-1"), ("offset", "x"), ("order", "up")] {
            assert!(query(&[pairs]).unwrap_err().contains(pairs.1));
        }
    }
}
