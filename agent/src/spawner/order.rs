//! What the spawner is told to start, and the process for it, born in its cgroup where the kernel can do that.

use super::launch::{Helper, Launch, operation};
use super::{clone_process, read_request};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// `CLONE_INTO_CGROUP` of `linux/sched.h`, which does not fit into the constant of libc.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// One request.
pub(super) enum Order {
    Task(Launch),
    Helper(Helper),
}

/// What became of a clone.
pub(super) enum Birth {
    /// This is the spawner.
    Parent,
    /// This is the new process; `true` when it is in its cgroup already.
    Child(bool),
}

impl Order {
    pub(super) fn read(kind: u8, request: OwnedFd) -> Result<Self, String> {
        Ok(if kind == operation::TASK { Self::Task(read_request(request)?) } else { Self::Helper(read_request(request)?) })
    }

    pub(super) const fn is_task(&self) -> bool {
        matches!(self, Self::Task(_))
    }

    /// Clones this process.
    ///
    /// A process that enters a group of version 2 by itself makes the kernel stop all forks and exits of the machine
    /// for a grace period, some 10 ms; one that is born there does not (Linux 5.7).
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn bear(&self, flags: CloneFlags) -> Result<Birth, String> {
        let born = self.birthplace()?.and_then(|group| clone_into(flags, &group).ok());
        let is_born = born.is_some();
        match born.map_or_else(|| clone_process(flags), Ok) {
            Ok(Some(_)) => Ok(Birth::Parent),
            Ok(None) => Ok(Birth::Child(is_born)),
            Err(error) => Err(format!("the spawner cannot start a process: {}", error.desc())),
        }
    }

    /// The group to be born in, made if need be; none where groups are of version 1, or there are none.
    fn birthplace(&self) -> Result<Option<OwnedFd>, String> {
        match self {
            Self::Task(Launch { cgroups, .. }) => {
                let [setup] = cgroups.as_slice() else { return Ok(None) };
                // Of version 1, it will be made when it is entered.
                if setup.directory.parent().and_then(unified).is_none() {
                    return Ok(None);
                }
                setup.create()?;
                Ok(unified(&setup.directory))
            }
            Self::Helper(Helper { cgroups, .. }) => {
                Ok(cgroups.first().filter(|_| cgroups.len() == 1).and_then(|group| unified(group)))
            }
        }
    }
}

/// A directory of the unified hierarchy, opened.
fn unified(directory: &Path) -> Option<OwnedFd> {
    let group = open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    fstatfs(&group).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC).then_some(group)
}

/// [`clone_process`], with the child in a group of version 2.
fn clone_into(flags: CloneFlags, group: &OwnedFd) -> Result<Option<i32>, Errno> {
    // SAFETY: all zeros are valid, and mean that nothing is asked for.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.bits() as u32) | INTO_CGROUP;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = group.as_raw_fd() as u64;
    // SAFETY: as for clone_process; the kernel reads as many bytes as it is told.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    let pid = Errno::result(pid)?;
    Ok((pid != 0).then_some(pid as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::mount::{MsFlags, mount, umount};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::fs;

    /// A process of the kernel's own unified hierarchy, which never was anywhere else.
    #[test]
    fn a_process_is_born_in_its_group() {
        let root = tempfile::tempdir().unwrap();
        if let Err(error) = mount(Some("cgroup2"), root.path(), Some("cgroup2"), MsFlags::empty(), None::<&str>) {
            eprintln!("SKIPPED: this test mounts a cgroup file system, which needs root: {error}");
            return;
        }
        assert!(unified(Path::new("/proc")).is_none());
        let group = root.path().join(format!("orrery-birth-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let Some(pid) = clone_into(CloneFlags::empty(), &unified(&group).unwrap()).unwrap() else {
            // The other threads are not there: nothing but waiting for a signal.
            loop {
                // SAFETY: it touches no memory.
                unsafe { libc::pause() };
            }
        };
        assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap(), format!("{pid}\n"));
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        assert!(matches!(waitpid(Pid::from_raw(pid), None), Ok(WaitStatus::Signaled(..))));
        fs::remove_dir(&group).unwrap();
        umount(root.path()).unwrap();
    }
}
