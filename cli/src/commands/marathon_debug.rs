//! `dcos marathon debug`: why instances wait to be launched.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::Client;
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{V2, count, list, normalize_id, queued_id, text};
use crate::output::{Align, EMPTY, Table, cell};

/// Arguments of `dcos marathon debug`.
#[derive(Debug, Args)]
pub(crate) struct DebugArgs {
    #[command(subcommand)]
    command: DebugCommand,
}

#[derive(Debug, Subcommand)]
enum DebugCommand {
    /// Show for each node what it lacks
    Details {
        /// Id of the app
        app_id: String,
    },
    /// List apps with instances that wait
    List,
    /// Show how many nodes have each thing that an app wants
    Summary {
        /// Id of the app
        app_id: String,
    },
}

/// Heading of each wanted thing, the reason that refuses for it, and the field that says how much is wanted.
const WANTS: [(&str, &str, &str); 6] = [
    ("ROLE", "UnfulfilledRole", "acceptedResourceRoles"),
    ("CONSTRAINTS", "UnfulfilledConstraint", "constraints"),
    ("CPUS", "InsufficientCpus", "cpus"),
    ("MEM", "InsufficientMemory", "mem"),
    ("DISK", "InsufficientDisk", "disk"),
    ("PORTS", "InsufficientPorts", "ports"),
];

/// Runs `dcos marathon debug`.
pub(crate) async fn run(context: &Context, args: DebugArgs) -> Outcome {
    let client = context.client()?;
    match args.command {
        DebugCommand::List => {
            let queue = client.get(&format!("{V2}/queue")).await?;
            if context.structured() {
                context.print(&json!(list(&queue, "queue")))?;
            } else {
                queue_table(list(&queue, "queue")).print("Nothing waits to be launched.")?;
            }
        }
        DebugCommand::Summary { app_id } => {
            let entry = queued(&client, &app_id, "").await?;
            if context.structured() {
                context.print(&entry)?;
            } else {
                summary_table(&entry).print("Nothing waits to be launched.")?;
            }
        }
        DebugCommand::Details { app_id } => {
            let entry = queued(&client, &app_id, "?embed=lastUnusedOffers").await?;
            if context.structured() {
                context.print(&entry)?;
            } else {
                details_table(list(&entry, "lastUnusedOffers")).print("Nothing waits to be launched.")?;
            }
        }
    }
    Ok(0)
}

async fn queued(client: &Client, id: &str, flags: &str) -> Result<Value, Error> {
    let queue = client.get(&format!("{V2}/queue{flags}")).await?;
    let id = normalize_id(id);
    list(&queue, "queue").iter().find(|entry| queued_id(entry) == id).cloned().ok_or_else(|| {
        Error::not_found("No apps found in Marathon queue").cause(format!("no instance of {id} waits to be launched"))
    })
}

fn queue_table(queue: &[Value]) -> Table {
    let names = [
        "ID",
        "SINCE",
        "INSTANCES TO LAUNCH",
        "WAITING",
        "PROCESSED OFFERS",
        "UNUSED OFFERS",
        "LAST UNUSED OFFER",
        "LAST USED OFFER",
    ];
    let mut table = Table::new(&names.map(|name| (name, Align::Left)));
    for entry in queue {
        let field = |pointer: &str| entry.pointer(pointer).map_or_else(|| EMPTY.to_owned(), cell);
        let offers = |key: &str| field(&format!("/processedOffersSummary/{key}"));
        table.push(vec![
            queued_id(entry).to_owned(),
            field("/since"),
            field("/count"),
            field("/delay/overdue"),
            offers("processedOffersCount"),
            offers("unusedOffersCount"),
            offers("lastUnusedOfferAt"),
            offers("lastUsedOfferAt"),
        ]);
    }
    table.sort_by_column(0);
    table
}

fn summary_table(entry: &Value) -> Table {
    let mut table = Table::new(&["RESOURCE", "REQUESTED", "MATCHED", "PERCENTAGE"].map(|name| (name, Align::Left)));
    let summary = entry.get("processedOffersSummary").unwrap_or(&Value::Null);
    for (name, reason, field) in WANTS {
        let wanted = match entry.get("app").and_then(|app| app.get(field)) {
            Some(Value::Array(roles)) if roles.is_empty() && name == "ROLE" => "[*]".to_owned(),
            None if name == "ROLE" => "[*]".to_owned(),
            Some(value) => cell(value),
            None => EMPTY.to_owned(),
        };
        let refusal = list(summary, "rejectSummaryLastOffers").iter().find(|refusal| text(refusal, "reason") == reason);
        let (declined, processed) = refusal.map_or((0, 0), |refusal| (count(refusal, "declined"), count(refusal, "processed")));
        let matched = processed.saturating_sub(declined);
        let share = if processed == 0 { EMPTY.to_owned() } else { format!("{:.2}%", 100.0 * matched as f64 / processed as f64) };
        table.push(vec![name.to_owned(), wanted, format!("{matched} / {processed}"), share]);
    }
    table
}

fn details_table(offers: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("HOSTNAME", Align::Left),
        ("ROLE", Align::Center),
        ("CONSTRAINTS", Align::Center),
        ("CPUS", Align::Center),
        ("MEM", Align::Center),
        ("DISK", Align::Center),
        ("PORTS", Align::Center),
        ("RECEIVED", Align::Left),
    ]);
    for offer in offers {
        let host = offer.pointer("/offer/hostname").map_or_else(|| EMPTY.to_owned(), cell);
        let mut row = vec![host];
        for (_, reason, _) in WANTS {
            let refused = list(offer, "reason").iter().any(|found| found.as_str() == Some(reason));
            row.push(if refused { "-" } else { "ok" }.to_owned());
        }
        row.push(offer.get("timestamp").map_or_else(|| EMPTY.to_owned(), cell));
        table.push(row);
    }
    table.sort_by_column(0);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_original_one() {
        let entry: Value = serde_json::from_str(
            r#"{"app":{"id":"/a","cpus":64.0,"mem":128,"disk":0,"constraints":[["hostname","UNIQUE"]],"ports":[0]},
                "processedOffersSummary":{"rejectSummaryLastOffers":[
                  {"reason":"UnfulfilledRole","declined":0,"processed":3},
                  {"reason":"InsufficientCpus","declined":2,"processed":3}]}}"#,
        )
        .unwrap();
        let text = summary_table(&entry).render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "RESOURCE     REQUESTED                 MATCHED  PERCENTAGE",
                "ROLE         [*]                       3 / 3    100.00%",
                "CONSTRAINTS  [['hostname', 'UNIQUE']]  0 / 0    ---",
                "CPUS         64.0                      1 / 3    33.33%",
                "MEM          128                       0 / 0    ---",
                "DISK         0                         0 / 0    ---",
                "PORTS        [0]                       0 / 0    ---",
            ]
        );
    }
}
