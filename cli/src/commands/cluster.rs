//! `dcos cluster`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use toml::Table as Toml;

use super::auth::{self, Credentials};
use crate::client::{Client, Verification};
use crate::config::{Cluster, normalize_url, process_environment};
use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::failure::{not_a_cluster, status_error};
use crate::marathon::text;
use crate::output::{Align, Table, print_line, print_note};

/// Arguments of `dcos cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Make a configured cluster the one that commands go to
    Attach {
        /// Name, id or beginning of the id
        name: String,
    },
    /// List the configured clusters
    List {
        /// Only the attached one
        #[arg(long)]
        attached: bool,
        /// Print ids only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Forget a cluster
    #[command(visible_alias = "rm")]
    Remove {
        /// Name, id or beginning of the id
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Forget all clusters
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Change the name that a cluster has here
    Rename {
        /// Present name or id
        name: String,
        /// New name
        new_name: String,
    },
    /// Connect to a cluster and attach it
    #[command(after_help = "\
Examples:
  dcos cluster setup http://127.0.0.1:8080
  dcos cluster setup https://cluster.example.com --ca-certs=ca.crt --username=alice")]
    Setup(SetupArgs),
}

/// Arguments of `dcos cluster setup`.
#[derive(Debug, Args)]
struct SetupArgs {
    /// URL of the cluster
    url: String,
    /// Do not check the TLS certificate at all (insecure)
    #[arg(long)]
    insecure: bool,
    /// Trust the cluster's own certificate authority without asking (insecure)
    #[arg(long)]
    no_check: bool,
    /// File with trusted certificates
    #[arg(long, value_name = "FILE", conflicts_with_all = ["insecure", "no_check"])]
    ca_certs: Option<String>,
    /// Name to give the cluster here
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// Runs `dcos cluster`.
pub(crate) async fn run(context: &Context, args: ClusterArgs) -> Outcome {
    match args.command {
        ClusterCommand::Attach { name } => {
            let cluster = context.directory.cluster(&name)?;
            context.directory.attach(&cluster.id())?;
        }
        ClusterCommand::List { attached, quiet } => list(context, attached, quiet).await?,
        ClusterCommand::Remove { name, all } => remove(context, name.as_deref(), all)?,
        ClusterCommand::Rename { name, new_name } => {
            let mut cluster = context.directory.cluster(&name)?;
            let taken = context.directory.clusters()?.iter().any(|c| c.name() == new_name && c.id() != cluster.id());
            if taken {
                return Err(Error::new(Kind::Conflict, format!("A cluster with name [{new_name}] already exists")));
            }
            cluster.set("cluster.name", toml::Value::String(new_name))?;
            cluster.save()?;
        }
        ClusterCommand::Setup(args) => setup(context, args).await.map_err(|error| {
            // There is no configuration yet that could be wrong; the flags take its place.
            let certificate = error.fix.iter().any(|fix| fix.contains("core.ssl_verify"));
            let fix = error.fix.iter().filter(|fix| !fix.contains("dcos config")).cloned().collect();
            let error = Error { fix, ..error };
            if certificate {
                error
                    .fix("trust the cluster's certificate: the same command with --ca-certs=FILE")
                    .fix("without checking it (insecure): the same command with --insecure")
            } else {
                error
            }
        })?,
    }
    Ok(0)
}

fn remove(context: &Context, name: Option<&str>, all: bool) -> Result<(), Error> {
    let clusters = match name {
        Some(name) => vec![context.directory.cluster(name)?],
        None if all => context.directory.clusters()?,
        None => Vec::new(),
    };
    for directory in clusters.iter().filter_map(|cluster| cluster.directory.as_ref()) {
        std::fs::remove_dir_all(directory)
            .map_err(|error| Error::general(format!("cannot remove {}: {error}", directory.display())))?;
    }
    Ok(())
}

async fn list(context: &Context, attached: bool, quiet: bool) -> Result<(), Error> {
    let mut clusters = context.directory.clusters()?;
    if attached {
        clusters.retain(|cluster| cluster.attached);
        if clusters.is_empty() && !context.structured() {
            return Err(Error::not_found("No cluster is attached.").fix("dcos cluster attach NAME"));
        }
    }
    if quiet {
        return clusters.iter().try_for_each(|cluster| print_line(&cluster.id()));
    }
    let versions = futures::future::join_all(clusters.iter().map(|cluster| version_of(context, cluster))).await;
    let rows: Vec<Value> = clusters.iter().zip(versions).map(|(cluster, version)| describe(cluster, version)).collect();
    if context.structured() {
        return context.print(&Value::Array(rows));
    }
    let columns = ["NAME", "CLUSTER ID", "STATUS", "VERSION", "URL"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Center)));
    for row in &rows {
        let star = if row["attached"] == Value::Bool(true) { "*" } else { "" };
        let cell = |key: &str| text(row, key).to_owned();
        table.push(vec![
            format!("{}{star}", text(row, "name")),
            cell("cluster_id"),
            cell("status"),
            cell("version"),
            cell("url"),
        ]);
    }
    table.sort_by_column(1);
    table.print("No cluster is set up; start with: dcos cluster setup http://HOST:PORT")
}

