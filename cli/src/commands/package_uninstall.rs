//! `dcos package uninstall`.

use clap::Args;
use serde_json::{Value, json};

use super::package::installed_packages;
use crate::context::Context;
use crate::cosmos;
use crate::error::{Error, Outcome};
use crate::marathon::{list, normalize_id, text};
use crate::output::{confirm_text, print_line, print_note, stdin_is_terminal};
use crate::plugin;

/// Arguments of `dcos package uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos package uninstall redis
  dcos package uninstall redis --app-id=/cache --yes
  dcos package uninstall redis --all --yes")]
pub(crate) struct UninstallArgs {
    /// Name of the package
    name: String,
    /// Only its command, not its app
    #[arg(long, conflicts_with_all = ["app", "app_id", "all"])]
    cli: bool,
    /// Only its app, not its command
    #[arg(long)]
    app: bool,
    /// The instance with this app id
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    app_id: Option<String>,
    /// All instances
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs `dcos package uninstall`.
pub(crate) async fn run(context: &Context, args: UninstallArgs) -> Outcome {
    let both = !args.app && !args.cli;
    if args.cli {
        if !remove_plugin(context, &args.name)? {
            return Err(not_installed(&args.name));
        }
        return Ok(0);
    }
    let client = context.client()?;
    let installed = installed_packages(context, Some(&client), Some(&args.name), None).await?;
    let Some(package) = installed.first() else { return Err(not_installed(&args.name)) };
    let has_app = installed.iter().any(|package| !list(package, "apps").is_empty());
    if !args.yes {
        if !stdin_is_terminal() && std::env::var_os("DCOS_ASSUME_TERMINAL").is_none() {
            print_note("(reading the confirmation from standard input; --yes skips it)");
        }
        let (warning, prompt, expected) = confirmation(&args, package);
        print_line(&warning)?;
        if !confirm_text(&prompt, &expected)? {
            print_line("Cancelling uninstall.")?;
            return Ok(0);
        }
    }
    if has_app {
        let mut body = json!({"packageName": args.name});
        if args.all {
            body["all"] = json!(true);
        }
        if let Some(id) = &args.app_id {
            body["appId"] = json!(normalize_id(id));
        }
        let answer = cosmos::post(&client, cosmos::UNINSTALL, &body).await?;
        if context.structured() {
            context.print(&answer)?;
        }
        for result in list(&answer, "results") {
            let version = result.get("packageVersion").and_then(Value::as_str).unwrap_or("unknown");
            print_note(&format!("Uninstalled package [{}] version [{version}]", text(result, "packageName")));
            if let Some(notes) = result.get("postUninstallNotes").and_then(Value::as_str) {
                print_note(notes);
            }
        }
    }
    // The command goes with the last instance.
    let instances: usize = installed.iter().map(|package| list(package, "apps").len()).sum();
    if both && (instances <= 1 || args.all) {
        remove_plugin(context, &args.name)?;
    }
    Ok(0)
}

fn not_installed(name: &str) -> Error {
    Error::not_found(format!("Package '{name}' is not installed.")).fix("dcos package list")
}

fn confirmation(args: &UninstallArgs, package: &Value) -> (String, String, String) {
    let name = &args.name;
    if list(package, "apps").is_empty() {
        return (
            format!("WARNING: This will uninstall [{name}] and delete its subcommand(s)."),
            "Please type the name of the package to confirm".to_owned(),
            name.clone(),
        );
    }
    if args.all {
        let phrase = format!("uninstall all {name}");
        return (
            format!(
                "WARNING: This action cannot be undone. This will uninstall all instances of the [{name}] package, and delete all data for all {name} instances."
            ),
            format!("Please type '{phrase}'"),
            phrase,
        );
    }
    let what = args.app_id.as_ref().unwrap_or(name);
    (
        format!(
            "WARNING: This action cannot be undone. This will uninstall [{what}] and delete all of its persistent data (logs, configurations, database artifacts, everything)."
        ),
        "Please type the name of the service to confirm".to_owned(),
        what.clone(),
    )
}

/// Removes the command that a package has brought; false when there is none.
fn remove_plugin(context: &Context, name: &str) -> Result<bool, Error> {
    let cluster = context.cluster()?;
    if !plugin::installed(&cluster).iter().any(|plugin| plugin == name) {
        return Ok(false);
    }
    let Some(directory) = plugin::plugins_directory(&cluster).map(|directory| directory.join(name)) else {
        return Ok(false);
    };
    std::fs::remove_dir_all(&directory)
        .map_err(|error| Error::general(format!("cannot remove {}: {error}", directory.display())))?;
    print_note(&format!("Removed the command `dcos {name}`"));
    Ok(true)
}
