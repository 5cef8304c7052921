//! `dcos marathon group`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::marathon_app::{created, located, properties_or_stdin, read_resource};
use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::marathon::{V2, explain_lock, force, list, normalize_id, path_of, query, text};
use crate::output::{Align, Table, print_line};

/// Arguments of `dcos marathon group`.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Add a group of apps
    Add {
        /// File or URL with the group, JSON or YAML (default: standard input)
        resource: Option<String>,
    },
    /// List groups
    List {
        /// Print ids only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Remove a group and its apps
    Remove {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the group
        group_id: String,
    },
    /// Multiply the instances of all apps of a group
    Scale {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the group
        group_id: String,
        /// Factor
        factor: f64,
    },
    /// Print a group
    Show {
        /// Time of a version
        #[arg(long, value_name = "VERSION")]
        group_version: Option<String>,
        /// Id of the group
        group_id: String,
    },
    /// Change a group
    Update {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the group
        group_id: String,
        /// name=value, the value as JSON or text (default: an object on standard input)
        properties: Vec<String>,
    },
}

/// Runs `dcos marathon group`.
pub(crate) async fn run(context: &Context, args: GroupArgs) -> Outcome {
    let client = context.client()?;
    match args.command {
        GroupCommand::Add { resource } => {
            let document = read_resource(&client, resource.as_deref(), "dcos marathon group add < group.json").await?;
            let id = normalize_id(text(&document.value, "id"));
            if id != "/" && client.find(&path_of("groups", &id)).await?.is_some() {
                return Err(Error::new(Kind::Conflict, format!("Group '{id}' already exists"))
                    .fix(format!("dcos marathon group update {id} < {}", document.file)));
            }
            let added = client.json(Method::POST, &format!("{V2}/groups"), Some(&document.value)).await;
            created(context, &added.map_err(|error| located(error, &document))?)
        }
        GroupCommand::List { quiet } => {
            let root = client.get(&format!("{V2}/groups")).await?;
            let mut counts = BTreeMap::new();
            for group in list(&root, "groups") {
                count_apps(group, &mut counts);
            }
            if context.structured() {
                context.print(&json!(list(&root, "groups")))?;
            } else if quiet {
                counts.keys().try_for_each(|id| print_line(id))?;
            } else {
                let mut table = Table::new(&[("ID", Align::Left), ("APPS", Align::Center)]);
                for (id, apps) in counts {
                    table.push(vec![id, apps.to_string()]);
                }
                table.print("There are no groups.")?;
            }
            Ok(0)
        }
        GroupCommand::Remove { force: forced, group_id } => {
            let path = format!("{}{}", path_of("groups", &group_id), query(&[force(forced)]));
            match client.checked(Method::DELETE, &path, None).await {
                Ok(_) => Ok(0),
                Err(error) => Err(unlock(&client, &group_id, error).await),
            }
        }
        GroupCommand::Scale { force: forced, group_id, factor } => {
            let path = format!("{}{}", path_of("groups", &group_id), query(&[force(forced)]));
            match client.json(Method::PUT, &path, Some(&json!({"scaleBy": factor}))).await {
                Ok(answer) => created(context, &answer),
                Err(error) => Err(unlock(&client, &group_id, error).await),
            }
        }
        GroupCommand::Show { group_version, group_id } => {
            let version = group_version.map_or(String::new(), |version| format!("/versions/{}", encode(&version)));
            context.print(&client.get(&format!("{}{version}", path_of("groups", &group_id))).await?)?;
            Ok(0)
        }
        GroupCommand::Update { force: forced, group_id, properties } => {
            client.get(&path_of("groups", &group_id)).await?;
            let change = properties_or_stdin(&properties, "dcos marathon group update /g < change.json")?;
            let path = format!("{}{}", path_of("groups", &group_id), query(&[force(forced)]));
            match client.json(Method::PUT, &path, Some(&change)).await {
                Ok(answer) => created(context, &answer),
                Err(error) => Err(unlock(&client, &group_id, error).await),
            }
        }
    }
}

/// Names the deployments that hold a group, when that is what stands in the way.
async fn unlock(client: &Client, group: &str, error: Error) -> Error {
    if error.kind != Kind::Conflict {
        return error;
    }
    let below = format!("{}/", normalize_id(group).trim_end_matches('/'));
    let deployments = client.get(&format!("{V2}/deployments")).await.unwrap_or_default();
    let touches = |deployment: &&Value| {
        list(deployment, "affectedApps").iter().filter_map(Value::as_str).any(|app| app.starts_with(&below))
    };
    let holders = deployments.as_array().into_iter().flatten().filter(touches);
    let holders: Vec<String> = holders.map(|deployment| text(deployment, "id").to_owned()).collect();
    explain_lock(error, &holders)
}

/// Apps of each group, with those of the groups in it.
fn count_apps(group: &Value, counts: &mut BTreeMap<String, usize>) -> usize {
    let inside: usize = list(group, "groups").iter().map(|inner| count_apps(inner, counts)).sum();
    let all = inside + list(group, "apps").len();
    counts.insert(text(group, "id").to_owned(), all);
    all
}
