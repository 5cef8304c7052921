//! Package definitions in the two forms of `describe`.

use super::resource::rewrite_resources;
use super::{CosmosError, ResourceProxy};
use crate::without_nulls;
use serde_json::{Map, Value, json};

/// Fields that tell what a package is, in all forms.
pub(super) const SUMMARY_FIELDS: [&str; 14] = [
    "packagingVersion",
    "name",
    "version",
    "maintainer",
    "description",
    "tags",
    "selected",
    "scm",
    "website",
    "framework",
    "preInstallNotes",
    "postInstallNotes",
    "postUninstallNotes",
    "licenses",
];

/// What the flat old form has beside them.
const V2_FIELDS: [&str; 5] = ["minDcosReleaseVersion", "marathon", "resource", "config", "command"];

/// `{"package": …}` with everything, nulls dropped at any depth as Cosmos did.
pub fn describe_v3(definition: &Value, proxy: Option<ResourceProxy<'_>>) -> Value {
    json!({"package": prepared(definition, proxy)})
}

fn prepared(definition: &Value, proxy: Option<ResourceProxy<'_>>) -> Value {
    let mut definition = without_nulls(definition.clone());
    if let (Some(resource), Some(proxy)) = (definition.get_mut("resource"), proxy) {
        rewrite_resources(resource, proxy);
    }
    definition
}

/// The flat old form, for clients before DC/OS 1.10. Upgrade paths have no place in it and are left
/// out: Cosmos refused such packages, which shut those clients out of most packages of today, while
/// no client of theirs upgrades services.
///
/// # Errors
/// When the package is of version 5: another manager than ours may be in charge of it.
pub fn describe_v2(definition: &Value, proxy: Option<ResourceProxy<'_>>) -> Result<Value, CosmosError> {
    let packaging = definition.get("packagingVersion").and_then(Value::as_str).unwrap_or_default();
    if packaging.starts_with('5') {
        return Err(CosmosError::no_v2_describe());
    }
    let prepared = prepared(definition, proxy);
    let mut flat = Map::new();
    for key in SUMMARY_FIELDS.into_iter().chain(V2_FIELDS) {
        if let Some(value) = prepared.get(key) {
            flat.insert(key.to_owned(), value.clone());
        }
    }
    if packaging.starts_with('4') {
        flat.insert("packagingVersion".to_owned(), json!("3.0"));
    }
    for key in ["selected", "framework"] {
        flat.entry(key).or_insert(Value::Bool(false));
    }
    Ok(Value::Object(flat))
}
