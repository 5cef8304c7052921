//! What the cluster answers to specs: a change, or faults, for each of them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::{Error, Fault, Kind};
use crate::failure::status_error;
use crate::marathon::{list, text};
use crate::output::{Color, paint};
use crate::position::to_pointer;
use crate::spec::{Specs, Unit, UnitKind};

/// What became of a unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) kind: String,
    pub(crate) id: String,
    /// `unchanged`, `created`, `configured` or `failed`.
    pub(crate) action: String,
    /// Fields that differ: `{path, old?, new?}`.
    pub(crate) changes: Vec<Value>,
    /// The deployment that makes the change.
    pub(crate) deployment: Option<String>,
    /// Id of the app that it leads to.
    pub(crate) app: Option<String>,
    /// Why it failed, with places.
    pub(crate) faults: Vec<Fault>,
}

impl Change {
    pub(crate) fn failed(&self) -> bool {
        self.action == "failed"
    }

    pub(crate) fn changed(&self) -> bool {
        self.action != "unchanged"
    }
}

/// Sends the units to the cluster and places its answers.
pub(crate) async fn submit(client: &Client, specs: &Specs, dry_run: bool) -> Result<(Value, Vec<Change>), Error> {
    let documents: Vec<Value> = specs
        .units
        .iter()
        .map(|unit| {
            let place = specs.place(unit, "");
            json!({"source": {"file": place.file, "line": place.line}, "value": unit.value})
        })
        .collect();
    let body = json!({"documents": documents, "dryRun": dry_run}).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let reply = client.send(Method::POST, "/v1/apply", &headers, Some(body)).await?;
    if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
        let faults = refused_faults(specs, &reply.json()?);
        if !faults.is_empty() {
            return Err(faulty(faults));
        }
    }
    if !reply.status.is_success() {
        let error = status_error(&reply);
        return Err(match error.kind {
            Kind::NotFound => Error::general("this cluster cannot apply files")
                .cause(error.summary)
                .fix("add apps one by one: dcos marathon app add FILE"),
            _ => error,
        });
    }
    let answer = reply.json()?;
    let changes = to_changes(specs, list(&answer, "results"));
    Ok((answer, changes))
}

/// Faults of a refused request: `{document, path, message, value?}` each, by the unit's index.
fn refused_faults(specs: &Specs, answer: &Value) -> Vec<Fault> {
    let place = |fault: &Value| {
        let index = fault.get("document").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        let path = to_pointer(text(fault, "path"));
        let value = fault.get("value").and_then(Value::as_str).map(str::to_owned);
        let message = text(fault, "message");
        match index.and_then(|index| specs.units.get(index)) {
            Some(unit) => unit_fault(specs, unit, path, message, value),
            None => Fault { path, value, message: message.to_owned(), ..Fault::default() },
        }
    };
    list(answer, "faults").iter().map(place).collect()
}

/// A fault at its place in the file, with the path inside the spec, which is what the user thinks in.
pub(crate) fn unit_fault(specs: &Specs, unit: &Unit, path: String, message: &str, value: Option<String>) -> Fault {
    let place = specs.place(unit, &path);
    let message = format!("{} {}: {message}", unit.kind.name(), unit.id);
    Fault { value: value.or(place.value), path, message, file: place.file, line: place.line, column: place.column }
}

/// The error of files with faults.
pub(crate) fn faulty(mut faults: Vec<Fault>) -> Error {
    faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let mut files: Vec<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    files.dedup();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (count, of) = (faults.len(), files.len());
    let summary = format!("{count} fault{} in {of} file{}; nothing was changed", plural(count), plural(of));
    Error::usage(summary).faults(faults)
}

fn to_changes(specs: &Specs, results: &[Value]) -> Vec<Change> {
    results
        .iter()
        .enumerate()
        .map(|(index, result)| {
            let by_place = if results.len() == specs.units.len() { specs.units.get(index) } else { None };
            let unit = by_place.or_else(|| {
                specs.units.iter().find(|unit| unit.id == text(result, "id") && unit.kind.name() == text(result, "kind"))
            });
            to_change(specs, unit, result)
        })
        .collect()
}

