//! `dcos package`: search and list; the other words have modules of their own.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{package_describe, package_install, package_repo, package_uninstall};
use crate::client::Client;
use crate::context::Context;
use crate::cosmos;
use crate::error::{Error, Outcome};
use crate::marathon::{list, normalize_id, text};
use crate::output::{Align, EMPTY, Table, cell, print_line, shorten};
use crate::plugin;

/// Longest description in `package list`.
const LIST_DESCRIPTION: usize = 65;
/// Longest description in `package search`.
const SEARCH_DESCRIPTION: usize = 77;

/// Arguments of `dcos package`.
#[derive(Debug, Args)]
pub(crate) struct PackageArgs {
    #[command(subcommand)]
    command: PackageCommand,
}

#[derive(Debug, Subcommand)]
enum PackageCommand {
    /// Show a package: what it is, its options, its versions
    Describe(package_describe::DescribeArgs),
    /// Install a package
    Install(Box<package_install::InstallArgs>),
    /// List the installed packages
    List(ListArgs),
    /// Manage the repositories that packages come from
    Repo(package_repo::RepoArgs),
    /// Search the repositories
    #[command(after_help = "\
Examples:
  dcos package search
  dcos package search redis")]
    Search {
        /// Words to look for in names, descriptions and tags
        query: Option<String>,
        /// Print names only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Remove an installed package
    Uninstall(package_uninstall::UninstallArgs),
}

/// Arguments of `dcos package list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// Only this package
    name: Option<String>,
    /// Only the package with this app id
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Only packages that have brought a command
    #[arg(long)]
    cli: bool,
    /// Print names only
    #[arg(long, short)]
    quiet: bool,
}

/// Runs `dcos package`.
pub(crate) async fn run(context: &Context, args: PackageArgs) -> Outcome {
    match args.command {
        PackageCommand::Describe(args) => package_describe::run(context, args).await,
        PackageCommand::Install(args) => package_install::run(context, *args).await,
        PackageCommand::List(args) => installed(context, args).await,
        PackageCommand::Repo(args) => package_repo::run(context, args).await,
        PackageCommand::Search { query, quiet } => search(context, query, quiet).await,
        PackageCommand::Uninstall(args) => package_uninstall::run(context, args).await,
    }
}

async fn search(context: &Context, query: Option<String>, quiet: bool) -> Outcome {
    let client = context.client()?;
    let body = query.as_ref().map_or_else(|| json!({}), |query| json!({"query": query}));
    let answer = cosmos::post(&client, cosmos::SEARCH, &body).await?;
    if context.structured() {
        context.print(&answer)?;
        return Ok(0);
    }
    let packages = list(&answer, "packages");
    if packages.is_empty() {
        return Err(Error::not_found("No packages found.").fix("see all: dcos package search"));
    }
    if quiet {
        packages.iter().try_for_each(|package| print_line(text(package, "name")))?;
        return Ok(0);
    }
    search_table(packages).print("There are no packages.")?;
    Ok(0)
}

fn search_table(packages: &[Value]) -> Table {
    let names = ["NAME", "VERSION", "SELECTED", "FRAMEWORK", "DESCRIPTION"];
    let mut table = Table::new(&names.map(|name| (name, Align::Left)));
    for package in packages {
        let description = text(package, "description");
        let flag = |key: &str| cell(package.get(key).unwrap_or(&Value::Bool(false)));
        table.push(vec![
            text(package, "name").to_owned(),
            text(package, "currentVersion").to_owned(),
            flag("selected"),
            flag("framework"),
            if description.chars().count() < SEARCH_DESCRIPTION {
                description.to_owned()
            } else {
                description.chars().take(SEARCH_DESCRIPTION).collect::<String>() + "..."
            },
        ]);
    }
    table
}

