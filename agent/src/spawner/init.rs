//! The init of one task: starts the command, moves its output to files, reaps, and records the end.
//!
//! It is a fork of the small spawner, never an execution of the whole program, so that it costs
//! little memory. It needs neither the agent nor the spawner once it runs.

use super::command::{self, Command};
use super::deserted;
use super::launch::{CgroupSetup, ExitRecord, Launch, PidRecord, process_start_time};
use super::logfile::LogFile;
use super::view::Held;
use super::{mounts, privilege, report};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2, setsid};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long the pipes are emptied after everything has been killed. Only a process that escaped
/// with a pipe in its hands can make it last this long.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// The signal by which the agent asks for an end without grace.
pub(crate) const END_NOW: Signal = Signal::SIGUSR1;
/// Descriptor the status pipe is moved to, below all others.
const STATUS: i32 = 3;

/// Runs a task. The process, which may have been born in its cgroup, ends with the task.
pub(super) fn run(launch: &Launch, is_born: bool, status: OwnedFd, isolated: bool, template: Option<OwnedFd>) {
    let status = keep_only(status, template.as_ref());
    // The task's view will not contain the record.
    let held = match Held::open(&launch.record) {
        Ok(held) => held,
        Err(error) => return report(&status, "E", &format!("cannot open {}: {}", launch.record.display(), error.desc())),
    };
    let record_at = if isolated { held.path() } else { launch.record.clone() };
    if let Err(message) = start(launch, is_born, &record_at, status, isolated, template) {
        // The status pipe has been answered; the record is for an agent that has gone since.
        let record = ExitRecord { code: None, signal: None, at_ms: now_ms(), error: Some(message), lost_log_bytes: 0 };
        let _ = record.write(&record_at);
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Closes everything but the standard streams, the status pipe and the template. Where the kernel refuses, the
/// extra descriptors stay; they close when the command executes.
fn keep_only(status: OwnedFd, template: Option<&OwnedFd>) -> OwnedFd {
    let number = status.into_raw_fd();
    if number != STATUS {
        // SAFETY: this process was cloned for one task; no other code uses descriptor 3.
        let moved = unsafe { libc::dup3(number, STATUS, libc::O_CLOEXEC) };
        if moved < 0 {
            // SAFETY: the number comes from an owned descriptor and is still open.
            return unsafe { OwnedFd::from_raw_fd(number) };
        }
    }
    // SAFETY: the descriptors above belong to this process' copy of the spawner's table; nothing
    // here uses them again, the process ends by _exit.
    let close = |first: i32, last: libc::c_uint| unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    let after = template.map_or(STATUS, |template| {
        let template = template.as_raw_fd();
        close(STATUS + 1, template as libc::c_uint - 1);
        template
    });
    close(after + 1, libc::c_uint::MAX);
    // SAFETY: descriptor 3 is open and owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(STATUS) }
}

fn prepare(launch: &Launch, is_born: bool, record: &Path, isolated: bool, template: Option<OwnedFd>) -> Result<(), String> {
    let _ = setsid();
    // Before /proc is replaced it shows this process under its number on the node.
    let pid = std::fs::read_link("/proc/self").map_err(|error| format!("cannot read /proc/self: {error}"))?;
    let pid = pid.to_string_lossy().parse().map_err(|_| "cannot read /proc/self".to_owned())?;
    let start_time = process_start_time("self").ok_or("cannot read /proc/self/stat")?;
    launch.cgroups.iter().filter(|_| !is_born).try_for_each(CgroupSetup::enter)?;
    ExitRecord::reserve(record).map_err(|error| format!("cannot write {}: {error}", launch.record.display()))?;
    let created = PidRecord { pid, start_time, at_ms: now_ms() }.create(record);
    match created {
        Ok(true) => {}
        Ok(false) => return Err("the launch was given up before it began".into()),
        Err(error) => return Err(format!("cannot write {}: {error}", launch.record.display())),
    }
    if isolated {
        mounts::set_up(template, &launch.sandbox, &launch.hidden, &launch.mounts, launch.gpus)?;
        // Not even a task that runs as root may look into this process.
        privilege::hide_process().map_err(|error| format!("cannot hide its init: {}", error.desc()))?;
    } else {
        privilege::adopt_orphans().map_err(|error| format!("cannot become the reaper of its children: {}", error.desc()))?;
    }
    Ok(())
}

struct Streams {
    /// Our ends: standard output and error, or a terminal alone.
    ours: Vec<OwnedFd>,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    terminal: bool,
}

fn streams(terminal: bool) -> Result<Streams, Errno> {
    if terminal {
        let pair = nix::pty::openpty(None, None)?;
        // Else the command would hold both ends of its own terminal.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        let (stdout, stderr) = (pair.slave.try_clone(), pair.slave.try_clone());
        let (stdout, stderr) = (stdout.map_err(|_| Errno::EMFILE)?, stderr.map_err(|_| Errno::EMFILE)?);
        return Ok(Streams { ours: vec![pair.master], stdin: pair.slave, stdout, stderr, terminal });
    }
    let null = File::open("/dev/null").map_err(|_| Errno::ENOENT)?;
    let (output, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (error, stderr) = pipe2(OFlag::O_CLOEXEC)?;
    Ok(Streams { ours: vec![output, error], stdin: null.into(), stdout, stderr, terminal })
}

fn start(
    launch: &Launch,
    is_born: bool,
    record_at: &Path,
    status: OwnedFd,
    isolated: bool,
    template: Option<OwnedFd>,
) -> Result<(), String> {
    let refuse = |message: String| {
        report(&status, "E", &message);
        message
    };
    let blocked = SigSet::all();
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let signals = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None)
        // SAFETY: the default disposition runs no code of ours. The spawner ignores SIGCHLD.
        .and_then(|()| unsafe { sigaction(Signal::SIGCHLD, &default) })
        .and_then(|_| SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))
        .map_err(|error| refuse(format!("cannot block signals: {}", error.desc())))?;
    prepare(launch, is_born, record_at, isolated, template).map_err(&refuse)?;
    let directory = File::open(&launch.sandbox)
        .map_err(|error| refuse(format!("cannot open the sandbox {}: {error}", launch.sandbox.display())))?;
    let streams = streams(launch.tty).map_err(|error| refuse(format!("cannot create its output: {}", error.desc())))?;
    let mut logs = Vec::new();
    for name in ["stdout", "stderr"] {
        let log = LogFile::open(directory.as_fd(), name, launch.identity.as_ref());
        logs.push(log.map_err(|error| refuse(format!("cannot open the file {name} in the sandbox: {}", error.desc())))?);
    }
    let command = Command {
        sandbox: &launch.sandbox,
        arguments: &launch.arguments,
        environment: &launch.environment,
        identity: launch.identity.as_ref(),
        stdin: streams.stdin.as_fd(),
        stdout: streams.stdout.as_fd(),
        stderr: streams.stderr.as_fd(),
        terminal: streams.terminal,
    };
    let command = command::spawn(&command).map_err(&refuse)?;
    report(&status, "R", "");
    drop(status);
    let Streams { ours, stdin, stdout, stderr, .. } = streams;
    drop((stdin, stdout, stderr));
    let task = Task { command, isolated, grace: Duration::from_millis(u64::from(launch.kill_grace_ms)) };
    let ended = task.watch(&signals, &deserted::Record::watch(record_at), ours, &mut logs)?;
    let lost_log_bytes = logs.iter().map(|log| log.lost).sum();
    let (code, signal) = match ended {
        Some(WaitStatus::Exited(_, code)) => (Some(code), None),
        Some(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal as i32)),
        _ => (None, None),
    };
    let record = ExitRecord { code, signal, at_ms: now_ms(), error: None, lost_log_bytes };
    record.write(record_at).map_err(|error| error.to_string())
}

