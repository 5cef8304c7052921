//! `orrery up --detach`: the same process in a session of its own.

use crate::arguments::UpOptions;
use anyhow::Context as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

/// Lines of the log shown when the start failed.
const LOG_LINES_SHOWN: usize = 15;

pub(crate) fn detach(options: &UpOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.path()?;
    crate::create_private(&data)?;
    let log_path = data.join("orrery.log");
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("cannot write {}", log_path.display()))?;
    let log_start = log.metadata()?.len();
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
    let mut child = command.spawn().context("cannot start the daemon")?;
    let stdout = child.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.starts_with("ready ") {
        std::io::stdout().write_all(line.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    let text = std::fs::read(&log_path).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(log_start as usize..).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
    anyhow::bail!("the cluster did not start ({status}); the end of {} says:\n{last}", log_path.display())
}