fn to_change(specs: &Specs, unit: Option<&Unit>, result: &Value) -> Change {
    let or_unit = |key: &str, of: fn(&Unit) -> &str| match (text(result, key), unit) {
        ("", Some(unit)) => of(unit).to_owned(),
        (text, _) => text.to_owned(),
    };
    let id = or_unit("id", |unit| &unit.id);
    let kind = or_unit("kind", |unit| unit.kind.name());
    let message = text(result, "message").to_owned();
    let action = text(result, "action").to_owned();
    let mut found: Vec<(String, String)> = ["faults", "errors", "details"]
        .iter()
        .flat_map(|key| list(result, key))
        .map(|fault| {
            let words = ["message", "error"].iter().map(|key| text(fault, key)).find(|text| !text.is_empty());
            let many: Vec<&str> = list(fault, "errors").iter().filter_map(Value::as_str).collect();
            (to_pointer(text(fault, "path")), words.map_or_else(|| many.join("; "), str::to_owned))
        })
        .collect();
    if found.is_empty() && action == "failed" {
        let message = if message.is_empty() { "the cluster refused it without a reason".to_owned() } else { message.clone() };
        found.push((String::new(), message));
    }
    let faults = found.into_iter().map(|(path, message)| match unit {
        Some(unit) => unit_fault(specs, unit, path, &message, None),
        None => Fault { path, message: format!("{kind} {id}: {message}"), ..Fault::default() },
    });
    let app = result.get("appId").and_then(Value::as_str).map(str::to_owned);
    Change {
        app: app.or_else(|| id.starts_with('/').then(|| id.clone())),
        deployment: result.get("deploymentId").and_then(Value::as_str).map(str::to_owned),
        changes: shown_changes(unit, list(result, "changes")),
        faults: faults.collect(),
        kind,
        id,
        action,
    }
}

/// A new object is shown by the fields that its author wrote, not by all defaults.
fn shown_changes(unit: Option<&Unit>, changes: &[Value]) -> Vec<Value> {
    const PACKAGE_FIELDS: [&str; 6] = ["cmd", "args", "instances", "cpus", "mem", "container"];
    let [change] = changes else { return changes.to_vec() };
    let (Some(unit), Some(new), "") = (unit, change.get("new").and_then(Value::as_object), text(change, "path")) else {
        return changes.to_vec();
    };
    let written = |key: &str| match unit.kind {
        UnitKind::App => unit.value.get(key).is_some(),
        UnitKind::Package => PACKAGE_FIELDS.contains(&key),
    };
    new.iter()
        .filter(|(key, value)| written(key) && !value.is_null())
        .map(|(key, value)| json!({"path": format!("/{key}"), "new": value}))
        .collect()
}

/// The error of the units that failed, if any did.
pub(crate) fn failure(changes: &[Change]) -> Option<Error> {
    let failed: Vec<&Change> = changes.iter().filter(|change| change.failed()).collect();
    if failed.is_empty() {
        return None;
    }
    let faults = failed.iter().flat_map(|change| change.faults.clone()).collect();
    let done = changes.iter().filter(|change| !change.failed() && change.changed()).count();
    let kind = if done > 0 { Kind::Partial } else { Kind::Usage };
    let summary = format!("{} of {} specs failed", failed.len(), changes.len());
    Some(Error::new(kind, summary).faults(faults).fix("correct these places and run the same command again"))
}

pub(crate) fn applied_line(change: &Change, dry_run: bool) -> String {
    let mut line = format!("{} {} {}", change.kind, change.id, change.action);
    if dry_run {
        line += " (dry run)";
    } else if let Some(deployment) = &change.deployment {
        line += &format!(" (deployment {deployment})");
    }
    line
}

pub(crate) fn would(action: &str) -> &str {
    match action {
        "created" => "would be created",
        "configured" => "would change",
        other => other,
    }
}

