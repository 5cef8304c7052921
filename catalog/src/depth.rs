//! How deep JSON nests, found without recursion.

use serde_json::{Map, Value};

/// Whether `map` nests at most `limit` levels, itself counted.
pub(crate) fn map_within(map: &Map<String, Value>, limit: usize) -> bool {
    let mut level: Vec<&Value> = map.values().collect();
    let mut depth = 1;
    loop {
        if depth > limit {
            return false;
        }
        let mut next: Vec<&Value> = Vec::new();
        for value in level {
            match value {
                Value::Array(list) => next.extend(list.iter().chain(std::iter::once(&Value::Null))),
                Value::Object(map) => next.extend(map.values().chain(std::iter::once(&Value::Null))),
                _ => {}
            }
        }
        if next.is_empty() {
            return true;
        }
        level = next;
        depth += 1;
    }
}
