//! Cosmos' package interface: `/package/…` and `/capabilities`.

use super::{Door, body};
use crate::catalog::FetchError;
use crate::handle::ControlError;
use crate::packages::{self, PackageError, PackageRequest};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use orrery_api::cosmos::{
    self as wire, CosmosError, DescribeRequest, ERROR_MEDIA_TYPE, Endpoint, InstallRequest, Installed, ListRequest,
    ListVersionsRequest, RepositoryAddRequest, RepositoryDeleteRequest, ResourceProxy, SearchEntry, SearchRequest,
    UninstallRequest, Uninstalled,
};
use orrery_catalog::{CatalogError, Index, label};
use orrery_core::cluster::{AppEdit, EditError};
use orrery_core::package::Repository;
use orrery_core::{App, AppId};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The route of an endpoint: negotiation around a handler of the decoded call.
macro_rules! endpoint {
    ($endpoint:expr, $handler:path) => {
        axum::routing::post(
            async |axum::extract::State(door): axum::extract::State<$crate::door::Door>,
                   headers: axum::http::HeaderMap,
                   body: axum::body::Body| {
                $crate::door::cosmos::Call::run(door, $endpoint, headers, body, $handler).await
            },
        )
    };
}
pub(super) use endpoint;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route(Endpoint::Capabilities.path(), get(capabilities))
        .route(Endpoint::Search.path(), endpoint!(Endpoint::Search, search))
        .route(Endpoint::Describe.path(), endpoint!(Endpoint::Describe, describe))
        .route(Endpoint::ListVersions.path(), endpoint!(Endpoint::ListVersions, list_versions))
        .route(Endpoint::Render.path(), endpoint!(Endpoint::Render, render))
        .route(Endpoint::Install.path(), endpoint!(Endpoint::Install, install))
        .route(Endpoint::List.path(), endpoint!(Endpoint::List, list))
        .route(Endpoint::Uninstall.path(), endpoint!(Endpoint::Uninstall, uninstall))
        .route(Endpoint::RepositoryList.path(), endpoint!(Endpoint::RepositoryList, repository_list))
        .route(Endpoint::RepositoryAdd.path(), endpoint!(Endpoint::RepositoryAdd, repository_add))
        .route(Endpoint::RepositoryDelete.path(), endpoint!(Endpoint::RepositoryDelete, repository_delete))
}

/// One request, negotiated and decoded.
pub(super) struct Call {
    pub(super) door: Door,
    pub(super) body: Value,
    /// Version of the response asked for.
    pub(super) version: u8,
    scheme: String,
    host: String,
}

impl Call {
    /// Negotiates, reads, runs `handler` and encodes what it says.
    pub(super) async fn run<F: AsyncFnOnce(&Call) -> Result<Value, CosmosError>>(
        door: Door,
        endpoint: Endpoint,
        headers: HeaderMap,
        body: Body,
        handler: F,
    ) -> Response {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let negotiated = wire::negotiate(endpoint, text(header::CONTENT_TYPE), text(header::ACCEPT));
        let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or("http").to_owned();
        let host = text(header::HOST).map_or_else(|| door.facts.address.to_string(), str::to_owned);
        let bytes = match body::read(body).await {
            Ok(bytes) => bytes,
            Err(response) => return response,
        };
        let (version, body) = match (negotiated, wire::parse_body(&bytes)) {
            (Ok(version), Ok(body)) => (version, body),
            // Faults accumulate (cosmos.md 1.3).
            (Err(left), Err(right)) => return failed(&CosmosError::multiple(&[left, right])),
            (Err(error), _) | (_, Err(error)) => return failed(&error),
        };
        let call = Self { door, body, version, scheme, host };
        match handler(&call).await {
            Ok(value) => body::typed(StatusCode::OK, &endpoint.response_type(version), &value),
            Err(error) => failed(&error),
        }
    }

    /// Where clients reach the resource proxy.
    pub(super) fn proxy(&self) -> ResourceProxy<'_> {
        ResourceProxy { scheme: &self.scheme, host: &self.host }
    }

    pub(super) fn repositories(&self) -> Vec<Repository> {
        packages::repositories(&self.door.handle.cluster(), &self.door.catalog)
    }

    pub(super) async fn index(&self) -> Arc<Index> {
        self.door.catalog.index(&self.repositories()).await
    }
}

pub(super) fn failed(error: &CosmosError) -> Response {
    body::typed(StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST), ERROR_MEDIA_TYPE, &error.body())
}

/// Cosmos' error for what the catalog says; type and data are the catalog's own.
pub(super) fn catalog_error(error: &CatalogError) -> CosmosError {
    CosmosError { kind: error.kind(), message: error.to_string(), data: error.data(), status: 400 }
}

pub(super) fn package_error(error: PackageError) -> CosmosError {
    match error {
        PackageError::Catalog(error) => catalog_error(&error),
        PackageError::App(faults) => CosmosError::app_faults(&faults),
        PackageError::Control(error) => control_error(&error),
    }
}

