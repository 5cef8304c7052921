//! Waiting for apps and deployments: a pure judgement of what the cluster says, and the loop that asks again
//! whenever the cluster reports an event.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Kind};
use crate::event::{Decoder, Event};
use crate::marathon::{V2, app_path, count, failure_reason, list, queued_id, refusals, text, waiting_reason};
use crate::progress::{Reporter, Row, timed_out};

/// Events that come close together lead to one look.
pub(crate) const GATHER: Duration = Duration::from_millis(30);
/// The same while many apps are watched, because each look costs the cluster more.
const GATHER_MANY: Duration = Duration::from_millis(300);
/// Apps that are read one by one; more are read as one list.
const FEW_APPS: usize = 8;
/// How long to trust a silent event stream: reasons of waiting change without events.
pub(crate) const QUIET_LOOK: Duration = Duration::from_secs(5);
/// How often to look when the cluster offers no event stream.
pub(crate) const BLIND_LOOK: Duration = Duration::from_secs(1);
/// Most apps that one wait watches.
const MAX_APPS: usize = 10_000;

/// What is waited for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Goal {
    /// Apps that must run and be healthy.
    pub(crate) apps: Vec<String>,
    /// Deployments that must end.
    pub(crate) deployments: Vec<String>,
    /// Whether the apps of the deployments must be healthy too, or only the deployments be over.
    pub(crate) healthy: bool,
}

/// What the cluster said at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Running deployments.
    pub(crate) deployments: Vec<Value>,
    /// Watched apps; nothing for one that does not exist.
    pub(crate) apps: Vec<(String, Option<Value>)>,
    /// The launch queue.
    pub(crate) queue: Vec<Value>,
    /// Watched deployments that were reported failed.
    pub(crate) failed: Vec<String>,
}

/// What a snapshot means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Everything has arrived.
    Done,
    /// Something still moves.
    Waiting,
    /// It will not arrive; why.
    Failed(String),
}

/// Judges one moment. An app has arrived when no deployment touches it and all its instances run, and pass
/// their health checks if it has any.
pub(crate) fn judge(goal: &Goal, snapshot: &Snapshot) -> (Verdict, Vec<Row>) {
    let rows: Vec<Row> =
        snapshot.apps.iter().map(|(id, app)| app_row(id, app.as_ref(), &snapshot.deployments, &snapshot.queue)).collect();
    if let Some(id) = goal.deployments.iter().find(|id| snapshot.failed.contains(id)) {
        return (Verdict::Failed(format!("deployment {id} was cancelled or rolled back")), rows);
    }
    let open = |id: &String| snapshot.deployments.iter().any(|deployment| text(deployment, "id") == id);
    if goal.deployments.iter().any(open) {
        return (Verdict::Waiting, rows);
    }
    if !goal.healthy {
        return (Verdict::Done, rows);
    }
    if let Some((id, _)) = snapshot.apps.iter().find(|(_, app)| app.is_none()) {
        return (Verdict::Failed(format!("app {id} does not exist any more")), rows);
    }
    let verdict = if rows.iter().all(|row| row.done) { Verdict::Done } else { Verdict::Waiting };
    (verdict, rows)
}

fn app_row(id: &str, app: Option<&Value>, deployments: &[Value], queue: &[Value]) -> Row {
    let Some(app) = app else {
        return Row {
            name: id.to_owned(),
            text: "does not exist".to_owned(),
            done: false,
            problem: None,
            event: json!({"app": id, "exists": false}),
        };
    };
    let total = count(app, "instances");
    let (running, healthy, staged) = (count(app, "tasksRunning"), count(app, "tasksHealthy"), count(app, "tasksStaged"));
    let checked = !list(app, "healthChecks").is_empty();
    let (arrived, word) = if checked { (healthy, "healthy") } else { (running, "running") };
    let deployment = deployments
        .iter()
        .find(|deployment| list(deployment, "affectedApps").iter().any(|affected| affected.as_str() == Some(id)));
    let done = arrived >= total && running == total && deployment.is_none();
    let mut state = format!("{arrived}/{total} {word}");
    if staged > 0 {
        state += &format!(", {staged} starting");
    }
    if running > total {
        state += &format!(", {} to stop", running - total);
    }
    if let Some(deployment) = deployment {
        state += &format!(", step {}/{}", count(deployment, "currentStep"), count(deployment, "totalSteps"));
    }
    let queued = queue.iter().find(|entry| queued_id(entry) == id);
    let problem = if done { None } else { problem_of(app, queued) };
    let event = json!({"app": id, "instances": total, "running": running, "healthy": healthy, "staged": staged});
    Row { name: id.to_owned(), text: state, done, problem, event }
}

