//! `dcos service`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::marathon::{list, text};
use crate::output::{Align, Table, cell, print_line};

/// Arguments of `dcos service`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    command: Option<ServiceCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Also services that have ended
    #[arg(long)]
    completed: bool,
    /// Also services that are disconnected
    #[arg(long)]
    inactive: bool,
    /// Print ids only
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// List services
    List(ListArgs),
    /// End a service and all its tasks
    Shutdown {
        /// Id of the service
        service_id: String,
    },
}

/// Runs `dcos service`.
pub(crate) async fn run(context: &Context, args: ServiceArgs) -> Outcome {
    let client = context.client()?;
    let args = match args.command {
        Some(ServiceCommand::Shutdown { service_id }) => {
            let body = json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": service_id}}});
            client.checked(Method::POST, "/mesos/api/v1", Some(&body)).await.map_err(|error| match error.kind {
                Kind::NotFound | Kind::Usage => error.fix("dcos service list"),
                _ => error,
            })?;
            return Ok(0);
        }
        Some(ServiceCommand::List(args)) => args,
        None => args.list,
    };
    let state = crate::mesos::state(&client).await?;
    let active = |service: &&Value| args.inactive || service.get("active").and_then(Value::as_bool).unwrap_or(true);
    let mut services: Vec<&Value> = list(&state, "frameworks").iter().filter(active).collect();
    if args.completed {
        services.extend(list(&state, "completed_frameworks"));
    }
    if context.structured() {
        context.print(&json!(services))?;
    } else if args.quiet {
        services.iter().try_for_each(|service| print_line(text(service, "id")))?;
    } else {
        print_table(&services)?;
    }
    Ok(0)
}

fn print_table(services: &[&Value]) -> Result<(), Error> {
    let center = |name| (name, Align::Center);
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        center("HOST"),
        center("ACTIVE"),
        center("TASKS"),
        center("CPU"),
        center("MEM"),
        center("DISK"),
        ("ID", Align::Left),
    ]);
    for service in services {
        let field = |pointer: &str| service.pointer(pointer).map_or_else(|| "N/A".to_owned(), cell);
        table.push(vec![
            field("/name"),
            field("/hostname"),
            field("/active"),
            list(service, "tasks").len().to_string(),
            field("/resources/cpus"),
            field("/resources/mem"),
            field("/resources/disk"),
            field("/id"),
        ]);
    }
    table.sort_by_column(0);
    table.print("There are no services.")
}
