//! What a follower hands on to the leader, and what it answers itself.

use super::vouch::FORWARDED_HEADER;
use super::{Door, body};
use crate::handle::Handle;
use crate::http_peers::REPLICA_PATH;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use orrery_link::client::{JOIN_PATH, LINK_PATH, RENEW_PATH, TUNNEL_PATH};
use serde_json::json;
use std::io::ErrorKind;
use std::time::Duration;

/// Generation of the leader when it answered a change. A client that sends it along with a read, to whichever
/// controller, sees at least that change.
const GENERATION: HeaderName = HeaderName::from_static("orrery-generation");
/// Milliseconds since something was heard of the leader, on answers that may be out of date.
const STALE: HeaderName = HeaderName::from_static("orrery-stale");
/// How long an answer is held back until this controller shows what it tells of.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);
/// How long a request waits for a leader that is just being elected.
const ELECTION_WAIT: Duration = Duration::from_millis(500);

/// Requests that only read, although they are posted.
const READING_POSTS: [&str; 9] = [
    "/package/search",
    "/package/describe",
    "/package/list",
    "/package/list-versions",
    "/package/render",
    "/package/repository/list",
    "/cosmos/service/describe",
    "/service/describe",
    "/v1/validate",
];
/// Paths whose requests go to agents, which are connected to the leader, or belong to it.
const LEADERS_PATHS: [&str; 6] =
    ["/agent/", "/slave/", "/link/v1/", "/system/v1/logs/", "/system/v1/agent/", "/system/v1/leader/"];

/// Requests of agents: nobody's change is lost with them, and agents try again by themselves.
const AGENTS_PATHS: [&str; 4] = [JOIN_PATH, LINK_PATH, RENEW_PATH, TUNNEL_PATH];
/// What to do about an answer that could not be given.
const LATER: &str = "; try again in a moment";

/// What to tell who asked for `path`.
fn advice(path: &str) -> &'static str {
    if AGENTS_PATHS.contains(&path) { "" } else { LATER }
}

pub(crate) fn routes() -> Router<Door> {
    Router::new().route(REPLICA_PATH, get(replica))
}

async fn replica(State(door): State<Door>) -> Response {
    match door.handle.replica().await {
        Some(stream) => ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(stream)).into_response(),
        None => unavailable(&door.handle, "this controller does not lead", LATER),
    }
}

/// Whether only the leader can answer.
fn needs_leader(method: &Method, path: &str) -> bool {
    if path == REPLICA_PATH {
        return false;
    }
    if LEADERS_PATHS.iter().any(|prefix| path.starts_with(prefix)) || path.ends_with("/v2/events") {
        return true;
    }
    let reads = !changes(method) || (method == Method::POST && READING_POSTS.contains(&path.trim_end_matches('/')));
    !reads
}

/// How long a leader may still answer when it leads no more.
const DEPOSED_GRACE: Duration = Duration::from_millis(300);

/// The layer in front of all routes.
pub(crate) async fn to_leader(State(handle): State<Handle>, request: Request, next: Next) -> Response {
    let handed_on = request.headers().contains_key(FORWARDED_HEADER);
    if !needs_leader(request.method(), request.uri().path()) {
        let named = request.headers().get(GENERATION).cloned();
        if let Some(named) = named
            && let Err(refused) = shows_what_was_written(&handle, &named).await
        {
            return refused;
        }
        let mut response = next.run(request).await;
        if let Some(stale) = handle.stale_for() {
            response.headers_mut().insert(STALE, HeaderValue::from(u64::try_from(stale.as_millis()).unwrap_or(u64::MAX)));
        }
        return response;
    }
    if !handle.leads() && !handed_on {
        return hand_on(&handle, request, next).await;
    }
    if !handle.leads() {
        // Whoever handed it on knows an old leader; a request never goes round.
        return unavailable(&handle, "this controller does not lead any more", advice(request.uri().path()));
    }
    let writes = changes(request.method());
    let mut response = next.run(request).await;
    if writes {
        let generation = *handle.generation().borrow();
        response.headers_mut().insert(GENERATION, HeaderValue::from(generation));
    }
    response
}

