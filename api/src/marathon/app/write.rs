//! Writing of apps as Marathon 1.11 prints them.

use orrery_core::App;
use serde_json::{Map, Value, json};

/// Fields without a value here that Marathon prints nevertheless.
const COLLECTIONS: [(&str, bool); 1] = [("acceptedResourceRoles", true)];

/// The app as Marathon prints it: every field that has a default is there, no field is null, old
/// forms never appear. Unknown fields come back unchanged.
pub fn write_app(app: &App) -> Value {
    // By construction: maps with text keys and finite numbers only.
    let Ok(Value::Object(mut fields)) = serde_json::to_value(app) else { return Value::Null };
    let unknown = fields.remove("unknown");
    let mut out = Map::new();
    for (key, value) in fields {
        if COLLECTIONS.iter().any(|(name, drop_empty)| *name == key && *drop_empty) && value == json!([]) {
            continue;
        }
        out.insert(key, value);
    }
    if app.is_host_networked() {
        // An empty list means "no ports", an absent one "the default port": always print it.
        out.insert("portDefinitions".to_owned(), to_value(&app.port_definitions));
    } else if let Some(Value::Object(container)) = out.get_mut("container") {
        let mappings = app.container.as_ref().map(|container| to_value(&container.port_mappings));
        container.insert("portMappings".to_owned(), mappings.unwrap_or_else(|| json!([])));
    }
    if let Some(Value::Object(unknown)) = unknown {
        for (key, value) in unknown {
            out.entry(key).or_insert(value);
        }
    }
    Value::Object(out)
}

fn to_value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