struct Task {
    command: Pid,
    isolated: bool,
    grace: Duration,
}

impl Task {
    /// Everything of the task but this process.
    fn signal_all(&self, signal: Signal) {
        if self.isolated {
            let _ = kill(Pid::from_raw(-1), signal);
            return;
        }
        let _ = kill(Pid::from_raw(-self.command.as_raw()), signal);
        if signal == Signal::SIGKILL {
            // What left the process group comes back as a child of this process once its parent is
            // dead; each round of reaping kills the next generation.
            let me = std::process::id();
            let children = std::fs::read_to_string(format!("/proc/self/task/{me}/children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
                let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
            }
        }
    }

    /// Until the command has ended, nothing of it is left and its output has been written.
    fn watch(
        &self,
        signals: &SignalFd,
        record: &deserted::Record,
        pipes: Vec<OwnedFd>,
        logs: &mut [LogFile<'_>],
    ) -> Result<Option<WaitStatus>, String> {
        for pipe in &pipes {
            let _ = fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        }
        let mut pipes: Vec<Option<OwnedFd>> = pipes.into_iter().map(Some).collect();
        let mut ended: Option<WaitStatus> = None;
        let (mut alone, mut kill_at, mut drain_until) = (false, None::<Instant>, None::<Instant>);
        // It may have been deleted before it was watched.
        if record.is_deleted() {
            kill_at = Some(Instant::now());
        }
        let mut must_end = false;
        loop {
            if let Some(until) = drain_until
                && (Instant::now() >= until || (alone && pipes.iter().all(Option::is_none)))
            {
                return Ok(ended);
            }
            let timeout = poll_timeout(kill_at.into_iter().chain(drain_until).min());
            let ready = wait(signals.as_fd(), &pipes, timeout)?;
            for ((pipe, log), ready) in pipes.iter_mut().zip(logs.iter_mut()).zip(&ready[1..]) {
                if *ready && pipe.as_ref().is_some_and(|open| !log.pump(open)) {
                    *pipe = None;
                }
            }
            while let Ok(Some(signal)) = signals.read_signal() {
                match signal.ssi_signo as i32 {
                    libc::SIGTERM => must_end = true,
                    number if number == deserted::SIGNAL as i32 => must_end |= record.is_deleted(),
                    number if number == END_NOW as i32 => self.signal_all(Signal::SIGKILL),
                    _ => {}
                }
            }
            if std::mem::take(&mut must_end) && kill_at.is_none() && ended.is_none() {
                self.signal_all(Signal::SIGTERM);
                kill_at = Some(Instant::now() + self.grace);
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) {
                kill_at = None;
                self.signal_all(Signal::SIGKILL);
            }
            alone = self.reap(&mut ended);
            if ended.is_some() {
                if drain_until.is_none() {
                    kill_at = None;
                    drain_until = Some(Instant::now() + DRAIN_LIMIT);
                }
                if !alone {
                    self.signal_all(Signal::SIGKILL);
                }
            }
        }
    }

    /// Collects dead children. `true` when there are no children left.
    fn reap(&self, ended: &mut Option<WaitStatus>) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return false,
                Ok(status) if status.pid() == Some(self.command) => *ended = Some(status),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }
}

fn poll_timeout(at: Option<Instant>) -> PollTimeout {
    // One millisecond more, so that the deadline has passed when poll returns.
    let left = at.map(|at| at.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
    left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))
}

fn wait(signals: BorrowedFd<'_>, pipes: &[Option<OwnedFd>], timeout: PollTimeout) -> Result<Vec<bool>, String> {
    // A closed pipe keeps its place in the answer.
    let mut places = vec![0];
    let mut polled = vec![PollFd::new(signals, PollFlags::POLLIN)];
    for (index, pipe) in pipes.iter().enumerate() {
        if let Some(pipe) = pipe {
            places.push(index + 1);
            polled.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
    }
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(format!("cannot wait for events: {}", error.desc())),
    }
    let mut ready = vec![false; pipes.len() + 1];
    for (place, source) in places.into_iter().zip(&polled) {
        ready[place] = source.revents().is_some_and(|events| !events.is_empty());
    }
    Ok(ready)
}
