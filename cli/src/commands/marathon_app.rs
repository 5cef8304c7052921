//! `dcos marathon app`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::marathon_app_table::app_table;
use crate::client::{Client, encode};
use crate::context::Context;
use crate::document::{Document, read_file, read_stdin, single};
use crate::error::{Error, Fault, Kind, Outcome};
use crate::marathon::{V2, app_path, count, deployment_id, explain_lock, force, list, normalize_id, query, text};
use crate::output::{cell, print_line, print_note, stdin_is_terminal};

/// Arguments of `dcos marathon app`.
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Add an app
    #[command(after_help = "\
Examples:
  dcos marathon app add web.json
  dcos marathon app add web.yaml
  echo '{\"id\": \"/web\", \"cmd\": \"python3 -m http.server $PORT0\", \"cpus\": 0.1, \"mem\": 64}' | dcos marathon app add")]
    Add {
        /// File or URL with the app, JSON or YAML (default: standard input)
        resource: Option<String>,
    },
    /// Kill instances; they are replaced
    Kill {
        /// Lower the number of instances by those killed
        #[arg(long)]
        scale: bool,
        /// Only those on this host
        #[arg(long)]
        host: Option<String>,
        /// Id of the app
        app_id: String,
    },
    /// List apps
    List {
        /// Print ids only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Remove an app and its tasks
    Remove {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the app
        app_id: String,
    },
    /// Replace all instances, a few at a time
    Restart {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the app
        app_id: String,
    },
    /// Print an app
    Show {
        /// A version's time, or -1 for the one before, -2 …
        #[arg(long, value_name = "VERSION", allow_hyphen_values = true)]
        app_version: Option<String>,
        /// Id of the app
        app_id: String,
    },
    /// Start a stopped app
    Start {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the app
        app_id: String,
        /// Number of instances
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        instances: u32,
    },
    /// Stop an app; it stays known with 0 instances
    Stop {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the app
        app_id: String,
    },
    /// Change properties of an app
    #[command(after_help = "\
Examples:
  dcos marathon app update /web instances=3 cpus=0.5
  dcos marathon app update /web env='{\"A\": \"1\"}'
  dcos marathon app update /web < change.json")]
    Update {
        /// Override running deployments
        #[arg(long)]
        force: bool,
        /// Id of the app
        app_id: String,
        /// name=value, the value as JSON or text (default: an object on standard input)
        properties: Vec<String>,
    },
    /// See the versions of an app
    Version {
        #[command(subcommand)]
        command: VersionCommand,
    },
}

#[derive(Debug, Subcommand)]
enum VersionCommand {
    /// List versions, newest first
    List {
        /// Most versions to print
        #[arg(long, value_name = "N")]
        max_count: Option<usize>,
        /// Id of the app
        app_id: String,
    },
}

/// Runs `dcos marathon app`.
pub(crate) async fn run(context: &Context, args: AppArgs) -> Outcome {
    let client = context.client()?;
    match args.command {
        AppCommand::Add { resource } => add(context, &client, resource.as_deref()).await,
        AppCommand::Kill { scale, host, app_id } => kill(&client, &app_id, scale, host.as_deref()).await,
        AppCommand::List { quiet } => list_apps(context, &client, quiet).await,
        AppCommand::Remove { force: forced, app_id } => {
            let path = format!("{}{}", app_path(&app_id), query(&[force(forced)]));
            client.checked(Method::DELETE, &path, None).await?;
            Ok(0)
        }
        AppCommand::Restart { force: forced, app_id } => {
            if count(&app(&client, &app_id).await?, "instances") == 0 {
                return Err(Error::general(format!(
                    "Unable to perform rolling restart of application '{}' because it has no running tasks",
                    normalize_id(&app_id)
                )));
            }
            let path = format!("{}/restart{}", app_path(&app_id), query(&[force(forced)]));
            deploy(context, &client, Method::POST, &path, &json!({}), &app_id).await
        }
        AppCommand::Show { app_version, app_id } => {
            let shown = match app_version {
                None => app(&client, &app_id).await?,
                Some(version) => {
                    let version = absolute_version(&client, &app_id, &version).await?;
                    client.get(&format!("{}/versions/{}", app_path(&app_id), encode(&version))).await?
                }
            };
            context.print(&shown)?;
            Ok(0)
        }
        AppCommand::Start { force, app_id, instances } => {
            let running = count(&app(&client, &app_id).await?, "instances");
            if running > 0 {
                return Err(Error::general(format!("Application '{app_id}' already started: {running} instances.")));
            }
            put(context, &client, &app_id, &json!({"id": normalize_id(&app_id), "instances": instances}), force).await
        }
        AppCommand::Stop { force, app_id } => {
            if count(&app(&client, &app_id).await?, "instances") == 0 {
                return Err(Error::general(format!("Application '{app_id}' already stopped: 0 instances.")));
            }
            put(context, &client, &app_id, &json!({"instances": 0}), force).await
        }
        AppCommand::Update { force, app_id, properties } => {
            app(&client, &app_id).await?;
            let change = properties_or_stdin(&properties, "dcos marathon app update /web < change.json")?;
            put(context, &client, &app_id, &change, force).await
        }
        AppCommand::Version { command: VersionCommand::List { max_count, app_id } } => {
            let mut versions = versions(&client, &app_id).await?;
            versions.truncate(max_count.unwrap_or(usize::MAX));
            context.print(&json!(versions))?;
            Ok(0)
        }
    }
}

