//! `dcos node`.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::node_order::{self, NodeOrder};
use super::node_watch::{drain_line, waiting_lines};
use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{list, text};
use crate::mesos::fault_domain;
use crate::output::{Align, Table, cell, print_line, print_note};

/// Arguments of `dcos node`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  dcos node
  dcos node list --field cpus:resources.cpus --field version
  dcos node drain h1 --deadline 30m --wait    empty a node for maintenance
  dcos node reactivate h1                     use it again; also cancels a drain
  dcos node decommission h1                   empty it and remove it for ever
  dcos node decommission h1 --gone            its machine is dead: replace what ran there
  dcos node brake                             what the mass-loss brake holds

NODE is an id, its end (S3), a host name or an address."
)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// One more column: a field such as resources.cpus, or heading:field
    #[arg(long, value_name = "FIELD")]
    field: Vec<String>,
    /// Print ids only
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// List nodes
    List(ListArgs),
    #[command(flatten)]
    Order(NodeOrder),
}

/// Runs `dcos node`.
pub(crate) async fn run(context: &Context, args: NodeArgs) -> Outcome {
    let args = match args.command {
        Some(NodeCommand::List(args)) => args,
        Some(NodeCommand::Order(order)) => return node_order::run(context, order).await,
        None => args.list,
    };
    let client = context.client()?;
    let (masters, state, summary, own) = futures::try_join!(
        client.get("/mesos_dns/v1/hosts/master.mesos"),
        client.get("/mesos/master/state"),
        client.get("/mesos/state-summary"),
        own_nodes(&client)
    )?;
    let mut nodes = nodes(masters.as_array().map_or(&[][..], Vec::as_slice), &state, list(&summary, "slaves"));
    let own = own.unwrap_or_default();
    add_own(&mut nodes, &own);
    if context.structured() {
        context.print(&Value::Array(nodes))?;
        return Ok(0);
    }
    if args.quiet {
        nodes.iter().filter(|node| text(node, "type") == "agent").try_for_each(|node| print_line(text(node, "id")))?;
        return Ok(0);
    }
    if nodes.is_empty() {
        print_note("No agents found.");
        return Ok(0);
    }
    node_table(&nodes, &args.field)?.print("There are no nodes.")?;
    for remark in &remarks(&own) {
        print_note(remark);
    }
    Ok(0)
}

/// What `/v1/nodes` says, all pages as one; nothing on a cluster that does not have it.
async fn own_nodes(client: &Client) -> Result<Option<Value>, Error> {
    let Some(mut first) = client.find("/v1/nodes?limit=5000").await? else { return Ok(None) };
    while let Some(next) = first["next"].as_str().map(str::to_owned) {
        let page = client.get(&format!("/v1/nodes?limit=5000&after={}", encode(&next))).await?;
        if let (Some(nodes), Some(more)) = (first["nodes"].as_array_mut(), page["nodes"].as_array()) {
            nodes.extend(more.iter().cloned());
        }
        first["next"] = page["next"].clone();
    }
    Ok(Some(first))
}

/// Adds state, tasks, drain and faults to the agents of the list.
fn add_own(nodes: &mut [Value], own: &Value) {
    let by_id: HashMap<&str, &Value> = list(own, "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    for node in nodes {
        let Some(found) = by_id.get(text(node, "id")).copied() else { continue };
        for key in ["state", "tasks", "drain", "faults"] {
            node[key] = found[key].clone();
        }
    }
}

/// What an operator should know besides the table.
fn remarks(own: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    for node in list(own, "nodes") {
        if node["drain"].is_object() {
            remarks.push(drain_line(node));
            remarks.extend(waiting_lines(node).into_iter().map(|line| format!("  {line}")));
        }
        for fault in list(node, "faults").iter().filter_map(Value::as_str) {
            remarks.push(format!("{}: {fault}", text(node, "hostname")));
        }
    }
    remarks.extend(own.pointer("/brake/message").and_then(Value::as_str).map(str::to_owned));
    remarks
}

/// Masters and agents as one list; the leader is the master whose address the state names.
fn nodes(masters: &[Value], state: &Value, agents: &[Value]) -> Vec<Value> {
    let mut nodes = Vec::new();
    let with = |node: &Value, kind: &str, domain: (Option<String>, Option<String>)| {
        let mut node = node.clone();
        node["type"] = json!(kind);
        node["region"] = json!(domain.0);
        node["zone"] = json!(domain.1);
        node
    };
    for master in masters.iter().filter(|master| !text(master, "ip").is_empty()) {
        if text(master, "ip") == text(state, "hostname") {
            let mut leader = with(master, "master (leader)", fault_domain(state));
            for key in ["id", "pid", "version"] {
                leader[key] = state.get(key).cloned().unwrap_or(Value::Null);
            }
            nodes.push(leader);
        } else {
            nodes.push(with(master, "master", (None, None)));
        }
    }
    nodes.extend(agents.iter().map(|agent| with(agent, "agent", fault_domain(agent))));
    nodes
}