pub(super) fn control_error(error: &ControlError) -> CosmosError {
    match error {
        ControlError::Edit(EditError::PackageInstalled | EditError::Exists(_)) => CosmosError::already_installed(),
        ControlError::Edit(EditError::Invalid(faults)) => CosmosError::app_faults(faults),
        ControlError::Edit(other) => CosmosError::app_refused(&other.to_string(), None),
        _ => CosmosError { message: error.to_string(), ..CosmosError::unavailable("marathon") },
    }
}

async fn capabilities(State(_door): State<Door>) -> Response {
    body::typed(StatusCode::OK, &Endpoint::Capabilities.response_type(1), &wire::capabilities_json())
}

async fn search(call: &Call) -> Result<Value, CosmosError> {
    let request = SearchRequest::read(&call.body)?;
    let results = call.index().await.search(request.query.as_deref());
    let entries = results.iter().map(|result| SearchEntry {
        name: &result.name,
        current_version: &result.current_version,
        versions: &result.versions,
        description: &result.description,
        framework: result.framework,
        tags: &result.tags,
        selected: result.selected,
        images: result.images.as_ref(),
    });
    Ok(wire::search_json(entries, Some(call.proxy())))
}

async fn describe(call: &Call) -> Result<Value, CosmosError> {
    let request = DescribeRequest::read(&call.body)?;
    let index = call.index().await;
    let found =
        index.resolve(&request.package_name, request.package_version.as_deref()).map_err(|error| catalog_error(&error))?;
    let definition = Value::Object(found.definition().map_err(|error| catalog_error(&error))?);
    match call.version {
        3 => Ok(wire::describe_v3(&definition, Some(call.proxy()))),
        2 => wire::describe_v2(&definition, Some(call.proxy())),
        _ => {
            wire::describe_v2(&definition, Some(call.proxy()))?;
            Err(CosmosError::not_valid("version 1 of the description is no longer served; accept version 2 or 3"))
        }
    }
}

async fn list_versions(call: &Call) -> Result<Value, CosmosError> {
    let request = ListVersionsRequest::read(&call.body)?;
    let index = call.index().await;
    let versions = index.list_versions(&request.package_name).map_err(|error| catalog_error(&error))?;
    let versions: Vec<(String, u64)> = versions.into_iter().map(|(version, release)| (version.to_owned(), release)).collect();
    Ok(wire::list_versions_json(&versions))
}

fn package_request(request: InstallRequest) -> PackageRequest {
    PackageRequest {
        name: request.package_name,
        version: request.package_version,
        options: request.options.unwrap_or_default(),
        app_id: request.app_id,
    }
}

async fn render(call: &Call) -> Result<Value, CosmosError> {
    let request = package_request(InstallRequest::read(&call.body)?);
    let (_, rendered) = packages::render_package(&call.door.handle, &call.door.catalog, &request).await.map_err(package_error)?;
    Ok(wire::render_json(&rendered.app))
}

async fn install(call: &Call) -> Result<Value, CosmosError> {
    let request = package_request(InstallRequest::read(&call.body)?);
    let index = call.index().await;
    let found = index.resolve(&request.name, request.version.as_deref()).map_err(|error| catalog_error(&error))?;
    let definition = Value::Object(found.definition().map_err(|error| catalog_error(&error))?);
    if !found.has_template() {
        // Nothing runs: notes and a command for the client only (cosmos.md 3.4).
        let refused = || CosmosError::no_template(&found.name, &found.version);
        return if call.version == 1 { Err(refused()) } else { Ok(wire::install_v2(&definition, None, Some(call.proxy()))) };
    }
    let prepared = packages::prepare(&call.door.handle, &call.door.catalog, &request).await.map_err(package_error)?;
    packages::install(&call.door.handle, &prepared).await.map_err(|error| control_error(&error))?;
    let app_id = prepared.app.id.as_str();
    Ok(if call.version == 1 {
        wire::install_v1(&prepared.instance.name, &prepared.instance.version, app_id)
    } else {
        wire::install_v2(&definition, Some(app_id), Some(call.proxy()))
    })
}

/// Definition that an app carries in its labels; `None` when it carries none that can be read.
pub(super) fn definition_of(app: &App) -> Option<Map<String, Value>> {
    label::package_of_label(app.labels.get("DCOS_PACKAGE_DEFINITION")?).ok()?.definition().ok()
}

async fn list(call: &Call) -> Result<Value, CosmosError> {
    let request = ListRequest::read(&call.body)?;
    let app_id =
        request.app_id.as_deref().map(AppId::parse).transpose().map_err(|error| CosmosError::not_valid(error.to_string()))?;
    let installed: Vec<(AppId, Value)> = packages::installed(&call.door.handle.cluster())
        .into_iter()
        .filter(|(id, _)| app_id.as_ref().is_none_or(|wanted| wanted == id))
        .filter_map(|(id, app)| definition_of(&app).map(|definition| (id, Value::Object(definition))))
        .filter(|(_, definition)| request.package_name.as_ref().is_none_or(|name| definition["name"] == **name))
        .collect();
    let installed = installed.iter().map(|(id, definition)| Installed { app_id: id.as_str(), definition });
    Ok(wire::list_json(installed, Some(call.proxy())))
}

