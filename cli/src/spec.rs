//! From documents to what they declare: apps and packages, told apart by their shape.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::document::{Document, Input};
use crate::error::Fault;

/// Deepest nesting of groups.
const MAX_GROUP_DEPTH: usize = 32;

/// What a unit declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitKind {
    App,
    Package,
}

impl UnitKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Package => "package",
        }
    }
}

/// One declared thing and where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) kind: UnitKind,
    /// App id, or the package's app id, or its name when it has none.
    pub(crate) id: String,
    pub(crate) value: Value,
    /// Index of its document.
    pub(crate) document: usize,
    /// JSON pointer of the unit in its document.
    pub(crate) pointer: String,
}

/// Everything an input declares, and every fault of it.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    pub(crate) documents: Vec<Document>,
    pub(crate) units: Vec<Unit>,
    pub(crate) faults: Vec<Fault>,
}

impl Specs {
    /// Finds the units of an input: arrays and groups are flattened.
    pub(crate) fn from_input(input: Input) -> Self {
        let mut specs = Self { documents: input.documents, units: Vec::new(), faults: input.faults };
        let mut found = Vec::new();
        for (index, document) in specs.documents.iter().enumerate() {
            let mut reader = Reader { document: index, units: Vec::new(), faults: Vec::new() };
            reader.value(&document.value, "");
            specs.faults.extend(document.faults(reader.faults));
            found.extend(reader.units);
        }
        specs.units = found;
        specs.refuse_duplicates();
        specs
    }

    fn refuse_duplicates(&mut self) {
        let mut first: HashMap<(&str, &str), &Unit> = HashMap::new();
        let mut faults = Vec::new();
        for unit in &self.units {
            match first.get(&(unit.kind.name(), unit.id.as_str())) {
                Some(other) => {
                    let there = self.place(other, "");
                    let message =
                        format!("{} {} is declared already at {}:{}", unit.kind.name(), unit.id, there.file, there.line);
                    faults.push(Fault { message, value: None, ..self.place(unit, "") });
                }
                None => {
                    first.insert((unit.kind.name(), unit.id.as_str()), unit);
                }
            }
        }
        self.faults.extend(faults);
    }

    /// A fault without message at a field of a unit.
    pub(crate) fn place(&self, unit: &Unit, pointer: &str) -> Fault {
        self.documents[unit.document].fault(&format!("{}{pointer}", unit.pointer), "")
    }
}

struct Reader {
    document: usize,
    units: Vec<Unit>,
    faults: Vec<(String, String)>,
}

impl Reader {
    fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push((pointer.to_owned(), message.into()));
    }

    fn value(&mut self, value: &Value, pointer: &str) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.object(item, &format!("{pointer}/{index}"));
                }
            }
            other => self.object(other, pointer),
        }
    }

    fn object(&mut self, value: &Value, pointer: &str) {
        let Some(map) = value.as_object() else {
            self.fault(pointer, "must be an object: an app, a group of apps, or a package");
            return;
        };
        if map.contains_key("packageName") {
            self.package(map, pointer);
        } else if map.contains_key("apps") || map.contains_key("groups") {
            self.group(map, "/", &[], pointer, 0);
        } else if map.contains_key("containers") {
            self.fault(pointer, "this is a pod, and pods are not supported yet; declare an app with one container");
        } else if map.contains_key("run") {
            self.fault(pointer, "this is a job, and jobs are not supported yet");
        } else if map.contains_key("id") {
            self.app(map, "/", &[], pointer);
        } else {
            let keys: Vec<&str> = map.keys().take(6).map(String::as_str).collect();
            self.fault(
                pointer,
                format!(
                    "cannot tell what this is from its fields ({}): an app has `id`, a group `id` with `apps` or `groups`, a package `packageName`",
                    keys.join(", ")
                ),
            );
        }
    }

    fn package(&mut self, map: &Map<String, Value>, pointer: &str) {
        const FIELDS: [&str; 4] = ["packageName", "packageVersion", "options", "appId"];
        for key in map.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
            let near = nearest(key, &FIELDS).map_or(String::new(), |near| format!("; did you mean {near}?"));
            self.fault(&format!("{pointer}/{}", crate::position::escape(key)), format!("a package has no such field{near}"));
        }
        for key in ["packageName", "packageVersion", "appId"] {
            if map.get(key).is_some_and(|value| !value.is_string() && !value.is_null()) {
                self.fault(&format!("{pointer}/{key}"), "must be a string");
            }
        }
        if map.get("options").is_some_and(|value| !value.is_object() && !value.is_null()) {
            self.fault(&format!("{pointer}/options"), "must be an object");
        }
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let Some(name) = text("packageName") else { return };
        let id = text("appId").map_or_else(|| name.to_owned(), |id| absolute(id, "/"));
        self.push(UnitKind::Package, id, Value::Object(map.clone()), pointer);
    }

    fn app(&mut self, map: &Map<String, Value>, group: &str, dependencies: &[Value], pointer: &str) {
        let Some(id) = self.id(map, group, pointer) else { return };
        let mut map = map.clone();
        map.insert("id".to_owned(), Value::String(id.clone()));
        if !dependencies.is_empty() {
            let own = map.entry("dependencies").or_insert_with(|| Value::Array(Vec::new()));
            if let Some(own) = own.as_array_mut() {
                own.extend(dependencies.iter().cloned());
            }
        }
        self.push(UnitKind::App, id, Value::Object(map), pointer);
    }

    /// An app of a group without `id` or with a bad one is a fault; the others go on.
    fn id(&mut self, map: &Map<String, Value>, group: &str, pointer: &str) -> Option<String> {
        match map.get("id") {
            Some(Value::String(id)) if !id.is_empty() => Some(absolute(id, group)),
            Some(_) => {
                self.fault(&format!("{pointer}/id"), "must be a non-empty string");
                None
            }
            None => {
                self.fault(pointer, "has no id");
                None
            }
        }
    }

    fn group(&mut self, map: &Map<String, Value>, parent: &str, inherited: &[Value], pointer: &str, depth: usize) {
        if depth > MAX_GROUP_DEPTH {
            self.fault(pointer, format!("groups are nested deeper than {MAX_GROUP_DEPTH}"));
            return;
        }
        let id = match map.get("id") {
            None if depth == 0 => "/".to_owned(),
            _ => match self.id(map, parent, pointer) {
                Some(id) => id,
                None => return,
            },
        };
        let mut dependencies = inherited.to_vec();
        for dependency in map.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = dependency.as_str() {
                dependencies.push(Value::String(absolute(name, &id)));
            }
        }
        for (key, value) in map.iter().filter(|(key, _)| matches!(key.as_str(), "apps" | "groups")) {
            let Some(items) = value.as_array() else {
                self.fault(&format!("{pointer}/{key}"), "must be a list");
                continue;
            };
            for (index, item) in items.iter().enumerate() {
                let at = format!("{pointer}/{key}/{index}");
                match item.as_object() {
                    None => self.fault(&at, "must be an object"),
                    Some(item) if key == "apps" => self.app(item, &id, &dependencies, &at),
                    Some(item) => self.group(item, &id, &dependencies, &at, depth + 1),
                }
            }
        }
    }

    fn push(&mut self, kind: UnitKind, id: String, value: Value, pointer: &str) {
        self.units.push(Unit { kind, id, value, document: self.document, pointer: pointer.to_owned() });
    }
}

