//! `dcos task`: list, files, download; logs have a module of their own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::task_log;
use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::failure::file_error;
use crate::marathon::text;
use crate::mesos::{self, Task, Which, fault_domain};
use crate::output::{Align, EMPTY, Table, cell, print_line, print_note};

/// Most files that one download takes.
const MAX_DOWNLOAD_FILES: usize = 100_000;

/// Arguments of `dcos task`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  dcos task                                  running tasks
  dcos task --all 'redis*'                   those whose id matches, completed ones too
  dcos task log --follow --lines=50 redis    a task is meant by any part of its id
  dcos task ls redis
  dcos task download redis stdout"
)]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    command: Option<TaskCommand>,
    #[command(flatten)]
    list: ListArgs,
}

/// Which tasks a command means.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WhichArgs {
    /// Running and completed tasks
    #[arg(long)]
    all: bool,
    /// Completed tasks only
    #[arg(long)]
    completed: bool,
}

impl WhichArgs {
    pub(crate) fn which(self) -> Which {
        Which { all: self.all, completed: self.completed }
    }
}

/// Arguments of the list.
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Print ids only
    #[arg(long, short)]
    quiet: bool,
    /// Part of an id, or a pattern such as 'web*'
    task: Option<String>,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// Copy files of a task here
    Download {
        #[command(flatten)]
        which: WhichArgs,
        /// Part of the task's id
        task: String,
        /// File or directory in its sandbox (default: all)
        path: Option<String>,
        /// Directory to put them in
        #[arg(long, value_name = "DIR", default_value = ".")]
        target_dir: PathBuf,
    },
    /// Run a command in a task's container
    Exec {
        /// Connect standard input
        #[arg(long, short)]
        interactive: bool,
        /// Give it a terminal
        #[arg(long, short)]
        tty: bool,
        /// User to run as
        #[arg(long, short)]
        user: Option<String>,
        /// Part of the task's id
        task: String,
        /// Command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// List tasks
    List(ListArgs),
    /// Print the last lines of a task's output
    Log(task_log::LogArgs),
    /// List the files of a task
    Ls {
        #[command(flatten)]
        which: WhichArgs,
        /// Print modes, sizes and times
        #[arg(long)]
        long: bool,
        /// Part of the task's id (default: every running task)
        task: Option<String>,
        /// Directory in its sandbox
        #[arg(default_value = ".")]
        path: String,
    },
}

/// Runs `dcos task`.
pub(crate) async fn run(context: &Context, args: TaskArgs) -> Outcome {
    match args.command {
        None => list(context, &args.list).await,
        Some(TaskCommand::List(args)) => list(context, &args).await,
        Some(TaskCommand::Log(args)) => task_log::run(context, args).await,
        Some(TaskCommand::Ls { which, long, task, path }) => ls(context, which, long, task.as_deref(), &path).await,
        Some(TaskCommand::Download { which, task, path, target_dir }) => {
            download(context, which, &task, path.as_deref(), &target_dir).await
        }
        Some(TaskCommand::Exec { .. }) => Err(Error::general("`dcos task exec` is not available yet")
            .fix("see what a task does: dcos task log TASK, dcos task ls TASK")),
    }
}

async fn list(context: &Context, args: &ListArgs) -> Outcome {
    let state = mesos::state(&context.client()?).await?;
    let tasks = mesos::tasks(&state, args.task.as_deref(), args.which.which());
    if context.structured() {
        context.print(&json!(tasks.into_iter().map(with_domain).collect::<Vec<_>>()))?;
    } else if args.quiet {
        tasks.iter().try_for_each(|task| print_line(task.id()))?;
    } else {
        task_table(&tasks).print("There are no tasks.")?;
    }
    Ok(0)
}

/// A task with its node's fault domain, as the original printed it.
fn with_domain(task: Task) -> Value {
    let mut value = task.value;
    if let (Some(map), Some(domain)) = (value.as_object_mut(), task.node.as_ref().and_then(|node| node.get("domain"))) {
        map.insert("domain".to_owned(), domain.clone());
    }
    value
}

fn task_table(tasks: &[Task]) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("HOST", Align::Left),
        ("USER", Align::Center),
        ("STATE", Align::Center),
        ("ID", Align::Left),
        ("MESOS ID", Align::Left),
        ("REGION", Align::Center),
        ("ZONE", Align::Center),
    ]);
    for task in tasks {
        let (region, zone) = task.node.as_ref().map_or((None, None), fault_domain);
        let state = text(&task.value, "state").rsplit('_').next().and_then(|word| word.chars().next());
        table.push(vec![
            text(&task.value, "name").to_owned(),
            task.host().unwrap_or(EMPTY).to_owned(),
            task.user.clone(),
            state.map_or_else(String::new, String::from),
            task.id().to_owned(),
            task.node_id().to_owned(),
            region.unwrap_or_else(|| EMPTY.to_owned()),
            zone.unwrap_or_else(|| EMPTY.to_owned()),
        ]);
    }
    table.sort_by_column(0);
    table
}

