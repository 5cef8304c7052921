//! Collecting the sandboxes of ended tasks.

use crate::checkpoint::Run;
use crate::state::{Shared, now};
use orrery_core::task::Known;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Looked at this often even if no task ends.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Pause between two collections, however many tasks end.
const PAUSE: Duration = Duration::from_secs(60);
/// Free part of the disk below which sandboxes go before their time, percent (Mesos: 10), unless
/// [`FREE_ENOUGH_BYTES`] are free.
const FREE_MIN_PERCENT: u64 = 10;
/// No large disk is short of room with so much free, bytes.
const FREE_ENOUGH_BYTES: u64 = 10 << 30;
/// Sandboxes are kept for so long even then: somebody may be about to read why the task ended.
const KEEP_AT_LEAST: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sandbox {
    path: PathBuf,
    age: Duration,
}

/// Which sandboxes must go: those beyond the age, beyond the number, and under pressure the older
/// half of what is left, but none younger than [`KEEP_AT_LEAST`]. `all` in any order.
fn choose(mut all: Vec<Sandbox>, keep: usize, keep_for: Duration, pressure: bool) -> Vec<PathBuf> {
    all.sort_by_key(|sandbox| sandbox.age);
    let youngest = |limit: Duration| all.iter().take_while(|sandbox| sandbox.age <= limit).count();
    let mut kept = youngest(keep_for).min(keep);
    if pressure {
        kept = kept.min(youngest(KEEP_AT_LEAST).max(kept / 2));
    }
    all.drain(kept..).map(|sandbox| sandbox.path).collect()
}

/// Collects from time to time, until the agent goes.
pub(crate) async fn run(shared: Arc<Shared>) {
    let abandon = shared.abandon.clone();
    let work = async {
        loop {
            tokio::select! {
                () = shared.ended.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
            forget_excess(&shared);
            let collecting = shared.clone();
            let _ = tokio::task::spawn_blocking(move || collect(&collecting)).await;
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = abandon.cancelled() => {}
        () = work => {}
    }
}

/// Drops the oldest records when no controller takes note of them.
fn forget_excess(shared: &Shared) {
    let mut board = shared.board();
    let ended: Vec<_> = board
        .tasks
        .iter()
        .filter(|(_, entry)| entry.known() == Known::Ended)
        .map(|(task, entry)| (entry.report.at, task.clone()))
        .collect();
    let Some(excess) = ended.len().checked_sub(shared.config.limits.ended_tasks).filter(|excess| *excess > 0) else { return };
    let mut ended = ended;
    ended.sort();
    for (_, task) in ended.into_iter().take(excess) {
        board.unsent.remove(&task);
        if let Some(run) = board.tasks.remove(&task).and_then(|entry| entry.run) {
            let _ = fs::remove_dir_all(&run.record);
        }
    }
}

fn collect(shared: &Shared) {
    // A task is on the board before its groups exist, and off it only after they were emptied.
    let running = || {
        let board = shared.board();
        let alive = board.tasks.values().filter(|entry| entry.known() != Known::Ended);
        alive.filter_map(|entry| entry.run.as_ref().map(|run| run.container.clone())).collect()
    };
    shared.process.cgroups.sweep(running);
    // Runs that begin while this works are younger than what was listed.
    let executors = shared.config.executors_dir();
    let Ok(found) = all_sandboxes(&executors) else { return };
    let alive: Vec<Arc<Run>> = {
        let board = shared.board();
        let alive = board.tasks.values().filter(|entry| entry.known() != Known::Ended);
        alive.filter_map(|entry| entry.run.clone()).collect()
    };
    let sandboxes: BTreeSet<&PathBuf> = alive.iter().map(|run| &run.sandbox).collect();
    let found = found.into_iter().filter(|sandbox| !sandboxes.contains(&sandbox.path)).collect();
    let limits = &shared.config.limits;
    for path in choose(found, limits.sandboxes, Duration::from_secs(limits.sandbox_seconds), under_pressure(&executors)) {
        tracing::debug!(at = %now(), "removing sandbox {}", path.display());
        if let Err(error) = remove(&path) {
            tracing::warn!("cannot remove sandbox {}: {error}", path.display());
        }
    }
}

fn under_pressure(directory: &Path) -> bool {
    nix::sys::statvfs::statvfs(directory).is_ok_and(|stats| {
        let free = stats.blocks_available().saturating_mul(stats.fragment_size());
        free < FREE_ENOUGH_BYTES && stats.blocks_available() * 100 < stats.blocks() * FREE_MIN_PERCENT
    })
}

/// All sandboxes, with the time since they last changed.
fn all_sandboxes(executors: &Path) -> io::Result<Vec<Sandbox>> {
    let mut found = Vec::new();
    for executor in fs::read_dir(executors)?.flatten() {
        let Ok(runs) = fs::read_dir(executor.path().join("runs")) else { continue };
        for run in runs.flatten() {
            let path = run.path();
            if run.file_type()?.is_dir() {
                let changed = run.metadata()?.modified()?;
                let age = SystemTime::now().duration_since(changed).unwrap_or_default();
                found.push(Sandbox { path, age });
            }
        }
    }
    Ok(found)
}

/// Removes a sandbox, and the directories above it that it leaves empty.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)?;
    let Some(runs) = path.parent() else { return Ok(()) };
    if fs::symlink_metadata(runs.join("latest")).is_ok() && !runs.join("latest").exists() {
        fs::remove_file(runs.join("latest"))?;
    }
    // Not empty when the task has other runs.
    if fs::remove_dir(runs).is_ok()
        && let Some(executor) = runs.parent()
    {
        let _ = fs::remove_dir(executor);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_old_and_many() {
        // Ages in minutes.
        let age = |minutes: u64| Duration::from_secs(60 * minutes);
        let all: Vec<Sandbox> =
            [30, 25, 20, 15, 5, 1].map(|minutes| Sandbox { path: minutes.to_string().into(), age: age(minutes) }).into();
        let gone = |keep, minutes, pressure| -> Vec<String> {
            let gone = choose(all.clone(), keep, age(minutes), pressure);
            gone.into_iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(gone(10, 60, false), [""; 0]);
        assert_eq!(gone(10, 20, false), ["25", "30"]);
        assert_eq!(gone(3, 60, false), ["20", "25", "30"]);
        assert_eq!(gone(10, 60, true), ["20", "25", "30"]);
        assert_eq!(gone(4, 60, true), ["15", "20", "25", "30"]);
        assert_eq!(gone(3, 60, true), ["15", "20", "25", "30"], "young ones stay");
        assert_eq!(gone(1, 60, true), ["5", "15", "20", "25", "30"], "the number holds always");
    }

    #[test]
    fn removes_what_is_left_over() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path().join("task/runs");
        for name in ["one", "two"] {
            fs::create_dir_all(runs.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("two", runs.join("latest")).unwrap();
        assert_eq!(all_sandboxes(directory.path()).unwrap().len(), 2);
        remove(&runs.join("one")).unwrap();
        assert!(runs.join("latest").exists());
        remove(&runs.join("two")).unwrap();
        assert!(!directory.path().join("task").exists());
    }
}
