//! `/mesos_dns/v1/…`.

use super::{Door, body};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

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
        ["enumerate"] => body::ok(&orrery_net::mesos_dns::enumerate(&zone)),
        ["axfr"] => body::ok(&orrery_net::mesos_dns::axfr(&zone)),
        _ => body::answer(StatusCode::NOT_FOUND, &json!({ "message": "there is no such Mesos-DNS resource" })),
    }
}
