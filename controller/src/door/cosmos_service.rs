//! Cosmos' service interface: describe and update installed packages; and the resource proxy.

use super::Door;
use super::cosmos::{Call, catalog_error, control_error, definition_of, endpoint, failed, package_error};
use crate::packages::{self, PackageRequest};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use orrery_api::cosmos::{
    self as wire, ASSET_SCHEME, CosmosError, Endpoint, ServiceDescribeRequest, ServiceUpdateRequest, resource_urls,
};
use orrery_catalog::{Index, label, merge, resolve_options};
use orrery_core::cluster::AppEdit;
use orrery_core::{App, AppId};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route(Endpoint::ServiceDescribe.path(), endpoint!(Endpoint::ServiceDescribe, describe))
        .route(Endpoint::ServiceUpdate.path(), endpoint!(Endpoint::ServiceUpdate, update))
        .route("/package/resource", get(resource))
}

/// An app and the package definition in its labels.
type Service = (AppId, Arc<App>, Map<String, Value>);

/// The app of a request, and what its labels say of its package.
fn service(call: &Call, app_id: &str) -> Result<Service, CosmosError> {
    let id = AppId::parse(app_id).map_err(|error| CosmosError::not_valid(error.to_string()))?;
    let cluster = call.door.handle.cluster();
    let app = cluster.app(&id).cloned().ok_or_else(|| CosmosError::app_not_found(id.as_str()))?;
    let definition = definition_of(&app).ok_or_else(|| CosmosError::package_not_installed(id.as_str()))?;
    Ok((id, app, definition))
}

/// Options the user gave: of the record, else of the labels.
fn stored_options(call: &Call, id: &AppId, app: &App) -> Option<Map<String, Value>> {
    let cluster = call.door.handle.cluster();
    let recorded = cluster.packages.get(id).and_then(|package| package.options.as_object().cloned());
    recorded.or_else(|| label::options_of_label(app.labels.get("DCOS_PACKAGE_OPTIONS")?).ok())
}

async fn describe(call: &Call) -> Result<Value, CosmosError> {
    let request = ServiceDescribeRequest::read(&call.body)?;
    let (id, app, definition) = service(call, &request.app_id)?;
    let (name, version) = (text(&definition, "name"), text(&definition, "version"));
    let index = call.index().await;
    let owned = |versions: Vec<&str>| versions.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let upgrades = owned(index.upgrades_to(&name, &version));
    let found = index.resolve(&name, Some(&version)).ok();
    let downgrades = found.map(|found| owned(index.downgrades_to(&found.package))).unwrap_or_default();
    let options = stored_options(call, &id, &app);
    let resolved =
        options.as_ref().zip(found).and_then(|(options, found)| resolve_options(&found.package, options).ok()).map(Value::Object);
    let options = options.map(Value::Object);
    Ok(wire::service_describe_json(&Value::Object(definition), &upgrades, &downgrades, resolved.as_ref(), options.as_ref()))
}

/// Changes options, version or both. An upgrade must be one that the packages allow; Cosmos' open
/// edition refused every one.
async fn update(call: &Call) -> Result<Value, CosmosError> {
    let request = ServiceUpdateRequest::read(&call.body)?;
    let (id, app, definition) = service(call, &request.app_id)?;
    let (name, current) = (text(&definition, "name"), text(&definition, "version"));
    let version = request.package_version.clone().unwrap_or_else(|| current.clone());
    let index = call.index().await;
    if version != current && !may_move(&index, &name, &current, &version) {
        return Err(CosmosError::version_upgrade(Some(&version), &current));
    }
    let provided = request.options.clone().unwrap_or_default();
    let options = if request.replace {
        provided
    } else {
        let mut options = stored_options(call, &id, &app).ok_or_else(CosmosError::options_not_stored)?;
        merge(&mut options, &provided);
        options
    };
    let request = PackageRequest { name, version: Some(version), options, app_id: Some(id.to_string()) };
    let prepared = packages::prepare(&call.door.handle, &call.door.catalog, &request).await.map_err(package_error)?;
    let definition = Value::Object(prepared.found.definition().map_err(|error| catalog_error(&error))?);
    let (edit, instance) = (AppEdit::Put(prepared.app.clone()), prepared.instance.clone());
    let deployment =
        call.door.handle.edit(move |draft| packages::put(draft, edit, instance)).await.map_err(|error| control_error(&error))?;
    let deployment = deployment.map(|deployment| deployment.id.clone()).unwrap_or_default();
    Ok(wire::service_update_json(&definition, &Value::Object(prepared.rendered.resolved_options), &deployment))
}

fn may_move(index: &Index, name: &str, from: &str, to: &str) -> bool {
    let down = index.resolve(name, Some(from)).is_ok_and(|found| index.downgrades_to(&found.package).contains(&to));
    down || index.upgrades_to(name, from).contains(&to)
}

fn text(definition: &Map<String, Value>, key: &str) -> String {
    definition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Passes on a file that a configured repository names, and nothing else.
async fn resource(State(door): State<Door>, Query(query): Query<HashMap<String, String>>) -> Response {
    let Some(url) = query.get("url") else { return failed(&CosmosError::not_present("the parameter url is missing")) };
    let repositories = packages::repositories(&door.handle.cluster(), &door.catalog);
    let index = door.catalog.index(&repositories).await;
    let wanted = url.clone();
    let known = tokio::task::spawn_blocking(move || {
        let names = |found: &orrery_catalog::Found| {
            let resource = found.resource().ok().flatten().map(Value::Object);
            resource.is_some_and(|resource| resource_urls(&resource).contains(&wanted))
        };
        index.packages().any(names)
    });
    if !known.await.unwrap_or(false) {
        return failed(&CosmosError::forbidden("ResourceProxyHandler$", Some(url)));
    }
    let name = url.rsplit('/').next().unwrap_or("resource").replace(['"', '\\'], "");
    if let Some(asset) = url.strip_prefix(ASSET_SCHEME) {
        return match (door.asset)(asset) {
            Some(bytes) => download(&name, None, Body::from(bytes.into_owned())),
            None => failed(&CosmosError::http_error("GET", url, 404)),
        };
    }
    let response = match download_client().get(url).send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => return failed(&CosmosError::http_error("GET", url, response.status().as_u16())),
        Err(error) => return failed(&CosmosError::endpoint_connection(url, &error.without_url().to_string())),
    };
    let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
    download(&name, content_type, Body::from_stream(response.bytes_stream()))
}

/// Longest silence of a server that a file is passed on from.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects followed on the way to a file.
const DOWNLOAD_REDIRECTS: usize = 5;

fn download_client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let builder = reqwest::Client::builder().connect_timeout(DOWNLOAD_TIMEOUT).read_timeout(DOWNLOAD_TIMEOUT);
        builder.redirect(reqwest::redirect::Policy::limited(DOWNLOAD_REDIRECTS)).build().unwrap_or_default()
    });
    &CLIENT
}

/// A file for the client to keep.
fn download(name: &str, content_type: Option<HeaderValue>, body: Body) -> Response {
    let mut answer = (StatusCode::OK, body).into_response();
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    answer
}
