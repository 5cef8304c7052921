//! Labels, as both versions of the interface write them.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `[{"key": …, "value": …}]`.
pub(super) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    pairs.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// The pairs of a map.
pub(super) fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
