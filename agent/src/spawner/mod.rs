//! The spawner: a small process beside the agent that starts tasks.
//!
//! Forking the agent would copy its page tables (36 ms from a process of 1 GB); forking this one
//! takes a fraction of a millisecond. It has one thread and keeps no state: what it starts answers
//! on the pipe that came with the request and needs neither spawner nor agent afterwards.
#![expect(unsafe_code, reason = "clone, prctl and signal dispositions have no safe form")]

mod command;
mod deserted;
mod devices;
mod helper;
mod init;
mod launch;
mod logfile;
mod mounts;
mod order;
mod privilege;
mod seccomp;
mod template;
mod view;

pub(crate) use command::DEFAULT_PATH;
pub(crate) use init::END_NOW;
pub(crate) use launch::{
    CgroupSetup, ExitRecord, Helper, HelperResult, Identity, Launch, MountSetup, PidRecord, REQUEST_MAX_BYTES, SPAWNER_VERSION,
    SpawnerFacts, operation, process_start_time,
};
pub(crate) use logfile::{LOG_KEEP_FILES, LOG_MAX_BYTES};
pub(crate) use view::HIDDEN;

use order::{Birth, Order};
use template::Template;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, getsockopt, listen,
    recvmsg, socket, sockopt,
};
use nix::unistd::{setsid, write};
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::fs::File;
use std::io::{IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Socket file in the spawner's directory.
pub(crate) const SOCKET_NAME: &str = "spawner.sock";
/// First argument that makes the program a spawner.
pub(crate) const SPAWNER_ARGUMENT: &str = "spawner";
/// A spawner without an agent ends after this time; tasks don't need it.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Agents connected at once: one, and one that is just taking over.
const CONNECTION_MAX: usize = 4;

/// Entry of the hidden subcommand `spawner <directory>`; `arguments` are those after the word
/// `spawner`. Must be called before the process has a second thread.
pub fn spawner_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let Some(directory) = arguments.next() else {
        complain("the spawner needs the directory of its socket; it is started by the agent");
        return ExitCode::from(2);
    };
    match serve(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("spawner: {}", error.desc()));
            ExitCode::FAILURE
        }
    }
}

/// Tells whoever reads its log, which can be on a full disk.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Ends this process at once, without running exit handlers that belong to its parent.
fn leave(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Writes one answer on a status pipe; nobody may be listening any more.
fn report(status: &OwnedFd, kind: &str, text: &str) {
    let _ = write(status, format!("{kind}{text}").as_bytes());
}

/// Reads a request from the memory file it came in.
fn read_request<T: DeserializeOwned>(request: OwnedFd) -> Result<T, String> {
    let mut file = File::from(request);
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.take(REQUEST_MAX_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| format!("the spawner cannot read the request: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the spawner does not understand the request: {error}"))
}

/// Like `fork`, with namespaces. `Ok(None)` in the child.
fn clone_process(flags: CloneFlags) -> Result<Option<i32>, Errno> {
    let flags = i64::from(flags.bits()) | i64::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no stack given this is fork: the child gets a copy of
    // everything. The process has one thread, so that no lock is held by another.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok((pid != 0).then_some(pid as i32))
}

const NAMESPACES: CloneFlags =
    CloneFlags::CLONE_NEWNS.union(CloneFlags::CLONE_NEWPID).union(CloneFlags::CLONE_NEWIPC).union(CloneFlags::CLONE_NEWUTS);

/// Tries out whether tasks can have namespaces of their own here.
fn try_isolation() -> Result<(), String> {
    let (answer, told) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| error.to_string())?;
    match clone_process(NAMESPACES) {
        Err(error) => Err(format!("the kernel does not give it new namespaces ({})", error.desc())),
        Ok(None) => {
            let result = mounts::set_up(None, Path::new("/"), &[], &[], false);
            report(&told, "", &result.err().unwrap_or_default());
            leave(0)
        }
        Ok(Some(_)) => {
            drop(told);
            let mut message = String::new();
            let _ = File::from(answer).read_to_string(&mut message);
            if message.is_empty() { Ok(()) } else { Err(message) }
        }
    }
}

fn listen_in(directory: &Path) -> Result<OwnedFd, Errno> {
    // A relative name, because a socket's path may have 107 bytes only.
    std::env::set_current_dir(directory).map_err(|_| Errno::ENOENT)?;
    let _ = std::fs::remove_file(SOCKET_NAME);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(SOCKET_NAME)?)?;
    std::fs::set_permissions(SOCKET_NAME, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(|_| Errno::EACCES)?;
    listen(&listener, Backlog::new(CONNECTION_MAX as i32)?)?;
    Ok(listener)
}

