//! The life of one task on this node, from its assignment to its last report.

mod ending;

use crate::checkpoint::{Record, create_directories};
use crate::docker::DockerRun;
use crate::health::{Checks, Event, Subject};
use crate::process::{Found, ProcessRun, chown_tree, lookup};
use crate::spawner::Identity;
use crate::state::{Shared, now};
use crate::volume::{self, Resolved};
use ending::{bring_to_end, end, ended, finish, stopped_early};
use orrery_core::assignment::{Assignment, ContainerSpec, ExecutorKind, FailureReason, TaskReport};
use orrery_core::health::Verdict;
use orrery_core::instance::Condition;
use orrery_core::task::StopCause;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a task waits for the ports of one that is stopping: longer than a stop takes, with its usual
/// grace and what comes after.
const PORT_WAIT_MAX: Duration = Duration::from_secs(60);

/// A task that has been started.
#[derive(Debug, Clone)]
pub(crate) enum Running {
    Process(ProcessRun),
    Docker(DockerRun),
}

impl Running {
    /// Addresses of its own network.
    fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Process(_) => Vec::new(),
            Self::Docker(run) => run.addresses(),
        }
    }
}

/// Why a task could not be started.
struct Failure {
    reason: FailureReason,
    message: String,
}

impl Failure {
    fn launch(message: impl Into<String>) -> Self {
        Self { reason: FailureReason::LaunchFailed, message: message.into() }
    }
}

/// What preparation found out for the start.
struct Prepared {
    identity: Option<Identity>,
    volumes: Vec<Resolved>,
}

/// Carries a task through its life. Returns early, leaving the task alone, when the agent goes.
pub(crate) async fn drive(shared: Arc<Shared>, record: Box<Record>, adopted: bool) {
    let abandon = shared.abandon.clone();
    tokio::select! {
        () = abandon.cancelled() => {}
        () = live(shared, record, adopted) => {}
    }
}

async fn live(shared: Arc<Shared>, mut record: Box<Record>, adopted: bool) {
    let task = record.task();
    let Some(mut stop) = shared.board().tasks.get(&task).map(|entry| entry.stop.subscribe()) else { return };
    // Boxed: what the start and the end of a task need is not kept for as long as it runs.
    let started =
        if adopted { Box::pin(adopt(&shared, &record)).await } else { Box::pin(begin(&shared, &mut record, stop.clone())).await };
    match started {
        Ok(Some(running)) => {
            watch(&shared, &mut record, &running, &mut stop).await;
            let report = Box::pin(finish(&shared, &record, Some(&running))).await;
            Box::pin(end(&shared, record, report)).await;
        }
        Ok(None) => {
            let report = if adopted { Box::pin(finish(&shared, &record, None)).await } else { stopped_early(&record, &stop) };
            Box::pin(end(&shared, record, report)).await;
        }
        Err(failure) => {
            let change = move |report: &mut TaskReport| {
                report.condition = Condition::Failed;
                report.at = now();
                report.reason = Some(failure.reason);
                report.message = Some(failure.message);
            };
            Box::pin(end(&shared, record, Box::new(change))).await;
        }
    }
}

type Change = Box<dyn FnOnce(&mut TaskReport) + Send>;

/// The one container of an assignment.
fn container(assignment: &Assignment) -> Result<&ContainerSpec, Failure> {
    match assignment.containers.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::launch("the assignment has no container")),
        _ => Err(Failure::launch("this agent cannot run several containers as one task yet")),
    }
}

/// Writes a record without holding up other tasks.
async fn save(record: &Record) -> Result<(), Failure> {
    let record = record.clone();
    blocking(move || record.write().map_err(|error| format!("cannot write the task's record: {error}"))).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Failure::launch),
        Err(error) => Err(Failure::launch(format!("an internal step failed: {error}"))),
    }
}

/// Why a new task cannot have its files, for people.
fn explain(what: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            format!("The disk of the node is full: cannot {what}; make room where the agent keeps its data")
        }
        _ => format!("cannot {what}: {error}"),
    }
}

