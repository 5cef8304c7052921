//! `/v1/forecast` and `/v1/rebalance`: what would happen, and what could be better.

use super::{Door, body};
use crate::apply::{ApplyError, DOCUMENTS_MAX, Document, changed_apps};
use crate::handle::ControlError;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use orrery_api::marathon::app::patch_app;
use orrery_core::cluster::{AppEdit, BalanceGoal, Decommission, Draft, EditError, MOVES_MAX, Move, QuotaEdit};
use orrery_core::node::AfterDrain;
use orrery_core::{App, AppId, NodeId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Moves of a proposal when nobody says how many.
const MOVES: usize = 100;

pub(crate) fn routes() -> Router<Door> {
    Router::new().route("/v1/forecast", post(post_forecast)).route("/v1/rebalance", post(post_rebalance))
}

/// Changes to look ahead from, all at once.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ForecastRequest {
    /// Apps and packages, as `/v1/apply` takes them.
    documents: Vec<Document>,
    /// Instances by app.
    scale: BTreeMap<String, u32>,
    /// Apps to remove.
    remove: Vec<String>,
    /// Nodes to drain, by id or host name.
    drain: Vec<String>,
    /// Nodes that are dead.
    gone: Vec<String>,
    /// `quota_configs` of UPDATE_QUOTA.
    quotas: Value,
}

/// A request, read against the cluster.
struct Acts {
    edits: Vec<AppEdit>,
    drain: Vec<NodeId>,
    gone: Vec<NodeId>,
    quotas: Vec<QuotaEdit>,
}

impl Acts {
    fn read(door: &Door, request: &ForecastRequest, apps: Vec<App>) -> Result<Self, String> {
        let cluster = door.handle.cluster();
        let mut faults = Vec::new();
        let mut edits: Vec<AppEdit> = apps.into_iter().map(AppEdit::Put).collect();
        let scales = request.scale.iter().map(|(id, instances)| (id, Some(*instances)));
        for (text, instances) in scales.chain(request.remove.iter().map(|id| (id, None))) {
            match (AppId::parse(text), instances) {
                (Ok(id), Some(instances)) => {
                    // What the real change would refuse.
                    let patched = cluster.app(&id).map(|app| patch_app(app, &json!({ "instances": instances })));
                    let refused = patched.and_then(Result::err).into_iter().flatten();
                    faults
                        .extend(refused.map(|fault| format!("{id}: {}: {}", fault.path.trim_start_matches('/'), fault.message)));
                    edits.push(AppEdit::Scale(id, instances));
                }
                (Ok(id), None) => edits.push(AppEdit::Remove(id)),
                (Err(error), _) => faults.push(error.to_string()),
            }
        }
        let mut nodes = |names: &[String]| {
            let found = names.iter().filter_map(|name| match cluster.find_node(name) {
                Ok(node) => Some(node.facts.id.clone()),
                Err(error) => {
                    faults.push(error.to_string());
                    None
                }
            });
            found.collect::<Vec<NodeId>>()
        };
        let (drain, gone) = (nodes(&request.drain), nodes(&request.gone));
        let quotas = if request.quotas.is_null() {
            Vec::new()
        } else {
            match orrery_api::mesos::read_quota(&json!({ "quota_configs": request.quotas })) {
                Ok((quotas, _)) => quotas,
                Err(fault) => {
                    faults.push(fault);
                    Vec::new()
                }
            }
        };
        if faults.is_empty() { Ok(Self { edits, drain, gone, quotas }) } else { Err(faults.join("; ")) }
    }

    fn act(self, draft: &mut Draft) -> Result<(), EditError> {
        if !self.quotas.is_empty() {
            draft.update_quota(self.quotas, true)?;
        }
        for node in &self.drain {
            draft.drain_node(node, None, AfterDrain::Deactivate)?;
        }
        for node in &self.gone {
            draft.disconnect_node(node);
            draft.decommission_node(node, Decommission { gone: true, force: true })?;
        }
        draft.edit(self.edits, true, "/v1/forecast").map(drop)
    }
}

/// Adds the host names of the nodes that an answer names by id, as `hosts`.
fn with_hosts(mut answer: Value, door: &Door) -> Value {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => drop(found.insert(text.clone())),
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                found.insert(key.clone());
                collect(value, found);
            }),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(&answer, &mut found);
    let cluster = door.handle.cluster();
    let hosts = found.into_iter().filter_map(|id| {
        let node = cluster.nodes.get(&NodeId::parse(&id).ok()?)?;
        Some((id, json!(node.facts.hostname)))
    });
    answer["hosts"] = Value::Object(hosts.collect());
    answer
}

fn refuse(status: StatusCode, message: &str) -> Response {
    body::answer(status, &json!({ "message": message }))
}

async fn read<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Response> {
    let bytes = body::read(body).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &format!("the request cannot be read: {error}")))
}

async fn post_forecast(State(door): State<Door>, body: Body) -> Response {
    let request: ForecastRequest = match read(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    if request.documents.len() > DOCUMENTS_MAX {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("at most {DOCUMENTS_MAX} documents in one request"));
    }
    let apps = match changed_apps(&door.handle, &door.catalog, &request.documents).await {
        Ok(apps) => apps,
        Err(ApplyError::Faults(faults)) => {
            let message = format!("{} faults in the documents", faults.len());
            return body::answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "message": message, "faults": faults }));
        }
        Err(ApplyError::Control(error)) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let acts = match Acts::read(&door, &request, apps) {
        Ok(acts) => acts,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    let (cluster, now) = (door.handle.cluster(), door.handle.now());
    let seed = now.as_millis().unsigned_abs();
    let looked = tokio::task::spawn_blocking(move || cluster.forecast(now, seed, |draft| acts.act(draft)));
    match looked.await {
        Ok(Ok(forecast)) => body::ok(&with_hosts(json!(forecast), &door)),
        Ok(Err(error)) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("the look ahead failed: {error}")),
    }
}

/// What to rebalance for; with moves, those of a proposal are begun instead.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RebalanceRequest {
    #[serde(default)]
    goal: Option<BalanceGoal>,
    /// Most moves.
    #[serde(default)]
    most: Option<usize>,
    /// Moves to begin.
    #[serde(default)]
    accept: Vec<Move>,
    /// End moves that are under way.
    #[serde(default)]
    cancel: bool,
}

async fn post_rebalance(State(door): State<Door>, body: Body) -> Response {
    let request: RebalanceRequest = match read(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    if request.cancel {
        return match door.handle.edit(|draft| Ok(draft.cancel_moves())).await {
            Ok(count) => body::ok(&json!({ "cancelled": count })),
            Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        };
    }
    if !request.accept.is_empty() {
        let count = request.accept.len();
        return match door.handle.edit(move |draft| draft.begin_moves(&request.accept)).await {
            Ok(()) => body::ok(&json!({ "begun": count })),
            Err(ControlError::Edit(error)) => refuse(StatusCode::CONFLICT, &error.to_string()),
            Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        };
    }
    let Some(goal) = request.goal else { return refuse(StatusCode::BAD_REQUEST, "name a goal: pack or spread") };
    let (cluster, most) = (door.handle.cluster(), request.most.unwrap_or(MOVES).min(MOVES_MAX));
    match tokio::task::spawn_blocking(move || cluster.rebalance(goal, most)).await {
        Ok(proposal) => body::ok(&with_hosts(json!(proposal), &door)),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("the search failed: {error}")),
    }
}
