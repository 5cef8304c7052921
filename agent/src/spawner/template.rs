//! A mount namespace with what all tasks see alike, made once and copied for each of them.

use super::{clone_process, leave, mounts, report};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::unistd::pipe2;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Descriptors of templates are not below this one, so that they are in nobody's way.
const DESCRIPTOR_MIN: i32 = 64;

/// A prepared mount namespace, which nobody is in.
pub(super) struct Template {
    namespace: OwnedFd,
    /// The node's table of mounts, which tells by an event that it has changed.
    table: File,
}

impl Template {
    /// Prepares one.
    ///
    /// # Errors
    /// A sentence, when the kernel refuses; then each task can still prepare its own.
    pub(super) fn new() -> Result<Self, String> {
        let table = File::open("/proc/self/mountinfo").map_err(|error| format!("cannot read mounts: {error}"))?;
        let fail = |error: Errno| error.desc().to_owned();
        let (answer, told) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let (wait, go) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let Some(pid) = clone_process(CloneFlags::CLONE_NEWNS).map_err(fail)? else {
            drop((answer, go));
            report(&told, "", &mounts::prepare(false).and_then(|()| reachable()).err().unwrap_or_default());
            drop(told);
            // Until the parent has taken hold of the namespace.
            let _ = File::from(wait).read(&mut [0]);
            leave(0)
        };
        drop((told, wait));
        let mut message = String::new();
        File::from(answer).read_to_string(&mut message).map_err(|error| error.to_string())?;
        if !message.is_empty() {
            return Err(message);
        }
        let namespace = File::open(format!("/proc/{pid}/ns/mnt")).map_err(|error| error.to_string())?;
        drop(go);
        let moved = fcntl(&namespace, FcntlArg::F_DUPFD_CLOEXEC(DESCRIPTOR_MIN)).map_err(fail)?;
        // SAFETY: the kernel has just made this descriptor for us.
        let namespace = unsafe { OwnedFd::from_raw_fd(moved) };
        Ok(Self { namespace, table })
    }

    /// The event of a changed table.
    pub(super) fn event(&self) -> PollFd<'_> {
        PollFd::new(self.table.as_fd(), PollFlags::POLLPRI)
    }

    /// Whether the node's mounts are still those it was made from. Says no once only.
    pub(super) fn is_current(&self) -> bool {
        poll(&mut [self.event()], PollTimeout::ZERO) == Ok(0)
    }

    /// The namespace.
    pub(super) fn into_namespace(self) -> OwnedFd {
        self.namespace
    }
}

/// Whoever enters a mount namespace gets its root. That must be our root, which it is not below a chroot.
fn reachable() -> Result<(), String> {
    let root = || fs::metadata("/").map(|found| (found.dev(), found.ino())).map_err(|error| error.to_string());
    let before = root()?;
    let own = File::open("/proc/self/ns/mnt").map_err(|error| error.to_string())?;
    setns(own, CloneFlags::CLONE_NEWNS).map_err(|error| error.desc().to_owned())?;
    if root()? == before { Ok(()) } else { Err("the root directory is not that of the mount namespace".into()) }
}
