//! How a task comes to its end: stopped by stronger and stronger means, or by itself, and its last report.

use super::{Change, Running, blocking, container, save};
use crate::checkpoint::Record;
use crate::state::{Shared, now};
use orrery_core::assignment::{Exit, FailureReason};
use orrery_core::instance::Condition;
use orrery_core::task::{Ending, StopCause, conclude};
use orrery_core::{TaskId, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Time a task's init has beyond the grace period, and again, before stronger means are used.
const ESCALATION: Duration = Duration::from_secs(5);

/// Pause before another look at what could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Stops a task, by stronger and stronger means, until it has ended.
pub(super) async fn bring_to_end(shared: &Arc<Shared>, record: &mut Record, running: &Running, cause: StopCause) {
    let task = record.task();
    record.stop = Some(match cause {
        StopCause::Asked(text) => (false, text),
        StopCause::Unhealthy(text) => (true, text),
    });
    shared.report(&task, |report| {
        report.condition = Condition::Killing;
        report.at = now();
    });
    let grace = Duration::from_millis(u64::from(record.assignment.kill_grace_ms));
    terminate(running, grace);
    let mut deadline = Instant::now() + grace + ESCALATION;
    if let Err(failure) = save(record).await {
        tracing::warn!(%task, message = failure.message, "cannot save");
    }
    let mut step = 0;
    while tokio::time::timeout_at(deadline, ended(running)).await.is_err() {
        escalate(running, step).await;
        step += 1;
        deadline = Instant::now() + ESCALATION;
    }
}

pub(super) async fn ended(running: &Running) {
    match running {
        Running::Process(run) => run.ended().await,
        Running::Docker(run) => run.ended().await,
    }
}

fn terminate(running: &Running, grace: Duration) {
    match running {
        Running::Process(run) => run.terminate(),
        Running::Docker(run) => {
            // The engine answers when the container has ended, which may take the whole grace.
            let run = run.clone();
            tokio::spawn(async move { run.terminate(grace).await });
        }
    }
}

async fn escalate(running: &Running, step: u32) {
    match running {
        Running::Process(run) if step == 0 => run.end_now(),
        Running::Process(run) => run.kill(),
        Running::Docker(run) => run.kill().await,
    }
}

pub(super) fn stopped_early(record: &Record, stop: &watch::Receiver<Option<StopCause>>) -> Change {
    let because = match stop.borrow().clone() {
        Some(StopCause::Asked(text) | StopCause::Unhealthy(text)) if !text.is_empty() => format!("; {text}"),
        _ => String::new(),
    };
    let task: TaskId = record.task();
    tracing::debug!(%task, "stopped before it started");
    Box::new(move |report| {
        report.condition = Condition::Killed;
        report.at = now();
        report.reason = Some(FailureReason::Stopped);
        report.message = Some(format!("Stopped before it started{because}"));
    })
}

/// Collects how a task ended, and cleans up after it.
pub(super) async fn finish(shared: &Arc<Shared>, record: &Record, running: Option<&Running>) -> Change {
    let mut ending = Ending {
        mem_limit: container(&record.assignment).ok().and_then(|spec| spec.mem_limit),
        stop: record.stop_cause(),
        other_boot: record.boot != shared.boot,
        ..Ending::default()
    };
    let (mut at, mut told) = (now(), None);
    if let Some(Running::Docker(run)) = running {
        let end = run.finish().await;
        (ending.exit, ending.out_of_memory, told) = (end.exit, end.out_of_memory, end.message);
    } else {
        let (exit, out_of_memory) = loop {
            let (shared, run) = (shared.clone(), record.run.clone());
            match tokio::task::spawn_blocking(move || shared.process.finish(&run)).await {
                Ok(Ok(found)) => break found,
                Ok(Err(error)) => tracing::warn!(task = %record.task(), "cannot read yet how it ended: {error}"),
                Err(_) => break (None, false),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        ending.out_of_memory = out_of_memory;
        if let Some(exit) = exit {
            at = Timestamp::from_millis(exit.at_ms);
            ending.exit = exit.code.map(Exit::Code).or(exit.signal.map(Exit::Signal));
            told = exit.error;
            if exit.lost_log_bytes > 0 {
                tracing::warn!(task = %record.task(), bytes = exit.lost_log_bytes, "output was lost: the disk is full");
            }
        }
    }
    let conclusion = conclude(&ending);
    Box::new(move |report| {
        report.condition = conclusion.condition;
        report.at = at;
        report.reason = Some(conclusion.reason);
        report.message = Some(told.unwrap_or(conclusion.message));
        report.exit = ending.exit;
    })
}

/// Makes the last report durable, then sends it.
pub(super) async fn end(shared: &Arc<Shared>, mut record: Box<Record>, change: Change) {
    let task = record.task();
    let report = shared.board().tasks.get(&task).map(|entry| entry.report.clone());
    let Some(mut report) = report else { return };
    change(&mut report);
    report.health.clone_from(&record.health);
    record.end = Some(report.clone());
    let sandbox = record.run.sandbox.clone();
    // Its age counts from now, however long nothing was created in it.
    let touched = blocking(move || {
        let touch = std::fs::File::open(&sandbox).and_then(|directory| directory.set_modified(std::time::SystemTime::now()));
        touch.map_err(|error| format!("cannot touch {}: {error}", sandbox.display()))
    });
    if let Err(failure) = touched.await {
        tracing::debug!(%task, message = failure.message, "sandbox");
    }
    if let Err(failure) = save(&record).await {
        tracing::warn!(%task, message = failure.message, "cannot save");
    }
    shared.report(&task, |current| *current = report);
}
