//! `/mesos_dns/v1/…`.

use super::{Door, body};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use orrery_net::Snapshot;
use serde_json::{Value, json};

pub(crate) fn routes() -> Router<Door> {
    Router::new().route("/mesos_dns/v1/{*path}", get(answer))
}

async fn answer(State(door): State<Door>, Path(path): Path<String>) -> Response {
    let zone = door.zone.snapshot();
    match path.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["version"] => body::ok(&orrery_net::mesos_dns::version()),
        ["config"] => body::ok(&orrery_net::mesos_dns::config(door.facts.dns, &door.facts.dns_upstreams, &zone)),
        ["hosts", host] => body::ok(&orrery_net::mesos_dns::hosts(&zone, host)),
        ["hosts", _, "ports"] => {
            body::answer(StatusCode::NOT_IMPLEMENTED, &json!({ "message": "ports of hosts are not served" }))
        }
        ["services", service] => body::ok(&orrery_net::mesos_dns::services(&zone, service)),
        ["enumerate"] => whole(zone, orrery_net::mesos_dns::enumerate).await,
        ["axfr"] => whole(zone, orrery_net::mesos_dns::axfr).await,
        _ => body::answer(StatusCode::NOT_FOUND, &json!({ "message": "there is no such Mesos-DNS resource" })),
    }
}

/// An answer that costs the number of tasks, so that it is made beside the threads that serve others.
async fn whole(zone: Snapshot, answer: fn(&Snapshot) -> Value) -> Response {
    match tokio::task::spawn_blocking(move || answer(&zone)).await {
        Ok(answer) => body::ok(&answer),
        Err(_) => body::answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": "the answer could not be made" })),
    }
}
