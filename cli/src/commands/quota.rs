//! `dcos quota`: how much of the cluster roles and groups may take.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{list, text};
use crate::output::{Align, Table, print_line};

/// Resources a quota may limit, as options and as Mesos calls them.
const RESOURCES: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// Arguments of `dcos quota`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos quota create dev --cpu 8 --mem 16384 --guarantee cpus:2
  dcos quota list
  dcos quota update dev --cpu 4 --force
  dcos quota delete dev")]
pub(crate) struct QuotaArgs {
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// Limit what a group may take
    Create(LimitArgs),
    /// Change the limits of a group; what is not named stays
    Update(LimitArgs),
    /// Show the quota of a group
    Get {
        /// Group or role
        name: String,
    },
    /// List all quotas
    List,
    /// Remove the limits of a group
    Delete {
        /// Group or role
        name: String,
    },
}

#[derive(Debug, Args)]
struct LimitArgs {
    /// Group or role
    name: String,
    /// CPUs
    #[arg(long)]
    cpu: Option<f64>,
    /// Memory, MiB
    #[arg(long)]
    mem: Option<f64>,
    /// Disk, MiB
    #[arg(long)]
    disk: Option<f64>,
    /// GPUs
    #[arg(long)]
    gpu: Option<f64>,
    /// What is held back for the group, such as cpus:4 (may be repeated)
    #[arg(long, value_name = "RESOURCE:AMOUNT")]
    guarantee: Vec<String>,
    /// Also when the group takes more already, or more is guaranteed than nodes have
    #[arg(long)]
    force: bool,
}

/// Runs `dcos quota`.
pub(crate) async fn run(context: &Context, args: QuotaArgs) -> Outcome {
    let roles = context.client()?.get("/mesos/roles").await?;
    let quotas: Vec<&Value> = list(&roles, "roles").iter().map(|role| &role["quota"]).filter(|quota| is_set(quota)).collect();
    let find = |name: &str| quotas.iter().copied().find(|quota| text(quota, "role") == name.trim_matches('/'));
    let missing = |name: &str| Error::not_found(format!("group {name} has no quota")).fix("see all: dcos quota list");
    match args.command {
        QuotaCommand::Create(limits) => {
            if find(&limits.name).is_some() {
                let message = format!("group {} has a quota already", limits.name);
                return Err(Error::general(message).fix("change it: dcos quota update"));
            }
            set(context, &limits, &json!({})).await
        }
        QuotaCommand::Update(limits) => {
            let before = find(&limits.name).ok_or_else(|| missing(&limits.name))?;
            set(context, &limits, before).await
        }
        QuotaCommand::Get { name } => {
            let quota = find(&name).ok_or_else(|| missing(&name))?;
            show(context, &[quota], quota)
        }
        QuotaCommand::List => show(context, &quotas, &json!(quotas)),
        QuotaCommand::Delete { name } => {
            find(&name).ok_or_else(|| missing(&name))?;
            update(context, &name, [Map::new(), Map::new()], true).await
        }
    }
}

fn is_set(quota: &Value) -> bool {
    ["limit", "guarantee"].iter().any(|field| quota[field].as_object().is_some_and(|amounts| !amounts.is_empty()))
}

async fn set(context: &Context, args: &LimitArgs, before: &Value) -> Outcome {
    let amounts = |field: &str| before[field].as_object().cloned().unwrap_or_default();
    let (mut limits, mut guarantees) = (amounts("limit"), amounts("guarantee"));
    for (name, amount) in RESOURCES.into_iter().zip([args.cpu, args.mem, args.disk, args.gpu]) {
        if let Some(amount) = amount {
            limits.insert(name.to_owned(), json!(amount));
        }
    }
    for text in &args.guarantee {
        let (name, amount) = amount(text)?;
        guarantees.insert(name, amount);
    }
    if [args.cpu, args.mem, args.disk, args.gpu].iter().all(Option::is_none) && args.guarantee.is_empty() {
        let message = "a quota limits or guarantees something".to_owned();
        return Err(Error::usage(message).fix("name at least one of --cpu, --mem, --disk, --gpu, --guarantee"));
    }
    update(context, &args.name, [limits, guarantees], args.force).await
}

