//! Whether a user may read a file of the node. The agent fetches as itself, usually root; a task's
//! user must not get through it what the system denies them.

use crate::spawner::{HIDDEN, Identity};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What every task has of its own; the node's tells of all processes and opens all disks.
const REPLACED: [&str; 2] = ["/dev", "/proc"];

/// The file that `path` leads to, if `identity` may read it (`None`: the agent's own user) and it is
/// not among what no task may see.
///
/// # Errors
/// One sentence, when the file is not there or not for that user.
pub(super) fn readable(path: &Path, identity: Option<&Identity>, hidden: &[PathBuf]) -> Result<PathBuf, String> {
    let file = path.canonicalize().map_err(|error| error.to_string())?;
    if lies_in(&file, hidden) {
        return Err("it belongs to the agent or another task, and tasks may not see it".into());
    }
    if lies_in(&file, &HIDDEN) || lies_in(&file, &REPLACED) {
        return Err("it is a secret or a control of the node, and tasks may not see it".into());
    }
    let Some(identity) = identity else { return Ok(file) };
    for (step, wanted) in file.ancestors().zip(std::iter::once(READ).chain(std::iter::repeat(SEARCH))) {
        let metadata = step.metadata().map_err(|error| error.to_string())?;
        if !permits(&metadata, identity, wanted) {
            return Err("the user of the task may not read it; fetch it as root or open it to that user".into());
        }
    }
    Ok(file)
}

/// Whether `real`, a path without links, is one of `hidden` or lies below one.
pub(crate) fn lies_in(real: &Path, hidden: &[impl AsRef<Path>]) -> bool {
    hidden.iter().filter_map(|path| path.as_ref().canonicalize().ok()).any(|outer| real.starts_with(outer))
}

const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// The permission bits of POSIX: the owner's, else the group's, else everybody's.
fn permits(metadata: &Metadata, identity: &Identity, wanted: u32) -> bool {
    let shift = if metadata.uid() == identity.uid {
        6
    } else if metadata.gid() == identity.gid || identity.groups.contains(&metadata.gid()) {
        3
    } else {
        0
    };
    identity.uid == 0 || metadata.mode() >> shift & wanted == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_no_task_sees_is_fetched_for_none() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/proc/self/environ", &link).unwrap();
        for path in [Path::new("/etc/shadow"), Path::new("/proc/self/environ"), Path::new("/dev/null"), &link] {
            // Not every machine has digests.
            if path.exists() {
                assert!(readable(path, None, &[]).unwrap_err().contains("may not see"), "{}", path.display());
            }
        }
        assert!(readable(Path::new("/etc/passwd"), None, &[]).is_ok());
    }

    #[test]
    fn what_the_system_denies_a_user_is_not_fetched_for_them() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        let owner = file.metadata().unwrap();
        let stranger = Identity { uid: owner.uid() + 4711, gid: owner.gid() + 4711, groups: Vec::new() };
        let friend = Identity { groups: vec![owner.gid()], ..stranger.clone() };
        for (mode, for_stranger, for_friend) in [(0o600, false, false), (0o640, false, true), (0o644, true, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(readable(&file, Some(&stranger), &[]).is_ok(), for_stranger, "{mode:o}");
            assert_eq!(readable(&file, Some(&friend), &[]).is_ok(), for_friend, "{mode:o}");
            assert!(readable(&file, None, &[]).is_ok());
        }
        // Not even for root, and not by way of a link.
        let link = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&file, link.path().join("link")).unwrap();
        let hidden = [directory.path().to_owned()];
        assert!(readable(&link.path().join("link"), None, &hidden).unwrap_err().contains("may not see"));
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(readable(&file, Some(&stranger), &[]).is_err(), "a closed directory closes what is in it");
    }
}
