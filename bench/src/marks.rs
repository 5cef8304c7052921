//! The moment a process really runs: its own first action writes a line into a pipe that we read.

use anyhow::Context as _;
use nix::sys::stat::Mode;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Marks kept until they are asked for, far more than any bench makes.
const MARKS_MAX: usize = 10_000;

/// A named pipe with a thread that takes the time of each line.
pub(crate) struct Marks {
    path: PathBuf,
    lines: Receiver<(Instant, String)>,
}

impl Marks {
    /// Makes the pipe in `directory`, open to tasks of any user.
    pub(crate) fn new(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("marks");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).context("cannot make a named pipe")?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        // Opened for writing too, so that it never ends.
        let pipe = OpenOptions::new().read(true).write(true).open(&path)?;
        let (sender, lines) = sync_channel(MARKS_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { path, lines })
    }

    /// Shell command that marks with `word` and then sleeps for `seconds`, which also tells the
    /// process from others.
    pub(crate) fn command(&self, word: &str, seconds: &str) -> String {
        Self::command_at(&self.path, word, seconds)
    }

    /// The same where the pipe is seen at another path.
    pub(crate) fn command_at(path: &Path, word: &str, seconds: &str) -> String {
        format!("echo {word} >{}; exec sleep {seconds}", path.display())
    }

    /// Directory of the pipe.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The next mark with `word`; others are dropped.
    pub(crate) fn wait(&self, word: &str, patience: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + patience;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let (at, found) = self
                .lines
                .recv_timeout(rest)
                .with_context(|| format!("no task said {word:?} within {} s", patience.as_secs()))?;
            if found == word {
                return Ok(at);
            }
        }
    }

    /// The next `count` marks with `word`.
    pub(crate) fn wait_many(&self, word: &str, count: usize, patience: Duration) -> anyhow::Result<Vec<Instant>> {
        let deadline = Instant::now() + patience;
        let next = |_| self.wait(word, deadline.saturating_duration_since(Instant::now()));
        (0..count).map(next).collect()
    }
}
