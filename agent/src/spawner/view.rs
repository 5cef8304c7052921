//! What a task sees of the node: its programs, but not its controls.
//!
//! A task without an image shares the node's files, as in Mesos. Even when it runs as root it must
//! reach neither other tasks nor the agent nor the kernel: what would let it is hidden, read-only
//! or replaced in its mount namespace, and the system call filter keeps it from undoing that.

use super::devices;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const NONE: Option<&str> = None;
/// Nothing on the node's own file systems may act as a device or raise privileges.
const NO_DEVICES: u64 = ATTRIBUTE_NO_SETUID | ATTRIBUTE_NO_DEVICES;
const ATTRIBUTE_READ_ONLY: u64 = 1;
const ATTRIBUTE_NO_SETUID: u64 = 2;
const ATTRIBUTE_NO_DEVICES: u64 = 4;

/// Sockets by which root gets the whole node, what engines keep of other containers, and secrets of
/// the node's own users.
pub(crate) const HIDDEN: [&str; 18] = [
    "/run/docker.sock",
    "/run/docker",
    "/run/containerd",
    "/run/crio",
    "/run/podman",
    "/run/dbus",
    "/run/orrery",
    "/run/systemd/private",
    "/run/udev/control",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/spool/cron",
    "/root/.dcos",
    "/root/.ssh",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
];

/// Programs and settings of the node, and what root's shells and the node's services read and carry out. Links
/// among them lead to others of them.
const READ_ONLY: [&str; 13] =
    ["/bin", "/boot", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/root", "/run/systemd", "/run/udev", "/sbin", "/sys", "/usr"];

/// What Docker hides and protects below `/proc`.
const PROC_HIDDEN: [&str; 9] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];
const PROC_READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// File systems through which the kernel is controlled, wherever they are mounted.
const KERNEL_FILE_SYSTEMS: [&str; 11] =
    ["bpf", "cgroup", "cgroup2", "configfs", "debugfs", "efivarfs", "fusectl", "pstore", "securityfs", "sysfs", "tracefs"];

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Clone, Copy)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(path: &Path, set: u64) -> Result<(), Errno> {
    change_attributes(path, Attributes { set, clear: 0, propagation: 0, user_namespace: 0 })
}

fn change_attributes(path: &Path, attributes: Attributes) -> Result<(), Errno> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let size = size_of::<Attributes>();
    // SAFETY: the path is a C string and the attributes have the size that is told; both are alive.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), libc::AT_RECURSIVE, &raw const attributes, size)
    };
    Errno::result(result).map(drop)
}

/// Whether there is something at `path`, links not followed, with nothing mounted right on it. Where the
/// kernel cannot tell (before 5.8) it seems so.
fn is_bare(path: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()) else { return false };
    // SAFETY: plain numbers, for which zero is a value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and the answer has the type that is filled in; both are alive.
    let result = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), libc::AT_SYMLINK_NOFOLLOW, 0, &raw mut found) };
    result == 0 && found.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 == 0
}

/// A mount point and its file system.
pub(super) struct Mounted {
    point: PathBuf,
    pub(super) kind: String,
}

/// Mounts of this namespace.
fn mounts() -> Result<Vec<Mounted>, String> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("cannot read mounts: {error}"))?;
    Ok(mounted(&text))
}

/// Mounts of this namespace from the text of `/proc/self/mountinfo`. Spaces in paths are written in
/// octal there.
fn mounted(mountinfo: &str) -> Vec<Mounted> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.replace("\\040", " ");
        Some(Mounted { point: point.into(), kind: right.split(' ').next()?.to_owned() })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Makes a mount and all below it read-only. Kernels before 5.12 do it one by one.
fn protect(path: &Path, mounts: &[Mounted]) -> Result<(), Errno> {
    match set_attributes(path, ATTRIBUTE_READ_ONLY) {
        Err(Errno::ENOSYS) => {}
        done => return done,
    }
    let below = mounts.iter().map(|mounted| mounted.point.as_path()).filter(|point| point.starts_with(path) && *point != path);
    for point in std::iter::once(path).chain(below) {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
        mount(NONE, point, NONE, flags, NONE)?;
    }
    Ok(())
}

/// Makes a mount writable that is a task's own, and all below it: made of a place within [`READ_ONLY`], it is
/// read-only as that is.
pub(super) fn open_up(path: &Path) -> Result<(), Errno> {
    match change_attributes(path, Attributes { set: 0, clear: ATTRIBUTE_READ_ONLY, propagation: 0, user_namespace: 0 }) {
        Err(Errno::ENOSYS) => {}
        done => return done,
    }
    mount(NONE, path, NONE, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV, NONE)
}

/// Puts an empty directory, or the null device, where `path` is. What is not there needs no hiding.
fn hide(path: &Path) -> Result<(), Errno> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    if found.is_dir() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        return mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("mode=755,size=1m"));
    }
    mount(Some("/dev/null"), path, NONE, MsFlags::MS_BIND, NONE)
}