fn serve(directory: &Path) -> Result<(), Errno> {
    let _ = setsid();
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::SA_NOCLDWAIT, SigSet::empty());
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    let facts = match try_isolation() {
        Ok(()) => SpawnerFacts { version: SPAWNER_VERSION, isolated: true, because: String::new() },
        Err(because) => SpawnerFacts { version: SPAWNER_VERSION, isolated: false, because },
    };
    // The task's inits inherit it; lowering needs privileges, and nothing depends on it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-500");
    let listener = listen_in(directory)?;
    // Only an agent that has gone meanwhile does not read it.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    // The agent reads that line and nothing more; from here on output goes where errors go.
    // SAFETY: 1 and 2 are open standard streams.
    Errno::result(unsafe { libc::dup2(2, 1) })?;
    let mut connections: Vec<OwnedFd> = Vec::new();
    let mut template = None;
    loop {
        let mut sources = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        sources.extend(connections.iter().map(|connection| PollFd::new(connection.as_fd(), PollFlags::POLLIN)));
        let idle = if connections.is_empty() {
            PollTimeout::try_from(IDLE_LIMIT).unwrap_or(PollTimeout::NONE)
        } else {
            PollTimeout::NONE
        };
        // Last: nobody answers for it, and what the node unmounts must not stay mounted here.
        sources.extend(template.as_ref().map(Template::event));
        match poll(&mut sources, idle) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        }
        let ready: Vec<bool> = sources.iter().map(|source| source.revents().is_some_and(|events| !events.is_empty())).collect();
        if ready.get(connections.len() + 1) == Some(&true) {
            template = None;
        }
        for index in (0..connections.len()).rev() {
            if ready[index + 1] {
                match receive(&connections[index], &facts, &mut template) {
                    Next::Keep => {}
                    Next::Close => drop(connections.swap_remove(index)),
                    Next::Quit => return Ok(()),
                }
            }
        }
        if ready[0] {
            accept(&listener, &mut connections);
        }
    }
}

fn accept(listener: &OwnedFd, connections: &mut Vec<OwnedFd>) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let Ok(descriptor) = accept4(listener.as_raw_fd(), flags) else { return };
    // SAFETY: accept4 has just returned this descriptor to us.
    let connection = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let me = nix::unistd::geteuid().as_raw();
    let allowed = getsockopt(&connection, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == me || peer.uid() == 0);
    if allowed && connections.len() < CONNECTION_MAX {
        connections.push(connection);
    }
}

enum Next {
    Keep,
    Close,
    Quit,
}

fn receive(connection: &OwnedFd, facts: &SpawnerFacts, template: &mut Option<Template>) -> Next {
    let mut byte = [0u8; 1];
    let mut control = nix::cmsg_space!([RawFd; 2]);
    let mut parts = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<()>(connection.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => message,
        Err(Errno::EAGAIN | Errno::EINTR) => return Next::Keep,
        Err(_) => return Next::Close,
    };
    let length = message.bytes;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for part in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(received) = part {
            // SAFETY: the kernel has just installed these descriptors for us.
            descriptors.extend(received.into_iter().map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }));
        }
    }
    if length == 0 {
        return Next::Close;
    }
    match (byte[0], descriptors.len()) {
        (operation::HELLO, 0) => {
            let text = serde_json::to_vec(facts).unwrap_or_default();
            if write(connection, &text).is_ok() { Next::Keep } else { Next::Close }
        }
        (operation::QUIT, 0) => Next::Quit,
        (kind @ (operation::TASK | operation::HELPER), 2) => {
            if let (Some(status), Some(request)) = (descriptors.pop(), descriptors.pop()) {
                start(kind, request, status, facts.isolated, template);
            }
            Next::Keep
        }
        _ => Next::Close,
    }
}

fn start(kind: u8, request: OwnedFd, status: OwnedFd, isolated: bool, template: &mut Option<Template>) {
    let order = match Order::read(kind, request) {
        Ok(order) => order,
        Err(message) => return report(&status, "E", &message),
    };
    let isolated_task = isolated && order.is_task();
    if isolated_task && !template.as_ref().is_some_and(Template::is_current) {
        // Where there can be none, each task prepares its own.
        *template = Template::new().ok();
    }
    let flags = match template {
        _ if !isolated_task => CloneFlags::empty(),
        Some(_) => NAMESPACES.difference(CloneFlags::CLONE_NEWNS),
        None => NAMESPACES,
    };
    match order.bear(flags) {
        Err(message) => report(&status, "E", &message),
        Ok(Birth::Parent) => {}
        Ok(Birth::Child(is_born)) => {
            match order {
                Order::Task(launch) => {
                    init::run(&launch, is_born, status, isolated, template.take().map(Template::into_namespace));
                }
                Order::Helper(helper) => helper::run(&helper, is_born, &status, isolated),
            }
            leave(0)
        }
    }
}
