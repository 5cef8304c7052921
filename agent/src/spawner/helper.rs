//! Runs a command inside a running task: the COMMAND health checks.

use super::command::{self, Command};
use super::launch::{Helper, HelperResult, enter_group, process_start_time};
use super::{privilege, report};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2, read};
use std::fs::File;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Output kept for people, bytes.
const OUTPUT_MAX_BYTES: usize = 1024;

/// Runs the helper and answers on `status`. It may have been born in its cgroup.
pub(super) fn run(helper: &Helper, is_born: bool, status: &OwnedFd, isolated: bool) {
    match execute(helper, is_born, isolated) {
        Ok(result) => report(status, "X", &serde_json::to_string(&result).unwrap_or_default()),
        Err(message) => report(status, "E", &message),
    }
}

/// Joins the namespaces of the task whose init is `helper.pid`.
fn join(helper: &Helper) -> Result<(), String> {
    let gone = || "the task has ended".to_owned();
    // SAFETY: pidfd_open takes two numbers and returns a new descriptor.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, helper.pid, 0) };
    let descriptor = Errno::result(descriptor).map_err(|_| gone())?;
    // SAFETY: the kernel has just returned this descriptor to us.
    let task = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
    if process_start_time(helper.pid) != Some(helper.start_time) {
        return Err(gone());
    }
    let all = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    setns(&task, all).map_err(|error| format!("cannot enter the task's namespaces: {}", error.desc()))
}

fn execute(helper: &Helper, is_born: bool, isolated: bool) -> Result<HelperResult, String> {
    for directory in helper.cgroups.iter().filter(|_| !is_born) {
        // Best effort: an unlimited probe is better than none.
        let _ = enter_group(directory);
    }
    if isolated {
        // Before the task can see this process.
        privilege::hide_process().map_err(|error| format!("cannot hide itself: {}", error.desc()))?;
        join(helper)?;
    }
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours. The spawner ignores SIGCHLD.
    unsafe { sigaction(Signal::SIGCHLD, &default) }.map_err(|error| error.to_string())?;
    let null: OwnedFd = File::open("/dev/null").map_err(|error| format!("cannot open /dev/null: {error}"))?.into();
    let (output, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|error| error.to_string())?;
    let child = command::spawn(&Command {
        sandbox: &helper.sandbox,
        arguments: &helper.arguments,
        environment: &helper.environment,
        identity: helper.identity.as_ref(),
        stdin: null.as_fd(),
        stdout: writer.as_fd(),
        stderr: writer.as_fd(),
        terminal: false,
    })?;
    drop(writer);
    Ok(await_end(child, &output, Duration::from_millis(helper.timeout_ms)))
}

/// Reads the output until it closes or time is up, then ends the helper and all of its group.
fn await_end(child: Pid, output: &OwnedFd, timeout: Duration) -> HelperResult {
    let (mut text, deadline) = (Vec::new(), Instant::now() + timeout);
    let _ = fcntl(output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    let (mut timed_out, mut status, mut open) = (false, None, true);
    // The exit of the child closes the pipe unless it left a child behind that holds it; then the
    // pidfd tells.
    // SAFETY: pidfd_open takes two numbers and returns a new descriptor.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    if descriptor >= 0 {
        // SAFETY: the kernel has just returned this descriptor to us.
        let exit = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        while status.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                timed_out = true;
                break;
            }
            let mut sources = vec![PollFd::new(exit.as_fd(), PollFlags::POLLIN)];
            if open {
                sources.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut sources, left);
            open = open && collect(output, &mut text);
            status = match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => None,
                Ok(ended) => Some(ended),
            };
        }
    }
    let _ = killpg(child, Signal::SIGKILL);
    if status.is_none() {
        status = waitpid(child, None).ok();
    }
    collect(output, &mut text);
    let (code, signal) = match status {
        Some(WaitStatus::Exited(_, code)) => (Some(code), None),
        Some(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal as i32)),
        _ => (None, None),
    };
    HelperResult { code, signal, timed_out, output: String::from_utf8_lossy(&text).trim().to_owned() }
}

/// Takes what is in the pipe, keeping the tail. `false` at its end.
fn collect(output: &OwnedFd, text: &mut Vec<u8>) -> bool {
    let mut buffer = [0u8; 4096];
    loop {
        match read(output, &mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                text.extend_from_slice(&buffer[..length]);
                let excess = text.len().saturating_sub(OUTPUT_MAX_BYTES);
                text.drain(..excess);
            }
            Err(Errno::EINTR) => {}
            Err(error) => return error == Errno::EAGAIN,
        }
    }
}
