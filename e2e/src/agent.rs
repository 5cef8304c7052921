//! An agent that joins a cluster as a process of its own.

use crate::orrery_binary;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// How long an agent may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `orrery agent`. Dropping it stops it and its tasks.
pub struct TestAgent {
    child: Option<Child>,
    data: PathBuf,
    lines: Receiver<String>,
}

impl TestAgent {
    /// Starts an agent on `data`; `arguments` come after the data directory.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn spawn(data: &Path, arguments: &[&str]) -> Self {
        let log_path = Self::log_path(data);
        let log = std::fs::File::options().create(true).append(true).open(&log_path).expect("a log file");
        let mut child = Command::new(orrery_binary())
            .arg("agent")
            .arg("--data-dir")
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("orrery starts");
        let (sender, lines) = sync_channel(16);
        let stdout = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child: Some(child), data: data.to_owned(), lines }
    }

    fn log_path(data: &Path) -> PathBuf {
        data.with_extension("log")
    }

    /// What the agent logged, all starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(Self::log_path(&self.data)).unwrap_or_default()
    }

    /// Waits until it has registered; gives the id of its node.
    ///
    /// # Panics
    /// When it does not.
    pub fn ready(&self) -> String {
        let line = self.lines.recv_timeout(READY_TIMEOUT).unwrap_or_default();
        let node = line.strip_prefix("ready ").and_then(|rest| rest.split(' ').next());
        node.unwrap_or_else(|| panic!("the agent is not ready; it said {line:?}; its log:\n{}", self.log())).to_owned()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has been taken already.
    pub fn end(&mut self) -> ExitStatus {
        self.child.take().expect("the agent runs").wait().expect("the agent ends")
    }

    /// Ends it with `orrery down` and more arguments.
    ///
    /// # Panics
    /// When it cannot be stopped.
    pub fn down(&mut self, arguments: &[&str]) {
        let output = Command::new(orrery_binary()).args(["down", "--data-dir"]).arg(&self.data).args(arguments).output();
        let output = output.expect("orrery runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.end();
    }

    /// Kills it; tasks run on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.child.as_mut().expect("the agent runs").kill().expect("the agent is killed");
        self.end();
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the agent ---\n{}", self.log());
        }
        let Some(mut child) = self.child.take() else { return };
        let stopped = Command::new(orrery_binary()).args(["down", "--stop-tasks", "--data-dir"]).arg(&self.data).status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = child.kill();
        }
        let _ = child.wait();
    }
}
