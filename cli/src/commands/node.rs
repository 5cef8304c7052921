//! `dcos node`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

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
  dcos node list --field cpus:resources.cpus --field version"
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
}

/// Runs `dcos node`.
pub(crate) async fn run(context: &Context, args: NodeArgs) -> Outcome {
    let args = match args.command {
        Some(NodeCommand::List(args)) => args,
        None => args.list,
    };
    let client = context.client()?;
    let (masters, state, summary) = futures::try_join!(
        client.get("/mesos_dns/v1/hosts/master.mesos"),
        client.get("/mesos/master/state"),
        client.get("/mesos/state-summary")
    )?;
    let nodes = nodes(masters.as_array().map_or(&[][..], Vec::as_slice), &state, list(&summary, "slaves"));
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
    Ok(0)
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
    }
}
