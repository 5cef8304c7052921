//! Small facts at the paths where clients look for them before anything else.

use super::{Door, body};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use orrery_api::metadata;
use serde_json::json;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/dcos-metadata/dcos-version.json", get(version))
        .route("/dcos-metadata/ui-config.json", get(ui_config))
        .route("/metadata", get(cluster))
        // 200 says that nobody has to log in (clients.md, gotcha 4).
        .route("/pkgpanda/active.buildinfo.full.json", get(nothing))
        .route("/acs/api/v1/auth/providers", get(nothing))
        .route("/acs/api/v1/auth/login", post(login))
        .route("/cluster/v1/links", get(links))
        .route("/ca/dcos-ca.crt", get(certificate))
}

async fn version() -> Response {
    body::ok(&metadata::dcos_version(env!("CARGO_PKG_VERSION")))
}

async fn ui_config(State(door): State<Door>) -> Response {
    body::ok(&metadata::ui_config(&door.handle.cluster().id))
}

async fn cluster(State(door): State<Door>) -> Response {
    body::ok(&metadata::metadata(&door.handle.cluster().id, door.facts.address.ip()))
}

async fn nothing() -> Response {
    body::ok(&json!({}))
}

async fn login() -> Response {
    let description = "this cluster asks for no login; leave out user name and password";
    body::answer(
        StatusCode::NOT_FOUND,
        &json!({ "title": "Not Found", "description": description, "message": description, "code": "ERR_NO_AUTHENTICATION" }),
    )
}

async fn links() -> Response {
    body::ok(&json!({ "links": [] }))
}

/// The authority's certificate: public, and what clients trust from then on.
async fn certificate(State(door): State<Door>) -> Response {
    if let Some(authority) = &door.handle.cluster().trust.authority {
        ([(header::CONTENT_TYPE, "application/x-x509-ca-cert")], authority.certificate.clone()).into_response()
    } else {
        let message = "this cluster has no certificate authority yet; try again in a moment";
        body::answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
    }
}
