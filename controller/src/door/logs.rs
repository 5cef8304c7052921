//! `/system/v1/…/logs/…`: logs of tasks, read from the agent that holds them.
//!
//! Whoever asks names a task, not a node. Logs of components do not go through the door: the daemon
//! writes to its own standard error.

use super::{Door, agents, body};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use orrery_api::logs::{FindTaskError, TaskPlace, find_task};
use orrery_core::NodeId;
use serde_json::json;

/// File shown when none is named.
const FILE_DEFAULT: &str = "stdout";

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/system/v1/logs/v2/task/{*rest}", get(task))
        .route("/system/v1/agent/{id}/logs/{*rest}", get(agent))
        .route("/system/v1/logs/v2/component", get(none))
        .route("/system/v1/logs/v2/component/{*rest}", get(none))
        .route("/system/v1/logs/v1/{*rest}", get(none))
        .route("/system/v1/leader/{leader}/logs/{*rest}", get(none))
}

/// There are no such logs, which clients know from 204.
async fn none() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What is asked for of a task, with the names as they stand in the address (percent-encoded).
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    File(&'a str),
    Download(&'a str),
    Browse,
}

/// Takes `<task>[/file/<name>[/download]]`, `<task>/browse` and the explicit
/// `frameworks/<id>/executors/<task>/runs/<run>[/<name>]` apart.
fn parse(rest: &str) -> Option<(&str, Wanted<'_>)> {
    let rest = rest.trim_end_matches('/');
    if let Some(explicit) = rest.strip_prefix("frameworks/") {
        let mut parts = explicit.splitn(6, '/');
        let (_framework, executors, task, runs, _run) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let file = parts.next().unwrap_or(FILE_DEFAULT);
        return (executors == "executors" && runs == "runs").then_some((task, Wanted::File(file)));
    }
    let (task, what) = rest.split_once('/').unwrap_or((rest, ""));
    let wanted = match what {
        "" => Wanted::File(FILE_DEFAULT),
        "browse" => Wanted::Browse,
        "download" => Wanted::Download(FILE_DEFAULT),
        _ => match what.strip_prefix("file/")? {
            "" => return None,
            file => file.strip_suffix("/download").filter(|file| !file.is_empty()).map_or(Wanted::File(file), Wanted::Download),
        },
    };
    (!task.is_empty()).then_some((task, wanted))
}

async fn task(State(door): State<Door>, mut request: Request) -> Response {
    forget_route(&mut request);
    let path = request.uri().path().to_owned();
    let Some((id, wanted)) = path.split_once("/v2/task/").and_then(|(_, rest)| parse(rest)) else {
        let message = "name a task and a file: /system/v1/logs/v2/task/<task>/file/<name>";
        return body::answer(StatusCode::NOT_FOUND, &json!({ "message": message }));
    };
    let place = match find_task(&door.handle.cluster(), &decoded(id)) {
        Ok(place) => place,
        Err(error) => return refuse(&error),
    };
    let node = place.node.as_str();
    match wanted {
        Wanted::File(file) => agents::call(&door, node, &format!("logs/v2/task/{}/file/{file}", place.task), request).await,
        Wanted::Browse | Wanted::Download(_) => {
            let Some(query) = sandbox_query(&place, &wanted) else { return StatusCode::NO_CONTENT.into_response() };
            let what = if wanted == Wanted::Browse { "browse" } else { "download" };
            match format!("/files/{what}?path={query}").parse() {
                Ok(uri) => *request.uri_mut() = uri,
                Err(_) => {
                    return body::answer(
                        StatusCode::BAD_REQUEST,
                        &json!({ "message": "the name of the file cannot be forwarded" }),
                    );
                }
            }
            agents::call(&door, node, &format!("files/{what}"), request).await
        }
    }
}

/// Takes out what the door's routes have noted: the agent's routes would add their parameters to
/// ours.
fn forget_route(request: &mut Request) {
    request.extensions_mut().clear();
}

/// The path in the sandbox as the value of a query.
fn sandbox_query(place: &TaskPlace, wanted: &Wanted<'_>) -> Option<String> {
    let sandbox = place.sandbox.as_deref()?;
    let file = match wanted {
        Wanted::Browse => String::new(),
        Wanted::File(file) | Wanted::Download(file) => format!("/{}", decoded(file)),
    };
    Some(url::form_urlencoded::byte_serialize(format!("{sandbox}{file}").as_bytes()).collect())
}

/// Without percent-encoding. `+` stands for itself in a path.
fn decoded(text: &str) -> String {
    let text = text.replace('+', "%2B");
    let pair = format!("x={text}");
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn refuse(error: &FindTaskError) -> Response {
    let status = match error {
        FindTaskError::Unknown(_) => StatusCode::NOT_FOUND,
        FindTaskError::Ambiguous { .. } => StatusCode::BAD_REQUEST,
        FindTaskError::NotPlaced(_) => return StatusCode::NO_CONTENT.into_response(),
    };
    body::answer(status, &json!({ "message": error.to_string() }))
}

async fn agent(State(door): State<Door>, Path((id, rest)): Path<(String, String)>, mut request: Request) -> Response {
    forget_route(&mut request);
    if !NodeId::parse(&id).is_ok_and(|id| door.handle.cluster().nodes.contains_key(&id)) {
        let message = format!("there is no agent {id}; see `dcos node list`");
        return body::answer(StatusCode::NOT_FOUND, &json!({ "message": message }));
    }
    if !rest.starts_with("v2/task/") {
        return StatusCode::NO_CONTENT.into_response();
    }
    let path = request.uri().path().to_owned();
    let tail = path.split_once("/logs/").map(|(_, tail)| tail).unwrap_or_default();
    agents::call(&door, &id, &format!("logs/{tail}"), request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        for (rest, want) in [
            ("t1", Some(("t1", Wanted::File("stdout")))),
            ("t1/", Some(("t1", Wanted::File("stdout")))),
            ("t1/file/stderr", Some(("t1", Wanted::File("stderr")))),
            ("t1/file/a/b%20c", Some(("t1", Wanted::File("a/b%20c")))),
            ("t1/file/stdout/download", Some(("t1", Wanted::Download("stdout")))),
            ("t1/browse", Some(("t1", Wanted::Browse))),
            ("frameworks/f/executors/t1/runs/latest/stderr", Some(("t1", Wanted::File("stderr")))),
            ("frameworks/f/executors/t1/runs/latest", Some(("t1", Wanted::File("stdout")))),
            ("frameworks/f/tasks/t1/runs/r/x", None),
            ("t1/file/", None),
            ("t1/other", None),
            ("", None),
        ] {
            assert_eq!(parse(rest), want, "{rest}");
        }
    }

    #[test]
    fn names_are_encoded_once() {
        let place = TaskPlace {
            task: orrery_core::TaskId::parse("web.instance-00000000-0000-0000-0000-000000000001._app.1").unwrap(),
            node: NodeId::parse("S0").unwrap(),
            sandbox: Some("/s b".into()),
        };
        assert_eq!(sandbox_query(&place, &Wanted::Download("a%20%2B+b")).unwrap(), "%2Fs+b%2Fa+%2B%2Bb");
        assert_eq!(sandbox_query(&place, &Wanted::Browse).unwrap(), "%2Fs+b");
    }
}