async fn app(client: &Client, id: &str) -> Result<Value, Error> {
    let answer = client.get(&app_path(id)).await.map_err(|error| match error.kind {
        Kind::NotFound => error.fix("dcos marathon app list"),
        _ => error,
    })?;
    Ok(answer.get("app").cloned().unwrap_or(answer))
}

async fn versions(client: &Client, id: &str) -> Result<Vec<String>, Error> {
    let answer = client.get(&format!("{}/versions", app_path(id))).await?;
    Ok(list(&answer, "versions").iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// `-1` is the version before the present one; anything else is a time.
async fn absolute_version(client: &Client, id: &str, version: &str) -> Result<String, Error> {
    let Ok(relative) = version.parse::<i64>() else { return Ok(version.to_owned()) };
    if relative >= 0 {
        return Err(Error::usage(format!("Relative versions must be negative: {relative}")));
    }
    let back = usize::try_from(relative.unsigned_abs()).unwrap_or(usize::MAX);
    let versions = versions(client, id).await?;
    versions.get(back).cloned().ok_or_else(|| {
        Error::not_found(format!("Application '{id}' only has '{}' version(s).", versions.len()))
            .fix(format!("dcos marathon app version list {id}"))
    })
}

/// The app or group that a file, a URL or standard input holds.
pub(crate) async fn read_resource(client: &Client, resource: Option<&str>, example: &str) -> Result<Document, Error> {
    let (name, text) = match resource {
        None | Some("-") => {
            refuse_terminal(example)?;
            ("-", read_stdin()?)
        }
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            let reply = client.checked(Method::GET, url, None).await.map_err(|error| {
                Error::general(format!("Can't read from resource: {url}.\nPlease check that it exists.")).cause(error.summary)
            })?;
            (url, String::from_utf8_lossy(&reply.body).into_owned())
        }
        Some(file) => (file, read_file(std::path::Path::new(file))?),
    };
    let document = single(name, &text)?.ok_or_else(|| Error::usage(format!("{name} is empty")))?;
    if !document.value.is_object() {
        return Err(Error::usage(format!("{name} cannot be used")).faults(vec![document.fault("", "must be an object")]));
    }
    Ok(document)
}

fn refuse_terminal(example: &str) -> Result<(), Error> {
    if stdin_is_terminal() {
        return Err(Error::usage("nothing to read: standard input is a terminal").fix(format!("for example: {example}")));
    }
    Ok(())
}

/// Gives the faults that the server found their place in the document.
pub(crate) fn located(error: Error, document: &Document) -> Error {
    let place = |fault: &Fault| {
        let found = document.fault(&fault.path, fault.message.clone());
        // A message that shows the value itself needs it no second time.
        let value = found.value.clone().filter(|_| !fault.message.contains("(given: "));
        Fault { value, ..found }
    };
    Error { faults: error.faults.iter().map(place).collect(), ..error }
}

async fn add(context: &Context, client: &Client, resource: Option<&str>) -> Outcome {
    let document = read_resource(client, resource, "dcos marathon app add < app.json").await?;
    let Some(id) = document.value.get("id").and_then(Value::as_str) else {
        let fault = document.fault("", "has no id");
        return Err(Error::usage("the app cannot be added").faults(vec![fault]));
    };
    let id = normalize_id(id);
    if client.find(&app_path(&id)).await?.is_some() {
        return Err(Error::new(Kind::Conflict, format!("Application '{id}' already exists"))
            .fix(format!("change it: dcos marathon app update {id} < {}", document.file))
            .fix(format!("add or change, whichever is needed: dcos apply -f {}", document.file)));
    }
    let added = client.json(Method::POST, &format!("{V2}/apps"), Some(&document.value)).await;
    let answer = added.map_err(|error| located(error, &document))?;
    created(context, &answer)
}

async fn put(context: &Context, client: &Client, id: &str, change: &Value, forced: bool) -> Outcome {
    let path = format!("{}{}", app_path(id), query(&[force(forced)]));
    deploy(context, client, Method::PUT, &path, change, id).await
}

async fn deploy(context: &Context, client: &Client, method: Method, path: &str, body: &Value, id: &str) -> Outcome {
    match client.json(method, path, Some(body)).await {
        Ok(answer) => created(context, &answer),
        Err(error) if error.kind == Kind::Conflict => {
            let holders = deployments_of(client, id).await;
            Err(explain_lock(error, &holders))
        }
        Err(error) => Err(error),
    }
}

/// Ids of the deployments that affect an app; none when they cannot be read.
async fn deployments_of(client: &Client, id: &str) -> Vec<String> {
    let id = normalize_id(id);
    let deployments = client.get(&format!("{V2}/deployments")).await.unwrap_or_default();
    deployments
        .as_array()
        .into_iter()
        .flatten()
        .filter(|deployment| list(deployment, "affectedApps").iter().any(|app| app.as_str() == Some(&id)))
        .map(|deployment| text(deployment, "id").to_owned())
        .collect()
}

/// Prints the deployment that an answer started.
pub(crate) fn created(context: &Context, answer: &Value) -> Outcome {
    if context.structured() {
        context.print(answer)?;
        return Ok(0);
    }
    match deployment_id(answer) {
        Some(id) => print_line(&format!("Created deployment {id}"))?,
        None => print_note("Nothing to deploy: it is so already."),
    }
    Ok(0)
}

/// Properties as `name=value`, or an object from standard input.
pub(crate) fn properties_or_stdin(properties: &[String], example: &str) -> Result<Value, Error> {
    if properties.is_empty() {
        refuse_terminal(example)?;
        let document = single("-", &read_stdin()?)?.ok_or_else(|| Error::usage("standard input is empty"))?;
        return Ok(document.value);
    }
    let mut change = Map::new();
    for property in properties {
        let (name, value) = property
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("'{property}' is not name=value")).fix("for example: instances=3"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.trim_matches('\'').to_owned()));
        if change.insert(name.to_owned(), value).is_some() {
            return Err(Error::usage(format!("Key '{name}' was specified more than once")));
        }
    }
    Ok(Value::Object(change))
}

