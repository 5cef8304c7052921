//! Lint: what is wrong with a package before anybody installs it.

use crate::compiled::{AnyTemplate, compiled};
use crate::error::CatalogError;
use crate::package::Package;
use crate::render::render;
use crate::schema;
use serde_json::{Map, Value};

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The package works, perhaps not as meant.
    Warning,
    /// Nobody can install the package.
    Error,
}

/// One fault of a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// The file it is in.
    pub file: &'static str,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Every fault found: departures from the published schemas of package files; unusable JSON, schema or template; defaults that do not render; names that
/// the template uses and no option declares.
pub fn check(package: &Package) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |severity, file, reason| faults.push(Fault { severity, file, reason });
    for (file, reason) in schema::faults(package) {
        add(Severity::Warning, file, reason);
    }
    let compiled = compiled(package);
    let mut usable = true;
    for result in [compiled.defaults(package).map(drop), compiled.validator(package).map(drop), package.resource().map(drop)] {
        if let Err(error) = result {
            usable = false;
            add(Severity::Error, file_of(&error), error.to_string());
        }
    }
    if !package.has_template() {
        let says_something = package.pre_install_notes.is_some() || package.post_install_notes.is_some();
        if package.cli().is_none() && package.field("command").is_none() && !says_something {
            let reason = "there is no template, no CLI command and no note, so it installs nothing";
            add(Severity::Warning, "package.json", reason.to_owned());
        }
        return faults;
    }
    match compiled.template(package) {
        Err(error) => {
            usable = false;
            add(Severity::Error, file_of(&error), error.to_string());
        }
        Ok(AnyTemplate::Mustache(template)) => {
            if let Ok(config) = package.config() {
                let config = config.unwrap_or_default();
                for name in template.names() {
                    if !declared(&config, package, name) {
                        let reason = format!("'{name}' is used, but no option declares it");
                        add(Severity::Warning, "marathon.json.mustache", reason);
                    }
                }
            }
        }
        Ok(AnyTemplate::Strict(_)) => {}
    }
    if !usable {
        return faults;
    }
    match render(package, "", &Map::new(), None) {
        Ok(rendered) if rendered.app.get("id").is_none_or(|id| !id.is_string()) => {
            let reason = "the rendered app has no id; an installation needs --app-id";
            add(Severity::Warning, "marathon.json.mustache", reason.to_owned());
        }
        Ok(_) => {}
        Err(error @ CatalogError::JsonSchemaMismatch { .. }) => {
            let reason = format!("a user must give options, the defaults are not enough: {error}");
            add(Severity::Warning, "config.json", reason);
        }
        Err(error) => add(Severity::Error, file_of(&error), error.to_string()),
    }
    faults
}

/// Whether a name in the template can be meant: an option, a resource, or the part of a scope.
fn declared(config: &Map<String, Value>, package: &Package, name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    if name == "." || name == "asJson" || first.is_empty() {
        return true;
    }
    if first == "resource" {
        return package.resource().ok().flatten().is_some();
    }
    // Inside sections a name is relative, so its first part may be declared at any depth.
    declares(config, first)
}

fn declares(schema: &Map<String, Value>, name: &str) -> bool {
    let Some(Value::Object(properties)) = schema.get("properties") else { return false };
    properties.contains_key(name) || properties.values().filter_map(Value::as_object).any(|inner| declares(inner, name))
}

/// The file that an error is about.
fn file_of(error: &CatalogError) -> &'static str {
    match error {
        CatalogError::PackageFileNotJson { file, .. } | CatalogError::PackageFileSchemaMismatch { file, .. } => file,
        CatalogError::OptionsNotAllowed => "config.json",
        _ => "marathon.json.mustache",
    }
}
