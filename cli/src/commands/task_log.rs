//! `dcos task log`.

use clap::Args;
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::task::WhichArgs;
use crate::client::{Client, encode, read_whole};
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::event::{Decoder, Event};
use crate::failure::{file_error, transport_error};
use crate::mesos;
use crate::output::{print_bytes, print_line, print_note};

/// Arguments of `dcos task log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos task log hello-world
  dcos task log --follow --lines=100 redis stderr
  dcos task log --completed web")]
pub(crate) struct LogArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Go on printing what is added
    #[arg(long, short)]
    follow: bool,
    /// Number of last lines
    #[arg(long, value_name = "N", default_value_t = 10)]
    lines: u32,
    /// Part of the task's id
    task: String,
    /// File in its sandbox
    #[arg(default_value = "stdout")]
    file: String,
}

/// Runs `dcos task log`.
pub(crate) async fn run(context: &Context, args: LogArgs) -> Outcome {
    let client = context.client()?;
    let state = mesos::state(&client).await?;
    let task = mesos::single(&state, &args.task, args.which.which())?;
    let skip = if args.lines == 0 { String::new() } else { format!("&skip=-{}", args.lines) };
    let file: Vec<String> = args.file.split('/').map(encode).collect();
    let path = format!("/system/v1/logs/v2/task/{}/file/{}?cursor=END{skip}", encode(task.id()), file.join("/"));
    if args.follow {
        follow(&client, &path).await?;
    } else if args.lines > 0 {
        print_range(&client, &path).await?;
    }
    Ok(0)
}

async fn print_range(client: &Client, path: &str) -> Result<(), Error> {
    let reply = client.send(Method::GET, path, &[("accept", "text/plain")], None).await?;
    match reply.status {
        StatusCode::NO_CONTENT => print_note("No logs for this task"),
        status if !status.is_success() => return Err(file_error(&reply)),
        _ if reply.body.is_empty() => print_note("No logs for this task"),
        _ => {
            print_bytes(&reply.body)?;
            if !reply.body.ends_with(b"\n") {
                print_line("")?;
            }
        }
    }
    Ok(())
}

async fn follow(client: &Client, path: &str) -> Result<(), Error> {
    let response = client.open(Method::GET, path, &[("accept", "text/event-stream")], None).await?;
    if !response.status().is_success() {
        return Err(file_error(&read_whole(response).await?));
    }
    let mut decoder = Decoder::default();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| transport_error(client.base(), &error))?;
        for event in decoder.push(&chunk) {
            print_line(&line_of(&event))?;
        }
    }
    Ok(())
}

/// The line of an entry: `{"fields": {"MESSAGE": "…"}}`, or the data itself when it is no such object.
fn line_of(event: &Event) -> String {
    let entry: Option<Value> = serde_json::from_str(&event.data).ok();
    let message = entry.as_ref().and_then(|entry| entry.pointer("/fields/MESSAGE")?.as_str());
    message.map_or_else(|| event.data.clone(), |message| message.trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_plain_data_are_lines() {
        let line = |data: &str| line_of(&Event { name: String::new(), data: data.into() });
        assert_eq!(line("{\"fields\":{\"MESSAGE\":\"hello\\n\"},\"cursor\":\"5\"}"), "hello");
        assert_eq!(line("plain"), "plain");
    }
}