async fn kill(client: &Client, id: &str, scale: bool, host: Option<&str>) -> Outcome {
    let parts = [host.map(|host| format!("host={}", encode(host))), scale.then(|| "scale=true".to_owned())];
    let answer = client.json(Method::DELETE, &format!("{}/tasks{}", app_path(id), query(&parts)), None).await?;
    if scale {
        print_line(&format!("Started deployment: {}", cell(&answer)))?;
        return Ok(0);
    }
    let tasks = answer.get("tasks").cloned().unwrap_or_else(|| json!([]));
    print_line(&format!("Killed tasks: {}", cell(&tasks)))?;
    Ok(u8::from(tasks.as_array().is_none_or(Vec::is_empty)))
}

async fn list_apps(context: &Context, client: &Client, quiet: bool) -> Outcome {
    let answer = client.get(&format!("{V2}/apps")).await?;
    let apps = list(&answer, "apps");
    if context.structured() {
        context.print(&json!(apps))?;
        return Ok(0);
    }
    if quiet {
        apps.iter().try_for_each(|app| print_line(text(app, "id")))?;
        return Ok(0);
    }
    let (deployments, queue) = (format!("{V2}/deployments"), format!("{V2}/queue"));
    let (deployments, queue) = futures::try_join!(client.get(&deployments), client.get(&queue))?;
    let deployments = deployments.as_array().cloned().unwrap_or_default();
    app_table(apps, &deployments, list(&queue, "queue")).print("There are no apps.")?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_typed() {
        let properties = ["cpus=2.0", "cmd=sleep 5", "env={\"A\":\"1\"}", "user=null", "x=a=b"].map(str::to_owned);
        let change = properties_or_stdin(&properties, "").unwrap();
        assert_eq!(change["cpus"].to_string(), "2.0");
        assert_eq!(change["cmd"], json!("sleep 5"));
        assert_eq!(change["env"], json!({"A": "1"}));
        assert_eq!(change["user"], Value::Null);
        assert_eq!(change["x"], json!("a=b"));
        assert!(properties_or_stdin(&["x".to_owned()], "").is_err());
        assert!(properties_or_stdin(&["x=1".to_owned(), "x=2".to_owned()], "").is_err());
    }
}