/// Prepares and starts a new task. `None` when it was told to stop before it started.
async fn begin(
    shared: &Arc<Shared>,
    record: &mut Record,
    mut stop: watch::Receiver<Option<StopCause>>,
) -> Result<Option<Running>, Failure> {
    let assignment = Arc::clone(&record.assignment);
    let spec = container(&assignment)?;
    let prepared = tokio::select! {
        biased;
        _ = stop.wait_for(Option::is_some) => return Ok(None),
        prepared = prepare(shared, record, spec) => prepared?,
    };
    let task = record.task();
    tokio::select! {
        biased;
        _ = stop.wait_for(Option::is_some) => return Ok(None),
        waited = tokio::time::timeout(PORT_WAIT_MAX, shared.ports_of(&task)) => if waited.is_err() {
            return Err(Failure::launch("another task has its port and does not end"));
        }
    }
    let grace = record.assignment.kill_grace_ms;
    let running = match spec.executor {
        ExecutorKind::Process => {
            let _permit = shared.launches.acquire().await.map_err(|_| Failure::launch("the agent is stopping"))?;
            if stop.borrow().is_some() {
                return Ok(None);
            }
            // Boxed, as below: hundreds wait for a permit at once, and what they will need has its size only then.
            let started = Box::pin(shared.process.start(spec, &record.run, prepared.identity, &prepared.volumes, grace)).await;
            Running::Process(started.map_err(Failure::launch)?)
        }
        // The engine has bounds of its own: where it hangs, other tasks must not queue behind it.
        ExecutorKind::Docker => {
            let engine = shared.docker.as_ref().ok_or_else(|| {
                Failure::launch("this agent has no container engine, and the task has an image; start Docker on the node or restart the agent with its socket")
            })?;
            let run = Box::pin(engine.start(record, &prepared.volumes)).await.map_err(Failure::launch)?;
            record.docker = Some(run.id().to_owned());
            Running::Docker(run)
        }
    };
    record.started_at = Some(match &running {
        // Kept by its init, so that nothing has to be written here.
        Running::Process(run) => run.started_at(),
        Running::Docker(_) => now(),
    });
    if matches!(running, Running::Docker(_))
        // Without the id of its container a task could not be taken back.
        && let Err(failure) = save(record).await
    {
        tracing::warn!(task = %record.task(), message = failure.message, "cannot save");
    }
    Ok(Some(running))
}

async fn prepare(shared: &Arc<Shared>, record: &Record, spec: &ContainerSpec) -> Result<Prepared, Failure> {
    let permit = shared.launches.acquire().await.map_err(|_| Failure::launch("the agent is stopping"))?;
    let (first, volumes_dir) = (record.clone(), shared.config.volumes_dir());
    let hidden = shared.config.all_hidden();
    let prepared = blocking(move || {
        let container = container(&first.assignment).map_err(|failure| failure.message)?;
        create_directories(&first.run).map_err(|error| explain("create the sandbox", &error))?;
        first.write().map_err(|error| explain("write the task's record", &error))?;
        // In an image users are the image's own.
        let user = if container.executor == ExecutorKind::Process { container.user.as_deref() } else { None };
        let identity = lookup(user)?;
        let instance = &first.assignment.instance;
        volume::adopt(&container.volumes, &volumes_dir, &first.assignment.run_spec, instance)
            .map_err(|error| explain("take over its volumes", &error))?;
        let volumes = volume::resolve(&container.volumes, &volumes_dir, instance, &first.run.sandbox, &hidden.paths())?;
        volume::create(&volumes, &first.run.sandbox, identity.as_ref())?;
        // With artifacts only after they have been unpacked: other tasks of the same user could
        // exchange files for links while they are.
        if let Some(identity) = identity.as_ref().filter(|_| container.fetch.is_empty()) {
            chown_tree(&first.run.sandbox, identity).map_err(|error| format!("cannot hand over the sandbox: {error}"))?;
        }
        Ok(Prepared { identity, volumes })
    })
    .await?;
    drop(permit);
    if !spec.fetch.is_empty() {
        let fetched = Box::pin(shared.fetcher.fetch(&spec.fetch, &record.run.sandbox, prepared.identity.as_ref())).await;
        fetched.map_err(|message| Failure { reason: FailureReason::FetchFailed, message })?;
        if let Some(identity) = prepared.identity.clone() {
            let sandbox = record.run.sandbox.clone();
            blocking(move || chown_tree(&sandbox, &identity).map_err(|error| format!("cannot hand over the sandbox: {error}")))
                .await?;
        }
    }
    if let (ExecutorKind::Docker, Some(engine)) = (spec.executor, &shared.docker) {
        Box::pin(engine.pull(record)).await.map_err(|(reason, message)| Failure { reason, message })?;
    }
    shared.report(&record.task(), |report| {
        report.condition = Condition::Starting;
        report.at = now();
    });
    Ok(prepared)
}

/// Takes hold of a task that was started before the agent was. `None` when it has ended.
async fn adopt(shared: &Arc<Shared>, record: &Record) -> Result<Option<Running>, Failure> {
    if record.boot != shared.boot && record.docker.is_none() {
        return Ok(None);
    }
    match container(&record.assignment)?.executor {
        ExecutorKind::Process => {
            let grace = Duration::from_millis(u64::from(record.assignment.kill_grace_ms));
            match shared.process.adopt_surely(&record.run, grace).await {
                (_, Found::Running(run)) => Ok(Some(Running::Process(run))),
                (_, Found::Ended) => Ok(None),
            }
        }
        ExecutorKind::Docker => match &shared.docker {
            Some(engine) => Ok(engine.adopt(record).await.map(Running::Docker)),
            None => Err(Failure { reason: FailureReason::Unknown, message: "the container engine that ran it is gone".into() }),
        },
    }
}

