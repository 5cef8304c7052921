//! `dcos plan` and `dcos rebalance`: what would happen, and what could be better.

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::apply::units;
use super::quota;
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{count, list, text};
use crate::output::print_line;

/// Arguments of `dcos plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
The cluster looks ahead with the scheduler that would do it, and changes nothing. Tasks are assumed to
start and to be healthy.

Examples:
  dcos plan -f web.yaml                 what applying would start, stop and where
  dcos plan --drain node-3 --drain node-4
  dcos plan --scale /web=50 --gone node-1
  dcos plan --quota dev=cpus:4,mem:8192 what would wait or start with other limits
  dcos plan --quota dev=                what would start without any")]
pub(crate) struct PlanArgs {
    /// File, directory, or `-` for standard input, as `dcos apply` takes it
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<String>,
    /// Descend into directories
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Number of instances of an app
    #[arg(long, value_name = "APP=INSTANCES")]
    scale: Vec<String>,
    /// Remove an app
    #[arg(long, value_name = "APP")]
    remove: Vec<String>,
    /// Limit what a group may take; limits that are not named stay, none after `=` removes its quota
    #[arg(long, value_name = "GROUP=RESOURCE:AMOUNT[,…]")]
    quota: Vec<String>,
    /// Drain a node
    #[arg(long, value_name = "NODE")]
    drain: Vec<String>,
    /// Lose a node for good
    #[arg(long, value_name = "NODE")]
    gone: Vec<String>,
}

/// Runs `dcos plan`.
pub(crate) async fn plan(context: &Context, args: PlanArgs) -> Outcome {
    let documents = if args.files.is_empty() { Vec::new() } else { units(&args.files, args.recursive)? };
    let mut scale = Map::new();
    for pair in &args.scale {
        let read = pair.rsplit_once('=').and_then(|(app, instances)| Some((app, instances.parse::<u32>().ok()?)));
        let (app, instances) = read.ok_or_else(|| Error::usage(format!("\"{pair}\" is not APP=INSTANCES, such as /web=5")))?;
        scale.insert(app.to_owned(), json!(instances));
    }
    let changes = [documents.len(), scale.len(), args.remove.len(), args.quota.len(), args.drain.len(), args.gone.len()];
    if changes.iter().sum::<usize>() == 0 {
        return Err(
            Error::usage("there is nothing to plan".to_owned()).fix("name files, --scale, --remove, --quota, --drain or --gone")
        );
    }
    let mut request = json!({
        "documents": documents, "scale": scale, "remove": args.remove, "drain": args.drain, "gone": args.gone,
    });
    // Clusters older than the field refuse it.
    if !args.quota.is_empty() {
        request["quotas"] = json!(quota::planned(context, &args.quota).await?);
    }
    let answer = context.client()?.checked(Method::POST, "/v1/forecast", Some(&request)).await?.json()?;
    if context.structured() {
        context.print(&answer)?;
        return Ok(0);
    }
    let apps = list(&answer, "apps");
    if apps.is_empty() {
        print_line("Nothing would start, stop or wait.")?;
    }
    for app in apps {
        for line in app_lines(&answer, app) {
            print_line(&line)?;
        }
    }
    for node in list(&answer, "emptied") {
        print_line(&format!("node {} would be empty", host(&answer, node.as_str().unwrap_or_default())))?;
    }
    if answer["cut_short"] == true {
        print_line("This is only the beginning: the look ahead ended at its limit.")?;
    }
    Ok(0)
}

/// A node as people know it.
fn host<'a>(answer: &'a Value, node: &'a str) -> &'a str {
    answer["hosts"][node].as_str().unwrap_or(node)
}

fn app_lines(answer: &Value, app: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} → {} instances; {} would start, {} stop, never fewer than {} serving",
        text(app, "app"),
        count(app, "before"),
        count(app, "after"),
        count(app, "starts"),
        count(app, "stops"),
        count(app, "least_serving"),
    )];
    for (node, change) in app["nodes"].as_object().into_iter().flatten() {
        lines.push(format!("  {:+} on {}", change.as_i64().unwrap_or(0), host(answer, node)));
    }
    lines.extend(app["waits"].as_str().map(|why| format!("  {why}")));
    lines
}

/// What to rebalance for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Goal {
    /// Fewer nodes in use
    Pack,
    /// More even loads
    Spread,
}

/// Arguments of `dcos rebalance`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows moves that would help. Accepted, each instance moves within the budget of its app
(upgradeStrategy), its replacement first. Tasks with data and single-instance apps stay.

Examples:
  dcos rebalance --goal pack            which nodes could be emptied
  dcos rebalance --goal spread --accept")]
pub(crate) struct RebalanceArgs {
    /// What for
    #[arg(long, value_enum, default_value = "spread")]
    goal: Goal,
    /// Most moves
    #[arg(long, default_value_t = 100)]
    most: u32,
    /// Begin the moves
    #[arg(long)]
    accept: bool,
    /// End moves that are under way
    #[arg(long, conflicts_with_all = ["accept", "goal", "most"])]
    cancel: bool,
}

/// Runs `dcos rebalance`.
pub(crate) async fn rebalance(context: &Context, args: RebalanceArgs) -> Outcome {
    let client = context.client()?;
    if args.cancel {
        let answer: Value = client.checked(Method::POST, "/v1/rebalance", Some(&json!({ "cancel": true }))).await?.json()?;
        print_line(&format!("{} moves were ended.", count(&answer, "cancelled")))?;
        return Ok(0);
    }
    let goal = match args.goal {
        Goal::Pack => "pack",
        Goal::Spread => "spread",
    };
    let request = json!({ "goal": goal, "most": args.most });
    let proposal: Value = client.checked(Method::POST, "/v1/rebalance", Some(&request)).await?.json()?;
    let moves = list(&proposal, "moves");
    if context.structured() {
        context.print(&proposal)?;
    } else if moves.is_empty() {
        print_line("Nothing to gain by moving tasks.")?;
    } else {
        for step in moves {
            print_line(&format!(
                "{}: {} → {}",
                text(step, "instance"),
                host(&proposal, text(step, "from")),
                host(&proposal, text(step, "to"))
            ))?;
        }
        let (before, after) = (&proposal["before"], &proposal["after"]);
        print_line(&format!(
            "{} moves: {} → {} nodes in use, fullest {} → {} %, emptiest {} → {} %",
            moves.len(),
            count(before, "nodesInUse"),
            count(after, "nodesInUse"),
            count(before, "fullest") / 10,
            count(after, "fullest") / 10,
            count(before, "emptiest") / 10,
            count(after, "emptiest") / 10,
        ))?;
    }
    if args.accept && !moves.is_empty() {
        let accept = json!({ "accept": moves });
        client.checked(Method::POST, "/v1/rebalance", Some(&accept)).await?;
        print_line(&format!("{} moves have begun.", moves.len()))?;
    }
    Ok(0)
}
