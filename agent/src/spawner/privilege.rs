//! What a task's command loses before it starts: identity, capabilities, the right to gain more.

use super::launch::Identity;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Capabilities a task run as root keeps, by number: Docker's default set without those that reach
/// beyond the task here, where files and network are the node's: MKNOD (any disk), NET_RAW (others'
/// traffic) and SETFCAP (programs that raise whoever runs them).
/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT,
/// AUDIT_WRITE.
const KEPT: &[u32] = &[0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29];
/// No kernel knows a higher capability yet; the first unknown one ends the loop.
const HIGHEST: u32 = 63;
/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> Result<(), Errno> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used here take plain numbers and touch no memory of ours.
    let result = unsafe { libc::prctl(option, argument, zero, zero, zero) };
    Errno::result(result).map(drop)
}

/// Whether a capability is in the bounding set; `EINVAL` when the kernel does not know it.
fn read_bounding(capability: u32) -> Result<bool, Errno> {
    // SAFETY: PR_CAPBSET_READ takes a number and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(capability)) };
    Errno::result(result).map(|present| present == 1)
}

/// Lowers the bounding set and, for root, the current sets to [`KEPT`].
pub(super) fn drop_capabilities() -> Result<(), Errno> {
    for capability in 0..=HIGHEST {
        if KEPT.contains(&capability) {
            continue;
        }
        // Only what is there: an agent that is itself confined may not be allowed to drop at all.
        match read_bounding(capability) {
            Ok(false) => {}
            Ok(true) => prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability))?,
            Err(Errno::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sets permitted and effective capabilities to those of [`KEPT`] that this process has; for
/// commands that stay root.
pub(super) fn keep_default_capabilities() -> Result<(), Errno> {
    let mask = KEPT.iter().fold(0u32, |mask, capability| mask | 1 << capability);
    let header = Header { version: VERSION_3, pid: 0 };
    let nothing = Data { effective: 0, permitted: 0, inheritable: 0 };
    let mut data = [nothing; 2];
    // SAFETY: version 3 reads one header and writes two data blocks, both alive and laid out as in C.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    Errno::result(result)?;
    // Asking for more than there is would be refused as a whole.
    let kept = data[0].permitted & mask;
    data = [Data { effective: kept, permitted: kept, inheritable: 0 }, nothing];
    // SAFETY: version 3 reads one header and two data blocks, both alive and laid out as in C.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    Errno::result(result).map(drop)
}

/// The process and its children can never gain privileges by executing a file.
pub(super) fn no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// The process is killed when its parent dies.
pub(super) fn die_with_parent() -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

/// Other processes without CAP_SYS_PTRACE can neither trace this one nor read what `/proc` shows of
/// its files. Lasts until it executes another program.
pub(super) fn hide_process() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Whether [`hide_process`] holds.
pub(super) fn is_hidden() -> bool {
    // SAFETY: PR_GET_DUMPABLE takes nothing and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) == 0 }
}

/// Orphans among its descendants become children of the calling process.
pub(super) fn adopt_orphans() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Becomes `identity` for good, with these further groups.
pub(super) fn become_user(identity: &Identity, groups: &[Gid]) -> Result<(), Errno> {
    setgroups(groups)?;
    setgid(Gid::from_raw(identity.gid))?;
    setuid(Uid::from_raw(identity.uid))
}
