//! `dcos apply`, `dcos diff` and `dcos validate`: the cluster made to match files, or compared with them.
//! Reading and placing of faults happens here; defaults, comparison and writing on the cluster.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::context::Context;
use crate::document::read_all;
use crate::error::{Error, Fault, Kind, Outcome};
use crate::marathon::{list, text};
use crate::output::{Color, paint, print_line, print_note};
use crate::position::to_pointer;
use crate::progress::WaitFlags;
use crate::spec::{Specs, Unit};
use crate::watch::{self, Goal};

const SHAPES: &str = "\
Files are YAML (several documents separated by ---) or JSON. Each document, or item of a list, is
  an app      {id: /web, cmd: …}                      as `dcos marathon app add` takes it
  a group     {id: /shop, apps: […], groups: […]}     its apps are taken one by one; nothing is deleted
  a package   {packageName: redis, packageVersion: …, options: {…}, appId: /cache}";

/// Files to read.
#[derive(Debug, Clone, Args)]
struct Files {
    /// File, directory, or `-` for standard input; may be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Descend into directories
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// Arguments of `dcos apply`.
#[derive(Debug, Args)]
#[command(after_help = format!("{SHAPES}

Applying what is there already writes nothing.

Examples:
  dcos apply -f web.yaml --wait
  dcos apply -f specs/ -R --dry-run
  git show main:specs/web.yaml | dcos apply -f -"))]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    files: Files,
    /// Show what would change and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitFlags,
}

/// Arguments of `dcos diff`.
#[derive(Debug, Args)]
#[command(after_help = format!("{SHAPES}

Exit codes: 0 no differences, 1 differences, above 1 an error.

Examples:
  dcos diff -f specs/ -R
  dcos diff -f web.yaml && echo in sync"))]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    files: Files,
}

/// Arguments of `dcos validate`.
#[derive(Debug, Args)]
#[command(after_help = format!("{SHAPES}

Every fault is reported with its file, line and field. With a cluster attached, the cluster checks the
fields as well, without changing anything.

Examples:
  dcos validate -f specs/ -R
  dcos validate -f web.yaml --offline"))]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    files: Files,
    /// Ask no cluster
    #[arg(long)]
    offline: bool,
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    kind: String,
    id: String,
    action: String,
    changes: Vec<Value>,
    message: String,
    deployment: Option<String>,
    app: Option<String>,
    faults: Vec<Fault>,
}

impl Change {
    fn failed(&self) -> bool {
        self.action == "failed"
    }

    fn changed(&self) -> bool {
        self.action != "unchanged"
    }
}

/// Runs `dcos apply`.
pub(crate) async fn apply(context: &Context, args: ApplyArgs) -> Outcome {
    let specs = read(&args.files)?;
    let client = context.client()?;
    let (answer, changes) = submit(&client, &specs, args.dry_run).await?;
    if context.structured() {
        context.print(&answer)?;
    } else {
        for change in changes.iter().filter(|change| !change.failed()) {
            print_line(&applied_line(change, args.dry_run))?;
            if args.dry_run || context.globals.verbose > 0 {
                print_changes(context, change)?;
            }
        }
    }
    if let Some(error) = failure(&changes) {
        return Err(error);
    }
    if args.wait.wait && !args.dry_run {
        let goal = Goal {
            apps: changes.iter().filter_map(|change| change.app.clone()).collect(),
            deployments: changes.iter().filter_map(|change| change.deployment.clone()).collect(),
            healthy: true,
        };
        let again = args.files.files.iter().fold("dcos apply --wait".to_owned(), |text, file| format!("{text} -f {file}"));
        let again = if args.files.recursive { format!("{again} -R") } else { again };
        watch::wait(context, &client, &goal, Some(args.wait.timeout), &again).await?;
    }
    Ok(0)
}

/// Runs `dcos diff`.
pub(crate) async fn diff(context: &Context, args: DiffArgs) -> Outcome {
    let specs = read(&args.files)?;
    let (answer, changes) = submit(&context.client()?, &specs, true).await?;
    if let Some(error) = failure(&changes) {
        return Err(error);
    }
    let differing: Vec<&Change> = changes.iter().filter(|change| change.changed()).collect();
    if context.structured() {
        context.print(&answer)?;
    } else {
        for change in &differing {
            print_line(&format!("{} {}: {}", change.kind, change.id, would(&change.action)))?;
            print_changes(context, change)?;
        }
        print_note(&format!("{} of {} would change", differing.len(), changes.len()));
    }
    Ok(u8::from(!differing.is_empty()))
}

