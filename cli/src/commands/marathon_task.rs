//! `dcos marathon task`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::marathon::{V2, app_path, list, query, text};
use crate::output::{Align, Table, cell, print_line};

/// Arguments of `dcos marathon task`.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// Kill tasks; they are replaced
    Kill {
        /// Lower the number of instances by those killed
        #[arg(long)]
        scale: bool,
        /// Also delete their persistent volumes
        #[arg(long)]
        wipe: bool,
        /// Ids of the tasks
        #[arg(required = true)]
        task_ids: Vec<String>,
    },
    /// List tasks
    List {
        /// Only those of this app
        app_id: Option<String>,
        /// Print ids only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Print a task
    Show {
        /// Id of the task
        task_id: String,
    },
    /// Kill one task; it is replaced
    Stop {
        /// Also delete its persistent volumes
        #[arg(long)]
        wipe: bool,
        /// Id of the task
        task_id: String,
    },
}

/// Runs `dcos marathon task`.
pub(crate) async fn run(context: &Context, args: TaskArgs) -> Outcome {
    let client = context.client()?;
    match args.command {
        TaskCommand::Kill { scale, wipe, task_ids } => {
            let answer = delete(&client, &task_ids, scale, wipe).await?;
            if context.structured() {
                context.print(&answer)?;
            }
            if scale {
                if !context.structured() {
                    print_line(&format!("Created deployment: {}", text(&answer, "deploymentId")))?;
                }
                return Ok(0);
            }
            let ids: Vec<&str> = list(&answer, "tasks").iter().map(|task| text(task, "id")).collect();
            if !context.structured() {
                print_line(&format!("Killed tasks: {}", cell(&json!(ids))))?;
            }
            if ids.is_empty() {
                return Err(Error::not_found("Failed to kill tasks. task-ids seems to be unknown").fix("dcos marathon task list"));
            }
        }
        TaskCommand::List { app_id, quiet } => {
            let path = app_id.map_or_else(|| format!("{V2}/tasks"), |id| format!("{}/tasks", app_path(&id)));
            let answer = client.get(&path).await?;
            let tasks = list(&answer, "tasks");
            if context.structured() {
                context.print(&json!(tasks))?;
            } else if quiet {
                tasks.iter().try_for_each(|task| print_line(text(task, "id")))?;
            } else {
                task_table(tasks).print("There are no tasks.")?;
            }
        }
        TaskCommand::Show { task_id } => {
            let answer = client.get(&format!("{V2}/tasks")).await?;
            let task = list(&answer, "tasks").iter().find(|task| text(task, "id") == task_id);
            context.print(task.ok_or_else(|| unknown(&task_id))?)?;
        }
        TaskCommand::Stop { wipe, task_id } => {
            let answer = delete(&client, std::slice::from_ref(&task_id), false, wipe).await?;
            context.print(list(&answer, "tasks").first().ok_or_else(|| unknown(&task_id))?)?;
        }
    }
    Ok(0)
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("Task '{id}' does not exist")).fix("dcos marathon task list")
}

async fn delete(client: &Client, ids: &[String], scale: bool, wipe: bool) -> Result<Value, Error> {
    let flags = query(&[scale.then(|| "scale=true".to_owned()), wipe.then(|| "wipe=true".to_owned())]);
    client.json(Method::POST, &format!("{V2}/tasks/delete{flags}"), Some(&json!({"ids": ids}))).await
}

fn task_table(tasks: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("APP", Align::Left),
        ("HEALTHY", Align::Center),
        ("STARTED", Align::Center),
        ("HOST", Align::Center),
        ("ID", Align::Left),
    ]);
    for task in tasks {
        let alive = list(task, "healthCheckResults").iter().all(|check| check.get("alive") == Some(&Value::Bool(true)));
        let started = task.get("startedAt").and_then(Value::as_str).unwrap_or("N/A");
        table.push(vec![
            text(task, "appId").to_owned(),
            cell(&Value::Bool(alive)),
            started.to_owned(),
            text(task, "host").to_owned(),
            text(task, "id").to_owned(),
        ]);
    }
    table.sort_by_column(0);
    table
}