/// Why an app has not arrived. A pause after failures is told with the last of them.
fn problem_of(app: &Value, queued: Option<&Value>) -> Option<String> {
    let waits = queued.and_then(waiting_reason);
    let pauses = queued.is_some_and(|entry| refusals(entry).is_empty());
    match (waits, recent_failure(app)) {
        (Some(waits), Some(failure)) if pauses => Some(format!("{failure}; {waits}")),
        (waits, failure) => waits.or(failure),
    }
}

/// The last failure, unless it belongs to an older version of the app.
fn recent_failure(app: &Value) -> Option<String> {
    let of = app.pointer("/lastTaskFailure/version").and_then(Value::as_str);
    let current = app.get("version").and_then(Value::as_str);
    if of.is_some() && current.is_some() && of < current { None } else { failure_reason(app) }
}

/// Waits for a goal. `again` is the command that resumes the watch.
pub(crate) async fn wait(
    context: &Context,
    client: &Client,
    goal: &Goal,
    timeout: Option<Duration>,
    again: &str,
) -> Result<(), Error> {
    tokio::select! {
        result = follow(context, client, goal.clone(), timeout, again) => result,
        _ = tokio::signal::ctrl_c() => {
            Err(Error::new(Kind::Detached, format!("Stopped watching; the cluster goes on. Watch again: {again}")))
        }
    }
}

/// Looks at least once, then at every event, until the goal is reached, lost, or the time is over.
async fn follow(context: &Context, client: &Client, mut goal: Goal, timeout: Option<Duration>, again: &str) -> Result<(), Error> {
    let mut reporter = Reporter::new(context.globals.progress, context.globals.color);
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    // The stream is opened before the first look, so that nothing falls between them.
    let mut events = Events::open(client).await;
    let mut failed = Vec::new();
    loop {
        let mut snapshot = look(client, &mut goal).await?;
        snapshot.failed.clone_from(&failed);
        let (verdict, rows) = judge(&goal, &snapshot);
        reporter.update(&rows);
        let problem = |row: &Row| Some(format!("{}: {}", row.name, row.problem.as_ref()?));
        let problems: Vec<String> = rows.iter().filter_map(problem).collect();
        match verdict {
            Verdict::Done => return Ok(()),
            Verdict::Failed(why) => {
                let error = Error::new(Kind::Rollout, why);
                return Err(if problems.is_empty() { error } else { error.cause(problems.join("\n")) });
            }
            Verdict::Waiting => {}
        }
        let gather = if goal.apps.len() > FEW_APPS { GATHER_MANY } else { GATHER };
        let pause = if events.is_open() { QUIET_LOOK } else { BLIND_LOOK };
        tokio::select! {
            found = events.next(gather) => failed.extend(found.iter().filter_map(failed_deployment)),
            () = sleep(pause) => if !events.is_open() { events.reopen(client).await },
            () = until(deadline) => {
                return Err(timed_out("the rollout is", timeout.unwrap_or_default(), &problems, again));
            }
        }
    }
}

/// Waits for a moment, or for ever.
pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Id of the deployment that an event declares failed.
fn failed_deployment(event: &Event) -> Option<String> {
    let value: Value = serde_json::from_str(&event.data).ok()?;
    let name = if event.name.is_empty() { text(&value, "eventType") } else { &event.name };
    (name == "deployment_failed").then(|| text(&value, "id").to_owned())
}

