//! Options: the defaults that a schema declares, and how user options go on top.

use serde_json::{Map, Value};

/// Deepest nesting of user options accepted.
pub const OPTIONS_DEPTH_MAX: usize = 64;

/// The defaults that a config.json declares.
///
/// Walks `properties` only: `items`, `oneOf`, `$ref` and the like declare none. A `default` on an
/// object beats those of its properties; objects without any default inside are left out.
pub fn defaults(schema: &Map<String, Value>) -> Map<String, Value> {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return Map::new();
    };
    let mut found = Map::new();
    for (name, property) in properties {
        let Value::Object(property) = property else { continue };
        if let Some(default) = property.get("default") {
            found.insert(name.clone(), default.clone());
        } else {
            let inner = defaults(property);
            if !inner.is_empty() {
                found.insert(name.clone(), Value::Object(inner));
            }
        }
    }
    found
}

/// Merges `over` into `base`: objects merge, everything else (arrays and null too) replaces.
pub fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (Some(below), _) => *below = value.clone(),
            (None, _) => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Drops fields that are null, at every depth; nulls in arrays stay.
pub fn drop_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    for value in map.values_mut() {
        drop_null_fields(value);
    }
}

/// As [`drop_nulls`], for any value.
pub fn drop_null_fields(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls(map),
        Value::Array(list) => list.iter_mut().for_each(drop_null_fields),
        _ => {}
    }
}
