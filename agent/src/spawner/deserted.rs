//! A task whose record has been deleted, with all of its agent's directory: no agent will ever take it up, and it
//! would run beside its replacement for ever.

use super::launch::PID_FILE;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::signal::Signal;
use nix::sys::stat::fstatat;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Comes when something in the directory of a record was deleted.
pub(super) const SIGNAL: Signal = Signal::SIGIO;
/// Deletions, each of them (`F_NOTIFY` of fcntl(2)). inotify(7) would need an instance for each task, of which a
/// user has 128 only.
const DELETIONS: libc::c_ulong = 0x8 | 0x8000_0000;

/// The record of a task, watched by its init. An agent deletes none but those of tasks that have ended.
pub(super) struct Record(Option<File>);

impl Record {
    /// Asks for [`SIGNAL`], which must be blocked. Where the kernel or the file system cannot tell, it does not come.
    pub(super) fn watch(directory: &Path) -> Self {
        let Ok(directory) = File::open(directory) else { return Self(None) };
        // SAFETY: the descriptor is open, and the argument is a number.
        unsafe { libc::fcntl(directory.as_raw_fd(), libc::F_NOTIFY, DELETIONS) };
        Self(Some(directory))
    }

    /// Whether nobody can find the task any more.
    pub(super) fn is_deleted(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|directory| matches!(fstatat(directory, PID_FILE, AtFlags::AT_SYMLINK_NOFOLLOW), Err(Errno::ENOENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_that_was_there_can_be_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("task");
        assert!(!Record(None).is_deleted());
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join(PID_FILE), "").unwrap();
        // Without asking for the signal, which would end this process.
        let record = Record(Some(File::open(&place).unwrap()));
        assert!(!record.is_deleted());
        std::fs::remove_dir_all(&place).unwrap();
        assert!(record.is_deleted());
    }
}