/// `+ /env/A: "1"`, `- /env/A: "1"` or `~ /cpus: 0.1 → 0.2`.
pub(crate) fn change_line(change: &Value, color: bool) -> String {
    let path = match text(change, "path") {
        "" => "/",
        path => path,
    };
    let side = |key: &str| change.get(key).filter(|value| !value.is_null()).map(Value::to_string);
    match (side("old"), side("new")) {
        (None, Some(new)) => paint(&format!("  + {path}: {new}"), Color::Green, color),
        (Some(old), None) => paint(&format!("  - {path}: {old}"), Color::Red, color),
        (old, new) => {
            let (old, new) = (old.unwrap_or_else(|| "null".to_owned()), new.unwrap_or_else(|| "null".to_owned()));
            paint(&format!("  ~ {path}: {old} → {new}"), Color::Yellow, color)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Input, parse_into};

    fn specs(text: &str) -> Specs {
        let mut input = Input::default();
        parse_into("web.yaml", text, &mut input);
        Specs::from_input(input)
    }

    #[test]
    fn faults_of_the_cluster_get_their_line() {
        let specs = specs("id: /ok\n---\nid: /g\napps:\n- id: web\n  cpus: -1\n");
        let results = [
            json!({"kind": "app", "id": "/ok", "action": "created", "deploymentId": "d"}),
            json!({"kind": "app", "id": "/g/web", "action": "failed", "faults": [{"path": "/cpus", "message": "must be 0 or more"}]}),
        ];
        let changes = to_changes(&specs, &results);
        let error = failure(&changes).unwrap();
        assert_eq!(error.kind, Kind::Partial);
        assert_eq!(error.faults[0].to_line(), "web.yaml:6:3: /cpus: app /g/web: must be 0 or more (found -1)");
        assert_eq!(applied_line(&changes[0], false), "app /ok created (deployment d)");
    }

    #[test]
    fn refusals_without_fields_are_placed_at_the_spec() {
        let specs = specs("# x\npackageName: nothing\n");
        let results = [json!({"kind": "package", "id": "nothing", "action": "failed", "message": "Package [nothing] not found"})];
        let error = failure(&to_changes(&specs, &results)).unwrap();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(error.faults[0].to_line(), "web.yaml:2:1: package nothing: Package [nothing] not found");
    }

    #[test]
    fn changes_read_like_a_diff() {
        let cases = [
            (json!({"path": "/cpus", "old": 1, "new": 2}), "  ~ /cpus: 1 → 2"),
            (json!({"path": "/env/A", "new": "1"}), "  + /env/A: \"1\""),
            (json!({"path": "/env/A", "old": "1", "new": null}), "  - /env/A: \"1\""),
        ];
        for (change, line) in cases {
            assert_eq!(change_line(&change, false), line);
        }
    }

    #[test]
    fn a_refused_request_places_every_fault() {
        let specs = specs("- id: /a\n  healthChecks:\n  - protocol: X\n- packageName: redis\n  options: {cpus: many}\n");
        let answer = json!({"message": "2 faults", "faults": [
            {"document": 0, "source": {}, "path": "/healthChecks(0)/protocol", "message": "no such protocol", "value": "X"},
            {"document": 1, "source": {}, "path": "/options/cpus", "message": "must be a number"}]});
        let lines: Vec<String> = refused_faults(&specs, &answer).iter().map(Fault::to_line).collect();
        assert_eq!(
            lines,
            [
                "web.yaml:3:5: /healthChecks/0/protocol: app /a: no such protocol (found X)",
                "web.yaml:5:13: /options/cpus: package redis: must be a number (found \"many\")",
            ]
        );
    }

    #[test]
    fn a_new_app_is_shown_by_what_was_written() {
        let specs = specs("id: /a\ncpus: 1\n");
        let results = [json!({"kind": "app", "id": "/a", "action": "created",
            "changes": [{"path": "", "new": {"id": "/a", "cpus": 1, "mem": 128}}]})];
        let changes = &to_changes(&specs, &results)[0].changes;
        let lines: Vec<String> = changes.iter().map(|change| change_line(change, false)).collect();
        assert_eq!(lines, ["  + /id: \"/a\"", "  + /cpus: 1"]);
    }

    #[test]
    fn all_unchanged_is_no_failure() {
        let specs = specs("id: /a\n");
        let changes = to_changes(&specs, &[json!({"kind": "app", "id": "/a", "action": "unchanged", "changes": []})]);
        assert!(failure(&changes).is_none());
        assert!(!changes[0].changed());
    }
}
