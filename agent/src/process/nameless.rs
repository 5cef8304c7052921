//! Tasks whose record does not name their process any more, because it was damaged.

use crate::cgroup::Cgroups;
use crate::checkpoint::Run;
use crate::spawner::{ExitRecord, PidRecord};
use crate::state::now;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Pause before another look at what is on its way out.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How much longer than the grace period a task's init may take to end it and to say so.
const SLACK: Duration = Duration::from_secs(5);
/// An init writes two files at its end.
const REMOVAL_ATTEMPTS: usize = 3;

/// Ends whatever runs of a task, and leaves a record of its end if there is none. Returns when nothing runs: what did
/// would run beside its replacement.
pub(super) async fn end(cgroups: &Cgroups, run: &Run, grace: Duration) {
    tracing::warn!("the record {} is damaged; what still runs of its task is ended", run.record.display());
    if cgroups.are_used() {
        // Its init entered them before it wrote its record.
        while cgroups.kill(&run.container) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    } else {
        end_by_init(&run.record, Instant::now() + grace + SLACK).await;
    }
    if matches!(ExitRecord::read(&run.record), Ok(Some(_))) {
        return;
    }
    let error = Some("The record of its process was damaged, and what still ran of it was ended".into());
    let record = ExitRecord { code: None, signal: None, at_ms: now().as_millis(), error, lost_log_bytes: 0 };
    if let Err(error) = record.write(&run.record) {
        tracing::warn!("cannot write how the task of {} ended: {error}", run.record.display());
    }
}

/// Makes its init end the task, as it does when its record is deleted, and waits until it has said so.
pub(super) async fn end_by_init(record: &Path, deadline: Instant) {
    if let Err(error) = PidRecord::remove(record) {
        tracing::warn!("cannot remove the damaged record in {}: {error}", record.display());
    }
    while !matches!(ExitRecord::read(record), Ok(Some(_))) && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Removes a record, into which an init that ends may be writing.
pub(super) fn remove(record: &Path) -> std::io::Result<()> {
    let mut removed = std::fs::remove_dir_all(record);
    for _ in 0..REMOVAL_ATTEMPTS {
        if removed.as_ref().is_err_and(|error| error.kind() == ErrorKind::DirectoryNotEmpty) {
            removed = std::fs::remove_dir_all(record);
        }
    }
    removed
}

/// Waits for the last processes of groups that no task has, until `deadline`.
pub(crate) async fn wait_for(cgroups: &Cgroups, groups: &[String], deadline: Instant) {
    while groups.iter().any(|group| cgroups.kill(group)) && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
