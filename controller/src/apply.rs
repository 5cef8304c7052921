//! `POST /v1/apply`: make the cluster match documents; what matches already is not touched.

use crate::catalog::CatalogService;
use crate::handle::{ControlError, Handle};
use crate::packages::{PackageError, PackageRequest, prepare};
use orrery_api::marathon::app::{ReadContext, diff, read_app, unknown_fields};
use orrery_core::cluster::{AppEdit, Cluster};
use orrery_core::package::PackageInstance;
use orrery_core::{App, AppId, Fault};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most documents in one request.
pub const DOCUMENTS_MAX: usize = 10_000;

/// The request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyRequest {
    /// What should be.
    pub documents: Vec<Document>,
    /// Only tell what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// One document.
#[derive(Debug, Deserialize)]
pub struct Document {
    /// Where the client read it; given back with faults.
    #[serde(default)]
    pub source: Value,
    /// An app, a group of apps or a package.
    pub value: Value,
}

/// Outcome for one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    kind: &'static str,
    id: String,
    action: &'static str,
    changes: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_id: Option<String>,
}

/// What was applied.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Outcome for each object, in the order of the documents.
    pub results: Vec<Applied>,
    /// What is legal but probably not meant.
    pub warnings: Vec<Warning>,
}

/// A warning about one document.
#[derive(Debug, Serialize)]
pub struct Warning {
    document: usize,
    source: Value,
    path: String,
    message: String,
}

/// A fault of one document.
#[derive(Debug, Serialize)]
pub struct DocumentFault {
    document: usize,
    source: Value,
    path: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Documents are wrong; all faults of all documents.
    #[error("{} faults in the documents; nothing was applied", .0.len())]
    Faults(Vec<DocumentFault>),
    /// The cluster refused.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// One object wanted.
struct Wanted {
    kind: &'static str,
    app: App,
    package: Option<PackageInstance>,
    document: usize,
    /// The document leaves the number of instances to the cluster.
    keeps_instances: bool,
}

/// The apps that the documents want and that are not so already, packages rendered; nothing is applied.
///
/// # Errors
/// [`ApplyError::Faults`].
pub async fn changed_apps(
    handle: &Handle,
    catalog: &Arc<CatalogService>,
    documents: &[Document],
) -> Result<Vec<App>, ApplyError> {
    let cluster = handle.cluster();
    let (wanted, _) = read(handle, catalog, &cluster, documents).await?;
    let changed = wanted.into_iter().filter(|wanted| compare(&cluster, wanted).action != "unchanged");
    Ok(changed.map(|wanted| wanted.app).collect())
}

/// Reads all documents, with every fault of all of them.
async fn read(
    handle: &Handle,
    catalog: &Arc<CatalogService>,
    cluster: &Cluster,
    documents: &[Document],
) -> Result<(Vec<Wanted>, Vec<Warning>), ApplyError> {
    let mut reader = Reader { handle, catalog, cluster, wanted: Vec::new(), faults: Vec::new(), warnings: Vec::new() };
    for (index, document) in documents.iter().enumerate() {
        reader.document(index, &document.value).await;
    }
    let Reader { wanted, mut faults, warnings, .. } = reader;
    let source = |document: usize| documents.get(document).map(|document| document.source.clone()).unwrap_or_default();
    let mut first: BTreeMap<AppId, usize> = BTreeMap::new();
    for wanted in &wanted {
        if let Some(other) = first.insert(wanted.app.id.clone(), wanted.document) {
            let message = format!("{} is declared twice, first in document {}; keep one of them", wanted.app.id, other + 1);
            faults.push((wanted.document, Fault::new("/id", message)));
        }
    }
    if !faults.is_empty() {
        let fault = |(document, fault): (usize, Fault)| DocumentFault {
            document,
            source: source(document),
            path: fault.path,
            message: fault.message,
            value: fault.value,
        };
        return Err(ApplyError::Faults(faults.into_iter().map(fault).collect()));
    }
    let warnings = warnings
        .into_iter()
        .map(|(document, path, message)| Warning { document, source: source(document), path, message })
        .collect();
    Ok((wanted, warnings))
}

/// Applies all documents as one deployment, or none.
///
/// # Errors
/// [`ApplyError`].
pub async fn apply(handle: &Handle, catalog: &Arc<CatalogService>, request: ApplyRequest) -> Result<Outcome, ApplyError> {
    let cluster = handle.cluster();
    let (wanted, warnings) = read(handle, catalog, &cluster, &request.documents).await?;
    let mut results: Vec<Applied> = wanted.iter().map(|wanted| compare(&cluster, wanted)).collect();
    if request.dry_run || results.iter().all(|result| result.action == "unchanged") {
        return Ok(Outcome { results, warnings });
    }
    let packages: Vec<PackageInstance> = wanted.iter().filter_map(|wanted| wanted.package.clone()).collect();
    // What is as it should be is left alone, also when somebody changes it right now.
    let changed = wanted.into_iter().zip(&results).filter(|(_, result)| result.action != "unchanged");
    let changed: Vec<Wanted> = changed.map(|(wanted, _)| wanted).collect();
    let deployment = handle
        .edit(move |draft| {
            let put = |Wanted { mut app, keeps_instances, .. }: Wanted| {
                // Somebody may have scaled since the documents were read.
                if let Some(current) = draft.cluster().app(&app.id).filter(|_| keeps_instances) {
                    app.instances = current.instances;
                }
                AppEdit::Put(app)
            };
            let edits = changed.into_iter().map(put).collect();
            let deployment = draft.edit(edits, true, "/v1/apply")?;
            for package in packages {
                draft.put_package(package);
            }
            Ok(deployment)
        })
        .await?;
    for result in results.iter_mut().filter(|result| result.action != "unchanged") {
        result.deployment_id = deployment.as_ref().map(|deployment| deployment.id.clone());
    }
    Ok(Outcome { results, warnings })
}

fn compare(cluster: &Cluster, wanted: &Wanted) -> Applied {
    let id = wanted.app.id.to_string();
    let Some(current) = cluster.app(&wanted.app.id) else {
        // What differs from an app of defaults; the comparison hides secrets.
        let fields = diff(&App::new(wanted.app.id.clone()), &wanted.app);
        let changes = fields.iter().map(|change| json!({ "path": change.path, "new": change.new })).collect();
        return Applied { kind: wanted.kind, id, action: "created", changes, deployment_id: None };
    };
    let mut next = wanted.app.clone();
    next.version = current.version;
    next.version_info = current.version_info;
    let changes: Vec<Value> = diff(current, &next).iter().filter_map(|change| serde_json::to_value(change).ok()).collect();
    let action = if changes.is_empty() { "unchanged" } else { "configured" };
    Applied { kind: wanted.kind, id, action, changes, deployment_id: None }
}

struct Reader<'a> {
    handle: &'a Handle,
    catalog: &'a Arc<CatalogService>,
    cluster: &'a Cluster,
    wanted: Vec<Wanted>,
    faults: Vec<(usize, Fault)>,
    warnings: Vec<(usize, String, String)>,
}