async fn uninstall(call: &Call) -> Result<Value, CosmosError> {
    let request = UninstallRequest::read(&call.body)?;
    let name = request.package_name.as_str();
    let app_id =
        request.app_id.as_deref().map(AppId::parse).transpose().map_err(|error| CosmosError::not_valid(error.to_string()))?;
    let all: Vec<(AppId, Arc<App>)> = packages::installed(&call.door.handle.cluster())
        .into_iter()
        .filter(|(_, app)| app.labels.get("DCOS_PACKAGE_NAME").is_some_and(|label| label == name))
        .collect();
    let chosen: Vec<(AppId, Arc<App>)> = match &app_id {
        Some(wanted) => {
            let found: Vec<_> = all.into_iter().filter(|(id, _)| id == wanted).collect();
            if found.is_empty() {
                return Err(CosmosError::no_such_instance(name, wanted.as_str()));
            }
            found
        }
        None if all.is_empty() => return Err(CosmosError::package_not_installed(name)),
        None if all.len() > 1 && request.all != Some(true) => {
            let ids: Vec<String> = all.iter().map(|(id, _)| id.to_string()).collect();
            return Err(CosmosError::ambiguous_app_id(name, &ids));
        }
        None => all,
    };
    let edits: Vec<AppEdit> = chosen.iter().map(|(id, _)| AppEdit::Remove(id.clone())).collect();
    call.door
        .handle
        .edit(move |draft| draft.edit(edits, true, "/package/uninstall"))
        .await
        .map_err(|error| control_error(&error))?;
    let notes: Vec<Option<String>> =
        chosen.iter().map(|(_, app)| definition_of(app)?.get("postUninstallNotes")?.as_str().map(str::to_owned)).collect();
    let results = chosen.iter().zip(&notes).map(|((id, app), notes)| Uninstalled {
        package_name: name,
        app_id: id.as_str(),
        package_version: app.labels.get("DCOS_PACKAGE_VERSION").map(String::as_str),
        post_uninstall_notes: notes.as_deref(),
    });
    Ok(wire::uninstall_json(results))
}

async fn repository_list(call: &Call) -> Result<Value, CosmosError> {
    Ok(wire::repositories_json(&call.repositories()))
}

async fn repository_add(call: &Call) -> Result<Value, CosmosError> {
    let request = RepositoryAddRequest::read(&call.body)?;
    let repository = Repository { name: request.name, uri: request.uri };
    let present = |list: &[Repository]| list.iter().any(|known| known.name == repository.name || known.uri == repository.uri);
    if present(&call.repositories()) {
        return Err(CosmosError::repository_present(Some(&repository.name), Some(&repository.uri)));
    }
    let index = match request.index.map(usize::try_from) {
        Some(Err(_)) => return Err(CosmosError::repository_index(request.index.unwrap_or_default(), call.repositories().len())),
        Some(Ok(index)) => Some(index),
        None => None,
    };
    call.door.catalog.fetch(&repository).await.map_err(|error| fetch_error(&repository, &error))?;
    let default = call.door.catalog.default_repositories().to_vec();
    let added = repository.clone();
    let list = call.door.handle.edit(move |draft| draft.add_repository(added, index, &default)).await;
    match list {
        Ok(list) => Ok(wire::repositories_json(&list)),
        Err(ControlError::Edit(EditError::RepositoryPresent(_))) => {
            Err(CosmosError::repository_present(Some(&repository.name), Some(&repository.uri)))
        }
        Err(ControlError::Edit(EditError::RepositoryIndex { attempted, max })) => {
            Err(CosmosError::repository_index(attempted as i64, max))
        }
        Err(error) => Err(control_error(&error)),
    }
}

fn fetch_error(repository: &Repository, error: &FetchError) -> CosmosError {
    use crate::catalog::SourceError;
    let (name, uri) = (repository.name.as_str(), repository.uri.as_str());
    match error {
        FetchError::Source(SourceError::Syntax(_)) => CosmosError::repository_syntax(name, uri, &error.to_string()),
        FetchError::Source(SourceError::Unsupported(_)) => CosmosError::repository_scheme(uri),
        FetchError::Status { status } => CosmosError::repository_http(name, uri, *status, true),
        other => CosmosError::repository_connection(name, uri, &other.to_string()),
    }
}

async fn repository_delete(call: &Call) -> Result<Value, CosmosError> {
    let request = RepositoryDeleteRequest::read(&call.body)?;
    if request.name.is_none() && request.uri.is_none() {
        return Err(CosmosError::repository_unnamed());
    }
    let default = call.door.catalog.default_repositories().to_vec();
    let (name, uri) = (request.name.clone(), request.uri.clone());
    let list = call.door.handle.edit(move |draft| draft.remove_repository(name.as_deref(), uri.as_deref(), &default)).await;
    match list {
        Ok(list) => Ok(wire::repositories_json(&list)),
        Err(ControlError::Edit(EditError::NoRepository)) => {
            Err(CosmosError::repository_absent(request.name.as_deref(), request.uri.as_deref()))
        }
        Err(error) => Err(control_error(&error)),
    }
}
