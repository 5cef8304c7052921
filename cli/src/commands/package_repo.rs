//! `dcos package repo`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::context::Context;
use crate::cosmos;
use crate::document::{read_file, single};
use crate::error::{Error, Kind, Outcome};
use crate::marathon::{list, text};
use crate::output::{print_line, print_note};

/// Arguments of `dcos package repo`.
#[derive(Debug, Args)]
pub(crate) struct RepoArgs {
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    /// Add a repository
    #[command(after_help = "\
Examples:
  dcos package repo add Team https://packages.example.com/repo
  dcos package repo add --index=0 Local file:///srv/universe     searched first")]
    Add {
        /// Name for it
        name: String,
        /// Where it is: http, https or file
        url: String,
        /// Place in the order of search, from 0 (default: last)
        #[arg(long)]
        index: Option<u32>,
    },
    /// Add all repositories that a file lists
    Import {
        /// JSON or YAML: {"repositories": [{"name": "N", "uri": "U"}]}
        file: String,
    },
    /// List the repositories in the order of search
    List {
        /// Print names only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Remove repositories
    Remove {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Runs `dcos package repo`.
pub(crate) async fn run(context: &Context, args: RepoArgs) -> Outcome {
    let client = context.client()?;
    match args.command {
        RepoCommand::Add { name, url, index } => {
            let mut body = json!({"name": name, "uri": url});
            if let Some(index) = index {
                body["index"] = json!(index);
            }
            let answer = cosmos::post(&client, cosmos::REPOSITORY_ADD, &body).await?;
            if context.structured() {
                context.print(&answer)?;
            }
        }
        RepoCommand::Import { file } => {
            let document = single(&file, &read_file(std::path::Path::new(&file))?)?;
            let found = document.as_ref().map_or(&[][..], |document| list(&document.value, "repositories"));
            if found.is_empty() {
                return Err(Error::usage(
                    "No repositories found to import. You should provide a file containing package repositories, listed in the format of `dcos package repo list --json`.",
                )
                .fix("write it so: {\"repositories\": [{\"name\": \"Universe\", \"uri\": \"uri-here\"}]}"));
            }
            let mut failed = 0;
            for (index, repository) in found.iter().enumerate() {
                let (name, uri) = (text(repository, "name"), text(repository, "uri"));
                if name.is_empty() || uri.is_empty() {
                    print_line("Repo missing name or uri. Skipping.")?;
                    failed += 1;
                    continue;
                }
                let body = json!({"name": name, "uri": uri, "index": index});
                match cosmos::post(&client, cosmos::REPOSITORY_ADD, &body).await {
                    Ok(_) => print_line(&format!("Added repo \"{name}\" ({uri}) at index {index}"))?,
                    Err(error) if error.kind == Kind::Unreachable => return Err(error),
                    Err(error) => {
                        failed += 1;
                        print_line(&format!("Error ({}) while adding repo \"{name}\" ({uri}). Skipping.", error.summary))?;
                    }
                }
            }
            if failed > 0 {
                return Err(Error::new(Kind::Partial, format!("{failed} of {} repositories were not added", found.len())));
            }
        }
        RepoCommand::List { quiet } => {
            let answer = cosmos::post(&client, cosmos::REPOSITORY_LIST, &json!({})).await?;
            if context.structured() {
                context.print(&answer)?;
                return Ok(0);
            }
            let repositories = list(&answer, "repositories");
            if repositories.is_empty() {
                return Err(Error::not_found(
                    "There are currently no repos configured. Please use `dcos package repo add` to add a repo",
                ));
            }
            for repository in repositories {
                if quiet {
                    print_line(text(repository, "name"))?;
                } else {
                    print_line(&format!("{}: {}", text(repository, "name"), text(repository, "uri")))?;
                }
            }
        }
        RepoCommand::Remove { names } => {
            let mut answer = Value::Null;
            for name in names {
                answer = cosmos::post(&client, cosmos::REPOSITORY_DELETE, &json!({"name": name})).await?;
            }
            if context.structured() {
                context.print(&answer)?;
            } else if list(&answer, "repositories").is_empty() {
                print_note("No repository is left; add one with: dcos package repo add NAME URL");
            }
        }
    }
    Ok(0)
}
