//! Reading of loosely typed JSON that reports every fault, with its path, instead of the first.

use orrery_core::{Fault, Scalar};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A JSON value and where it stands in its document, in Marathon's notation
/// (`/healthChecks(0)/portIndex`).
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    pub(crate) value: &'a Value,
    pub(crate) path: String,
}

/// A JSON object and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    pub(crate) map: &'a Map<String, Value>,
    pub(crate) path: String,
}

impl<'a> Object<'a> {
    /// The field, unless it is absent or null: Marathon does not tell the two apart.
    pub(crate) fn get(&self, key: &str) -> Option<Cursor<'a>> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(Cursor { value, path: format!("{}/{key}", self.path) })
    }

    /// All fields that are not null.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a str, Cursor<'a>)> {
        let path = self.path.clone();
        self.map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(move |(key, value)| (key.as_str(), Cursor { value, path: format!("{path}/{key}") }))
    }
}

/// Collects faults while values are taken out of a document.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) faults: Vec<Fault>,
}

impl Reader {
    pub(crate) fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(path, message));
    }

    /// A fault with the offending value.
    pub(crate) fn wrong(&mut self, at: &Cursor<'_>, message: impl Into<String>) {
        let fault = Fault::new(at.path.clone(), message);
        let fault = if is_sensitive(&at.path) { fault } else { fault.with_value(brief(at.value)) };
        self.faults.push(fault);
    }

    pub(crate) fn object<'a>(&mut self, at: &Cursor<'a>) -> Option<Object<'a>> {
        if let Value::Object(map) = at.value {
            return Some(Object { map, path: at.path.clone() });
        }
        self.wrong(at, "must be an object");
        None
    }

    pub(crate) fn text(&mut self, at: &Cursor<'_>) -> Option<String> {
        if let Value::String(text) = at.value {
            return Some(text.clone());
        }
        self.wrong(at, "must be a text");
        None
    }

    /// A text; numbers and booleans are taken as the text they are written as.
    pub(crate) fn plain_text(&mut self, at: &Cursor<'_>) -> Option<String> {
        match at.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => {
                self.wrong(at, "must be a text");
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, at: &Cursor<'_>) -> Option<bool> {
        if let Value::Bool(flag) = at.value {
            return Some(*flag);
        }
        self.wrong(at, "must be true or false");
        None
    }

    /// A whole number from 0 to `max`; `3.0` counts as whole.
    pub(crate) fn whole(&mut self, at: &Cursor<'_>, max: u64) -> Option<u64> {
        self.whole_from(at, 0, max)
    }

    /// A whole number from `min` to `max`; `3.0` counts as whole.
    pub(crate) fn whole_from(&mut self, at: &Cursor<'_>, min: u64, max: u64) -> Option<u64> {
        let number = match at.value {
            Value::Number(number) => number.as_u64().or_else(|| {
                let float = number.as_f64()?;
                (float.fract() == 0.0 && (0.0..=max as f64).contains(&float)).then_some(float as u64)
            }),
            _ => None,
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.wrong(at, format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    pub(crate) fn port(&mut self, at: &Cursor<'_>) -> Option<u16> {
        self.whole(at, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    }

    pub(crate) fn seconds(&mut self, at: &Cursor<'_>) -> Option<u32> {
        self.whole(at, u64::from(u32::MAX)).and_then(|seconds| u32::try_from(seconds).ok())
    }

    /// A number from `min` to `max` (no upper bound but that of [`Scalar`] when `None`).
    pub(crate) fn scalar(&mut self, at: &Cursor<'_>, min: Scalar, max: Option<Scalar>) -> Option<Scalar> {
        let number = match at.value {
            Value::Number(number) => number.as_f64().and_then(Scalar::from_f64),
            _ => None,
        };
        let number = number.filter(|number| *number >= min && max.is_none_or(|max| *number <= max));
        if number.is_none() {
            let message = match max {
                Some(max) => format!("must be a number from {min} to {max}"),
                None if at.value.is_number() => format!("must be a number from {min} to {}", Scalar::LIMIT),
                None => format!("must be a number, at least {min}"),
            };
            self.wrong(at, message);
        }
        number
    }

    /// One of the given words, in any case.
    pub(crate) fn word<T: Copy>(&mut self, at: &Cursor<'_>, words: &[(&str, T)]) -> Option<T> {
        let found = at.value.as_str().and_then(|text| words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)));
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(at, format!("must be one of {}", allowed.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// A list; entries that do not read are left out, with their faults noted. Null is no entry of any list:
    /// who leaves something out leaves it out whole.
    pub(crate) fn list<'a, T>(
        &mut self,
        at: &Cursor<'a>,
        mut read: impl FnMut(&mut Self, &Cursor<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(entries) = at.value else {
            self.wrong(at, "must be a list");
            return None;
        };
        let cursors = entries.iter().enumerate().map(|(index, value)| Cursor { value, path: format!("{}({index})", at.path) });
        let mut read_entry = |cursor: Cursor<'a>| {
            if cursor.value.is_null() {
                self.wrong(&cursor, "must not be null; leave the entry out");
                return None;
            }
            read(self, &cursor)
        };
        Some(cursors.filter_map(&mut read_entry).collect())
    }

    /// An object of texts; numbers and booleans are taken as texts.
    pub(crate) fn texts(&mut self, at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
        let object = self.object(at)?;
        Some(object.fields().filter_map(|(key, cursor)| Some((key.to_owned(), self.plain_text(&cursor)?))).collect())
    }
}

/// Words in names of fields whose values must not be shown.
const SENSITIVE_WORDS: [&str; 6] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL"];

/// Labels that hold a package's options, encoded.
const SENSITIVE_LABELS: [&str; 2] = ["DCOS_PACKAGE_OPTIONS", "DCOS_PACKAGE_DEFINITION"];

/// Whether the value at this path (of an environment variable, label or parameter) may be a secret
/// by its name.
pub(crate) fn is_sensitive(path: &str) -> bool {
    let mut segments = path.rsplitn(3, '/');
    let name = segments.next().unwrap_or_default().to_ascii_uppercase();
    let parent = segments.next().unwrap_or_default();
    match parent {
        "env" | "environment" => SENSITIVE_WORDS.iter().any(|word| name.contains(word)),
        "labels" => SENSITIVE_LABELS.contains(&name.as_str()) || SENSITIVE_WORDS.iter().any(|word| name.contains(word)),
        _ => false,
    }
}

/// Whether a text of the form `NAME=value` may hold a secret by its name, as in `--env` parameters.
pub(crate) fn is_sensitive_assignment(text: &str) -> bool {
    let name = text.split_once('=').map(|(name, _)| name.to_ascii_uppercase());
    name.is_some_and(|name| SENSITIVE_WORDS.iter().any(|word| name.contains(word)))
}

/// The value as text, containers only by their kind: a fault shows what was given, not all of it.
pub(crate) fn brief(value: &Value) -> String {
    match value {
        Value::Array(entries) => format!("a list of {}", entries.len()),
        Value::Object(fields) => format!("an object of {} fields", fields.len()),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        scalar => scalar.to_string(),
    }
}

/// `value` without null fields, at any depth.
#[must_use]
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, without_nulls(value))).collect(),
        ),
        Value::Array(entries) => Value::Array(entries.into_iter().map(without_nulls).collect()),
        scalar => scalar,
    }
}
