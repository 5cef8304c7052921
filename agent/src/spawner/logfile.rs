//! Output of a task: a pipe emptied into a file that is rotated, as Mesos' logrotate module does.

use super::launch::Identity;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Gid, Uid, fchown, read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A log file is set aside when it would grow past this, bytes (DC/OS: 2 MB).
pub(crate) const LOG_MAX_BYTES: u64 = 2 << 20;
/// How many files set aside are kept: `stdout.1` (newest) to `stdout.9` (DC/OS: 9).
pub(crate) const LOG_KEEP_FILES: u32 = 9;
/// Bytes moved at once.
const CHUNK_BYTES: usize = 16 << 10;

/// A rotating file. Names are resolved below the descriptor of the sandbox and never through
/// symbolic links, because the task may write in there and this process may be root.
pub(super) struct LogFile<'a> {
    directory: BorrowedFd<'a>,
    name: &'static str,
    identity: Option<&'a Identity>,
    file: Option<OwnedFd>,
    size: u64,
    /// Bytes that could not be written.
    pub(super) lost: u64,
}

impl<'a> LogFile<'a> {
    /// Opens the file for appending, creating it for `identity`.
    pub(super) fn open(directory: BorrowedFd<'a>, name: &'static str, identity: Option<&'a Identity>) -> Result<Self, Errno> {
        let mut log = Self { directory, name, identity, file: None, size: 0, lost: 0 };
        log.reopen()?;
        Ok(log)
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = openat(self.directory, self.name, flags, Mode::from_bits_truncate(0o644))?;
        let found = fstat(&file)?;
        // A second name may be that of a file outside, which must be neither written nor given away.
        if found.st_nlink > 1 || found.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(Errno::EPERM);
        }
        if let Some(identity) = self.identity {
            fchown(&file, Some(Uid::from_raw(identity.uid)), Some(Gid::from_raw(identity.gid)))?;
        }
        self.size = u64::try_from(found.st_size).unwrap_or(0);
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) {
        for number in (1..LOG_KEEP_FILES).rev() {
            let (from, to) = (format!("{}.{number}", self.name), format!("{}.{}", self.name, number + 1));
            // Absent files are the rule at first.
            let _ = renameat(self.directory, from.as_str(), self.directory, to.as_str());
        }
        let first = format!("{}.1", self.name);
        let _ = renameat(self.directory, self.name, self.directory, first.as_str());
        self.file = None;
        let _ = self.reopen();
    }

    fn append(&mut self, mut data: &[u8]) {
        if self.size > 0 && self.size + data.len() as u64 > LOG_MAX_BYTES {
            self.rotate();
        }
        if self.file.is_none() {
            let _ = self.reopen();
        }
        while !data.is_empty() {
            let Some(file) = &self.file else { break };
            match write(file, data) {
                Ok(written) if written > 0 => {
                    self.size += written as u64;
                    data = &data[written..];
                }
                Err(Errno::EINTR) => {}
                // A full disk must not stop the task: what does not fit is counted and dropped.
                Ok(_) | Err(_) => break,
            }
        }
        self.lost += data.len() as u64;
    }

    /// Moves one chunk from `pipe`. `false` at its end.
    pub(super) fn pump(&mut self, pipe: impl AsFd) -> bool {
        let mut buffer = [0u8; CHUNK_BYTES];
        match read(pipe.as_fd(), &mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.append(&buffer[..length]);
                true
            }
            // A terminal answers EIO once its last user has closed it.
            Err(error) => matches!(error, Errno::EAGAIN | Errno::EINTR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn rotates_and_keeps_the_newest() {
        let directory = tempfile::tempdir().unwrap();
        let handle = std::fs::File::open(directory.path()).unwrap();
        let mut log = LogFile::open(handle.as_fd(), "stdout", None).unwrap();
        let chunk = vec![b'x'; 1 << 20];
        for number in 0..30u8 {
            let mut part = chunk.clone();
            part[0] = number;
            log.append(&part);
        }
        let first = |name: &str| std::fs::read(directory.path().join(name)).unwrap()[0];
        assert_eq!(first("stdout"), 28);
        assert_eq!(first("stdout.1"), 26);
        assert_eq!(first("stdout.9"), 10);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 10);
        assert_eq!(log.lost, 0);
    }

    #[test]
    fn never_follows_a_link_out_of_the_sandbox() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("stdout")).unwrap();
        let handle = std::fs::File::open(directory.path()).unwrap();
        assert!(LogFile::open(handle.as_fd(), "stdout", None).is_err());
        // Also when it is swapped in while the task runs.
        let mut log = LogFile::open(handle.as_fd(), "stderr", None).unwrap();
        log.append(&vec![b'x'; LOG_MAX_BYTES as usize]);
        std::fs::remove_file(directory.path().join("stderr")).unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("stderr")).unwrap();
        log.append(b"secret");
        assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
        let other = directory.path().join("other");
        std::fs::write(&other, "").unwrap();
        std::fs::hard_link(&other, directory.path().join("linked")).unwrap();
        assert!(LogFile::open(handle.as_fd(), "linked", None).is_err());
    }

    #[test]
    fn moves_a_pipe_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let handle = std::fs::File::open(directory.path()).unwrap();
        let mut log = LogFile::open(handle.as_fd(), "stdout", None).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"hello").unwrap();
        assert!(log.pump(&reader));
        drop(writer);
        assert!(!log.pump(&reader));
        assert_eq!(std::fs::read(directory.path().join("stdout")).unwrap(), b"hello");
    }
}
