//! `dcos auth`.

use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::config::process_environment;
use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::failure::server_message;
use crate::marathon::text;
use crate::output::{Align, Table, print_bytes, print_line, print_note, read_answer, stdin_is_terminal};

/// Path that tells whether the cluster wants a login.
const PROBE: &str = "/pkgpanda/active.buildinfo.full.json";
const LOGIN: &str = "/acs/api/v1/auth/login";
const PROVIDERS: &str = "/acs/api/v1/auth/providers";

/// Arguments of `dcos auth`.
#[derive(Debug, Args)]
pub(crate) struct AuthArgs {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Subcommand)]
enum AuthCommand {
    /// List the ways to log in
    ListProviders {
        /// URL of a cluster other than the attached one
        url: Option<String>,
    },
    /// Log in to the attached cluster
    #[command(after_help = "\
Examples:
  dcos auth login
  DCOS_PASSWORD=… dcos auth login --username=alice --password-env=DCOS_PASSWORD")]
    Login(Credentials),
    /// Forget the login of the attached cluster
    Logout,
}

/// Who logs in.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Credentials {
    /// User name
    #[arg(long, env = "DCOS_USERNAME", hide_env_values = true)]
    username: Option<String>,
    /// Password (others on this machine may see it)
    #[arg(long, env = "DCOS_PASSWORD", hide_env_values = true, conflicts_with_all = ["password_file", "password_env"])]
    password: Option<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
    /// Environment variable that holds the password
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// Way to log in, of `dcos auth list-providers`
    #[arg(long)]
    provider: Option<String>,
}

/// Runs `dcos auth`.
pub(crate) async fn run(context: &Context, args: AuthArgs) -> Outcome {
    match args.command {
        AuthCommand::ListProviders { url } => {
            let client = match url {
                Some(url) => {
                    let url = crate::config::normalize_url(&url)?;
                    Client::new(&url, &crate::client::Verification::System, None, None, context.debug())?
                }
                None => context.client()?,
            };
            list_providers(context, &client).await?;
        }
        AuthCommand::Login(credentials) => {
            let mut cluster = context.cluster()?;
            // With the login that there may be, every name and password would seem right.
            let client = context.client()?.anonymous();
            match token_for(&client, &credentials).await? {
                Some(token) => {
                    cluster.set("core.dcos_acs_token", toml::Value::String(token))?;
                    cluster.save()?;
                    print_note("Login successful!");
                }
                None => print_note(&format!("{} needs no login: authentication is off there.", client.base())),
            }
        }
        AuthCommand::Logout => {
            let mut cluster = context.cluster()?;
            if cluster.unset("core.dcos_acs_token")? {
                cluster.save()?;
            } else {
                print_note("There was no login to forget.");
            }
        }
    }
    Ok(0)
}

async fn list_providers(context: &Context, client: &Client) -> Result<(), Error> {
    let providers = client.find(PROVIDERS).await?.unwrap_or_else(|| json!({}));
    if context.structured() {
        return context.print(&providers);
    }
    let mut table = Table::new(&[("PROVIDER ID", Align::Left), ("AUTHENTICATION TYPE", Align::Left)]);
    for (id, provider) in providers.as_object().into_iter().flatten() {
        table.push(vec![id.clone(), text(provider, "authentication-type").to_owned()]);
    }
    if table.is_empty() {
        print_note(&format!("{} needs no login: authentication is off there.", client.base()));
        return Ok(());
    }
    table.sort_by_column(0);
    print_line(&table.render())
}

/// Logs in when the cluster wants it, and gives the token; nothing when it does not.
pub(crate) async fn token_for(client: &Client, credentials: &Credentials) -> Result<Option<String>, Error> {
    let probe = client.open(Method::HEAD, PROBE, &[], None).await?;
    if probe.status() != StatusCode::UNAUTHORIZED {
        return Ok(None);
    }
    let username = match &credentials.username {
        Some(name) => name.clone(),
        None => ask("Username: ")?,
    };
    let password = password(credentials, &username)?;
    let body = json!({"uid": username, "password": password}).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let reply = client.send(Method::POST, LOGIN, &headers, Some(body)).await?;
    if !reply.status.is_success() {
        let why = server_message(&reply.body).unwrap_or_else(|| format!("HTTP {}", reply.status.as_u16()));
        return Err(Error::new(Kind::Auth, format!("cannot log in as {username}")).cause(why).fix("dcos auth login"));
    }
    let answer: Value = reply.json()?;
    match text(&answer, "token") {
        "" => Err(Error::new(Kind::Auth, "the cluster accepted the login but gave no token")),
        token => Ok(Some(token.to_owned())),
    }
}

fn password(credentials: &Credentials, username: &str) -> Result<String, Error> {
    if let Some(password) = &credentials.password {
        return Ok(password.clone());
    }
    if let Some(name) = &credentials.password_env {
        return process_environment(name).ok_or_else(|| Error::usage(format!("the variable {name} is not set")));
    }
    if let Some(file) = &credentials.password_file {
        let text = crate::document::read_file(std::path::Path::new(file))?;
        return Ok(text.trim_end().to_owned());
    }
    ask_secret(&format!("Password for {username}: "))
}

/// Asks without showing what is typed, where the terminal can do that.
fn ask_secret(prompt: &str) -> Result<String, Error> {
    let echo = |mode: &str| std::process::Command::new("stty").arg(mode).status().is_ok_and(|status| status.success());
    let hidden = stdin_is_terminal() && echo("-echo");
    let answer = ask(prompt);
    if hidden {
        echo("echo");
        print_note("");
    }
    answer
}

fn ask(prompt: &str) -> Result<String, Error> {
    if !stdin_is_terminal() {
        return Err(
            Error::new(Kind::Auth, "this cluster wants a login").fix("dcos auth login --username=NAME --password-file=FILE")
        );
    }
    print_bytes(prompt.as_bytes())?;
    read_answer()?.ok_or_else(|| Error::new(Kind::Auth, "no answer"))
}