/// Makes a path read-only, with all that is mounted below; it becomes a mount of its own.
fn bind_read_only(path: &Path, mounts: &[Mounted]) -> Result<(), Errno> {
    // A link leads to something that is in the list itself.
    if fs::symlink_metadata(path).map_or(true, |found| found.is_symlink()) {
        return Ok(());
    }
    if is_bare(path) {
        mount(Some(path), path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    }
    protect(path, mounts)
}

/// A place on the node, held while something is mounted over it.
pub(super) struct Held(OwnedFd);

impl Held {
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// A name for it that works whatever is mounted over the place.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// The outermost of `paths` that exist, without links.
pub(super) fn outermost(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut real: Vec<PathBuf> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    real.sort();
    real.dedup();
    // Sorted: what contains a path comes before it.
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in real {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

fn refuse(what: &str, path: &Path) -> impl FnOnce(Errno) -> String {
    move |error| format!("cannot {what} {}: {}", path.display(), error.desc())
}

/// Makes the part of the view that is the same for all tasks. Runs in a mount namespace whose mounts
/// do not propagate. `gpus` says whether those of the machine are in it.
pub(super) fn prepare(gpus: bool) -> Result<(), String> {
    match set_attributes(Path::new("/"), NO_DEVICES) {
        Ok(()) | Err(Errno::ENOSYS) => {}
        Err(error) => return Err(format!("cannot take devices away: {}", error.desc())),
    }
    let mounts = mounts()?;
    devices::prepare(gpus).map_err(|error| format!("cannot make its /dev: {}", error.desc()))?;
    for path in READ_ONLY.map(Path::new) {
        bind_read_only(path, &mounts).map_err(refuse("protect", path))?;
    }
    for other in mounts.iter().filter(|other| !other.point.starts_with("/sys") && !other.point.starts_with("/proc")) {
        let result = match other.kind.as_str() {
            "proc" => hide(&other.point),
            kind if KERNEL_FILE_SYSTEMS.contains(&kind) && other.point.exists() => protect(&other.point, &mounts),
            _ => Ok(()),
        };
        result.map_err(refuse("protect", &other.point))?;
    }
    HIDDEN.map(Path::new).iter().try_for_each(|path| hide(path).map_err(refuse("hide", path)))
}

/// What has appeared or was replaced on the node since [`prepare`]: nothing is mounted on it, or no
/// longer, because a rename over a mount point takes the mount away.
fn catch_up(mounts: &[Mounted]) -> Result<(), String> {
    for path in READ_ONLY.map(Path::new).into_iter().filter(|path| is_bare(path)) {
        bind_read_only(path, mounts).map_err(refuse("protect", path))?;
    }
    HIDDEN.map(Path::new).iter().filter(|path| is_bare(path)).try_for_each(|path| hide(path).map_err(refuse("hide", path)))
}

/// Makes what differs from task to task, in a namespace of its own that is a copy of a prepared one.
/// `hidden` comes from the agent and is hidden with everything below, except the sandbox, which stays
/// at its place.
pub(super) fn complete(sandbox: &Path, hidden: &[PathBuf]) -> Result<(), String> {
    let cannot = |what: &'static str| move |error: Errno| format!("cannot {what}: {}", error.desc());
    let own = Held::open(sandbox).map_err(cannot("open the sandbox"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, NONE).map_err(cannot("mount /proc"))?;
    // None but the new one is below /proc.
    let mounts = Vec::new();
    catch_up(&mounts)?;
    devices::complete().map_err(cannot("complete its /dev"))?;
    for path in PROC_HIDDEN.map(Path::new) {
        hide(path).map_err(refuse("hide", path))?;
    }
    for path in PROC_READ_ONLY.map(Path::new) {
        bind_read_only(path, &mounts).map_err(refuse("protect", path))?;
    }
    let hidden = outermost(hidden);
    for path in &hidden {
        hide(path).map_err(refuse("hide", path))?;
    }
    if !sandbox.exists() {
        fs::create_dir_all(sandbox).map_err(|error| format!("cannot keep the sandbox in sight: {error}"))?;
        mount(Some(&own.path()), sandbox, NONE, MsFlags::MS_BIND, NONE).map_err(cannot("keep the sandbox in sight"))?;
        open_up(sandbox).map_err(cannot("make the sandbox writable"))?;
    }
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for path in hidden.iter().filter(|path| path.is_dir()) {
        mount(NONE, path, NONE, flags, NONE).map_err(cannot("protect what is hidden"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn knows_mount_points() {
        let directory = tempfile::tempdir().unwrap();
        symlink("/proc", directory.path().join("link")).unwrap();
        assert!(!is_bare(Path::new("/proc")));
        assert!(!is_bare(&directory.path().join("absent")));
        assert!(is_bare(directory.path()));
        assert!(is_bare(&directory.path().join("link")));
    }

    #[test]
    fn hides_the_outermost_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("ab")).unwrap();
        symlink(root.join("a"), root.join("link")).unwrap();
        let paths = ["a/b", "a", "ab", "link", "absent"].map(|name| root.join(name));
        assert_eq!(outermost(&paths), [root.join("a"), root.join("ab")]);
    }

    #[test]
    fn reads_mounts() {
        let found =
            mounted("22 27 0:21 / /proc rw,relatime - proc proc rw\n9 27 8:1 / /mnt/a\\040b rw shared:1 - ext4 /dev/sda rw\n");
        let found: Vec<_> = found.iter().map(|mounted| (mounted.point.to_str().unwrap(), mounted.kind.as_str())).collect();
        assert_eq!(found, [("/proc", "proc"), ("/mnt/a b", "ext4")]);
    }
}
