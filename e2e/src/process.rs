//! A daemon started by a test, with its log; ends with the value.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a waiting test looks again at a line or a process; nothing is measured with it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running program.
pub struct Process {
    child: Option<Child>,
    log: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`; its standard error goes to `log`, its output is kept line by line.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().expect("a program that can be started");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, kept) = (child.stdout.take().expect("piped"), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child: Some(child), log: log.to_owned(), lines }
    }

    /// Waits for a line of output that begins with `start`, and gives the rest of it.
    ///
    /// # Panics
    /// When the program ends or `patience` is over before.
    pub fn says(&mut self, start: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let found = {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.iter().find_map(|line| line.strip_prefix(start).map(str::to_owned))
            };
            if let Some(rest) = found {
                return rest.trim().to_owned();
            }
            assert!(self.runs() && Instant::now() < deadline, "no line {start:?}; the log:\n{}", self.log());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Waits for its end; gives whether it succeeded and what it printed.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ends(&mut self, patience: Duration) -> (bool, String) {
        let deadline = Instant::now() + patience;
        while self.runs() {
            assert!(Instant::now() < deadline, "it does not end; the log:\n{}", self.log());
            std::thread::sleep(LOOK_AGAIN);
        }
        let status = self.child.take().and_then(|mut child| child.wait().ok());
        (status.is_some_and(|status| status.success()), self.log())
    }

    /// Process id; 0 when it has ended.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Sends a signal by its name.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} can be sent");
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Everything it wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
