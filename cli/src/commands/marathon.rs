//! `dcos marathon`: the words without a module of their own.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{marathon_app, marathon_debug, marathon_deployment, marathon_group, marathon_task};
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{V2, list, text};
use crate::output::{Align, Table, print_line};

/// Longest time that `ping` tries.
const PING_TIME: Duration = Duration::from_secs(10);

/// Arguments of `dcos marathon`.
#[derive(Debug, Args)]
pub(crate) struct MarathonArgs {
    #[command(subcommand)]
    command: MarathonCommand,
}

#[derive(Debug, Subcommand)]
enum MarathonCommand {
    /// Print what Marathon says of itself
    About,
    /// Run and manage apps
    App(marathon_app::AppArgs),
    /// See why instances wait to be launched
    Debug(marathon_debug::DebugArgs),
    /// End the wait after failures
    Delay {
        #[command(subcommand)]
        command: DelayCommand,
    },
    /// See and steer deployments
    Deployment(marathon_deployment::DeploymentArgs),
    /// See groups of apps
    Group(marathon_group::GroupArgs),
    /// See the leader
    Leader {
        #[command(subcommand)]
        command: LeaderCommand,
    },
    /// Check that Marathon answers
    Ping {
        /// Ask one master only
        #[arg(long)]
        once: bool,
    },
    /// See plugins
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// See and kill tasks of apps
    Task(marathon_task::TaskArgs),
}

#[derive(Debug, Subcommand)]
enum DelayCommand {
    /// Launch an app's instances at once, however often they failed
    Reset {
        /// Id of the app
        app_id: String,
    },
}

#[derive(Debug, Subcommand)]
enum LeaderCommand {
    /// Make the leader step down
    Delete,
    /// Show the leader
    Show,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// List plugins
    List,
}

/// Runs `dcos marathon`.
pub(crate) async fn run(context: &Context, args: MarathonArgs) -> Outcome {
    match args.command {
        MarathonCommand::About => {
            let about = context.client()?.get(&format!("{V2}/info")).await?;
            context.print(&about)?;
        }
        MarathonCommand::App(args) => return marathon_app::run(context, args).await,
        MarathonCommand::Debug(args) => return marathon_debug::run(context, args).await,
        MarathonCommand::Delay { command: DelayCommand::Reset { app_id } } => {
            let path = format!("{}/delay", crate::marathon::path_of("queue", &app_id));
            context.client()?.checked(Method::DELETE, &path, None).await?;
        }
        MarathonCommand::Deployment(args) => return marathon_deployment::run(context, args).await,
        MarathonCommand::Group(args) => return marathon_group::run(context, args).await,
        MarathonCommand::Leader { command: LeaderCommand::Show } => leader(context).await?,
        MarathonCommand::Leader { command: LeaderCommand::Delete } => {
            let answer = context.client()?.json(Method::DELETE, &format!("{V2}/leader"), None).await?;
            print_line(text(&answer, "message"))?;
        }
        MarathonCommand::Ping { once } => ping(context, once).await?,
        MarathonCommand::Plugin { command: PluginCommand::List } => plugins(context).await?,
        MarathonCommand::Task(args) => return marathon_task::run(context, args).await,
    }
    Ok(0)
}

async fn leader(context: &Context) -> Result<(), Error> {
    let hosts = context.client()?.get("/mesos_dns/v1/hosts/marathon.mesos").await?;
    let hosts = hosts.as_array().cloned().unwrap_or_default();
    let known: Vec<&Value> = hosts.iter().filter(|host| !text(host, "ip").is_empty()).collect();
    let Some(first) = known.first() else {
        return Err(Error::not_found("there is no leader now").fix("try again in a few seconds"));
    };
    if context.structured() {
        return context.print(first);
    }
    let mut table = Table::new(&[("HOST", Align::Left), ("IP", Align::Center)]);
    for host in known {
        table.push(vec![text(host, "host").to_owned(), text(host, "ip").to_owned()]);
    }
    table.print("There is nothing to list.")
}

/// Asks as often as there are masters, because a balancer may send each request to another.
async fn ping(context: &Context, once: bool) -> Result<(), Error> {
    let client = context.client()?;
    let count =
        if once { 1 } else { client.get("/mesos_dns/v1/hosts/master.mesos").await?.as_array().map_or(1, Vec::len).max(1) };
    let ask = async {
        let mut answer = String::new();
        for _ in 0..count {
            let reply = client.checked(Method::GET, "marathon:/ping", None).await?;
            String::from_utf8_lossy(&reply.body).trim().trim_matches('"').clone_into(&mut answer);
        }
        Ok::<_, Error>(answer)
    };
    let answer = tokio::time::timeout(PING_TIME, ask).await.map_err(|_| {
        Error::new(
            crate::error::Kind::Unreachable,
            format!("Unable to get ping for all {count} masters in {}s", PING_TIME.as_secs()),
        )
    })??;
    print_line(&format!("Marathon ping response[{count}x]: {answer}"))
}

async fn plugins(context: &Context) -> Result<(), Error> {
    let answer = context.client()?.find(&format!("{V2}/plugins")).await?.unwrap_or_else(|| json!({"plugins": []}));
    if context.structured() {
        return context.print(&answer);
    }
    let mut table = Table::new(&["ID", "IMPLEMENTATION", "PLUGIN"].map(|name| (name, Align::Left)));
    for plugin in list(&answer, "plugins") {
        table.push(["id", "implementation", "plugin"].map(|key| text(plugin, key).to_owned()).to_vec());
    }
    table.sort_by_column(0);
    table.print("There is nothing to list.")
}
