//! Processes held by descriptor: their end is an event, and a reused number is never signalled.
#![expect(unsafe_code, reason = "pidfd_open and pidfd_send_signal have no safe form here")]

use crate::spawner::process_start_time;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches an owned descriptor for events.
pub(crate) fn register(descriptor: OwnedFd, interest: Interest) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and stays the same for as long as it lives.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(Into::into)
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    /// `None` when it had ended before anyone looked.
    descriptor: Option<AsyncFd<OwnedFd>>,
}

impl Process {
    /// Takes hold of the process `pid` that started at `start_time`; `None` when it has ended.
    pub(crate) fn open(pid: i32, start_time: u64) -> std::io::Result<Option<Self>> {
        // SAFETY: pidfd_open takes two numbers and returns a new descriptor.
        let opened = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) });
        let descriptor = match opened {
            // SAFETY: the kernel has just returned this descriptor to us.
            Ok(number) => unsafe { OwnedFd::from_raw_fd(number as i32) },
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Read after the descriptor was opened: if it matches, the descriptor is of that process.
        if process_start_time(pid) != Some(start_time) {
            return Ok(None);
        }
        let descriptor = register(descriptor, Interest::READABLE)?;
        Ok(Some(Self { descriptor: Some(descriptor) }))
    }

    /// A process that has ended already.
    pub(crate) const fn gone() -> Self {
        Self { descriptor: None }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        if let Some(descriptor) = &self.descriptor {
            // An error would mean that the runtime is shutting down.
            let _ = descriptor.readable().await;
        }
    }

    /// Sends a signal; nothing happens when it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(descriptor) = &self.descriptor else { return };
        let null = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and a null siginfo is allowed.
        let _ = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor.as_raw_fd(), signal as i32, null, 0) };
    }
}
