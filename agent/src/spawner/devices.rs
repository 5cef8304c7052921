//! The `/dev` of a task.

use super::view::Held;
use crate::gpu::{self, DEV, DeviceNode};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

const NONE: Option<&str> = None;
/// Device nodes of a task: name, major and minor number.
const NODES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Links and where they lead.
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// What each task has of its own.
const DIRECTORIES: [&str; 3] = ["pts", "shm", "mqueue"];
/// Group that terminals belong to, as on Debian and Red Hat.
const TERMINAL_GROUP: u32 = 5;
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);

/// A `/dev` with the devices every program expects, which all tasks may share because nothing in it can
/// be changed.
/// With `gpus` those of the machine are in it too.
pub(super) fn prepare(gpus: bool) -> Result<(), Errno> {
    let dev = Path::new(DEV);
    let fixed = NODES.iter().map(|(name, major, minor)| DeviceNode::of_everyone(name, makedev(*major, *minor)));
    let nodes = fixed.chain(if gpus { gpu::nodes(dev) } else { Vec::new() });
    // Held, since what is there will be out of sight.
    let nodes: Vec<_> = nodes.map(|node| (Held::open(&dev.join(&node.name)).ok(), node)).collect();
    mount(Some("tmpfs"), dev, Some("tmpfs"), FLAGS, Some("mode=755,size=1m"))?;
    for (held, node) in &nodes {
        let path = dev.join(&node.name);
        if let Some(parent) = path.parent().filter(|parent| *parent != dev) {
            fs::create_dir_all(parent).map_err(|_| Errno::EIO)?;
        }
        if mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(node.mode), node.number).is_ok() {
            // The mask of whoever started the agent does not matter.
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(node.mode));
            let _ = chown(&path, Some(node.owner), Some(node.group));
        } else if let Some(held) = held {
            // An agent in a container may not make nodes, but may bind the ones it has.
            fs::File::create(&path).map_err(|_| Errno::EIO)?;
            mount(Some(&held.path()), &path, NONE, MsFlags::MS_BIND, NONE)?;
        }
    }
    DIRECTORIES.iter().try_for_each(|name| fs::create_dir(dev.join(name)).map_err(|_| Errno::EIO))?;
    LINKS.iter().try_for_each(|(name, target)| symlink(target, dev.join(name)).map_err(|_| Errno::EIO))?;
    let flags = FLAGS | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(NONE, dev, NONE, flags, NONE)
}

/// Terminals, shared memory and message queues of a task's own.
pub(super) fn complete() -> Result<(), Errno> {
    let terminal = format!("newinstance,ptmxmode=0666,mode=620,gid={TERMINAL_GROUP}");
    mount(Some("devpts"), "/dev/pts", Some("devpts"), FLAGS, Some(terminal.as_str()))?;
    let shared = FLAGS | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), shared, Some("mode=1777"))?;
    match mount(Some("mqueue"), "/dev/mqueue", Some("mqueue"), shared, NONE) {
        // Built without them.
        Err(Errno::ENODEV) => Ok(()),
        done => done,
    }
}
