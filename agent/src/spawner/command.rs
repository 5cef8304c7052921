//! The last steps of a child before it becomes the user's command.

use super::launch::Identity;
use super::{privilege, seccomp};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{chdir, execve, setsid};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

/// Score that makes the kernel prefer tasks to daemons when the whole machine is out of memory.
const OOM_SCORE: &str = "200";
/// Default of `PATH`.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to become.
pub(super) struct Command<'a> {
    pub(super) sandbox: &'a Path,
    pub(super) arguments: &'a [String],
    pub(super) environment: &'a [(String, String)],
    pub(super) identity: Option<&'a Identity>,
    pub(super) stdin: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    /// The descriptors are a terminal, which becomes the controlling one.
    pub(super) terminal: bool,
}

fn c_strings(texts: impl IntoIterator<Item = String>) -> Result<Vec<CString>, String> {
    texts
        .into_iter()
        .map(|text| CString::new(text).map_err(|error| format!("an argument or variable contains a zero byte: {error}")))
        .collect()
}

/// Where the program may lie: as given when it contains a slash, else in each directory of the
/// task's own `PATH`.
fn candidates(program: &str, environment: &[(String, String)]) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = environment.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
    path.split(':').map(|directory| format!("{}/{program}", if directory.is_empty() { "." } else { directory })).collect()
}

fn restore_signals() -> Result<(), Errno> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // All of them: what the spawner or whoever started the agent ignores stays ignored over execve,
    // and a shell cannot even trap it then.
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { sigaction(signal, &default) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

fn attach(descriptor: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    // SAFETY: both are valid descriptor numbers; the standard streams of a child that is about to
    // execute belong to nobody else.
    Errno::result(unsafe { libc::dup2(descriptor.as_raw_fd(), number) }).map(drop)
}

/// Replaces the process; returns only when that failed, with a sentence about it.
pub(super) fn become_command(command: &Command<'_>) -> String {
    match prepare_and_execute(command) {
        Ok(never) => match never {},
        Err(message) => message,
    }
}

fn prepare_and_execute(command: &Command<'_>) -> Result<std::convert::Infallible, String> {
    let step = |what: &'static str| move |error: Errno| format!("cannot {what}: {}", error.desc());
    setsid().map_err(step("start a session"))?;
    for (descriptor, number) in [(command.stdin, 0), (command.stdout, 1), (command.stderr, 2)] {
        attach(descriptor, number).map_err(step("attach the standard streams"))?;
    }
    if command.terminal {
        // SAFETY: TIOCSCTTY takes a number; descriptor 0 is the terminal.
        Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }).map_err(step("take the terminal"))?;
    }
    // The kernel refuses to lower it for ordinary users; raising it from there is allowed.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    if nix::unistd::geteuid().is_root() {
        privilege::drop_capabilities().map_err(step("drop capabilities"))?;
        match command.identity {
            Some(identity) if identity.uid != 0 => {
                privilege::become_user(identity).map_err(step("become the task's user"))?;
                // The kernel forgets it when a process changes its user.
                let _ = privilege::die_with_parent();
            }
            _ => privilege::keep_default_capabilities().map_err(step("drop capabilities"))?,
        }
    }
    chdir(command.sandbox)
        .map_err(|error| format!("cannot enter the sandbox {}: {}", command.sandbox.display(), error.desc()))?;
    privilege::no_new_privileges().map_err(step("set no_new_privs"))?;
    seccomp::confine().map_err(step("install the system call filter"))?;
    let program = command.arguments.first().ok_or("the command is empty")?;
    let arguments = c_strings(command.arguments.iter().cloned())?;
    let environment = c_strings(command.environment.iter().map(|(name, value)| format!("{name}={value}")))?;
    let candidates = c_strings(candidates(program, command.environment))?;
    restore_signals().map_err(step("reset signals"))?;
    let mut denied = None;
    for candidate in &candidates {
        let error = execute(candidate, &arguments, &environment);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => denied = Some(error),
            other => return Err(format!("cannot execute {program}: {}", other.desc())),
        }
    }
    Err(match denied {
        Some(error) => format!("cannot execute {program}: {}", error.desc()),
        None => format!("cannot execute {program}: there is no such file in the sandbox, on the node or in PATH"),
    })
}

fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    match execve(program, arguments, environment) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}
