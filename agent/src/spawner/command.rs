//! A child that becomes the user's command, and the last steps before it does.
//!
//! Until then it shares all memory with its parent, which waits (vfork(2)): a copy would cost as much
//! as everything else it does. It may call the kernel and leave a message, and allocates nothing that
//! would stay behind; what it needs is prepared before.

use super::launch::Identity;
use super::privilege;
use super::seccomp::Filter;
use nix::errno::Errno;
use nix::sched::{CloneFlags, clone};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{Gid, Pid, chdir, execve, setsid};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

/// Score that makes the kernel prefer tasks to daemons when the whole machine is out of memory.
const OOM_SCORE: &str = "200";
/// Stack of a child before it executes, bytes. From this size on the allocator maps it apart, so that
/// only pages that are used cost something.
const STACK_BYTES: usize = 256 << 10;
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

/// Everything that needs memory.
struct Prepared {
    /// Paths to try.
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    groups: Vec<Gid>,
    filter: Filter,
}

impl Prepared {
    fn of(command: &Command<'_>) -> Result<Self, String> {
        let program = command.arguments.first().ok_or("the command is empty")?;
        let groups = command.identity.map_or(&[][..], |identity| &identity.groups);
        Ok(Self {
            candidates: c_strings(candidates(program, command.environment))?,
            arguments: c_strings(command.arguments.iter().cloned())?,
            environment: c_strings(command.environment.iter().map(|(name, value)| format!("{name}={value}")))?,
            groups: groups.iter().map(|group| Gid::from_raw(*group)).collect(),
            filter: Filter::new(),
        })
    }
}

/// Starts the command as a child of this process, which has one thread; returns when it executes.
///
/// # Errors
/// A sentence that tells why it does not; then the child has ended, and is still to be waited for.
pub(super) fn spawn(command: &Command<'_>) -> Result<Pid, String> {
    let prepared = Prepared::of(command)?;
    let (mut failure, mut stack) = (None, vec![0; STACK_BYTES]);
    let hidden = privilege::is_hidden();
    let child = Box::new(|| {
        let Err(message) = become_command(command, &prepared);
        failure = Some(message);
        1
    });
    // SAFETY: with CLONE_VFORK this process, whose only thread this is, sleeps until the child has executed or
    // ended, so that nothing else uses the memory they share meanwhile; the child has a stack of its own, and what
    // it borrows outlives it. It ends by the system call alone, without exit handlers.
    let pid = unsafe { clone(child, &mut stack, CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK, Some(libc::SIGCHLD)) };
    let pid = pid.map_err(|error| format!("cannot start a process: {}", error.desc()))?;
    // The memory that becoming a user has made visible, where the node is set up so, was ours.
    if hidden {
        let _ = privilege::hide_process();
    }
    failure.map_or(Ok(pid), Err)
}

/// Replaces the process; returns only when that failed, with a sentence about it.
fn become_command(command: &Command<'_>, prepared: &Prepared) -> Result<Infallible, String> {
    let step = |what: &'static str| move |error: Errno| format!("cannot {what}: {}", error.desc());
    let _ = privilege::die_with_parent();
    setsid().map_err(step("start a session"))?;
    for (descriptor, number) in [(command.stdin, 0), (command.stdout, 1), (command.stderr, 2)] {
        attach(descriptor, number).map_err(step("attach the standard streams"))?;
    }
    if command.terminal {
        // SAFETY: TIOCSCTTY takes a number; descriptor 0 is the terminal.
        Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }).map_err(step("take the terminal"))?;
    }
    // The kernel refuses to lower it for ordinary users; raising it from there is allowed. That of the parent
    // stays as it is: the kernel knows that the memory is lent.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    if nix::unistd::geteuid().is_root() {
        privilege::drop_capabilities().map_err(step("drop capabilities"))?;
        match command.identity {
            Some(identity) if identity.uid != 0 => {
                privilege::become_user(identity, &prepared.groups).map_err(step("become the task's user"))?;
                // The kernel forgets it when a process changes its user.
                let _ = privilege::die_with_parent();
            }
            _ => privilege::keep_default_capabilities().map_err(step("drop capabilities"))?,
        }
    }
    chdir(command.sandbox)
        .map_err(|error| format!("cannot enter the sandbox {}: {}", command.sandbox.display(), error.desc()))?;
    privilege::no_new_privileges().map_err(step("set no_new_privs"))?;
    prepared.filter.confine().map_err(step("install the system call filter"))?;
    restore_signals().map_err(step("reset signals"))?;
    let program = &command.arguments[0];
    let mut denied = None;
    for candidate in &prepared.candidates {
        let error = execute(candidate, &prepared.arguments, &prepared.environment);
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
