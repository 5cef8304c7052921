//! `dcos marathon deployment`.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::marathon_app_table::action_word;
use crate::client::encode;
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{V2, count, list, normalize_id, text};
use crate::output::{Align, Table, print_line};
use crate::progress::parse_duration;
use crate::watch::{self, Goal};

/// Arguments of `dcos marathon deployment`.
#[derive(Debug, Args)]
pub(crate) struct DeploymentArgs {
    #[command(subcommand)]
    command: DeploymentCommand,
}

#[derive(Debug, Subcommand)]
enum DeploymentCommand {
    /// List running deployments
    List {
        /// Only those of this app
        app_id: Option<String>,
        /// Print ids only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Undo a running deployment
    Rollback {
        /// Id of the deployment
        id: String,
    },
    /// Cancel a running deployment and leave things as they are
    Stop {
        /// Id of the deployment
        id: String,
    },
    /// Show a deployment's progress until it is over
    #[command(after_help = "\
Examples:
  dcos marathon deployment watch $(dcos marathon deployment list -q | head -1)
  dcos marathon deployment watch ID --timeout 5m --progress json")]
    Watch {
        /// Id of the deployment
        id: String,
        /// Most looks before giving up, one each --interval (as the original; --timeout says it better)
        #[arg(long, value_name = "N")]
        max_count: Option<u32>,
        /// Seconds between looks of --max-count; changes are shown at once anyway
        #[arg(long, value_name = "SECONDS", default_value_t = 1)]
        interval: u32,
        /// Longest time to watch (exit code 6)
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        timeout: Option<Duration>,
    },
}

/// Runs `dcos marathon deployment`.
pub(crate) async fn run(context: &Context, args: DeploymentArgs) -> Outcome {
    let client = context.client()?;
    match args.command {
        DeploymentCommand::List { app_id, quiet } => {
            let answer = client.get(&format!("{V2}/deployments")).await?;
            let mut deployments = answer.as_array().cloned().unwrap_or_default();
            if let Some(id) = &app_id {
                let id = normalize_id(id);
                deployments.retain(|deployment| list(deployment, "affectedApps").iter().any(|app| app.as_str() == Some(&id)));
            }
            if context.structured() {
                context.print(&Value::Array(deployments))?;
                return Ok(0);
            }
            if deployments.is_empty() {
                let of = app_id.map_or(String::new(), |id| format!(" for '{id}'"));
                return Err(Error::not_found(format!("There are no deployments{of}")));
            }
            if quiet {
                deployments.iter().try_for_each(|deployment| print_line(text(deployment, "id")))?;
                return Ok(0);
            }
            deployment_table(&deployments).print("There are no deployments.")?;
        }
        DeploymentCommand::Rollback { id } => {
            let answer = client.json(Method::DELETE, &format!("{V2}/deployments/{}", encode(&id)), None).await?;
            context.print(&answer)?;
        }
        DeploymentCommand::Stop { id } => {
            client.checked(Method::DELETE, &format!("{V2}/deployments/{}?force=true", encode(&id)), None).await?;
        }
        DeploymentCommand::Watch { id, max_count, interval, timeout } => {
            let counted = max_count.map(|count| Duration::from_secs(u64::from(count) * u64::from(interval)));
            let again = format!("dcos marathon deployment watch {id}");
            let goal = Goal { apps: Vec::new(), deployments: vec![id], healthy: false };
            let waited = watch::wait(context, &client, &goal, timeout.or(counted), &again).await;
            match waited {
                // The original ends quietly when its looks are used up.
                Err(error) if error.kind == crate::error::Kind::Timeout && timeout.is_none() => {}
                other => other?,
            }
        }
    }
    Ok(0)
}

fn deployment_table(deployments: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("APP", Align::Left),
        ("POD", Align::Left),
        ("ACTION", Align::Left),
        ("PROGRESS", Align::Center),
        ("ID", Align::Left),
    ]);
    for deployment in deployments {
        let ids = |key: &str| {
            let ids: Vec<&str> = list(deployment, key).iter().filter_map(Value::as_str).collect();
            if ids.is_empty() { "-".to_owned() } else { ids.join("\n") }
        };
        let done = count(deployment, "currentStep").saturating_sub(1);
        table.push(vec![
            ids("affectedApps"),
            ids("affectedPods"),
            current_actions(list(deployment, "currentActions")),
            format!("{done}/{}", count(deployment, "totalSteps")),
            text(deployment, "id").to_owned(),
        ]);
    }
    table.sort_by_column(0);
    table
}

/// One line for each action; the app is named when there are several.
fn current_actions(actions: &[Value]) -> String {
    let target = |action: &Value| {
        let app = action.get("app").or_else(|| action.get("pod"));
        app.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut targets: Vec<String> = actions.iter().map(target).collect();
    targets.sort();
    targets.dedup();
    let lines: Vec<String> = actions
        .iter()
        .map(|action| {
            let word = action_word(text(action, "action"));
            match target(action).as_str() {
                "" => "N/A".to_owned(),
                id if targets.len() > 1 => format!("{word} {id}"),
                _ => word,
            }
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_is_the_original_one() {
        let deployments = [json!({"id": "97c1", "affectedApps": ["/a", "/b"], "affectedPods": [], "currentStep": 1,
            "totalSteps": 3, "currentActions": [{"action": "ScaleApplication", "app": "/a"}, {"action": "StopApplication", "app": "/b"}]})];
        let text = deployment_table(&deployments).render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["APP  POD  ACTION    PROGRESS  ID", "/a   -    scale /a    0/3     97c1", "/b        stop /b"]);
    }
}