/// The installed packages as the original CLI merged them: the definition with `apps` and, when the package has
/// brought a command, `command`.
pub(crate) async fn installed_packages(
    context: &Context,
    client: Option<&Client>,
    name: Option<&str>,
    app_id: Option<&str>,
) -> Result<Vec<Value>, Error> {
    let mut merged: BTreeMap<(String, String), Map<String, Value>> = BTreeMap::new();
    if let Some(client) = client {
        let mut body = json!({});
        if let Some(name) = name {
            body["packageName"] = json!(name);
        }
        if let Some(id) = app_id {
            body["appId"] = json!(normalize_id(id));
        }
        let answer = cosmos::post(client, cosmos::LIST, &body).await?;
        for package in list(&answer, "packages") {
            let definition = package.pointer("/packageInformation/packageDefinition").and_then(Value::as_object);
            let Some(definition) = definition else { continue };
            let key = |key: &str| definition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let entry = merged.entry((key("name"), key("version"))).or_insert_with(|| definition.clone());
            let apps = entry.entry("apps").or_insert_with(|| json!([]));
            if let Some(apps) = apps.as_array_mut() {
                apps.push(json!(text(package, "appId")));
            }
        }
    }
    let cluster = context.cluster()?;
    for plugin in plugin::installed(&cluster).iter().filter(|plugin| name.is_none_or(|name| name == *plugin)) {
        let definition = plugin::plugins_directory(&cluster)
            .and_then(|directory| std::fs::read(directory.join(plugin).join("package.json")).ok())
            .and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok())
            .unwrap_or_default();
        let version = definition.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
        let command = json!({"name": plugin});
        let mut apps = merged.iter_mut().filter(|((name, _), _)| name == plugin).peekable();
        if apps.peek().is_some() {
            apps.for_each(|(_, package)| {
                package.insert("command".to_owned(), command.clone());
            });
        } else if app_id.is_none() {
            let mut package = definition;
            package.entry("name").or_insert_with(|| json!(plugin));
            package.insert("command".to_owned(), command);
            merged.insert((plugin.clone(), version), package);
        }
    }
    let by_id = |mut package: Map<String, Value>| {
        if let Some(apps) = package.get_mut("apps").and_then(Value::as_array_mut) {
            apps.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
        Value::Object(package)
    };
    Ok(merged.into_values().map(by_id).collect())
}

async fn installed(context: &Context, args: ListArgs) -> Outcome {
    let client = if args.cli { None } else { Some(context.client()?) };
    let mut packages = installed_packages(context, client.as_ref(), args.name.as_deref(), args.app_id.as_deref()).await?;
    if args.cli {
        packages.retain(|package| package.get("command").is_some());
    }
    if context.structured() {
        context.print(&Value::Array(packages))?;
        return Ok(0);
    }
    if packages.is_empty() {
        return Err(Error::not_found(
            "There are currently no installed packages. Please use `dcos package install` to install a package.",
        ));
    }
    if args.quiet {
        packages.iter().try_for_each(|package| print_line(text(package, "name")))?;
        return Ok(0);
    }
    package_table(&packages).print("There are no packages.")?;
    Ok(0)
}

fn package_table(packages: &[Value]) -> Table {
    let names = ["NAME", "VERSION", "APP", "COMMAND", "DESCRIPTION"];
    let mut table = Table::new(&names.map(|name| (name, Align::Left)));
    for package in packages {
        let apps: Vec<&str> = list(package, "apps").iter().filter_map(Value::as_str).collect();
        let command = package.pointer("/command/name").and_then(Value::as_str);
        table.push(vec![
            text(package, "name").to_owned(),
            text(package, "version").to_owned(),
            if apps.is_empty() { EMPTY.to_owned() } else { apps.join("\n") },
            command.unwrap_or(EMPTY).to_owned(),
            shorten(text(package, "description"), LIST_DESCRIPTION),
        ]);
    }
    table.sort_by_column(0);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_has_the_original_columns() {
        let packages = json!([{"name": "redis", "currentVersion": "7", "framework": false, "selected": true,
            "description": "x".repeat(90)}, {"name": "a", "currentVersion": "1.0", "framework": true, "description": "d"}]);
        let text = search_table(packages.as_array().unwrap()).render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "NAME   VERSION  SELECTED  FRAMEWORK  DESCRIPTION");
        assert_eq!(lines[1], format!("redis  7        True      False      {}...", "x".repeat(77)));
        assert_eq!(lines[2], "a      1.0      False     True       d");
    }

    #[test]
    fn list_has_the_original_columns() {
        let packages = json!([{"name": "redis", "version": "7", "apps": ["/redis", "/cache"], "description": "fast"},
            {"name": "cli", "version": "1", "command": {"name": "cli"}, "description": "c"}]);
        let text = package_table(packages.as_array().unwrap()).render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "NAME   VERSION  APP     COMMAND  DESCRIPTION",
                "cli    1        ---     cli      c",
                "redis  7        /redis  ---      fast",
                "                /cache",
            ]
        );
    }
}