/// An app or group id as an absolute path: relative ones stand under `group`, `..` goes up.
pub(crate) fn absolute(id: &str, group: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    if !id.starts_with('/') {
        parts.extend(group.split('/').filter(|part| !part.is_empty()));
    }
    for part in id.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The candidate that differs from `word` in at most a quarter of its letters.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 4).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(left != *right)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::parse_into;

    fn specs(text: &str) -> Specs {
        let mut input = Input::default();
        parse_into("x.yaml", text, &mut input);
        Specs::from_input(input)
    }

    #[test]
    fn shapes_are_told_apart() {
        let found = specs("id: web\ncmd: sleep 1\n---\npackageName: redis\nappId: cache\n---\n- {id: /a}\n- {packageName: x}\n");
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        let units: Vec<_> = found.units.iter().map(|unit| (unit.kind.name(), unit.id.as_str())).collect();
        assert_eq!(units, [("app", "/web"), ("package", "/cache"), ("app", "/a"), ("package", "x")]);
    }

    #[test]
    fn groups_are_flattened() {
        let found = specs(
            "id: /shop\ndependencies: [/db]\napps:\n- {id: web, dependencies: [api]}\ngroups:\n- id: in\n  apps:\n  - {id: /shop/in/x}\n  - {id: ../y}\n",
        );
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        let ids: Vec<_> = found.units.iter().map(|unit| unit.id.as_str()).collect();
        assert_eq!(ids, ["/shop/web", "/shop/in/x", "/shop/y"]);
        assert_eq!(found.units[0].value["dependencies"], json!(["api", "/db"]));
        assert_eq!(found.units[1].pointer, "/groups/0/apps/0");
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let found = specs("id: 5\n---\npackageName: x\nversion: 1\n---\ncpus: 1\n---\nid: /a\n---\nid: a\n---\njust text\n");
        let lines: Vec<_> = found.faults.iter().map(|fault| (fault.line, fault.path.as_str())).collect();
        assert_eq!(lines, [(1, "/id"), (4, "/version"), (6, ""), (12, ""), (10, "")], "{:?}", found.faults);
        assert!(found.faults[4].message.contains("declared already at x.yaml:8"), "{:?}", found.faults);
    }

    #[test]
    fn ids_become_absolute() {
        let cases = [("a", "/", "/a"), ("a/b", "/g", "/g/a/b"), ("/a/", "/g", "/a"), ("../x", "/g/h", "/g/x"), ("", "/", "/")];
        for (id, group, expected) in cases {
            assert_eq!(absolute(id, group), expected, "{id} in {group}");
        }
    }

    #[test]
    fn near_words_are_suggested() {
        assert_eq!(nearest("packagename", &["packageName", "appId"]), Some("packageName"));
        assert_eq!(nearest("option", &["packageName", "options"]), Some("options"));
        assert_eq!(nearest("maintainer", &["container"]), None);
        assert_eq!(nearest("zzz", &["packageName", "options"]), None);
    }
}