/// Reports the task as running, checks and stops it, until it has ended. What this future keeps, each
/// task of the node keeps for as long as it runs: what is rarely needed is boxed when it is.
async fn watch(shared: &Arc<Shared>, record: &mut Record, running: &Running, stop: &mut watch::Receiver<Option<StopCause>>) {
    let Ok(spec) = container(&record.assignment) else { return };
    record.started_at.get_or_insert(record.created_at);
    record.ready |= spec.readiness_checks.is_empty();
    record.health.resize(spec.health_checks.len(), orrery_core::health::Health::default());
    report_running(shared, record, running);
    let mut checks = Box::pin(start_checks(shared, record, running)).await;
    let cause = loop {
        tokio::select! {
            () = ended(running) => return,
            cause = told_to_stop(stop) => break cause,
            event = next_event(&mut checks), if checks.is_some() => match event {
                Some(event) => Box::pin(observe(shared, record, event)).await,
                // All checks are done: readiness only.
                None => checks = None,
            },
        }
    };
    drop(checks);
    Box::pin(bring_to_end(shared, record, running, cause)).await;
}

/// Starts the checks of a task; one without any keeps nothing for them.
async fn start_checks(shared: &Arc<Shared>, record: &Record, running: &Running) -> Option<Box<Checks>> {
    let spec = container(&record.assignment).ok()?;
    if spec.health_checks.is_empty() && record.ready {
        return None;
    }
    let user = if matches!(running, Running::Process(_)) { spec.user.clone() } else { None };
    let subject = Subject {
        shared: shared.clone(),
        assignment: record.assignment.clone(),
        run: record.run.clone(),
        running: running.clone(),
        identity: tokio::task::spawn_blocking(move || lookup(user.as_deref())).await.ok().and_then(Result::ok).flatten(),
        addresses: running.addresses(),
        started_at: record.started_at.unwrap_or(record.created_at),
        ever_healthy: record.health.iter().map(|health| health.first_success.is_some()).collect(),
    };
    Checks::start(subject, record.ready).map(Box::new)
}

async fn next_event(checks: &mut Option<Box<Checks>>) -> Option<Event> {
    checks.as_mut()?.next().await
}

/// Waits until the task must stop.
async fn told_to_stop(stop: &mut watch::Receiver<Option<StopCause>>) -> StopCause {
    let cause = stop.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
    match cause {
        Some(cause) => cause,
        // Nobody is left who could ask.
        None => std::future::pending().await,
    }
}

fn report_running(shared: &Shared, record: &Record, running: &Running) {
    let started_at = record.started_at.unwrap_or(record.created_at);
    shared.report(&record.task(), |report| {
        report.condition = Condition::Running;
        report.at = started_at;
        report.started_at = Some(started_at);
        report.health.clone_from(&record.health);
        report.ready = record.ready;
        report.addresses = running.addresses();
    });
}

/// Takes in a result. Only what the controller would decide on leaves the node: changes of life and
/// of the number of failures, not every success.
async fn observe(shared: &Arc<Shared>, record: &mut Record, event: Event) {
    let task = record.task();
    let started_at = record.started_at.unwrap_or(record.created_at);
    let changed = match event {
        Event::Ready => {
            record.ready = true;
            true
        }
        Event::Health(index, probe) => {
            let Ok(spec) = container(&record.assignment) else { return };
            let (Some(target), Some(health)) = (spec.health_checks.get(index), record.health.get_mut(index)) else { return };
            let before = health.clone();
            let verdict = health.observe(&target.check, probe, started_at, now());
            let changed = before.is_alive() != health.is_alive() || before.consecutive_failures != health.consecutive_failures;
            if verdict == Verdict::Kill {
                let cause = health.last_failure_cause.clone().unwrap_or_default();
                let times = health.consecutive_failures;
                shared.stop(&task, StopCause::Unhealthy(format!("{cause} ({times} in a row)")));
            }
            changed
        }
    };
    if changed {
        // First, so that an agent that takes the task back knows what was told of it.
        if let Err(failure) = save(record).await {
            tracing::warn!(%task, message = failure.message, "cannot save");
        }
        shared.report(&task, |report| {
            report.health.clone_from(&record.health);
            report.ready = record.ready;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future that carries each task of the node.
    const FUTURE_BYTES_MAX: usize = 1_280;

    /// Bytes of what a function with these arguments returns.
    fn size_of_result<A, B, C, R>(_: impl FnOnce(A, B, C) -> R) -> usize {
        size_of::<R>()
    }

    #[test]
    fn a_running_task_keeps_a_small_future() {
        let bytes = size_of_result(drive);
        assert!(bytes <= FUTURE_BYTES_MAX, "{bytes}");
    }
}
