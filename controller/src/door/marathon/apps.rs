//! `/v2/apps…`.

use super::update::{Update, prepare};
use super::{Call, deployed, failed, refused, tasks, with_deployment};
use crate::door::body;
use crate::surroundings::compute;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use orrery_api::marathon::app::{ReadContext, patch_app, read_app, rollback_version, write_app};
use orrery_api::marathon::{
    AppPath, Embed, Selector, app_info, app_list, error, find_apps, name_absent_fields, parse_app_path, tasks_json,
};
use orrery_core::cluster::{AppEdit, Cluster, EditError};
use orrery_core::deployment::Deployment;
use orrery_core::{App, AppId, Fault, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a change resulted in: its deployment, the app's version, and whether the app is new.
type Changed = (Option<Arc<Deployment>>, Timestamp, bool);

pub(super) async fn answer(call: Call, rest: &str) -> Response {
    let path = match parse_app_path(rest) {
        Ok(path) => path,
        Err(problem) if call.method == Method::GET => return failed(error::no_app(rest.trim_matches('/'), None)).tap(&problem),
        Err(problem) => return failed(error::bad_argument(&problem.to_string())),
    };
    let method = call.method.clone();
    match (method, path) {
        (Method::GET | Method::HEAD, AppPath::All) => list(&call),
        (Method::POST, AppPath::All) => create(call).await,
        (Method::PUT | Method::PATCH, AppPath::All) => change_many(call).await,
        (Method::GET | Method::HEAD, AppPath::App(id)) => show(&call, &id),
        (Method::GET | Method::HEAD, AppPath::Subtree(group)) => subtree(&call, &group),
        (Method::PUT | Method::PATCH, AppPath::App(id)) => change(call, id).await,
        (Method::DELETE, AppPath::App(id)) => remove(call, id).await,
        (Method::POST, AppPath::Restart(id)) => restart(call, id).await,
        (Method::GET, AppPath::Tasks(id)) => app_tasks(&call, &id),
        (Method::GET, AppPath::SubtreeTasks(group)) => subtree_tasks(&call, &group),
        (Method::DELETE, AppPath::Tasks(id)) => tasks::kill_of_app(call, id).await,
        (Method::DELETE, AppPath::Task(id, task)) => tasks::kill_one(call, id, task).await,
        (Method::GET, AppPath::Versions(id)) => versions(&call, &id),
        (Method::GET, AppPath::Version(id, version)) => one_version(&call, &id, version),
        _ => failed(error::wrong_method()),
    }
}

trait Tap {
    fn tap(self, why: &impl std::fmt::Display) -> Self;
}

impl Tap for Response {
    /// A path that is no id is a path to nothing; why is told to the log only.
    fn tap(self, why: &impl std::fmt::Display) -> Self {
        tracing::debug!(%why, "not an app path");
        self
    }
}

fn list(call: &Call) -> Response {
    let cluster = call.door.handle.cluster();
    let selector = match call.value("label").map(Selector::parse).transpose() {
        Ok(selector) => selector,
        Err(problem) => return failed(error::bad_argument(&problem.to_string())),
    };
    let apps = find_apps(&cluster, call.value("cmd"), call.value("id"), selector.as_ref());
    let mut list = app_list(&cluster, apps, Embed::LIST.with(call.values("embed")), call.door.handle.now());
    if call.values("embed").next().is_none() {
        name_absent_fields(&mut list);
    }
    body::ok(&list)
}

fn show(call: &Call, id: &AppId) -> Response {
    let cluster = call.door.handle.cluster();
    match cluster.app(id) {
        Some(app) => {
            body::ok(&json!({ "app": app_info(&cluster, app, Embed::SINGLE.with(call.values("embed")), call.door.handle.now()) }))
        }
        None => failed(error::no_app(id.as_str(), None)),
    }
}

fn subtree(call: &Call, group: &str) -> Response {
    let cluster = call.door.handle.cluster();
    let embed = Embed::LIST.with(call.values("embed"));
    let apps = cluster.apps.iter().filter(|(id, _)| id.is_below(group));
    let apps: Vec<Value> = apps.map(|(_, record)| app_info(&cluster, &record.app, embed, call.door.handle.now())).collect();
    body::ok(&json!({ "*": apps }))
}

async fn create(mut call: Call) -> Response {
    let value = match call.json().await {
        Ok(value) => value,
        Err(response) => return response,
    };
    let app = match read_app(&value, ReadContext { base_group: "/", path_id: None }) {
        Ok(app) => app,
        Err(faults) => return failed(error::invalid_object(&faults)),
    };
    let (id, force) = (app.id.clone(), call.flag("force", false));
    let result = call.door.handle.edit(move |draft| draft.edit(vec![AppEdit::Create(app)], force, "/v2/apps")).await;
    let deployment = match result {
        Ok(deployment) => deployment,
        Err(problem) => return refused(&problem),
    };
    let cluster = call.door.handle.cluster();
    let Some(app) = cluster.app(&id) else { return failed(error::no_app(id.as_str(), None)) };
    let deployment = deployment.map(|deployment| deployment.id.clone()).unwrap_or_default();
    let mut info = write_app(app);
    if let Some(fields) = info.as_object_mut() {
        for count in ["tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"] {
            fields.insert(count.into(), json!(0));
        }
        fields.insert("deployments".into(), json!([{ "id": deployment }]));
    }
    let mut response = body::answer(StatusCode::CREATED, &info);
    if let Ok(location) = HeaderValue::from_str(&format!("/v2/apps{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    with_deployment(response, &deployment)
}

/// The update of one app.
struct OneApp {
    id: AppId,
    value: Value,
    /// What is not named stays.
    partial: bool,
    must_exist: bool,
}

impl OneApp {
    fn edit(&self, cluster: &Cluster) -> Result<AppEdit, EditError> {
        let Self { id, value, partial, must_exist } = self;
        let record = cluster.apps.get(id);
        if let Some(version) = rollback_version(value).map_err(|fault| EditError::Invalid(vec![fault]))? {
            let record = record.ok_or_else(|| EditError::NoApp(id.clone()))?;
            let old = record.version(version).ok_or_else(|| EditError::NoVersion(id.clone(), version))?;
            return Ok(AppEdit::Restore((**old).clone()));
        }
        let result = match record {
            Some(record) if *partial => patch_app(&record.app, value),
            None if *must_exist => return Err(EditError::NoApp(id.clone())),
            _ => read_app(value, ReadContext { base_group: "/", path_id: Some(id) }),
        };
        result.map(AppEdit::Put).map_err(EditError::Invalid)
    }
}

impl Update for OneApp {
    fn looks_at(&self, cluster: &Cluster) -> Vec<Arc<App>> {
        cluster.app(&self.id).cloned().into_iter().collect()
    }

    fn read(&self, cluster: &Cluster) -> Result<Vec<AppEdit>, EditError> {
        Ok(vec![self.edit(cluster)?])
    }
}

/// The update of many apps: their places in the request.
struct ManyApps(Vec<(usize, OneApp)>);

impl Update for ManyApps {
    fn looks_at(&self, cluster: &Cluster) -> Vec<Arc<App>> {
        self.0.iter().flat_map(|(_, app)| app.looks_at(cluster)).collect()
    }

    fn read(&self, cluster: &Cluster) -> Result<Vec<AppEdit>, EditError> {
        let (mut edits, mut faults) = (Vec::new(), Vec::new());
        for (index, app) in &self.0 {
            match app.edit(cluster) {
                Ok(edit) => edits.push(edit),
                Err(EditError::Invalid(found)) => faults.extend(found.into_iter().map(|fault| below(*index, fault))),
                Err(other) => return Err(other),
            }
        }
        if faults.is_empty() { Ok(edits) } else { Err(EditError::Invalid(faults)) }
    }
}

/// A fault of the entry at `index` of a list.
fn below(index: usize, fault: Fault) -> Fault {
    Fault { path: format!("/{index}{}", fault.path), ..fault }
}

async fn change(mut call: Call, id: AppId) -> Response {
    let value = match call.json().await {
        Ok(value) => value,
        Err(response) => return response,
    };
    let force = call.flag("force", false);
    let partial = call.method == Method::PATCH || call.flag("partialUpdate", true);
    let update = OneApp { id: id.clone(), value, partial, must_exist: call.method == Method::PATCH };
    let prepared = match prepare(&call, update) {
        Ok(prepared) => prepared,
        Err(response) => return response,
    };
    let target = id.clone();
    let result = call.door.handle.edit(move |draft| -> Result<Changed, EditError> {
        let edits = prepared.edits(draft)?;
        let is_new = !draft.cluster().apps.contains_key(&target);
        let deployment = draft.edit(edits, force, &format!("/v2/apps{target}"))?;
        let version = draft.cluster().app(&target).map_or(Timestamp::EPOCH, |app| app.version);
        Ok((deployment, version, is_new))
    });
    match result.await {
        Ok((deployment, version, is_new)) => {
            let mut response = deployed(if is_new { StatusCode::CREATED } else { StatusCode::OK }, deployment.as_ref(), version);
            if let Some(location) = HeaderValue::from_str(&format!("/v2/apps{id}")).ok().filter(|_| is_new) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Err(problem) => refused(&problem),
    }
}

async fn change_many(mut call: Call) -> Response {
    let value = match call.json().await {
        Ok(value) => value,
        Err(response) => return response,
    };
    let Value::Array(values) = value else {
        return failed(error::invalid_object(&[Fault::new("/", "must be an array of apps")]));
    };
    let force = call.flag("force", false);
    let partial = call.method == Method::PATCH || call.flag("partialUpdate", true);
    let must_exist = call.method == Method::PATCH;
    let (mut apps, mut unnamed): (Vec<(usize, OneApp)>, Vec<Fault>) = (Vec::new(), Vec::new());
    for (index, value) in values.into_iter().enumerate() {
        let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
        match AppId::parse(id) {
            Ok(id) => apps.push((index, OneApp { id, value, partial, must_exist })),
            Err(problem) => unnamed.push(below(index, Fault::new("/id", problem.to_string()).with_value(id))),
        }
    }
    let update = ManyApps(apps);
    if !unnamed.is_empty() {
        // Those of the others are told with them.
        if let Err(EditError::Invalid(faults)) = compute(|| update.read(&call.door.handle.cluster())) {
            unnamed.extend(faults);
        }
        return failed(error::invalid_object(&unnamed));
    }
    let prepared = match prepare(&call, update) {
        Ok(prepared) => prepared,
        Err(response) => return response,
    };
    let result = call.door.handle.edit(move |draft| {
        let edits = prepared.edits(draft)?;
        draft.edit(edits, force, "/v2/apps")
    });
    match result.await {
        Ok(deployment) => deployed(StatusCode::OK, deployment.as_ref(), call.door.handle.now()),
        Err(problem) => refused(&problem),
    }
}

async fn remove(call: Call, id: AppId) -> Response {
    // Marathon forces by default here (marathon.md 1.2).
    let force = call.flag("force", true);
    match call.door.handle.edit(move |draft| draft.edit(vec![AppEdit::Remove(id)], force, "/v2/apps")).await {
        Ok(deployment) => deployed(StatusCode::OK, deployment.as_ref(), call.door.handle.now()),
        Err(problem) => refused(&problem),
    }
}

async fn restart(call: Call, id: AppId) -> Response {
    let force = call.flag("force", false);
    match call.door.handle.edit(move |draft| draft.edit(vec![AppEdit::Restart(id)], force, "/v2/apps")).await {
        Ok(deployment) => deployed(StatusCode::OK, deployment.as_ref(), call.door.handle.now()),
        Err(problem) => refused(&problem),
    }
}

fn app_tasks(call: &Call, id: &AppId) -> Response {
    let cluster = call.door.handle.cluster();
    if cluster.app(id).is_none() {
        return failed(error::no_app(id.as_str(), None));
    }
    body::ok(&tasks_json(&cluster, cluster.instances_of(id).map(AsRef::as_ref)))
}

fn subtree_tasks(call: &Call, group: &str) -> Response {
    let cluster = call.door.handle.cluster();
    let below = cluster
        .instances
        .values()
        .map(AsRef::as_ref)
        .filter(|instance: &&orrery_core::Instance| instance.app_id().is_below(group));
    body::ok(&tasks_json(&cluster, below))
}

fn versions(call: &Call, id: &AppId) -> Response {
    let cluster = call.door.handle.cluster();
    match cluster.apps.get(id) {
        Some(record) => {
            let versions: Vec<Timestamp> = record.versions.iter().rev().map(|app| app.version).collect();
            body::ok(&json!({ "versions": versions }))
        }
        None => failed(error::no_app(id.as_str(), None)),
    }
}

fn one_version(call: &Call, id: &AppId, version: Timestamp) -> Response {
    let cluster = call.door.handle.cluster();
    let app: Option<&Arc<App>> = cluster.apps.get(id).and_then(|record| record.version(version));
    match app {
        Some(app) => body::ok(&write_app(app)),
        None => failed(error::no_app(id.as_str(), Some(version))),
    }
}