/// Address in a process id such as `slave(1)@10.0.0.1:5051`.
fn address_of(pid: &str) -> &str {
    let address = pid.rsplit('@').next().unwrap_or(pid);
    address.rsplit_once(':').map_or(address, |(ip, _)| ip)
}

fn node_table(nodes: &[Value], fields: &[String]) -> Result<Table, Error> {
    let mut table = Table::new(&[
        ("HOSTNAME", Align::Center),
        ("IP", Align::Center),
        ("ID", Align::Center),
        ("TYPE", Align::Left),
        ("REGION", Align::Center),
        ("ZONE", Align::Center),
    ]);
    // A cluster of another make does not tell these.
    let told = nodes.iter().any(|node| node.get("state").is_some());
    if told {
        table.add_column("STATE", Align::Left);
        table.add_column("TASKS", Align::Right);
    }
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|field| field.split_once(':').unwrap_or((field.as_str(), field.as_str()))).collect();
    for (heading, field) in &fields {
        let known = nodes.iter().filter(|node| text(node, "type") == "agent").all(|agent| dotted(agent, field).is_some());
        if !known {
            return Err(Error::usage(format!("Field \"{field}\" is invalid.")).fix("see the fields: dcos node --json"));
        }
        table.add_column(&heading.to_uppercase(), Align::Center);
    }
    for node in nodes {
        let or_none = |key: &str| node.get(key).map_or_else(|| "N/A".to_owned(), cell);
        let host = if node.get("host").is_some() { text(node, "host") } else { text(node, "hostname") };
        let ip = if node.get("ip").is_some() { text(node, "ip") } else { address_of(text(node, "pid")) };
        let mut row = vec![host.to_owned(), ip.to_owned(), or_none("id"), or_none("type"), or_none("region"), or_none("zone")];
        if told {
            let empty = |key: &str| node.get(key).map_or_else(String::new, cell);
            row.extend([empty("state"), empty("tasks")]);
        }
        row.extend(fields.iter().map(|(_, field)| dotted(node, field).map_or_else(|| "N/A".to_owned(), cell)));
        table.push(row);
    }
    table.sort_by_column(0);
    Ok(table)
}

fn dotted<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_original_one() {
        let masters = [json!({"host": "master.mesos.", "ip": "127.0.0.1"})];
        let state = json!({"hostname": "127.0.0.1", "id": "M", "pid": "master@127.0.0.1:5050"});
        let agents = [json!({"hostname": "n1", "id": "S1", "pid": "slave(1)@10.0.0.1:5051", "resources": {"cpus": 4}})];
        let nodes = nodes(&masters, &state, &agents);
        let text = node_table(&nodes, &["cpu:resources.cpus".into()]).unwrap().render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "   HOSTNAME        IP     ID  TYPE             REGION  ZONE  CPU",
                "master.mesos.  127.0.0.1  M   master (leader)   None   None  N/A",
                "      n1        10.0.0.1  S1  agent             None   None   4",
            ]
        );
        assert!(node_table(&nodes, &["nothing".into()]).is_err());
        let own = json!({
            "nodes": [{"id": "S1", "hostname": "n1", "state": "draining", "tasks": 2, "faults": ["it offers -1 cpus; 0 are counted"],
                "drain": {"then": "deactivate", "tasksLeft": 2, "waitingFor": [{"app": "/a", "instances": 2, "reason": "no room"}]}}],
            "brake": {"message": "replacements are held"},
        });
        let mut nodes = nodes;
        add_own(&mut nodes, &own);
        let text = node_table(&nodes, &[]).unwrap().render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "   HOSTNAME        IP     ID  TYPE             REGION  ZONE  STATE     TASKS",
                "master.mesos.  127.0.0.1  M   master (leader)   None   None",
                "      n1        10.0.0.1  S1  agent             None   None  draining      2",
            ]
        );
        assert_eq!(
            remarks(&own),
            [
                "n1 (S1) is draining: 2 tasks left",
                "  /a (2): no room",
                "n1: it offers -1 cpus; 0 are counted",
                "replacements are held",
            ]
        );
    }
}