/// Reads what the goal needs. Apps of the watched deployments join the goal.
async fn look(client: &Client, goal: &mut Goal) -> Result<Snapshot, Error> {
    let deployments = client.get(&format!("{V2}/deployments")).await?;
    let deployments = deployments.as_array().cloned().unwrap_or_default();
    for deployment in deployments.iter().filter(|d| goal.deployments.iter().any(|id| id == text(d, "id"))) {
        for app in list(deployment, "affectedApps").iter().filter_map(Value::as_str) {
            if !goal.apps.iter().any(|known| known == app) && goal.apps.len() < MAX_APPS {
                goal.apps.push(app.to_owned());
            }
        }
    }
    let apps = if goal.apps.len() > FEW_APPS {
        let all = client.get(&format!("{V2}/apps?embed=apps.counts&embed=apps.lastTaskFailure")).await?;
        let by_id: HashMap<&str, &Value> = list(&all, "apps").iter().map(|app| (text(app, "id"), app)).collect();
        goal.apps.iter().map(|id| (id.clone(), by_id.get(id.as_str()).map(|app| (*app).clone()))).collect()
    } else {
        let one = async |id: &String| {
            let answer = client.find(&app_path(id)).await?;
            Ok::<_, Error>((id.clone(), answer.and_then(|answer| answer.get("app").cloned())))
        };
        futures::future::try_join_all(goal.apps.iter().map(one)).await?
    };
    // The queue only explains; without it the wait goes on.
    let queue = client.get(&format!("{V2}/queue")).await.unwrap_or_default();
    Ok(Snapshot { deployments, apps, queue: list(&queue, "queue").to_vec(), failed: Vec::new() })
}

type Chunks = futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>;

/// The event stream, or none.
pub(crate) struct Events {
    stream: Option<Chunks>,
    decoder: Decoder,
    gathered: Vec<Event>,
}

impl Events {
    /// Opens the stream; without one the caller has to look by itself.
    pub(crate) async fn open(client: &Client) -> Self {
        let types = [
            "deployment_info",
            "deployment_success",
            "deployment_failed",
            "deployment_step_success",
            "status_update_event",
            "instance_changed_event",
            "instance_health_changed_event",
            "health_status_changed_event",
            "app_terminated_event",
            "node_changed_event",
            "mass_loss_brake_event",
        ];
        let filter: Vec<String> = types.iter().map(|name| format!("event_type={}", encode(name))).collect();
        let path = format!("{V2}/events?plan-format=light&{}", filter.join("&"));
        let response = client.open(Method::GET, &path, &[("accept", "text/event-stream")], None).await;
        let stream =
            response.ok().filter(|response| response.status().is_success()).map(|response| response.bytes_stream().boxed());
        Self { stream, decoder: Decoder::default(), gathered: Vec::new() }
    }

    /// Tries again after the stream has ended; half an event of the old one is forgotten.
    pub(crate) async fn reopen(&mut self, client: &Client) {
        let gathered = std::mem::take(&mut self.gathered);
        *self = Self { gathered, ..Self::open(client).await };
    }

