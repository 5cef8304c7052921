//! The published schemas of package files, as lint rules.

use crate::package::Package;
use crate::validate;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// One file of a package and the schema that describes it.
struct FileSchema {
    file: &'static str,
    text: &'static str,
    validator: OnceLock<Option<(Value, Validator)>>,
}

impl FileSchema {
    const fn new(file: &'static str, text: &'static str) -> Self {
        Self { file, text, validator: OnceLock::new() }
    }

    /// None when the schema itself is broken, which a test rules out.
    fn validator(&self) -> Option<&(Value, Validator)> {
        let build = || {
            let schema: Value = serde_json::from_str(self.text).ok()?;
            let validator = jsonschema::options().with_draft(Draft::Draft4).build(&schema).ok()?;
            Some((schema, validator))
        };
        self.validator.get_or_init(build).as_ref()
    }

    fn faults(&self, instance: &Value) -> Vec<(&'static str, String)> {
        let Some((schema, validator)) = self.validator() else { return Vec::new() };
        let errors = validate::errors(validator, instance, || schema.clone());
        errors.into_iter().map(|error| (self.file, validate::sentence(&error))).collect()
    }
}

static PACKAGE: FileSchema = FileSchema::new("package.json", include_str!("../../schemas/package-schema.json"));
static CONFIG: FileSchema = FileSchema::new("config.json", include_str!("../../schemas/config-schema.json"));
static RESOURCE: FileSchema = FileSchema::new("resource.json", include_str!("../../schemas/resource-schema.json"));
static COMMAND: FileSchema = FileSchema::new("command.json", include_str!("../../schemas/command-schema.json"));

/// Where a package departs from the published schemas: file and fault.
pub(crate) fn faults(package: &Package) -> Vec<(&'static str, String)> {
    let Ok(mut definition) = serde_json::from_str::<Map<String, Value>>(package.definition_text()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (field, schema) in [("config", &CONFIG), ("resource", &RESOURCE), ("command", &COMMAND)] {
        if let Some(part) = definition.shift_remove(field) {
            found.extend(schema.faults(&part));
        }
    }
    // What a repository adds to package.json.
    for field in ["marathon", "app", "releaseVersion"] {
        definition.shift_remove(field);
    }
    found.extend(PACKAGE.faults(&Value::Object(definition)));
    found
}

#[cfg(test)]
mod tests {
    use super::{COMMAND, CONFIG, PACKAGE, RESOURCE};

    #[test]
    fn every_schema_is_a_schema() {
        for schema in [&PACKAGE, &CONFIG, &RESOURCE, &COMMAND] {
            assert!(schema.validator().is_some(), "{}", schema.file);
        }
    }
}