/// Waits until this controller shows the generation that a reader names.
async fn shows_what_was_written(handle: &Handle, named: &HeaderValue) -> Result<(), Response> {
    let Some(wanted) = number(named) else {
        let message = "the header Orrery-Generation is no number: send it as an answer to a change had it";
        return Err(body::answer(StatusCode::BAD_REQUEST, &json!({ "message": message })));
    };
    let mut shown = handle.generation();
    match tokio::time::timeout(CATCH_UP_MAX, shown.wait_for(|shown| *shown >= wanted)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(unavailable(handle, "this controller does not show yet what was written through another", LATER)),
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

const fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

async fn hand_on(handle: &Handle, request: Request, next: Next) -> Response {
    let advice = advice(request.uri().path());
    let mut role = handle.role();
    let known = tokio::time::timeout(ELECTION_WAIT, role.wait_for(|role| role.leader().is_some())).await.is_ok();
    if handle.leads() {
        return next.run(request).await;
    }
    let Some(leader) = handle.leader().filter(|leader| known && leader.controller.id != handle.me().id) else {
        let elected = if handle.outage().borrow().is_some() { "none can be elected" } else { "a new one is being elected" };
        return unavailable(handle, &format!("no controller leads at the moment: {elected}"), advice);
    };
    let writes = changes(request.method());
    let peers = handle.peers();
    let mut answer = std::pin::pin!(peers.forward(&leader, request));
    let deposed = async { role.wait_for(|role| role.leader() != Some(&leader)).await.is_ok() };
    let answered = tokio::select! {
        biased;
        answered = &mut answer => answered,
        // Who leads no more may stand still, or be cut off: its answer is not waited for as long as it takes
        // to find that out.
        _ = deposed => tokio::time::timeout(DEPOSED_GRACE, answer).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())),
    };
    let response = match answered {
        Ok(response) => response,
        Err(error) => {
            tracing::info!(leader = leader.controller.url, %error, "a request could not be handed on");
            let made = if writes && !advice.is_empty() { "; a change may have been made, look before you try again" } else { "" };
            return unavailable(handle, &format!("the leader at {} cannot be reached{made}", leader.controller.url), advice);
        }
    };
    if let Some(generation) = response.headers().get(GENERATION).filter(|_| writes).and_then(number) {
        // So that who has written through this controller reads it here.
        let mut shown = handle.generation();
        if tokio::time::timeout(CATCH_UP_MAX, shown.wait_for(|shown| *shown >= generation)).await.is_err() {
            tracing::warn!(generation, "this controller does not keep up with the leader");
        }
    }
    response
}

/// Says it along with the cause, when it is known, else with `advice`.
fn unavailable(handle: &Handle, message: &str, advice: &str) -> Response {
    let message = match &*handle.outage().borrow() {
        Some(outage) => format!("{message}; {outage}"),
        None => format!("{message}{advice}"),
    };
    let mut response = body::answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "message": message }));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_nothing_that_is_for_people() {
        assert_eq!(["/link/v1/agent", "/link/v1/tokens", "/v2/apps"].map(advice), ["", LATER, LATER]);
    }

    #[test]
    fn what_only_the_leader_can_answer() {
        for (method, path, leader) in [
            (Method::GET, "/v2/apps", false),
            (Method::HEAD, "/v2/apps", false),
            (Method::PUT, "/v2/apps//a", true),
            (Method::DELETE, "/v2/apps/a", true),
            (Method::POST, "/package/install", true),
            (Method::POST, "/package/search", false),
            (Method::POST, "/package/search/", false),
            (Method::PUT, "/package/search", true),
            (Method::GET, "/service/marathon/v2/events", true),
            (Method::GET, "/agent/S0/files/read", true),
            (Method::GET, "/system/v1/logs/v2/task/t1", true),
            (Method::POST, "/link/v1/agent", true),
            (Method::GET, "/link/v1/replica", false),
            (Method::GET, "/mesos/state", false),
        ] {
            assert_eq!(needs_leader(&method, path), leader, "{method} {path}");
        }
    }
}