impl Reader<'_> {
    async fn document(&mut self, index: usize, value: &Value) {
        let Some(object) = value.as_object() else {
            self.faults.push((
                index,
                Fault::new("/", "a document is an app, a group or a package: an object with an id or a packageName"),
            ));
            return;
        };
        if object.contains_key("packageName") {
            self.package(index, value).await;
        } else if ["apps", "groups"].iter().any(|key| object.get(*key).is_some_and(Value::is_array)) {
            self.group(index, value, "/", "");
        } else {
            self.app(index, value, "/", "");
        }
    }

    fn app(&mut self, index: usize, value: &Value, group: &str, prefix: &str) {
        match read_app(value, ReadContext { base_group: group, path_id: None }) {
            Ok(mut app) => {
                let unknown = unknown_fields(value).into_iter();
                self.warnings.extend(unknown.map(|field| (index, format!("{prefix}{}", field.path), field.to_string())));
                self.keep_live(&mut app, value);
                let keeps_instances = leaves_instances(value);
                self.wanted.push(Wanted { kind: "app", app, package: None, document: index, keeps_instances });
            }
            Err(faults) => self
                .faults
                .extend(faults.into_iter().map(|fault| (index, Fault { path: format!("{prefix}{}", fault.path), ..fault }))),
        }
    }

    /// What the document leaves to the cluster: the number of instances, where somebody scaled,
    /// and assigned service ports.
    fn keep_live(&self, app: &mut App, value: &Value) {
        let Some(current) = self.cluster.app(&app.id) else { return };
        if leaves_instances(value) {
            app.instances = current.instances;
        }
        for (port, live) in app.port_definitions.iter_mut().zip(&current.port_definitions) {
            if port.port == 0 && !app.require_ports {
                port.port = live.port;
            }
        }
        if let (Some(container), Some(live)) = (&mut app.container, &current.container) {
            for (port, live) in container.port_mappings.iter_mut().zip(&live.port_mappings) {
                if port.service_port == 0 {
                    port.service_port = live.service_port;
                }
            }
        }
    }

    fn group(&mut self, index: usize, value: &Value, base: &str, prefix: &str) {
        let id = value.get("id").and_then(Value::as_str).unwrap_or("/");
        let group = if id.trim_matches('/').is_empty() {
            "/".to_owned()
        } else {
            match AppId::parse_in(base, id) {
                Ok(id) => id.to_string(),
                Err(error) => {
                    self.faults.push((index, Fault::new(format!("{prefix}/id"), error.to_string()).with_value(id)));
                    return;
                }
            }
        };
        for (at, app) in value.get("apps").and_then(Value::as_array).into_iter().flatten().enumerate() {
            self.app(index, app, &group, &format!("{prefix}/apps/{at}"));
        }
        for (at, inner) in value.get("groups").and_then(Value::as_array).into_iter().flatten().enumerate() {
            self.group(index, inner, &group, &format!("{prefix}/groups/{at}"));
        }
    }

    async fn package(&mut self, index: usize, value: &Value) {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        for key in ["packageName", "packageVersion", "appId"] {
            if value.get(key).is_some_and(|value| !value.is_string() && !value.is_null()) {
                self.faults.push((index, Fault::new(format!("/{key}"), "must be a string").with_value(&value[key])));
                return;
            }
        }
        let options = match value.get("options") {
            None | Some(Value::Null) => serde_json::Map::new(),
            Some(Value::Object(options)) => options.clone(),
            Some(other) => {
                self.faults.push((index, Fault::new("/options", "must be an object").with_value(other)));
                return;
            }
        };
        let mut request = PackageRequest {
            name: text("packageName").unwrap_or_default(),
            version: text("packageVersion"),
            options,
            app_id: text("appId"),
        };
        let mut prepared = prepare(self.handle, self.catalog, &request).await;
        // Without a version, what is installed stays: an upgrade is somebody's decision.
        if let (Ok(latest), None) = (&prepared, &request.version)
            && let Some(installed) =
                self.cluster.packages.get(&latest.app.id).filter(|installed| installed.name == latest.instance.name)
            && installed.version != latest.instance.version
        {
            request.version = Some(installed.version.clone());
            prepared = prepare(self.handle, self.catalog, &request).await;
        }
        match prepared {
            Ok(mut prepared) => {
                self.keep_live(&mut prepared.app, &prepared.rendered.app);
                let installed = self.cluster.packages.get(&prepared.app.id);
                let same = |installed: &PackageInstance| {
                    installed.name == prepared.instance.name
                        && installed.version == prepared.instance.version
                        && installed.options == prepared.instance.options
                };
                let package = if installed.is_some_and(|installed| same(installed)) { None } else { Some(prepared.instance) };
                let keeps_instances = leaves_instances(&prepared.rendered.app);
                self.wanted.push(Wanted { kind: "package", app: prepared.app, package, document: index, keeps_instances });
            }
            Err(PackageError::App(faults)) => {
                let own =
                    |fault: Fault| (index, Fault::new("/packageName", format!("the package renders an invalid app: {fault}")));
                self.faults.extend(faults.into_iter().map(own));
            }
            Err(PackageError::Catalog(error)) => {
                self.faults.extend(catalog_faults(&error).into_iter().map(|fault| (index, fault)));
            }
            Err(PackageError::Control(error)) => self.faults.push((index, Fault::new("/packageName", error.to_string()))),
        }
    }
}

fn leaves_instances(value: &Value) -> bool {
    value.get("instances").is_none_or(Value::is_null)
}

/// Every option that does not match, or the one thing that is wrong.
fn catalog_faults(error: &orrery_catalog::CatalogError) -> Vec<Fault> {
    let data = error.data();
    let errors = data.as_ref().and_then(|data| data.get("errors")).and_then(Value::as_array);
    let Some(errors) = errors.filter(|errors| !errors.is_empty()) else {
        return vec![Fault::new("/packageName", error.to_string())];
    };
    let fault = |error: &Value| {
        let pointer = error.pointer("/instance/pointer").and_then(Value::as_str).unwrap_or_default();
        let message = error.get("message").and_then(Value::as_str).unwrap_or("does not match the options of the package");
        Fault::new(format!("/options{pointer}"), message)
    };
    errors.iter().map(fault).collect()
}
