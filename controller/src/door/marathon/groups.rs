//! `/v2/groups…`: groups are views of the apps below a path.

use super::update::{Update, prepare};
use super::{Call, deployed, failed, refused};
use crate::door::body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use orrery_api::marathon::{
    GroupEdit, GroupEmbed, GroupPath, enforcing_groups, error, group_exists, group_info, parse_group_id, parse_group_path,
    read_group,
};
use orrery_core::cluster::{AppEdit, Cluster, EditError};
use orrery_core::{App, Fault};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn answer(mut call: Call, rest: &str) -> Response {
    let path = match parse_group_path(rest) {
        Ok(path) => path,
        Err(problem) => return failed(error::bad_argument(&problem.to_string())),
    };
    match (call.method.clone(), path) {
        (Method::GET | Method::HEAD, GroupPath::Group(group)) => show(&call, &group),
        (Method::GET, GroupPath::Apps(group)) => apps(&call, &group),
        (Method::POST | Method::PUT, GroupPath::Group(group)) => {
            let value = match call.json().await {
                Ok(value) => value,
                Err(response) => return response,
            };
            change(call, group, value).await
        }
        (Method::PATCH, GroupPath::Group(group)) => {
            let value = match call.json().await {
                Ok(value) => value,
                Err(response) => return response,
            };
            patch(call, group, &value).await
        }
        (Method::DELETE, GroupPath::Group(group)) => remove(call, group).await,
        (Method::GET, GroupPath::Versions(group) | GroupPath::Version(group, _)) => {
            failed(error::no_path(&format!("{group}/versions")))
        }
        _ => failed(error::wrong_method()),
    }
}

fn show(call: &Call, group: &str) -> Response {
    let cluster = call.door.handle.cluster();
    if !group_exists(&cluster, group) {
        return failed(error::no_group(group, None));
    }
    body::ok(&group_info(&cluster, group, GroupEmbed::parse(call.values("embed")), call.door.handle.now()))
}

fn apps(call: &Call, group: &str) -> Response {
    let cluster = call.door.handle.cluster();
    let embed = orrery_api::marathon::Embed::LIST.with(call.values("embed"));
    let below = cluster.apps.iter().filter(|(id, _)| id.is_below(group));
    body::ok(
        &below.map(|(_, record)| orrery_api::marathon::app_info(&cluster, &record.app, embed, call.door.handle.now())).collect(),
    )
}

/// The update of a group.
struct OneGroup {
    group: String,
    value: Value,
    create: bool,
}

impl Update for OneGroup {
    fn looks_at(&self, cluster: &Cluster) -> Vec<Arc<App>> {
        let below = cluster.apps.iter().filter(|(id, _)| id.is_below(&self.group));
        below.map(|(_, record)| Arc::clone(&record.app)).collect()
    }

    fn read(&self, cluster: &Cluster) -> Result<Vec<AppEdit>, EditError> {
        let apps = self.looks_at(cluster);
        let below: Vec<&Arc<App>> = apps.iter().collect();
        if self.create && !below.is_empty() && self.group != "/" {
            let message = format!("Group {} is already created. Use PUT to change this group.", self.group);
            return Err(EditError::Invalid(vec![Fault::new("/id", message)]));
        }
        Ok(match read_group(&self.value, &self.group, &below).map_err(EditError::Invalid)? {
            GroupEdit::Change(put, remove) => {
                put.into_iter().map(AppEdit::Put).chain(remove.into_iter().map(AppEdit::Remove)).collect()
            }
            GroupEdit::Scale(scales) => scales.into_iter().map(|(id, instances)| AppEdit::Scale(id, instances)).collect(),
            GroupEdit::Rollback(version) => below
                .iter()
                .filter_map(|app| {
                    let versions = &cluster.apps.get(&app.id)?.versions;
                    versions.iter().rev().find(|old| old.version <= version).map(|old| AppEdit::Restore((**old).clone()))
                })
                .collect(),
        })
    }
}

async fn change(call: Call, path: String, value: Value) -> Response {
    let create = call.method == Method::POST;
    let id = value.get("id").and_then(Value::as_str);
    let group = match id.map_or(Ok(path.clone()), |id| parse_group_id(&path, id)) {
        // The id of the path wins on PUT; POST creates below the path.
        Ok(_) if !create && path != "/" => path,
        Ok(group) => group,
        Err(problem) => return failed(error::invalid_object(&[Fault::new("/id", problem.to_string())])),
    };
    if create && group != "/" && group_exists(&call.door.handle.cluster(), &group) {
        return failed(error::group_exists(&group));
    }
    let force = call.flag("force", false);
    if call.flag("dryRun", false) {
        return failed(error::bad_argument("dryRun of groups is not served; use `dcos diff`"));
    }
    let enforced = value.get("enforceRole").and_then(Value::as_bool);
    let prepared = match prepare(&call, OneGroup { group: group.clone(), value, create }) {
        Ok(prepared) => prepared,
        Err(response) => return response,
    };
    let result = call.door.handle.edit(move |draft| {
        if let Some(enforced) = enforced {
            draft.enforce_role(&group, enforced).map_err(enforce_fault)?;
        }
        let edits = prepared.edits(draft)?;
        draft.edit(edits, force, &format!("/v2/groups{group}"))
    });
    match result.await {
        Ok(deployment) => {
            deployed(if create { StatusCode::CREATED } else { StatusCode::OK }, deployment.as_ref(), call.door.handle.now())
        }
        Err(problem) => refused(&problem),
    }
}

/// Sets `enforceRole` of a top-level group and nothing else, without a deployment (marathon.md 1.3).
async fn patch(call: Call, group: String, value: &Value) -> Response {
    let fields = value.as_object().map(|object| object.keys().map(String::as_str).collect::<Vec<_>>());
    let (Some(["enforceRole"]), Some(enforced)) = (fields.as_deref(), value.get("enforceRole").and_then(Value::as_bool)) else {
        let message = "must be given alone, as true or false";
        return failed(error::invalid_object(&[Fault::new("/enforceRole", message)]));
    };
    // Else apps that are posted there later would be charged to a role that nobody sees.
    if !group_exists(&call.door.handle.cluster(), &group) {
        return failed(error::no_group(&group, None));
    }
    match call.door.handle.edit(move |draft| draft.enforce_role(&group, enforced).map_err(enforce_fault)).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => refused(&problem),
    }
}

fn enforce_fault(problem: EditError) -> EditError {
    match problem {
        EditError::Role(message) => EditError::Invalid(vec![Fault::new("/enforceRole", message)]),
        other => other,
    }
}

async fn remove(call: Call, group: String) -> Response {
    if !group_exists(&call.door.handle.cluster(), &group) {
        return failed(error::no_group(&group, None));
    }
    let force = call.flag("force", false);
    let result = call.door.handle.edit(move |draft| {
        for enforcing in enforcing_groups(draft.cluster(), &group) {
            draft.enforce_role(&enforcing, false).map_err(enforce_fault)?;
        }
        let below = draft.cluster().apps.keys().filter(|id| id.is_below(&group)).cloned().map(AppEdit::Remove).collect();
        draft.edit(below, force, &format!("/v2/groups{group}"))
    });
    match result.await {
        Ok(deployment) => body::ok(&match deployment {
            Some(deployment) => orrery_api::marathon::deployment_result(deployment.version, &deployment.id),
            None => json!({ "version": call.door.handle.now() }),
        }),
        Err(problem) => refused(&problem),
    }
}
