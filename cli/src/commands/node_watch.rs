//! Following a drain to its end.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Kind};
use crate::failure::status_error;
use crate::marathon::{list, text};
use crate::progress::{Reporter, Row, timed_out};
use crate::watch::{BLIND_LOOK, Events, GATHER, QUIET_LOOK, until};

/// What to follow.
pub(crate) struct Follow<'a> {
    /// Id of the node.
    pub(crate) id: &'a str,
    /// Whether it leaves the cluster in the end.
    pub(crate) leaves: bool,
    /// Longest time to wait.
    pub(crate) timeout: Option<Duration>,
    /// The command that watches on.
    pub(crate) again: &'a str,
}

fn tasks(count: u64) -> String {
    if count == 1 { "1 task".into() } else { format!("{count} tasks") }
}

/// How far a drain is, in one line.
pub(crate) fn drain_line(node: &Value) -> String {
    let left = node.pointer("/drain/tasksLeft").and_then(Value::as_u64).unwrap_or_default();
    let mut line = format!("{} ({}) is draining: {} left", text(node, "hostname"), text(node, "id"), tasks(left));
    if let Some(deadline) = node.pointer("/drain/deadline").and_then(Value::as_str) {
        line += &format!(", stopped at {deadline} at the latest");
    }
    if node.pointer("/drain/then").and_then(Value::as_str) == Some("decommission") {
        line += "; then it leaves the cluster";
    }
    line
}

/// What a drain waits for, one line for each app.
pub(crate) fn waiting_lines(node: &Value) -> Vec<String> {
    let line = |waiting: &Value| format!("{} ({}): {}", text(waiting, "app"), waiting["instances"], text(waiting, "reason"));
    node.get("drain").map(|drain| list(drain, "waitingFor").iter().map(line).collect()).unwrap_or_default()
}

/// Shows the progress until the node is empty, or has left if it is to leave; returns it as it is then.
pub(crate) async fn follow(context: &Context, client: &Client, what: &Follow<'_>, node: Value) -> Result<Value, Error> {
    tokio::select! {
        result = look_on(context, client, what, node) => result,
        _ = tokio::signal::ctrl_c() => {
            let sentence = format!("Stopped watching; the drain goes on. Watch again: {}", what.again);
            Err(Error::new(Kind::Detached, sentence))
        }
    }
}

async fn look_on(context: &Context, client: &Client, what: &Follow<'_>, mut node: Value) -> Result<Value, Error> {
    let mut reporter = Reporter::new(context.globals.progress, context.globals.color);
    let deadline = what.timeout.map(|timeout| Instant::now() + timeout);
    // The stream is opened before the next look, so that nothing falls between them.
    let mut events = Events::open(client).await;
    loop {
        node = look(client, what, &node).await?;
        let row = row(&node);
        reporter.update(std::slice::from_ref(&row));
        if row.done {
            return Ok(node);
        }
        if node["drain"].is_null() {
            let sentence = format!("the drain of {} was cancelled; the node is {}", what.id, text(&node, "state"));
            return Err(Error::new(Kind::Conflict, sentence));
        }
        let pause = if events.is_open() { QUIET_LOOK } else { BLIND_LOOK };
        tokio::select! {
            _ = events.next(GATHER) => {}
            () = sleep(pause) => if !events.is_open() { events.reopen(client).await },
            () = until(deadline) => {
                return Err(timed_out("the drain is", what.timeout.unwrap_or_default(), &waiting_lines(&node), what.again));
            }
        }
    }
}

/// The node as it is now; one that is to leave and is not there any more has left.
async fn look(client: &Client, what: &Follow<'_>, before: &Value) -> Result<Value, Error> {
    if text(before, "state") == "decommissioned" {
        return Ok(before.clone());
    }
    let path = format!("/v1/nodes/{}", encode(what.id));
    let reply = client.send(Method::GET, &path, &[("accept", "application/json")], None).await?;
    match reply.status {
        status if status.is_success() => reply.json(),
        StatusCode::GONE | StatusCode::NOT_FOUND if what.leaves => {
            Ok(json!({ "id": what.id, "hostname": before["hostname"], "state": "decommissioned" }))
        }
        _ => Err(status_error(&reply)),
    }
}

fn row(node: &Value) -> Row {
    let state = text(node, "state");
    let left = node.pointer("/drain/tasksLeft").and_then(Value::as_u64).unwrap_or_default();
    let done = matches!(state, "drained" | "decommissioned");
    let problems = waiting_lines(node).join("\n");
    Row {
        name: if text(node, "hostname").is_empty() { text(node, "id") } else { text(node, "hostname") }.to_owned(),
        text: if done { state.to_owned() } else { format!("{} left", tasks(left)) },
        done,
        problem: (!problems.is_empty()).then_some(problems),
        event: json!({ "node": node["id"], "state": state, "tasksLeft": left, "waitingFor": node.pointer("/drain/waitingFor") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_names_what_it_waits_for() {
        let node = json!({
            "id": "S1", "hostname": "h1", "state": "draining",
            "drain": {"then": "decommission", "deadline": "2026-01-01T00:00:00Z", "tasksLeft": 3,
                "waitingFor": [{"app": "/a", "instances": 2, "reason": "no room"}, {"app": "/b", "instances": 1, "reason": "stopping"}]},
        });
        assert_eq!(
            drain_line(&node),
            "h1 (S1) is draining: 3 tasks left, stopped at 2026-01-01T00:00:00Z at the latest; then it leaves the cluster"
        );
        assert_eq!(waiting_lines(&node), ["/a (2): no room", "/b (1): stopping"]);
        assert!(!row(&node).done);
        assert!(row(&json!({"id": "S1", "state": "decommissioned"})).done);
        assert_eq!(row(&json!({"id": "S1", "state": "drained"})).problem, None);
    }
}
