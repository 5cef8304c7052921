//! What the agent tells the spawner, and the records a task leaves beside its sandbox.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of these messages. An agent replaces a spawner that speaks another one; running tasks
/// do not notice.
pub(crate) const SPAWNER_VERSION: u32 = 4;

/// Largest launch or helper request, bytes. Linux bounds arguments and environment to 2 MiB.
pub(crate) const REQUEST_MAX_BYTES: u64 = 4 << 20;

/// One byte at the start of every message on the spawner's socket.
pub(crate) mod operation {
    /// Says [`super::SpawnerFacts`].
    pub(crate) const HELLO: u8 = b'V';
    /// Start a task: descriptors of a [`super::Launch`] and of the status pipe.
    pub(crate) const TASK: u8 = b'T';
    /// Run a helper in a task: descriptors of a [`super::Helper`] and of the status pipe.
    pub(crate) const HELPER: u8 = b'X';
    /// End. Tasks run on.
    pub(crate) const QUIT: u8 = b'Q';
}

/// What a spawner says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SpawnerFacts {
    /// [`SPAWNER_VERSION`] of its program.
    pub(crate) version: u32,
    /// Tasks get namespaces of their own.
    pub(crate) isolated: bool,
    /// Why not, when not.
    pub(crate) because: String,
}

/// A user to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// One cgroup directory to create and enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupSetup {
    pub(crate) directory: PathBuf,
    /// File name and content, written in order.
    pub(crate) files: Vec<(String, String)>,
}

impl CgroupSetup {
    fn fail(&self, what: &str, error: &std::io::Error) -> String {
        format!("cannot {what} cgroup {}: {error}", self.directory.display())
    }

    /// Creates the group with its limits.
    pub(crate) fn create(&self) -> Result<(), String> {
        std::fs::create_dir_all(&self.directory).map_err(|error| self.fail("create", &error))?;
        for (name, content) in &self.files {
            std::fs::write(self.directory.join(name), content)
                .map_err(|error| self.fail(&format!("set {name}={content} of"), &error))?;
        }
        Ok(())
    }

    /// Creates the group with its limits and moves the calling process into it.
    pub(crate) fn enter(&self) -> Result<(), String> {
        self.create()?;
        enter_group(&self.directory).map_err(|error| self.fail("enter", &error))
    }
}

/// Moves the calling process, which has one thread, into a cgroup.
pub(crate) fn enter_group(directory: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    // Version 1 takes a single thread by itself. For whole processes the kernel stops every fork and
    // exit of the machine and waits for a grace period, some 10 ms, in each hierarchy.
    match std::fs::File::options().write(true).open(directory.join("tasks")) {
        Ok(mut file) => file.write_all(b"0"),
        Err(_) => std::fs::write(directory.join("cgroup.procs"), "0"),
    }
}

/// One bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountSetup {
    pub(crate) source: PathBuf,
    /// Absolute, or relative to the sandbox.
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
    /// A directory of the agent's own, which is mounted although the agent's files are hidden.
    pub(crate) own: bool,
}

/// A task to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Working directory, where `stdout` and `stderr` go.
    pub(crate) sandbox: PathBuf,
    /// Directory for `pid.json` and `exit.json`.
    pub(crate) record: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) identity: Option<Identity>,
    pub(crate) cgroups: Vec<CgroupSetup>,
    pub(crate) mounts: Vec<MountSetup>,
    /// Files and directories that the task must not see.
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) kill_grace_ms: u32,
    pub(crate) tty: bool,
    /// It sees the device nodes of the machine's GPUs.
    pub(crate) gpus: bool,
}

/// A command to run inside a running task, for command health checks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Helper {
    /// The task's init.
    pub(crate) pid: i32,
    /// Its start time, so that a reused process id is noticed.
    pub(crate) start_time: u64,
    pub(crate) sandbox: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) identity: Option<Identity>,
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) timeout_ms: u64,
}

/// What a helper's status pipe carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HelperResult {
    /// Exit status, absent when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) timed_out: bool,
    /// Tail of its standard output and error.
    pub(crate) output: String,
}

