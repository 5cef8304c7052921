//! What an agent must know to take its tasks up again: one small file per task.

use crate::spawner::PidRecord;
use orrery_core::assignment::{Assignment, TaskReport};
use orrery_core::health::Health;
use orrery_core::task::StopCause;
use orrery_core::{TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of a task's record in its record directory.
const RECORD_FILE: &str = "task.json";
/// Longest directory name made from a task id, bytes (the file system's limit is 255).
const NAME_MAX_BYTES: usize = 200;

/// Where one run of a task lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Id of the run: a UUID.
    pub(crate) container: String,
    /// Working directory and logs.
    pub(crate) sandbox: PathBuf,
    /// Directory of the records, out of the task's reach.
    pub(crate) record: PathBuf,
}

/// The record of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) run: Arc<Run>,
    /// When the agent got it.
    pub(crate) created_at: Timestamp,
    /// Boot of the machine it was started in.
    pub(crate) boot: Arc<str>,
    pub(crate) started_at: Option<Timestamp>,
    /// Id at the container engine.
    #[serde(default)]
    pub(crate) docker: Option<String>,
    /// Why it is being stopped: (unhealthy, text).
    #[serde(default)]
    pub(crate) stop: Option<(bool, String)>,
    #[serde(default)]
    pub(crate) health: Vec<Health>,
    #[serde(default)]
    pub(crate) ready: bool,
    /// Its last report, once it has ended.
    #[serde(default)]
    pub(crate) end: Option<TaskReport>,
}

impl Record {
    /// The task.
    pub(crate) fn task(&self) -> TaskId {
        self.assignment.task_id()
    }

    /// Why it is being stopped.
    pub(crate) fn stop_cause(&self) -> Option<StopCause> {
        self.stop.clone().map(|(unhealthy, text)| if unhealthy { StopCause::Unhealthy(text) } else { StopCause::Asked(text) })
    }

    /// Writes the record, whole or not at all.
    pub(crate) fn write(&self) -> io::Result<()> {
        write_atomically(&self.run.record.join(RECORD_FILE), &serde_json::to_vec(self)?)
    }

    /// When the init of its process was started, which init itself keeps.
    fn noted_start(&self) -> Option<Timestamp> {
        let pid = PidRecord::read(&self.run.record).ok().flatten()?;
        (pid.at_ms > 0).then(|| Timestamp::from_millis(pid.at_ms))
    }

    /// Reads all records below `directory`. The second list has the record directories that tell of no
    /// task: a launch that got no further, or a file that was damaged.
    pub(crate) fn read_all(directory: &Path) -> io::Result<(Vec<Self>, Vec<PathBuf>)> {
        let (mut records, mut broken) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            match fs::read(entry.path().join(RECORD_FILE)) {
                Ok(bytes) => match serde_json::from_slice(&bytes) {
                    Ok(record) => {
                        let record: Self = record;
                        let started_at = record.started_at.or_else(|| record.noted_start());
                        records.push(Self { started_at, ..record });
                    }
                    Err(error) => {
                        tracing::warn!("the task record {} is damaged: {error}", entry.path().display());
                        broken.push(entry.path());
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => broken.push(entry.path()),
                Err(error) => return Err(error),
            }
        }
        Ok((records, broken))
    }
}

/// Replaces a file by way of a temporary one beside it. Readable by the agent's user only. A crash of the machine may
/// leave it empty: nothing waits for the disk, which could not take hundreds of starts in a second.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, |_| Ok(()))
}

/// The same for what is written rarely and needed for long: it is on the disk when this returns.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, fs::File::sync_all)?;
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

fn replace(path: &Path, bytes: &[u8], sync: impl FnOnce(&fs::File) -> io::Result<()>) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| sync(&file)).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // On a full disk every byte counts.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// SHA-256 of a text in hexadecimal.
pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut digest, byte| {
        use std::fmt::Write;
        // Writing to a string cannot fail.
        let _ = write!(digest, "{byte:02x}");
        digest
    })
}

/// A directory name for the id of a task or instance: itself, or cut and marked by a digest when it is too long.
pub(crate) fn directory_name(id: &impl std::fmt::Display) -> String {
    let text = id.to_string();
    if text.len() <= NAME_MAX_BYTES {
        return text;
    }
    format!("{}-{}", &text[..NAME_MAX_BYTES], &sha256(&text)[..16])
}

/// Id of the current boot of the machine.
pub(crate) fn boot_id() -> Arc<str> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().into()
}

/// Creates the directories of a run and points `latest` at it.
pub(crate) fn create_directories(run: &Run) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::create_dir_all(&run.record)?;
    let runs = run.sandbox.parent().unwrap_or(&run.sandbox);
    fs::create_dir_all(runs)?;
    fs::DirBuilder::new().mode(0o700).create(&run.sandbox)?;
    let (latest, link) = (runs.join("latest"), runs.join(".latest"));
    // The first run needs no exchange.
    if std::os::unix::fs::symlink(&run.container, &latest).is_ok() {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&run.container, &link)?;
    fs::rename(link, latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_task_ids_get_short_directories() {
        let task = |path: &str| TaskId::parse(&format!("{path}.instance-00000000-0000-0000-0000-00000000000a._app.1")).unwrap();
        assert_eq!(directory_name(&task("web")), "web.instance-00000000-0000-0000-0000-00000000000a._app.1");
        let (one, two) = (directory_name(&task(&"a".repeat(250))), directory_name(&task(&format!("{}b", "a".repeat(249)))));
        assert!(one.len() < 255 && one != two, "{one} {two}");
    }
}
