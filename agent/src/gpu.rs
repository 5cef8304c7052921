//! Device nodes of GPUs.
//!
//! GPUs are counted by the scheduler and not set apart: a task that asks for some sees those of the whole
//! machine, and none where there are none.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where device nodes are.
pub(crate) const DEV: &str = "/dev";
/// What the names of all nodes of NVIDIA's driver begin with: `nvidia0`, `nvidiactl`, `nvidia-uvm`, and the
/// directory `nvidia-caps` of parts of a GPU.
const PREFIX: &str = "nvidia";
/// Most nodes of one machine; the rest is left out. 16 GPUs cut in 7 parts need some 250.
const NODES_MAX: usize = 512;

/// A character device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceNode {
    /// Path below `/dev`.
    pub(crate) name: PathBuf,
    /// Major and minor number in one, as `stat` tells it.
    pub(crate) number: u64,
    /// Permissions, which driver and administrator have decided about.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
}

impl DeviceNode {
    /// One that everybody may read and write, in `/dev` itself.
    pub(crate) fn of_everyone(name: &str, number: u64) -> Self {
        Self { name: name.into(), number, mode: 0o666, owner: 0, group: 0 }
    }
}

/// The nodes in `directory`, which is `/dev`, by name. What cannot be read is no node.
pub(crate) fn nodes(directory: &Path) -> Vec<DeviceNode> {
    let mut found = Vec::new();
    for name in names(directory).into_iter().filter(|name| name.to_string_lossy().starts_with(PREFIX)) {
        if directory.join(&name).is_dir() {
            found.extend(names(&directory.join(&name)).into_iter().filter_map(|inner| node(directory, name.join(inner))));
        } else {
            found.extend(node(directory, name));
        }
    }
    found.truncate(NODES_MAX);
    found
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.file_name().into()).collect();
    names.sort();
    names
}

fn node(directory: &Path, name: PathBuf) -> Option<DeviceNode> {
    let found = fs::symlink_metadata(directory.join(&name)).ok().filter(|found| found.file_type().is_char_device())?;
    Some(DeviceNode { name, number: found.rdev(), mode: found.mode() & 0o777, owner: found.uid(), group: found.gid() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    use std::os::unix::fs::symlink;

    #[test]
    fn only_device_nodes_of_gpus_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let dev = directory.path();
        assert_eq!(nodes(dev), []);
        assert_eq!(nodes(&dev.join("absent")), []);
        fs::create_dir(dev.join("nvidia-caps")).unwrap();
        fs::write(dev.join("nvidia-text"), "").unwrap();
        symlink("/dev/null", dev.join("nvidia-link")).unwrap();
        let make = |name: &str| mknod(&dev.join(name), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, 3)).is_ok();
        if !["nvidiactl", "nvidia0", "nvidia-caps/nvidia-cap1", "null"].map(make).iter().all(|made| *made) {
            eprintln!("SKIPPED only_device_nodes_of_gpus_are_found: making device nodes needs root");
            return;
        }
        let found = nodes(dev);
        let names: Vec<&str> = found.iter().map(|node| node.name.to_str().unwrap()).collect();
        assert_eq!(names, ["nvidia-caps/nvidia-cap1", "nvidia0", "nvidiactl"]);
        assert_eq!((found[0].number, found[0].mode & 0o077), (makedev(1, 3), 0));
    }
}