/// Which process is the init of a task: `pid.json`. Created before the command starts, and only if
/// absent: whoever creates it first, init or an agent that gives the launch up, wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PidRecord {
    /// Process id; 0 when the launch was given up.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot, from `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
    /// When the task was started, milliseconds since the Unix epoch; 0 when nobody noted it.
    #[serde(default)]
    pub(crate) at_ms: i64,
}

/// How the command ended: `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// Set when the command never started.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// Output that could not be written, bytes (a full disk).
    #[serde(default)]
    pub(crate) lost_log_bytes: u64,
}

/// Name of the pid record.
pub(crate) const PID_FILE: &str = "pid.json";
/// Name of the exit record.
pub(crate) const EXIT_FILE: &str = "exit.json";

impl PidRecord {
    /// What an agent writes that gives a launch up.
    pub(crate) const GIVEN_UP: Self = Self { pid: 0, start_time: 0, at_ms: 0 };

    /// Writes the record unless there is one; `false` when there is.
    pub(crate) fn create(self, directory: &Path) -> std::io::Result<bool> {
        let temporary = directory.join(format!(".pid.{}", self.pid));
        if let Err(error) = std::fs::write(&temporary, serde_json::to_vec(&self)?) {
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
        let linked = std::fs::hard_link(&temporary, directory.join(PID_FILE));
        std::fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the record; `None` when there is none. Any other reason why it cannot be read is an
    /// error: a task taken for gone would run beside its replacement.
    pub(crate) fn read(directory: &Path) -> std::io::Result<Option<Self>> {
        read_json(&directory.join(PID_FILE))
    }

    /// Removes the record; the init of the task, if it lives, ends it.
    pub(crate) fn remove(directory: &Path) -> std::io::Result<()> {
        std::fs::remove_file(directory.join(PID_FILE))
    }
}

/// Room kept for the exit record, so that a disk that is full when the task ends can still take it.
const EXIT_ROOM_BYTES: usize = 1024;
/// Where the room is kept.
const EXIT_ROOM_FILE: &str = ".exit";

impl ExitRecord {
    /// Keeps room for the record.
    pub(crate) fn reserve(directory: &Path) -> std::io::Result<()> {
        std::fs::write(directory.join(EXIT_ROOM_FILE), [b' '; EXIT_ROOM_BYTES])
    }

    /// Writes the record, whole or not at all, into the room kept for it if there is any.
    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        use std::io::Write as _;
        let temporary = directory.join(EXIT_ROOM_FILE);
        let mut bytes = serde_json::to_vec(self)?;
        // Space after a document is no part of it. Nothing is cut: that would give the room away.
        bytes.resize(bytes.len().max(EXIT_ROOM_BYTES), b' ');
        std::fs::File::options().write(true).create(true).truncate(false).open(&temporary)?.write_all(&bytes)?;
        std::fs::rename(temporary, directory.join(EXIT_FILE))
    }

    /// Reads the record; `None` when there is none.
    pub(crate) fn read(directory: &Path) -> std::io::Result<Option<Self>> {
        read_json(&directory.join(EXIT_FILE))
    }
}

/// Reads a record. One that is damaged, even empty as a crash of the machine leaves it, is told from one that cannot
/// be read for now: no other attempt will cure it.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    use std::io::{Error, ErrorKind};
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::new(ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Start time of a process in clock ticks since boot; `None` when there is no such process.
pub(crate) fn process_start_time(pid: impl std::fmt::Display) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain anything; field 22 counts from before it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_no_unreadable_one() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(PidRecord::read(directory.path()).unwrap(), None);
        for damaged in ["", "{\"pid\":12", "{}", "\0\0\0"] {
            for name in [PID_FILE, EXIT_FILE] {
                std::fs::write(directory.path().join(name), damaged).unwrap();
            }
            let pid = PidRecord::read(directory.path()).unwrap_err();
            let exit = ExitRecord::read(directory.path()).err().map(|error| error.kind());
            assert_eq!(pid.kind(), std::io::ErrorKind::InvalidData, "{damaged:?}");
            assert!(exit == Some(std::io::ErrorKind::InvalidData) || damaged == "{}", "{damaged:?}: {exit:?}");
        }
    }
}