/// The real path of a task's sandbox on its node.
async fn sandbox(client: &Client, task: &Task) -> Result<String, Error> {
    let node = task.node_id();
    let all = client.get(&format!("/agent/{}/files/debug", encode(node))).await?;
    let executor = match text(&task.value, "executor_id") {
        "" => task.id(),
        executor => executor,
    };
    let container =
        task.value.pointer("/statuses/0/container_status/container_id/value").and_then(Value::as_str).unwrap_or("latest");
    let middle = format!("/executors/{executor}/runs/");
    let paths = || all.as_object().into_iter().flatten().filter_map(|(_, real)| real.as_str());
    let wanted = format!("{middle}{container}");
    paths()
        .find(|path| path.ends_with(&wanted))
        .or_else(|| paths().find(|path| path.contains(&middle)))
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::not_found(format!("node {node} has no files of task {}", task.id()))
                .cause("its sandbox was removed, or it never started")
        })
}

fn join(directory: &str, path: &str) -> String {
    match path.trim_start_matches('/').trim_end_matches('/') {
        "" | "." => directory.to_owned(),
        path => format!("{directory}/{path}"),
    }
}

async fn browse(client: &Client, task: &Task, path: &str) -> Result<Vec<Value>, Error> {
    let url = format!("/agent/{}/files/browse?path={}", encode(task.node_id()), encode(path));
    let reply = client.send(Method::GET, &url, &[("accept", "application/json")], None).await?;
    if !reply.status.is_success() {
        return Err(file_error(&reply));
    }
    Ok(reply.json()?.as_array().cloned().unwrap_or_default())
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

async fn ls(context: &Context, which: WhichArgs, long: bool, task: Option<&str>, path: &str) -> Outcome {
    let client = context.client()?;
    let state = mesos::state(&client).await?;
    let tasks = mesos::tasks(&state, task, which.which());
    if tasks.is_empty() {
        return Err(match task {
            Some(task) => mesos::single(&state, task, which.which()).map(|_| ()).unwrap_err_or_unknown(task),
            None => Error::not_found("No tasks found"),
        });
    }
    let headed = tasks.len() > 1;
    let mut everything = serde_json::Map::new();
    for task in &tasks {
        let directory = join(&sandbox(&client, task).await?, path);
        let files = browse(&client, task, &directory).await.map_err(|error| match error.kind {
            Kind::NotFound => Error::not_found(format!("Cannot access [{path}]: No such file or directory")),
            _ => error,
        })?;
        if context.structured() {
            everything.insert(task.id().to_owned(), Value::Array(files));
            continue;
        }
        if headed {
            print_line(&format!("===> {} <===", task.id()))?;
        }
        if long {
            long_table(&files).print("The directory is empty.")?;
        } else {
            let names: Vec<&str> = files.iter().map(|file| base_name(text(file, "path"))).collect();
            print_line(&names.join("  "))?;
        }
    }
    if context.structured() {
        context.print(&Value::Object(everything))?;
    }
    Ok(0)
}

/// Turns the failed look for a task into its error.
trait UnwrapErrOrUnknown {
    fn unwrap_err_or_unknown(self, task: &str) -> Error;
}

impl UnwrapErrOrUnknown for Result<(), Error> {
    fn unwrap_err_or_unknown(self, task: &str) -> Error {
        self.err().unwrap_or_else(|| Error::not_found(format!("Cannot find a task with ID containing \"{task}\"")))
    }
}

fn long_table(files: &[Value]) -> Table {
    let mut table = Table::new(&["MODE", "NLINK", "UID", "GID", "SIZE", "DATE", "PATH"].map(|name| (name, Align::Right)));
    for file in files {
        let field = |key: &str| file.get(key).map_or_else(String::new, cell);
        let seconds = file.get("mtime").and_then(Value::as_f64).unwrap_or_default() as i64;
        let time = jiff::Timestamp::from_second(seconds).map_or_else(
            |_| String::new(),
            |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %d %H:%M").to_string(),
        );
        let name = base_name(text(file, "path")).to_owned();
        table.push(vec![field("mode"), field("nlink"), field("uid"), field("gid"), field("size"), time, name]);
    }
    table.sort_by_column(6);
    table.without_header()
}

async fn download(context: &Context, which: WhichArgs, task: &str, path: Option<&str>, target: &Path) -> Outcome {
    let client = context.client()?;
    let state = mesos::state(&client).await?;
    let task = mesos::single(&state, task, which.which())?;
    let root = sandbox(&client, &task).await?;
    let start = join(&root, path.unwrap_or("."));
    let mut waiting = match browse(&client, &task, &start).await {
        Ok(files) => files,
        Err(error) if error.kind == Kind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if waiting.is_empty() {
        // Not a directory, so a file, or nothing at all, as the download will tell.
        waiting.push(json!({"path": start, "mode": "-"}));
    }
    let (mut count, mut left_out) = (0, 0);
    while let Some(file) = waiting.pop() {
        let path = text(&file, "path").to_owned();
        let reason = if text(&file, "mode").starts_with('d') {
            match browse(&client, &task, &path).await {
                Ok(files) => {
                    waiting.extend(files);
                    None
                }
                Err(error) => Some(refused(error)?),
            }
        } else {
            count += 1;
            if count > MAX_DOWNLOAD_FILES {
                return Err(Error::general(format!("the task has more than {MAX_DOWNLOAD_FILES} files")));
            }
            match local_path(&root, &path) {
                Ok(relative) => {
                    let place = target.join(relative);
                    let reason = fetch(&client, &task, &path, &place).await?;
                    if reason.is_none() {
                        print_note(&place.display().to_string());
                    }
                    reason
                }
                Err(error) => Some(error),
            }
        };
        match reason {
            // What was asked for by its name.
            Some(error) if path == start => return Err(error),
            Some(error) => {
                left_out += 1;
                let name = path.strip_prefix(&root).unwrap_or(&path).trim_start_matches('/');
                print_note(&format!("left out {name}: {}", reason_of(&error)));
            }
            None => {}
        }
    }
    match left_out {
        0 => Ok(0),
        1 => Err(Error::new(Kind::Partial, "1 file was left out; the reason is above")),
        _ => Err(Error::new(Kind::Partial, format!("{left_out} files were left out; the reasons are above"))),
    }
}

/// An answer about one file, which says nothing of the others.
///
/// # Errors
/// The failure ends the download: it is about the cluster or the login.
fn refused(error: Error) -> Result<Error, Error> {
    if matches!(error.kind, Kind::Auth | Kind::Unreachable) { Err(error) } else { Ok(error) }
}

/// Why a file was left out, on one line.
fn reason_of(error: &Error) -> String {
    let why = error.cause.as_deref().filter(|_| error.kind == Kind::General);
    why.map_or_else(|| error.summary.clone(), |why| format!("{} ({why})", error.summary))
}

/// Where a file of the sandbox goes, below the target: a node cannot name a place outside.
fn local_path(root: &str, path: &str) -> Result<PathBuf, Error> {
    let relative = path.strip_prefix(root).unwrap_or(base_name(path)).trim_start_matches('/');
    let relative = PathBuf::from(relative);
    let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if plain && relative.components().next().is_some() {
        return Ok(relative);
    }
    Err(Error::general(format!("the node gave the unusable file name {path}")))
}

/// Copies one file; the error inside says why the node does not give it.
async fn fetch(client: &Client, task: &Task, path: &str, place: &Path) -> Result<Option<Error>, Error> {
    let url = format!("/agent/{}/files/download?path={}", encode(task.node_id()), encode(path));
    let mut response = client.open(Method::GET, &url, &[], None).await?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::BAD_REQUEST => return Ok(Some(Error::general("it is a directory, or a link to one"))),
        StatusCode::NOT_FOUND => return Ok(Some(Error::not_found("it is gone, or a link that leads nowhere"))),
        _ => return refused(file_error(&crate::client::read_whole(response).await?)).map(Some),
    }
    let failed = |error: std::io::Error| Error::general(format!("cannot write {}: {error}", place.display()));
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = std::fs::File::create(place).map_err(failed)?;
    while let Some(chunk) = response.chunk().await.map_err(|error| crate::failure::transport_error(&url, &error))? {
        std::io::Write::write_all(&mut file, &chunk).map_err(failed)?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_original_one() {
        let state = json!({"slaves": [{"id": "S1", "hostname": "10.0.0.1", "domain": {"fault_domain":
            {"region": {"name": "r"}, "zone": {"name": "z"}}}}], "frameworks": [{"user": "root", "tasks": [
            {"id": "web.1", "name": "web", "state": "TASK_RUNNING", "slave_id": "S1"},
            {"id": "gone.1", "name": "gone", "state": "TASK_STAGING", "slave_id": "S9"}]}]});
        let text = task_table(&mesos::tasks(&state, None, Which::default())).render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "NAME  HOST      USER  STATE  ID      MESOS ID  REGION  ZONE",
                "gone  ---       root    S    gone.1  S9         ---    ---",
                "web   10.0.0.1  root    R    web.1   S1          r      z",
            ]
        );
    }

    #[test]
    fn only_what_is_about_one_file_is_left_out() {
        for (kind, goes_on) in
            [(Kind::General, true), (Kind::NotFound, true), (Kind::Usage, true), (Kind::Auth, false), (Kind::Unreachable, false)]
        {
            assert_eq!(refused(Error::new(kind, "x")).is_ok(), goes_on, "{kind:?}");
        }
        assert_eq!(reason_of(&Error::general("refused").cause("a link")), "refused (a link)");
        assert_eq!(reason_of(&Error::not_found("gone")), "gone");
    }

    #[test]
    fn downloads_stay_below_the_target() {
        assert_eq!(local_path("/s/run", "/s/run/a/b").unwrap(), PathBuf::from("a/b"));
        assert_eq!(local_path("/s/run", "/elsewhere/x").unwrap(), PathBuf::from("x"));
        assert!(local_path("/s/run", "/s/run/../../etc/passwd").is_err());
        assert!(local_path("/s/run", "/s/run").is_err());
    }
}
