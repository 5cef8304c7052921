//! Golden cases for every rule of the catalog, each small enough to check by eye.

mod index;
mod options;
mod property;
mod render;
mod repository;
mod template;

use orrery_catalog::{Package, Repository, RepositorySource};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// An object literal as a map.
pub(crate) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) fn source(name: &str) -> RepositorySource {
    RepositorySource { name: name.into(), uri: format!("https://{name}.example/repo") }
}

/// A definition with the required fields and those of `more`.
pub(crate) fn definition(name: &str, version: &str, revision: u64, more: Value) -> Value {
    let mut definition = map(json!({
        "packagingVersion": "4.0", "name": name, "version": version,
        "releaseVersion": revision, "maintainer": "m@example", "description": "A thing",
        "tags": ["tag"],
    }));
    definition.extend(map(more));
    Value::Object(definition)
}

/// A mustache template as a definition holds it.
pub(crate) fn marathon(template: &str) -> Value {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(template);
    json!({ "v2AppMustacheTemplate": encoded })
}

pub(crate) fn repository(name: &str, packages: &[Value]) -> Arc<Repository> {
    let document = json!({ "packages": packages }).to_string().into_bytes();
    Arc::new(Repository::from_json(source(name), document).expect("a repository"))
}

/// The only package of a repository with this definition.
pub(crate) fn package(definition: Value) -> Arc<Package> {
    let repository = repository("test", &[definition]);
    assert_eq!(repository.faults, []);
    Arc::clone(&repository.packages[0])
}