fn describe(cluster: &Cluster, version: Option<String>) -> Value {
    json!({
        "attached": cluster.attached,
        "cluster_id": cluster.id(),
        "name": cluster.name(),
        "status": if version.is_some() { "AVAILABLE" } else { "UNAVAILABLE" },
        "url": cluster.url().unwrap_or_else(|| "N/A".to_owned()),
        "version": version.unwrap_or_else(|| "UNKNOWN".to_owned()),
    })
}

async fn version_of(context: &Context, cluster: &Cluster) -> Option<String> {
    let file_only = |name: &str| process_environment(name).filter(|_| name.starts_with("DCOS_TLS"));
    let client = Client::for_cluster(cluster, &file_only, context.debug()).ok()?;
    let answer = client.get("/dcos-metadata/dcos-version.json").await.ok()?;
    Some(text(&answer, "version").to_owned())
}

async fn setup(context: &Context, args: SetupArgs) -> Result<(), Error> {
    for variable in ["DCOS_URL", "DCOS_DCOS_URL"] {
        if process_environment(variable).is_some() {
            print_note(&format!("Ignoring '{variable}' environment variable."));
        }
    }
    let url = normalize_url(&args.url)?;
    let verification = match &args.ca_certs {
        _ if args.insecure || args.no_check => Verification::Off,
        Some(path) => Verification::File(path.clone()),
        None => Verification::System,
    };
    let client = Client::new(&url, &verification, None, None, context.debug())?;
    let url = canonical_url(&client, &url).await?;
    let client = Client::new(&url, &verification, None, None, context.debug())?;
    let token = auth::token_for(&client, &args.credentials).await?;
    let client = Client::new(&url, &verification, None, token.clone(), context.debug())?;
    let metadata = client.get("/metadata").await.map_err(|error| match error.kind {
        Kind::NotFound => not_a_cluster(&url),
        _ => error,
    })?;
    let id = text(&metadata, "CLUSTER_ID");
    if id.is_empty() || !id.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)) || id.starts_with('.')
    {
        return Err(not_a_cluster(&url).cause("its /metadata has no usable CLUSTER_ID"));
    }
    // Only the name is lost when the state is not to be had.
    let summary = client.get("/mesos/state-summary").await.unwrap_or_default();
    let directory = context.directory.cluster_directory(id);
    let file = directory.join("dcos.toml");
    let existing = context.directory.clusters()?.into_iter().find(|cluster| cluster.id() == id);
    let mut cluster = existing.unwrap_or(Cluster { directory: Some(directory), file, attached: false, properties: Toml::new() });
    let name = args.name.or_else(|| cluster.get("cluster.name")).unwrap_or_else(|| match text(&summary, "cluster") {
        "" => id.to_owned(),
        name => name.to_owned(),
    });
    let verify = match &verification {
        Verification::System => "true".to_owned(),
        Verification::Off => "false".to_owned(),
        Verification::File(path) => std::path::absolute(path).map_or_else(|_| path.clone(), |path| path.display().to_string()),
    };
    for (key, value) in [("core.dcos_url", url.clone()), ("core.ssl_verify", verify), ("cluster.name", name.clone())] {
        cluster.set(key, toml::Value::String(value))?;
    }
    match token {
        Some(token) => cluster.set("core.dcos_acs_token", toml::Value::String(token))?,
        None => {
            cluster.unset("core.dcos_acs_token")?;
        }
    }
    cluster.save()?;
    context.directory.attach(id)?;
    print_note(&format!("Attached cluster {name} ({id}) at {url}"));
    Ok(())
}

/// Follows redirects of the front page, so that later requests need none.
async fn canonical_url(client: &Client, url: &str) -> Result<String, Error> {
    let response = client.open(Method::HEAD, "/", &[], None).await?;
    if response.status().is_server_error() {
        return Err(status_error(&crate::client::read_whole(response).await?));
    }
    let last = response.url();
    let given = url::Url::parse(url).map_err(|error| Error::usage(error.to_string()))?;
    // Only another origin matters; a redirect to /ui/ or /login does not.
    if last.origin() == given.origin() { Ok(url.to_owned()) } else { Ok(last.origin().ascii_serialization()) }
}
