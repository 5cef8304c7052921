//! `dcos apply`, `dcos diff` and `dcos validate`: the cluster made to match files, or compared with them.
//! Reading and placing of faults happens here; defaults, comparison and writing on the cluster.

use clap::Args;
use orrery_api::marathon::app::{ReadContext, read_app, unknown_fields};
use serde_json::{Value, json};

use crate::change::{Change, applied_line, change_line, failure, faulty, submit, unit_fault, would};
use crate::context::Context;
use crate::document::read_all;
use crate::error::{Error, Fault, Kind, Outcome};
use crate::output::{print_line, print_note};
use crate::position::to_pointer;
use crate::progress::WaitFlags;
use crate::spec::{Specs, Unit, UnitKind};
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

/// Runs `dcos apply`.
pub(crate) async fn apply(context: &Context, args: ApplyArgs) -> Outcome {
    let specs = read(&args.files, false)?;
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
        let again = again(&args.files, &goal);
        watch::wait(context, &client, &goal, Some(args.wait.timeout), &again).await?;
    }
    Ok(0)
}

/// The command that takes a wait up again. Standard input can't be read twice, so its deployment is named.
fn again(files: &Files, goal: &Goal) -> String {
    match goal.deployments.first() {
        Some(id) if files.files.iter().any(|file| file == "-") => format!("dcos marathon deployment watch {id}"),
        _ => {
            let recursive = if files.recursive { " -R" } else { "" };
            files.files.iter().fold(format!("dcos apply --wait{recursive}"), |text, file| format!("{text} -f {file}"))
        }
    }
}

/// Runs `dcos diff`.
pub(crate) async fn diff(context: &Context, args: DiffArgs) -> Outcome {
    let specs = read(&args.files, false)?;
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
    let specs = read(&args.files, true)?;
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

/// Reads the files; any fault in any of them ends the command before anything is sent. `strict` checks the fields
/// of apps here too; else the cluster does, which may know more of them.
/// The documents of files, as the cluster takes them.
pub(crate) fn units(files: &[String], recursive: bool) -> Result<Vec<Value>, Error> {
    let specs = read(&Files { files: files.to_vec(), recursive }, false)?;
    Ok(specs.units.iter().map(|unit| json!({"value": unit.value})).collect())
}

fn read(files: &Files, strict: bool) -> Result<Specs, Error> {
    let mut specs = Specs::from_input(read_all(&files.files, files.recursive)?);
    if strict || !specs.faults.is_empty() {
        let found: Vec<Fault> = specs.units.iter().flat_map(|unit| app_faults(&specs, unit)).collect();
        specs.faults.extend(found);
    }
    if !specs.faults.is_empty() {
        return Err(faulty(specs.faults));
    }
    warn_of_unknown_fields(&specs);
    if specs.units.is_empty() {
        return Err(Error::usage("the input declares nothing").cause("the files are empty, or hold only comments"));
    }
    Ok(specs)
}

/// Faults of an app's fields.
fn app_faults(specs: &Specs, unit: &Unit) -> Vec<Fault> {
    if unit.kind != UnitKind::App {
        return Vec::new();
    }
    let read = read_app(&unit.value, ReadContext { base_group: "/", path_id: None });
    let place = |fault: orrery_core::Fault| unit_fault(specs, unit, to_pointer(&fault.path), &fault.message, fault.value);
    read.err().into_iter().flatten().map(place).collect()
}

/// Marathon takes fields it does not know without a word; a slip in a name should not pass so quietly.
fn warn_of_unknown_fields(specs: &Specs) {
    for unit in specs.units.iter().filter(|unit| unit.kind == UnitKind::App) {
        for field in unknown_fields(&unit.value) {
            let meant = field.similar.map_or(String::new(), |similar| format!("; did you mean {similar}?"));
            let message = format!("is no field of an app and has no effect{meant}");
            let path = to_pointer(&field.path);
            print_note(&format!("warning: {}", unit_fault(specs, unit, path, &message, None).to_line()));
        }
    }
}

fn print_changes(context: &Context, change: &Change) -> Result<(), Error> {
    let color = context.globals.color.enabled(std::io::IsTerminal::is_terminal(&std::io::stdout()));
    for line in change.changes.iter().map(|change| change_line(change, color)) {
        print_line(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::{Input, parse_into};

    fn faults_of(text: &str) -> Vec<String> {
        let mut input = Input::default();
        parse_into("x.yaml", text, &mut input);
        let specs = Specs::from_input(input);
        let fields = specs.units.iter().flat_map(|unit| app_faults(&specs, unit));
        specs.faults.iter().cloned().chain(fields).map(|fault| fault.to_line()).collect()
    }

    #[test]
    fn fields_of_apps_are_checked_with_their_places() {
        let faults = faults_of("id: /web\ncmd: x\ncpus: -1\nhealthChecks:\n- protocol: SMOKE\n---\nid: /Bad Id\ncmd: x\n");
        let places: Vec<&str> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["x.yaml:3:1", "x.yaml:5:3", "x.yaml:7:1"], "{faults:?}");
    }

    #[test]
    fn a_sound_app_has_no_faults() {
        assert_eq!(faults_of("id: /web\ncmd: sleep 1\ncpus: 0.1\nmem: 32\n"), [""; 0]);
    }

    /// Fragments that specs are made of, sound and broken.
    fn fragment() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "id: /a\n",
            "id: ",
            "cmd: x\n",
            "cpus: 1e999\n",
            "mem: -0\n",
            "env: {A: 1, A: 2}\n",
            "ports: [0, x, 99999]\n",
            "container:\n  docker:\n    image: i\n",
            "  network: BRIDGE\n",
            "- ",
            "---\n",
            "...\n",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "'",
            "healthChecks: [{protocol: HTTP, path: /}]\n",
            "groups: [{id: g, apps: [{id: x}]}]\n",
            "packageName: p\n",
            "options: &a {x: *a}\n",
            "<<: *a\n",
            "? {a: b}\n: c\n",
            "instances: 18446744073709551616\n",
            "\t",
            "#",
            "!!binary x\n",
            "constraints: [[hostname, UNIQUE]]\n",
            "fetch: [{uri: x}]\n",
            "labels: {\"~/\": null}\n",
            "upgradeStrategy: 3\n",
        ])
    }

    proptest! {
        #[test]
        fn no_spec_panics(parts in proptest::collection::vec(fragment(), 0..12)) {
            let _ = faults_of(&parts.concat());
        }
    }
}