/// Reads `RESOURCE:AMOUNT`.
fn amount(text: &str) -> Result<(String, Value), Error> {
    let pair = text.split_once(':').and_then(|(name, amount)| Some((name.trim(), amount.trim().parse::<f64>().ok()?)));
    let (name, amount) = pair
        .filter(|(name, amount)| !name.is_empty() && amount.is_finite())
        .ok_or_else(|| Error::usage(format!("\"{text}\" is not RESOURCE:AMOUNT, such as cpus:4")))?;
    Ok((name.to_owned(), json!(amount)))
}

/// What `--quota GROUP=RESOURCE:AMOUNT,…` of `dcos plan` asks for, as the cluster takes it. What is not named stays,
/// as with `dcos quota update`; nothing after `=` removes the quota, as `dcos quota delete` does.
pub(super) async fn planned(context: &Context, texts: &[String]) -> Result<Vec<Value>, Error> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let mut read = Vec::new();
    for text in texts {
        let wrong = || Error::usage(format!("\"{text}\" is not GROUP=RESOURCE:AMOUNT,…, such as dev=cpus:4,mem:1024"));
        let (name, amounts) = text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        let amounts = amounts.split(',').map(str::trim).filter(|part| !part.is_empty());
        read.push((name.trim_matches('/'), amounts.map(amount).collect::<Result<Map<_, _>, _>>()?));
    }
    let roles = context.client()?.get("/mesos/roles").await?;
    let current = |name: &str, field: &str| {
        let role = list(&roles, "roles").iter().find(|role| text(role, "name") == name);
        role.and_then(|role| role["quota"][field].as_object().cloned()).unwrap_or_default()
    };
    let configs = read.into_iter().map(|(name, amounts)| {
        if amounts.is_empty() {
            return config(name, [Map::new(), Map::new()]);
        }
        let mut limits = current(name, "limit");
        limits.extend(amounts);
        config(name, [limits, current(name, "guarantee")])
    });
    Ok(configs.collect())
}

/// Limits and guarantees as Mesos takes them.
fn config(name: &str, amounts: [Map<String, Value>; 2]) -> Value {
    let [limits, guarantees] = amounts.map(|amounts| {
        amounts.into_iter().map(|(name, amount)| (name, json!({ "value": amount }))).collect::<Map<String, Value>>()
    });
    json!({ "role": name.trim_matches('/'), "limits": limits, "guarantees": guarantees })
}

async fn update(context: &Context, name: &str, amounts: [Map<String, Value>; 2], force: bool) -> Outcome {
    let configs = [config(name, amounts)];
    let call = json!({ "type": "UPDATE_QUOTA", "update_quota": { "force": force, "quota_configs": configs } });
    context.client()?.checked(Method::POST, "/mesos/api/v1", Some(&call)).await?;
    Ok(0)
}

fn show(context: &Context, quotas: &[&Value], structured: &Value) -> Outcome {
    if context.structured() {
        context.print(structured)?;
        return Ok(0);
    }
    if quotas.is_empty() {
        print_line("There are no quotas; set one: dcos quota create")?;
        return Ok(0);
    }
    let columns = ["NAME", "CPU", "MEM", "DISK", "GPU"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for quota in quotas {
        let used = |name: &str| {
            let limit = quota["limit"].get(name).and_then(Value::as_f64);
            let consumed = quota["consumed"].get(name).and_then(Value::as_f64).unwrap_or(0.0);
            let used = limit.map_or_else(|| format!("{consumed}, no limit"), |limit| format!("{consumed} of {limit}"));
            let guarantee = quota["guarantee"].get(name).and_then(Value::as_f64);
            guarantee.map_or_else(|| used.clone(), |guarantee| format!("{used}, {guarantee} guaranteed"))
        };
        let mut row = vec![text(quota, "role").to_owned()];
        row.extend(RESOURCES.map(used));
        table.push(row);
    }
    table.print("There are no quotas.")?;
    Ok(0)
}