/// Runs `dcos validate`.
pub(crate) async fn validate(context: &Context, args: ValidateArgs) -> Outcome {
    let specs = read(&args.files)?;
    let mut checked = "";
    if !args.offline {
        match context.client() {
            Err(_) => print_note("No cluster is attached, so only the form of the files was checked."),
            Ok(client) => match submit(&client, &specs, true).await {
                Ok((_, changes)) => {
                    if let Some(error) = failure(&changes) {
                        return Err(Error { kind: Kind::Usage, ..error });
                    }
                    checked = ", and the cluster accepts them";
                }
                Err(error) if error.kind == Kind::Unreachable => {
                    print_note(&format!("{}, so only the form of the files was checked.", error.summary));
                }
                Err(error) => return Err(error),
            },
        }
    }
    if context.structured() {
        let units: Vec<Value> = specs.units.iter().map(|unit| json!({"kind": unit.kind.name(), "id": unit.id})).collect();
        context.print(&json!({"valid": true, "specs": units}))?;
    } else {
        print_line(&format!("{} specs are valid{checked}.", specs.units.len()))?;
    }
    Ok(0)
}

/// Reads the files; any fault in any of them ends the command before anything is sent.
fn read(files: &Files) -> Result<Specs, Error> {
    let specs = Specs::from_input(read_all(&files.files, files.recursive)?);
    if !specs.faults.is_empty() {
        return Err(faulty(specs.faults));
    }
    if specs.units.is_empty() {
        return Err(Error::usage("the input declares nothing").cause("the files are empty, or hold only comments"));
    }
    Ok(specs)
}

fn faulty(mut faults: Vec<Fault>) -> Error {
    faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let mut files: Vec<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    files.dedup();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let summary = format!(
        "{} fault{} in {} file{}; nothing was changed",
        faults.len(),
        plural(faults.len()),
        files.len(),
        plural(files.len())
    );
    Error::usage(summary).faults(faults)
}

/// Sends the units to the cluster and places its answers.
async fn submit(client: &Client, specs: &Specs, dry_run: bool) -> Result<(Value, Vec<Change>), Error> {
    let documents: Vec<Value> = specs
        .units
        .iter()
        .map(|unit| {
            let place = specs.place(unit, "");
            json!({"source": {"file": place.file, "line": place.line}, "value": unit.value})
        })
        .collect();
    let body = json!({"documents": documents, "dryRun": dry_run});
    let answer = client.json(Method::POST, "/v1/apply", Some(&body)).await.map_err(|error| match error.kind {
        Kind::NotFound => Error::general("this cluster cannot apply files")
            .cause(error.summary)
            .fix("add apps one by one: dcos marathon app add FILE"),
        _ => error,
    })?;
    let changes = to_changes(specs, list(&answer, "results"));
    Ok((answer, changes))
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
        Some(unit) => {
            let place = specs.place(unit, &path);
            // The path shown is the one inside the spec, which is what the user thinks in.
            Fault { path, message: format!("{kind} {id}: {message}"), ..place }
        }
        None => Fault { path, message: format!("{kind} {id}: {message}"), ..Fault::default() },
    });
    let app = result.get("appId").and_then(Value::as_str).map(str::to_owned);
    Change {
        app: app.or_else(|| id.starts_with('/').then(|| id.clone())),
        deployment: result.get("deploymentId").and_then(Value::as_str).map(str::to_owned),
        changes: list(result, "changes").to_vec(),
        faults: faults.collect(),
        kind,
        id,
        action,
        message,
    }
}

/// The error of the units that failed, if any did.
fn failure(changes: &[Change]) -> Option<Error> {
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

fn applied_line(change: &Change, dry_run: bool) -> String {
    let mut line = format!("{} {} {}", change.kind, change.id, change.action);
    if dry_run {
        line += " (dry run)";
    } else if let Some(deployment) = &change.deployment {
        line += &format!(" (deployment {deployment})");
    }
    line
}

fn would(action: &str) -> &str {
    match action {
        "created" => "would be created",
        "configured" => "would change",
        other => other,
    }
}

fn print_changes(context: &Context, change: &Change) -> Result<(), Error> {
    let color = context.globals.color.enabled(std::io::IsTerminal::is_terminal(&std::io::stdout()));
    for line in change.changes.iter().map(|change| change_line(change, color)) {
        print_line(&line)?;
    }
    Ok(())
}

/// `+ /env/A: "1"`, `- /env/A: "1"` or `~ /cpus: 0.1 → 0.2`.
fn change_line(change: &Value, color: bool) -> String {
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
    fn all_unchanged_is_no_failure() {
        let specs = specs("id: /a\n");
        let changes = to_changes(&specs, &[json!({"kind": "app", "id": "/a", "action": "unchanged", "changes": []})]);
        assert!(failure(&changes).is_none());
        assert!(!changes[0].changed());
    }
}
