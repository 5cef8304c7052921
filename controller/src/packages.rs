//! Packages and the apps they become: one pure path for render, dry run, install and update.

use crate::catalog::CatalogService;
use crate::handle::{ControlError, Handle};
use orrery_api::marathon::app::{ReadContext, read_app};
use orrery_catalog::{CatalogError, Found, Rendered, render};
use orrery_core::cluster::{AppEdit, Cluster, Draft, EditError};
use orrery_core::deployment::Deployment;
use orrery_core::package::{PackageInstance, Repository};
use orrery_core::{App, AppId, Fault};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A package, with options, for an app.
#[derive(Debug, Clone, Default)]
pub struct PackageRequest {
    /// Name.
    pub name: String,
    /// Version; the latest when absent.
    pub version: Option<String>,
    /// The user's options.
    pub options: Map<String, Value>,
    /// Replaces the id that the template gives.
    pub app_id: Option<String>,
}

/// Why a package operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The catalog refuses.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What was rendered is no valid app.
    #[error("the package renders an app that is not valid")]
    App(Vec<Fault>),
    /// The cluster refuses.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// A rendered package, checked as an app.
#[derive(Debug)]
pub struct Prepared {
    /// Where it was found.
    pub found: Found,
    /// The rendering.
    pub rendered: Rendered,
    /// The app.
    pub app: App,
    /// The record of the installation.
    pub instance: PackageInstance,
}

/// Repositories in force.
pub fn repositories(cluster: &Cluster, catalog: &CatalogService) -> Vec<Repository> {
    match &cluster.repositories {
        Some(list) => list.iter().cloned().collect(),
        None => catalog.default_repositories().to_vec(),
    }
}

/// Finds and renders a package; changes nothing.
///
/// # Errors
/// [`PackageError::Catalog`].
pub async fn render_package(
    handle: &Handle,
    catalog: &Arc<CatalogService>,
    request: &PackageRequest,
) -> Result<(Found, Rendered), PackageError> {
    let index = catalog.index(&repositories(&handle.cluster(), catalog)).await;
    let found = index.resolve(&request.name, request.version.as_deref())?.clone();
    let request = request.clone();
    // A large template takes milliseconds: not on the threads that serve everybody.
    let result = tokio::task::spawn_blocking(move || {
        let rendered = render(&found.package, &found.repository.source.uri, &request.options, request.app_id.as_deref());
        rendered.map(|rendered| (found, rendered))
    });
    match result.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(ControlError::Store(error.to_string()).into()),
    }
}

/// Finds, renders and checks a package; changes nothing.
///
/// # Errors
/// [`PackageError::Catalog`] or [`PackageError::App`].
pub async fn prepare(handle: &Handle, catalog: &Arc<CatalogService>, request: &PackageRequest) -> Result<Prepared, PackageError> {
    let (found, rendered) = render_package(handle, catalog, request).await?;
    let app = read_app(&rendered.app, ReadContext { base_group: "/", path_id: None }).map_err(PackageError::App)?;
    let instance = PackageInstance {
        app_id: app.id.clone(),
        name: found.name.clone(),
        version: found.version.clone(),
        release_version: found.release_version,
        source: found.repository.source.uri.clone(),
        repository_digest: found.repository.digest().to_owned(),
        options: Value::Object(request.options.clone()),
        installed_at: handle.now(),
    };
    Ok(Prepared { found, rendered, app, instance })
}

/// Installs a prepared package: its app must not exist.
///
/// # Errors
/// [`EditError::PackageInstalled`] when there is an app of that id.
pub async fn install(handle: &Handle, prepared: &Prepared) -> Result<Option<Arc<Deployment>>, ControlError> {
    let (app, instance) = (prepared.app.clone(), prepared.instance.clone());
    handle.edit(move |draft| put(draft, AppEdit::Create(app), instance)).await
}

/// Records the package and edits its app in one draft.
///
/// # Errors
/// What the edit refuses.
pub fn put(draft: &mut Draft, edit: AppEdit, instance: PackageInstance) -> Result<Option<Arc<Deployment>>, EditError> {
    let force = !matches!(edit, AppEdit::Create(_));
    let deployment = draft.edit(vec![edit], force, "/package/install").map_err(|error| match error {
        EditError::Exists(_) => EditError::PackageInstalled,
        other => other,
    })?;
    draft.put_package(instance);
    Ok(deployment)
}

/// Apps that came from packages: id, package name and version, by their labels, so that apps
/// brought from elsewhere count too.
pub fn installed(cluster: &Cluster) -> Vec<(AppId, Arc<App>)> {
    let is_package = |app: &App| app.labels.contains_key("DCOS_PACKAGE_NAME");
    cluster
        .apps
        .iter()
        .filter(|(_, record)| is_package(&record.app))
        .map(|(id, record)| (id.clone(), Arc::clone(&record.app)))
        .collect()
}