    /// Whether news arrive by themselves.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// The next events, those of a short time at once; never returns without a stream. What was gathered when the
    /// caller turned to something else is kept for the next call.
    pub(crate) async fn next(&mut self, gather: Duration) -> Vec<Event> {
        let mut end = None;
        loop {
            if end.is_none() && !self.gathered.is_empty() {
                end = Some(Instant::now() + gather);
            }
            let Some(stream) = &mut self.stream else {
                if self.gathered.is_empty() {
                    std::future::pending::<()>().await;
                }
                return std::mem::take(&mut self.gathered);
            };
            let chunk = tokio::select! {
                chunk = stream.next() => chunk,
                () = until(end) => return std::mem::take(&mut self.gathered),
            };
            match chunk {
                Some(Ok(bytes)) => self.gathered.extend(self.decoder.push(&bytes)),
                Some(Err(_)) | None => self.stream = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(instances: u64, running: u64, healthy: u64, checks: bool) -> Value {
        json!({"id": "/web", "instances": instances, "tasksRunning": running, "tasksHealthy": healthy, "tasksStaged": 0,
               "healthChecks": if checks { json!([{}]) } else { json!([]) }})
    }

    fn snapshot(app: Option<Value>, deployments: &[Value]) -> Snapshot {
        Snapshot { deployments: deployments.to_vec(), apps: vec![("/web".into(), app)], ..Snapshot::default() }
    }

    #[test]
    fn an_app_arrives_when_all_run_and_are_healthy_and_no_deployment_is_left() {
        let goal = Goal { apps: vec!["/web".into()], deployments: vec!["d".into()], healthy: true };
        let open = json!({"id": "d", "affectedApps": ["/web"], "currentStep": 1, "totalSteps": 2});
        let cases = [
            (Some(app(2, 2, 0, false)), vec![], Verdict::Done),
            (Some(app(2, 2, 1, true)), vec![], Verdict::Waiting),
            (Some(app(2, 2, 2, true)), vec![], Verdict::Done),
            (Some(app(2, 3, 2, true)), vec![], Verdict::Waiting),
            (Some(app(2, 2, 2, true)), vec![open.clone()], Verdict::Waiting),
            (Some(app(0, 0, 0, true)), vec![], Verdict::Done),
            (None, vec![open], Verdict::Waiting),
            (None, vec![], Verdict::Failed("app /web does not exist any more".into())),
        ];
        for (app, deployments, verdict) in cases {
            assert_eq!(judge(&goal, &snapshot(app.clone(), &deployments)).0, verdict, "{app:?}");
        }
    }

    #[test]
    fn watching_a_deployment_needs_only_its_end() {
        let goal = Goal { deployments: vec!["d".into()], ..Goal::default() };
        assert_eq!(judge(&goal, &snapshot(None, &[])).0, Verdict::Done);
        let mut failed = snapshot(None, &[]);
        failed.failed = vec!["d".into()];
        assert!(matches!(judge(&goal, &failed).0, Verdict::Failed(_)));
    }

    #[test]
    fn rows_say_why_an_app_waits() {
        let goal = Goal { apps: vec!["/web".into()], deployments: vec![], healthy: true };
        let mut now = snapshot(Some(app(2, 1, 0, false)), &[]);
        now.queue = vec![json!({"app": {"id": "/web"}, "delay": {"overdue": false, "timeLeftSeconds": 3}})];
        let rows = judge(&goal, &now).1;
        assert_eq!(rows[0].text, "1/2 running");
        assert_eq!(rows[0].problem.as_deref(), Some("backing off after failures, next try in 3 s"));
        let failure = json!({"state": "TASK_FAILED", "message": "exit 1"});
        now.apps[0].1.as_mut().unwrap()["lastTaskFailure"] = failure;
        let rows = judge(&goal, &now).1;
        let both = "last task failed: exit 1; backing off after failures, next try in 3 s";
        assert_eq!(rows[0].problem.as_deref(), Some(both));
    }

    #[test]
    fn failures_of_older_versions_are_no_reason() {
        let mut old = app(1, 0, 0, false);
        old["version"] = json!("2026-01-02T00:00:00.000Z");
        old["lastTaskFailure"] = json!({"version": "2026-01-01T00:00:00.000Z", "state": "TASK_FAILED", "message": "m"});
        assert_eq!(recent_failure(&old), None);
        old["lastTaskFailure"]["version"] = json!("2026-01-02T00:00:00.000Z");
        assert_eq!(recent_failure(&old).as_deref(), Some("last task failed: m"));
    }

    #[test]
    fn failed_deployments_are_read_from_events() {
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        assert_eq!(failed_deployment(&event("deployment_failed", "{\"id\":\"d\"}")).as_deref(), Some("d"));
        assert_eq!(failed_deployment(&event("", "{\"eventType\":\"deployment_failed\",\"id\":\"d\"}")).as_deref(), Some("d"));
        assert_eq!(failed_deployment(&event("deployment_success", "{\"id\":\"d\"}")), None);
    }
}
