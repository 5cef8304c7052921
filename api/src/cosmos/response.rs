//! Bodies of answers.

use super::ResourceProxy;
use super::definition::SUMMARY_FIELDS;
use super::resource::rewrite_resources;
use crate::without_nulls;
use orrery_core::package::Repository;
use serde_json::{Map, Value, json};

/// Abilities that clients ask for.
const CAPABILITIES: [&str; 5] = ["PACKAGE_MANAGEMENT", "SUPPORT_CLUSTER_REPORT", "METRONOME", "LOGGING", "LOGGING_V2"];

/// `GET /capabilities`.
pub fn capabilities_json() -> Value {
    json!({"capabilities": CAPABILITIES.map(|name| json!({"name": name}))})
}

/// A package found by a search.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of package.json")]
pub struct SearchEntry<'a> {
    pub name: &'a str,
    pub current_version: &'a str,
    /// Versions with their release versions.
    pub versions: &'a [(String, u64)],
    pub description: &'a str,
    pub framework: bool,
    pub tags: &'a [String],
    pub selected: Option<bool>,
    pub images: Option<&'a Value>,
}

/// `/package/search`.
pub fn search_json<'a>(entries: impl IntoIterator<Item = SearchEntry<'a>>, proxy: Option<ResourceProxy<'_>>) -> Value {
    let packages: Vec<Value> = entries
        .into_iter()
        .map(|entry| {
            let versions: Map<String, Value> =
                entry.versions.iter().map(|(version, release)| (version.clone(), json!(release))).collect();
            let mut package = json!({
                "name": entry.name, "currentVersion": entry.current_version, "versions": versions,
                "description": entry.description, "framework": entry.framework, "tags": entry.tags,
            });
            if let Some(selected) = entry.selected {
                package["selected"] = json!(selected);
            }
            if let Some(images) = entry.images.filter(|images| !images.is_null()) {
                let mut resource = json!({"images": images});
                if let Some(proxy) = proxy {
                    rewrite_resources(&mut resource, proxy);
                }
                package["images"] = resource["images"].take();
            }
            package
        })
        .collect();
    without_nulls(json!({"packages": packages}))
}

/// `/package/list-versions`: release versions as texts.
pub fn list_versions_json(versions: &[(String, u64)]) -> Value {
    let results: Map<String, Value> =
        versions.iter().map(|(version, release)| (version.clone(), json!(release.to_string()))).collect();
    json!({"results": results})
}

/// `/package/render`.
pub fn render_json(app: &Value) -> Value {
    json!({"marathonJson": app})
}

/// `/package/install`, version 1.
pub fn install_v1(name: &str, version: &str, app_id: &str) -> Value {
    json!({"packageName": name, "packageVersion": version, "appId": app_id})
}

/// `/package/install`, version 2; `app_id` is absent for packages that only extend the client.
pub fn install_v2(definition: &Value, app_id: Option<&str>, proxy: Option<ResourceProxy<'_>>) -> Value {
    let mut resource = json!({"cli": definition.pointer("/resource/cli")});
    if let Some(proxy) = proxy {
        rewrite_resources(&mut resource, proxy);
    }
    without_nulls(json!({
        "packageName": definition["name"],
        "packageVersion": definition["version"],
        "appId": app_id,
        "postInstallNotes": definition["postInstallNotes"],
        "cli": resource["cli"],
    }))
}

/// An installed package.
#[derive(Debug, Clone, Copy)]
pub struct Installed<'a> {
    /// App.
    pub app_id: &'a str,
    /// Definition it was installed from.
    pub definition: &'a Value,
}

/// `/package/list`, sorted by name and app id.
pub fn list_json<'a>(installed: impl IntoIterator<Item = Installed<'a>>, proxy: Option<ResourceProxy<'_>>) -> Value {
    let mut installed: Vec<Installed<'_>> = installed.into_iter().collect();
    installed.sort_by_key(|entry| (entry.definition["name"].as_str().unwrap_or_default().to_owned(), entry.app_id.to_owned()));
    let packages: Vec<Value> = installed
        .iter()
        .map(|entry| {
            let definition = entry.definition;
            let mut summary = Map::new();
            for key in SUMMARY_FIELDS {
                if let Some(value) = definition.get(key) {
                    summary.insert(key.to_owned(), value.clone());
                }
            }
            for key in ["selected", "framework"] {
                summary.entry(key).or_insert(Value::Bool(false));
            }
            summary.entry("tags").or_insert_with(|| json!([]));
            let mut information = json!({"packageDefinition": summary});
            if let Some(resource) = definition.get("resource").filter(|resource| resource.is_object()) {
                let mut shown = json!({"assets": resource.get("assets"), "images": resource.get("images")});
                if let Some(proxy) = proxy {
                    rewrite_resources(&mut shown, proxy);
                }
                information["resourceDefinition"] = shown;
            }
            json!({"appId": entry.app_id, "packageInformation": information})
        })
        .collect();
    without_nulls(json!({"packages": packages}))
}

/// A package that was removed.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Uninstalled<'a> {
    pub package_name: &'a str,
    pub app_id: &'a str,
    pub package_version: Option<&'a str>,
    pub post_uninstall_notes: Option<&'a str>,
}

/// `/package/uninstall`.
pub fn uninstall_json<'a>(results: impl IntoIterator<Item = Uninstalled<'a>>) -> Value {
    let results: Vec<Value> = results
        .into_iter()
        .map(|result| {
            json!({
                "packageName": result.package_name, "appId": result.app_id, "packageVersion": result.package_version,
                "postUninstallNotes": result.post_uninstall_notes,
            })
        })
        .collect();
    without_nulls(json!({"results": results}))
}

/// `/package/repository/{list,add,delete}`.
pub fn repositories_json<'a>(repositories: impl IntoIterator<Item = &'a Repository>) -> Value {
    let list: Vec<Value> =
        repositories.into_iter().map(|repository| json!({"name": repository.name, "uri": repository.uri})).collect();
    json!({"repositories": list})
}

/// `/cosmos/service/describe`.
pub fn service_describe_json(
    definition: &Value,
    upgrades_to: &[String],
    downgrades_to: &[String],
    resolved_options: Option<&Value>,
    user_options: Option<&Value>,
) -> Value {
    without_nulls(json!({
        "package": definition, "upgradesTo": upgrades_to, "downgradesTo": downgrades_to,
        "resolvedOptions": resolved_options, "userProvidedOptions": user_options,
    }))
}

/// `/cosmos/service/update`.
pub fn service_update_json(definition: &Value, resolved_options: &Value, deployment_id: &str) -> Value {
    without_nulls(json!({
        "package": definition, "resolvedOptions": resolved_options, "marathonDeploymentId": deployment_id,
    }))
}
