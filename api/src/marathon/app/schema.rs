//! The published schema of apps, and what a document has beyond it.

use serde_json::Value;
use std::sync::LazyLock;

/// JSON Schema (draft-04) of an app definition, as published in `schemas/`.
pub const APP_SCHEMA: &str = include_str!("../../../../schemas/app-schema.json");

/// Most unknown fields told of one document.
const UNKNOWN_MAX: usize = 50;
/// Changes of one letter that still count as a slip of the pen.
const SLIP_MAX: usize = 2;

/// Longest name that is compared with those of fields, bytes; comparing takes time with the length.
const COMPARED_BYTES_MAX: usize = 64;

/// A field that no app has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// Path in Marathon's notation.
    pub path: String,
    /// The field that was probably meant.
    pub similar: Option<String>,
}

impl std::fmt::Display for UnknownField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is no field of an app and has no effect", self.path)?;
        self.similar.iter().try_for_each(|similar| write!(f, "; did you mean {similar}?"))
    }
}

/// Fields of `app` that the schema does not know, at any depth. They are legal, as Marathon
/// ignores them, but usually typing errors.
pub fn unknown_fields(app: &Value) -> Vec<UnknownField> {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(APP_SCHEMA).unwrap_or_default());
    let mut unknown = Vec::new();
    walk(&SCHEMA, app, "", &mut unknown);
    unknown
}

fn walk(schema: &Value, value: &Value, path: &str, unknown: &mut Vec<UnknownField>) {
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object);
            // A map with free keys, such as labels, names no properties.
            let Some(known) = known else { return };
            for (key, value) in fields {
                let path = format!("{path}/{key}");
                if let Some(schema) = known.get(key) {
                    walk(schema, value, &path, unknown);
                } else if unknown.len() < UNKNOWN_MAX {
                    unknown.push(UnknownField { path, similar: similar(key, known.keys()).cloned() });
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                walk(schema, item, &format!("{path}({index})"), unknown);
            }
        }
        _ => {}
    }
}

/// The name that was probably meant by `key`.
fn similar<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    if key.len() <= SLIP_MAX || key.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let key = key.to_lowercase();
    let distance = |name: &'a String| (strsim::damerau_levenshtein(&name.to_lowercase(), &key), name);
    names.map(distance).min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= SLIP_MAX).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slips_of_the_pen_are_found_at_any_depth() {
        let app = json!({
            "id": "/a", "instnaces": 2, "labels": { "anything": "goes" }, "env": { "X": "1" },
            "healthChecks": [{ "protocol": "HTTP", "intervalSecond": 5 }], "x": 1, "tasksRunning": 1,
        });
        let found: Vec<String> = unknown_fields(&app).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "/instnaces is no field of an app and has no effect; did you mean instances?",
                "/healthChecks(0)/intervalSecond is no field of an app and has no effect; did you mean intervalSeconds?",
                "/x is no field of an app and has no effect",
            ]
        );
    }

    #[test]
    fn long_names_are_not_compared() {
        let long = "x".repeat(1 << 20);
        let found = unknown_fields(&json!({ &long: 1, "containers": 2 }));
        assert_eq!(found.iter().map(|field| field.similar.as_deref()).collect::<Vec<_>>(), [None, Some("container")]);
    }

    #[test]
    fn what_we_print_ourselves_is_known() {
        let app = orrery_core::App::new(orrery_core::AppId::parse("/a").unwrap());
        assert_eq!(unknown_fields(&crate::marathon::app::write_app(&app)), []);
    }
}
