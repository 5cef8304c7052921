//! `dcos node drain`, `deactivate`, `reactivate`, `decommission` and `brake`.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::node_watch::{Follow, drain_line, follow, waiting_lines};
use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::marathon::{list, text};
use crate::output::print_line;
use crate::progress::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum NodeOrder {
    /// Move all tasks off a node and keep new ones away
    ///
    /// Each app keeps serving: its instances are replaced elsewhere first, within minimumHealthCapacity and
    /// maximumOverCapacity of its upgradeStrategy. Without a deadline the drain waits until that is possible.
    /// `dcos node reactivate` cancels it at any time.
    #[command(after_help = "\
Examples:
  dcos node drain h1                    returns at once; the drain goes on
  dcos node drain h1 --deadline 30m     whatever is left after 30 minutes is stopped
  dcos node drain h1 --wait             shows what it waits for until the node is empty
  dcos node drain h1 --watch            watch a drain that is under way
  dcos node drain h1 --cancel           the same as dcos node reactivate h1")]
    Drain(DrainArgs),
    /// Keep new tasks away from a node; what runs there stays
    Deactivate(NodeName),
    /// Use a node again; cancels a drain
    Reactivate(NodeName),
    /// Remove a node for ever: empty it first, or declare its machine dead
    #[command(after_help = "\
Examples:
  dcos node decommission h1             drain it, then remove it; its id is never used again
  dcos node decommission h1 --force     do not wait for replacements
  dcos node decommission h1 --gone      the machine is dead for good: its tasks are replaced at once,
                                        also those of single-instance apps and apps with local data")]
    Decommission(DecommissionArgs),
    /// The mass-loss brake, which holds replacements when many nodes vanish at once
    #[command(after_help = "\
Examples:
  dcos node brake                       what it holds
  dcos node brake release               replace the tasks of the missing nodes now
  dcos node brake set 30                hold when more than 30 % vanish within a minute; 0 = never")]
    Brake(BrakeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NodeName {
    /// Id, end of the id (S3), host name or address
    node: String,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    name: NodeName,
    /// Stop whatever is left after this time
    #[arg(long, visible_alias = "max-grace-period", value_name = "TIME", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// Remove the node from the cluster once it is empty
    #[arg(long)]
    decommission: bool,
    /// Show the progress until the node is empty
    #[arg(long)]
    wait: bool,
    /// Watch a drain that is under way, change nothing
    #[arg(long, conflicts_with_all = ["deadline", "decommission", "wait", "cancel"])]
    watch: bool,
    /// End the drain and use the node again
    #[arg(long, conflicts_with_all = ["deadline", "decommission", "wait"])]
    cancel: bool,
    /// Longest time to wait (exit code 6)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct DecommissionArgs {
    #[command(flatten)]
    name: NodeName,
    /// The machine is dead for good: its tasks count as gone
    #[arg(long)]
    gone: bool,
    /// Stop its tasks at once, without waiting for replacements
    #[arg(long)]
    force: bool,
    /// Show the progress until the node has left
    #[arg(long)]
    wait: bool,
    /// Longest time to wait (exit code 6)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct BrakeArgs {
    #[command(subcommand)]
    command: Option<BrakeCommand>,
}

#[derive(Debug, Subcommand)]
enum BrakeCommand {
    /// Say what it holds
    Status,
    /// Replace the tasks of the missing nodes now
    Release,
    /// Set the share of nodes beyond which it holds
    Set {
        /// Percent of the nodes, 0–100; 0 switches the brake off
        #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: u8,
    },
}

/// Runs an order for a node.
pub(crate) async fn run(context: &Context, order: NodeOrder) -> Outcome {
    let client = context.client()?;
    match order {
        NodeOrder::Drain(args) => drain(context, &client, args).await,
        NodeOrder::Deactivate(name) => {
            let node = post(&client, &name, "deactivate", None).await?;
            tell(context, &node, &deactivated(&node))
        }
        NodeOrder::Reactivate(name) => reactivate(context, &client, &name).await,
        NodeOrder::Decommission(args) => decommission(context, &client, args).await,
        NodeOrder::Brake(args) => brake(context, &client, args.command.unwrap_or(BrakeCommand::Status)).await,
    }
}

async fn post(client: &Client, name: &NodeName, order: &str, body: Option<&Value>) -> Result<Value, Error> {
    let path = format!("/v1/nodes/{}/{order}", encode(&name.node));
    client.json(Method::POST, &path, body).await.map_err(|error| match error.kind {
        Kind::NotFound => error.fix("dcos node list"),
        _ => error,
    })
}

fn tell(context: &Context, node: &Value, sentence: &str) -> Outcome {
    if context.structured() {
        context.print(node)?;
    } else {
        print_line(sentence)?;
    }
    Ok(0)
}

/// What a node is after it was told to take nothing new: one that has been drained stays so.
fn deactivated(node: &Value) -> String {
    if text(node, "state") == "drained" {
        format!("{} has been drained: no task is left on it, and it gets no new ones.", called(node))
    } else {
        format!("{} is deactivated: it gets no new tasks, what runs there stays.", called(node))
    }
}

fn called(node: &Value) -> String {
    match text(node, "hostname") {
        "" => format!("Node {}", text(node, "id")),
        hostname => format!("Node {hostname} ({})", text(node, "id")),
    }
}

async fn reactivate(context: &Context, client: &Client, name: &NodeName) -> Outcome {
    let node = post(client, name, "reactivate", None).await?;
    let sentence = if node["connected"] == false {
        format!("{} may be used again as soon as its agent is connected.", called(&node))
    } else {
        format!("{} is in use again.", called(&node))
    };
    tell(context, &node, &sentence)
}

async fn drain(context: &Context, client: &Client, args: DrainArgs) -> Outcome {
    if args.cancel {
        return reactivate(context, client, &args.name).await;
    }
    let node = if args.watch {
        let node = client.get(&format!("/v1/nodes/{}", encode(&args.name.node))).await?;
        if node["drain"].is_null() && text(&node, "state") != "drained" {
            let sentence = format!("{} is not being drained; it is {}", called(&node), text(&node, "state"));
            return Err(Error::new(Kind::Conflict, sentence).fix(format!("drain it: dcos node drain {}", args.name.node)));
        }
        node
    } else {
        let mut body = json!({ "decommission": args.decommission });
        if let Some(deadline) = args.deadline {
            body["deadlineSeconds"] = json!(deadline.as_secs());
        }
        post(client, &args.name, "drain", Some(&body)).await?
    };
    after_drain(context, client, &node, args.wait || args.watch, args.timeout).await
}

async fn decommission(context: &Context, client: &Client, args: DecommissionArgs) -> Outcome {
    let body = json!({ "gone": args.gone, "force": args.force });
    let node = post(client, &args.name, "decommission", Some(&body)).await?;
    after_drain(context, client, &node, args.wait, args.timeout).await
}

/// Tells how an order to empty a node was taken, or follows it to its end.
async fn after_drain(context: &Context, client: &Client, node: &Value, wait: bool, timeout: Option<Duration>) -> Outcome {
    let id = text(node, "id");
    let node = if wait {
        let again = format!("dcos node drain {id} --watch");
        let leaves = node.pointer("/drain/then").and_then(Value::as_str) == Some("decommission");
        follow(context, client, &Follow { id, leaves, timeout, again: &again }, node.clone()).await?
    } else {
        node.clone()
    };
    if context.structured() {
        context.print(&node)?;
        return Ok(0);
    }
    match text(&node, "state") {
        "decommissioned" => print_line(&format!("{} has left the cluster; its id is never used again.", called(&node)))?,
        "drained" => {
            print_line(&format!("{} is drained: no task is left on it. Use it again: dcos node reactivate {id}", called(&node)))?;
        }
        _ => {
            print_line(&drain_line(&node))?;
            waiting_lines(&node).iter().try_for_each(|line| print_line(&format!("  {line}")))?;
            print_line(&format!("watch: dcos node drain {id} --watch    cancel: dcos node reactivate {id}"))?;
        }
    }
    Ok(0)
}

async fn brake(context: &Context, client: &Client, command: BrakeCommand) -> Outcome {
    let answer = match command {
        BrakeCommand::Status => client.get("/v1/nodes/brake").await?,
        BrakeCommand::Release => client.json(Method::POST, "/v1/nodes/brake/release", None).await?,
        BrakeCommand::Set { percent } => {
            client.json(Method::PUT, "/v1/nodes/brake", Some(&json!({ "sharePercent": percent }))).await?
        }
    };
    if context.structured() {
        context.print(&answer)?;
        return Ok(0);
    }
    print_line(&brake_text(&answer))?;
    Ok(0)
}

fn brake_text(brake: &Value) -> String {
    let names = |key: &str| list(brake, key).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    if let Some(message) = brake["message"].as_str() {
        let mut sentence = message.to_owned();
        for (key, what) in [("missing", "missing"), ("released", "nodes")] {
            if !list(brake, key).is_empty() {
                sentence += &format!("\n{what}: {}", names(key));
            }
        }
        return sentence;
    }
    let mut text = match brake["sharePercent"].as_u64() {
        Some(0) => "The brake is off: lost tasks are replaced however many nodes vanish.".to_owned(),
        share => format!(
            "Nothing is held. Replacements are held when more than {} % of the nodes (and at least two) vanish within a minute.",
            share.unwrap_or_default()
        ),
    };
    if !list(brake, "released").is_empty() {
        text += &format!("\nreleased by an operator, until they return: {}", names("released"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_is_told_in_words() {
        assert!(brake_text(&json!({"sharePercent": 0})).contains("off"));
        assert!(brake_text(&json!({"sharePercent": 50, "engaged": false})).contains("more than 50 %"));
        let held = json!({"sharePercent": 50, "engaged": true, "message": "replacements are held", "missing": ["S1", "S2"], "released": []});
        assert_eq!(brake_text(&held), "replacements are held\nmissing: S1, S2");
    }
}
