//! The front page, until there is a dashboard: says what serves here.

use super::{Door, body};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, Response};
use axum::routing::get;
use orrery_core::instance::Condition;
use serde_json::json;
use std::fmt::Write as _;

pub(crate) fn routes() -> Router<Door> {
    Router::new().route("/", get(home)).fallback(not_found)
}

async fn home(State(door): State<Door>) -> Html<String> {
    let cluster = door.handle.cluster();
    let mut rows = String::new();
    for (id, record) in &cluster.apps {
        let running = cluster.instances_of(id).filter(|instance| instance.condition == Condition::Running).count();
        // Ids hold nothing that HTML would read as markup. Writing to a string does not fail.
        let _ = write!(rows, "<tr><td>{id}</td><td>{running}/{}</td></tr>", record.app.instances);
    }
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Orrery</title>\
        <style>body{{font:16px system-ui;max-width:48rem;margin:3rem auto;padding:0 1rem}}td,th{{padding:.2rem 1rem .2rem 0;text-align:left}}</style>\
        <h1>Orrery</h1><p>A cluster of {} nodes, {} apps. Names are served at {}.</p>\
        <table><tr><th>App</th><th>Running</th></tr>{rows}</table>\
        <p>Try <code>dcos package search</code>, <code>dcos marathon app list</code> or <a href=/v1/status>/v1/status</a>.</p></html>",
        cluster.nodes.len(),
        cluster.apps.len(),
        door.facts.dns,
    ))
}

async fn not_found(uri: Uri) -> Response {
    let path = uri.path();
    let message = if path.starts_with("/service/metronome/") {
        "jobs are not served by this cluster yet; it runs apps and packages".to_owned()
    } else {
        format!("nothing is served at {path}")
    };
    body::answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
}
