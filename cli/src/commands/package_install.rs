//! `dcos package install`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::context::Context;
use crate::cosmos;
use crate::error::{Error, Outcome};
use crate::marathon::{app_path, list, normalize_id, text};
use crate::options::Options;
use crate::output::{confirm, pretty_json, print_line, print_note};
use crate::plugin_install;
use crate::progress::WaitFlags;
use crate::watch::{self, Goal};

/// Arguments of `dcos package install`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos package install hello-world                             ask, then install
  dcos package install redis --yes --wait                      wait until it is healthy
  dcos package install redis --options=redis.yaml --app-id=/team/cache
  dcos package install redis --set service.cpus=0.5 --dry-run  show the app, install nothing")]
pub(crate) struct InstallArgs {
    /// Name of the package
    name: String,
    /// Version of the package (default: the newest)
    #[arg(long, value_name = "VERSION")]
    package_version: Option<String>,
    /// File with options, JSON or YAML; `-` for standard input
    #[arg(long, value_name = "FILE")]
    options: Option<String>,
    /// Set one option, such as service.cpus=0.5; wins over the file
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Id of the app, to install a package more than once
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Only its command, not its app
    #[arg(long, conflicts_with = "app")]
    cli: bool,
    /// Only its app, not its command
    #[arg(long)]
    app: bool,
    /// Kept for old scripts; does nothing
    #[arg(long, hide = true)]
    global: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Show the app that would run and install nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitFlags,
}

/// Runs `dcos package install`.
pub(crate) async fn run(context: &Context, args: InstallArgs) -> Outcome {
    let both = !args.app && !args.cli;
    let (want_app, want_cli) = (args.app || both, args.cli || both);
    if args.global {
        print_note("Usage of --global is deprecated; it does nothing.");
    }
    // A bad options file is reported before anything else.
    let options = Options::read(args.options.as_deref(), &args.set)?;
    let client = context.client()?;
    let mut body = json!({"packageName": args.name});
    if let Some(version) = &args.package_version {
        body["packageVersion"] = json!(version);
    }
    let described = cosmos::post(&client, cosmos::DESCRIBE, &body).await?;
    let package = described.get("package").unwrap_or(&described);
    let has_app = package.pointer("/marathon/v2AppMustacheTemplate").is_some();
    // The version that was shown is the version that gets installed.
    body["packageVersion"] = json!(text(package, "version"));
    body["options"] = Value::Object(options.value.clone());
    if let Some(id) = &args.app_id {
        body["appId"] = json!(normalize_id(id));
    }
    let located = |error: Error| Error { faults: options.locate(error.faults.clone()), ..error };
    if args.dry_run {
        if !has_app {
            return Err(Error::usage(format!("package [{}] runs no app, so there is nothing to show", args.name)));
        }
        let rendered = cosmos::post(&client, cosmos::RENDER, &body).await.map_err(located)?;
        context.print(rendered.get("marathonJson").unwrap_or(&rendered))?;
        print_note("Nothing was installed (dry run).");
        return Ok(0);
    }
    let people = !context.structured();
    if people {
        show_terms(package, want_app, &options)?;
    }
    if !people && !args.yes {
        return Err(Error::usage("nobody can be asked while printing for programs").fix("add --yes"));
    }
    if !confirm("Continue installing?", args.yes)? {
        print_line("Exiting installation.")?;
        return Ok(1);
    }
    let mut result = json!({"packageName": text(package, "name"), "packageVersion": text(package, "version")});
    let mut app_id = None;
    if want_app && has_app {
        if people {
            print_line(&heading("Installing Marathon app", package))?;
        }
        let installed = cosmos::post(&client, cosmos::INSTALL, &body).await.map_err(located)?;
        if let (Some(all), Some(more)) = (result.as_object_mut(), installed.as_object()) {
            all.extend(more.clone());
        }
        app_id = installed.get("appId").and_then(Value::as_str).map(str::to_owned);
    }
    if want_cli && package.pointer("/resource/cli/binaries").is_some() {
        if people {
            print_line(&heading("Installing CLI subcommand", package))?;
        }
        let commands = plugin_install::install(context, &client, package).await?;
        if people && !commands.is_empty() {
            let plural = if commands.len() > 1 { "s" } else { "" };
            print_line(&format!("New command{plural} available: {}", commands.join(", ")))?;
        }
        result["commands"] = json!(commands);
    }
    if let (true, Some(notes)) = (people && want_app, package.get("postInstallNotes").and_then(Value::as_str)) {
        print_line(notes)?;
    }
    if let Some(id) = &app_id {
        if args.wait.wait {
            wait(context, &client, id, &args).await?;
        } else if people {
            print_note(&format!("The cluster starts it now. See how far it is: dcos explain {id}"));
        }
    }
    if !people {
        context.print(&result)?;
    }
    Ok(0)
}

fn heading(what: &str, package: &Value) -> String {
    format!("{what} for package [{}] version [{}]", text(package, "name"), text(package, "version"))
}

/// Terms, notes and the options that will be used.
fn show_terms(package: &Value, app: bool, options: &Options) -> Result<(), Error> {
    let licenses: Vec<String> = list(package, "licenses")
        .iter()
        .map(|license| format!("{} {}", text(license, "name"), text(license, "url")).trim().to_owned())
        .collect();
    let terms = if licenses.is_empty() { "of its maintainer".to_owned() } else { format!("of {}", licenses.join(", ")) };
    print_line(&format!("By Deploying, you agree to the Terms and Conditions {terms}"))?;
    if let (true, Some(notes)) = (app, package.get("preInstallNotes").and_then(Value::as_str)) {
        print_line(notes)?;
    }
    if options.value.is_empty() && package.get("config").is_none() {
        Ok(())
    } else if options.value.is_empty() {
        print_line("Options: the package's defaults")
    } else {
        print_line(&format!("Options: {}", pretty_json(&Value::Object(options.value.clone()))))?;
        print_line("All others: the package's defaults")
    }
}

async fn wait(context: &Context, client: &Client, id: &str, args: &InstallArgs) -> Result<(), Error> {
    let answer = client.json(Method::GET, &app_path(id), None).await?;
    let app = answer.get("app").unwrap_or(&answer);
    let deployments = list(app, "deployments").iter().map(|deployment| text(deployment, "id").to_owned()).collect();
    let goal = Goal { apps: vec![id.to_owned()], deployments, healthy: true };
    let again = format!("dcos marathon app show {id}");
    watch::wait(context, client, &goal, Some(args.wait.timeout), &again).await
}
