//! What differs between two versions of an app, for people.

use super::write_app;
use crate::json::{is_sensitive, is_sensitive_assignment};
use orrery_core::App;
use serde::Serialize;
use serde_json::Value;

/// Stands for a value that must not be shown.
pub const REDACTED: &str = "(hidden)";

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path in Marathon's notation.
    pub path: String,
    /// Value before; `None` = not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// Value after; `None` = not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// All fields that differ, in the order in which they are printed, versions left out. Values of
/// variables, labels and parameters that are secret by their names are [`REDACTED`].
pub fn diff(old: &App, new: &App) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(String::new(), Some(&write_app(old)), Some(&write_app(new)), &mut changes);
    changes
}

fn compare(path: String, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    if old == new || matches!(path.as_str(), "/version" | "/versionInfo") {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (key, value) in old {
                compare(format!("{path}/{key}"), Some(value), new.get(key), changes);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                compare(format!("{path}/{key}"), None, Some(value), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(format!("{path}({index})"), old.get(index), new.get(index), changes);
            }
        }
        _ => {
            let show = |value: Option<&Value>| value.map(|value| redact(&path, value));
            changes.push(Change { old: show(old), new: show(new), path });
        }
    }
}

fn redact(path: &str, value: &Value) -> Value {
    let parameter = path.starts_with("/container/docker/parameters");
    if is_sensitive(path) || (parameter && value.as_str().is_some_and(is_sensitive_assignment)) {
        return Value::from(REDACTED);
    }
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), redact(&format!("{path}/{key}"), value))).collect()
        }
        Value::Array(entries) => entries.iter().map(|entry| redact(path, entry)).collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marathon::app::{ReadContext, read_app};
    use serde_json::json;

    #[test]
    fn shows_changes_without_secrets() {
        let read = |value: Value| read_app(&value, ReadContext::default()).unwrap();
        let old = read(
            json!({"id": "/a", "cmd": "x", "env": {"DB_PASSWORD": "old", "A": "1"}, "constraints": [["hostname", "UNIQUE"]]}),
        );
        let new = read(json!({"id": "/a", "cmd": "y", "env": {"DB_PASSWORD": "new", "B": "2"}, "instances": 3}));
        let changes = diff(&old, &new);
        let shown = serde_json::to_string(&changes).unwrap();
        assert!(!shown.contains("\"old\":\"old\"") && !shown.contains("\"new\":\"new\""), "{shown}");
        let find = |path: &str| changes.iter().find(|change| change.path == path).unwrap();
        assert_eq!(find("/env/DB_PASSWORD").new, Some(json!(REDACTED)));
        assert_eq!((&find("/instances").old, &find("/instances").new), (&Some(json!(1)), &Some(json!(3))));
        assert_eq!(find("/env/A").new, None);
        assert_eq!(find("/env/B").old, None);
        assert_eq!(find("/constraints(0)").new, None);
        assert!(diff(&old, &old).is_empty());
        let image = |value: &str| {
            let parameters = json!([{"key": "env", "value": value}]);
            read(json!({"id": "/a", "container": {"type": "DOCKER", "docker": {"image": "i", "parameters": parameters}}}))
        };
        let changes = diff(&image("API_TOKEN=a"), &image("API_TOKEN=b"));
        assert_eq!((changes.len(), &changes[0].new), (1, &Some(json!(REDACTED))));
    }
}
