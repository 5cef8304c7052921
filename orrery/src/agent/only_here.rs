//! One agent of a node on this machine.

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use orrery_core::NodeId;
use std::fs::{DirBuilder, File};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

/// Where the agents of root have their locks: tasks do not see it.
const DIRECTORY: &str = "/run/orrery";
/// Nobody else can hold a lock in it.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Holds a node; goes with the process.
#[derive(Debug)]
pub(super) struct OnlyHere {
    _held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not used")]
enum Held {
    File(Flock<File>),
    Socket(UnixListener),
}

/// Holds the node on this machine: a second agent from a copied directory would take the first one's
/// tasks for orphans.
pub(super) fn hold(node: &NodeId) -> anyhow::Result<OnlyHere> {
    let held = match directory() {
        Some(directory) => Held::File(hold_in(&directory, node)?),
        // The tasks of this user are not separated from him: they could as well remove a file.
        None => Held::Socket(hold_name(node)?),
    };
    Ok(OnlyHere { _held: held })
}

/// Where this user's locks are; `None` when he has no directory that goes with the boot.
fn directory() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from(DIRECTORY));
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // After `su` it may be that of somebody else.
    let own = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|present| present.uid() == nix::unistd::geteuid().as_raw());
    runtime.filter(|path| path.is_absolute() && own(path)).map(|path| path.join("orrery"))
}

/// Locks the node's file in a directory, which is made when it is missing. The file stays: whoever removed
/// it could take away that of an agent that has just started.
fn hold_in(directory: &Path, node: &NodeId) -> anyhow::Result<Flock<File>> {
    make_private(directory).with_context(|| format!("cannot make {} readable by its owner alone", directory.display()))?;
    let path = directory.join(format!("agent-{node}.lock"));
    let file = File::options().create(true).write(true).truncate(false).mode(FILE_MODE).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => anyhow::anyhow!("{}", taken(node)),
        errno => anyhow::Error::new(errno).context(format!("cannot lock {}", path.display())),
    })
}

/// Makes a directory, or takes one that nobody else can write to.
fn make_private(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    let present = std::fs::metadata(directory)?;
    let (owner, me) = (present.uid(), nix::unistd::geteuid().as_raw());
    if owner != me {
        return Err(std::io::Error::other(format!("it belongs to user {owner}; remove it")));
    }
    // Made by something else, or before a change of the umask.
    if present.mode() & 0o777 != DIRECTORY_MODE {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(DIRECTORY_MODE))?;
    }
    Ok(())
}

/// Takes a name that lies in no file system.
fn hold_name(node: &NodeId) -> anyhow::Result<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("orrery-agent-{node}"))?;
    UnixListener::bind_addr(&name).with_context(|| taken(node))
}

fn taken(node: &NodeId) -> String {
    format!(
        "an agent of node {node} runs on this machine already, on another data directory; a copied directory is no second node: \
         join with a new token and an empty one"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_of_a_node_is_refused_until_the_first_has_gone() {
        let runtime = tempfile::tempdir().unwrap();
        let directory = runtime.path().join("orrery");
        let [node, other] = ["c-S1", "c-S2"].map(|node| NodeId::parse(node).unwrap());
        let first = hold_in(&directory, &node).unwrap();
        let text = hold_in(&directory, &node).unwrap_err().to_string();
        assert!(text.starts_with("an agent of node c-S1 runs on this machine already"), "{text}");
        let _other = hold_in(&directory, &other).unwrap();
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, DIRECTORY_MODE);
        drop(first);
        assert!(hold_in(&directory, &node).is_ok());
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let _held = hold_in(directory.path(), &NodeId::parse("c-S1").unwrap()).unwrap();
        assert_eq!(std::fs::metadata(directory.path()).unwrap().mode() & 0o777, DIRECTORY_MODE);
    }

    #[test]
    fn a_name_is_held_as_well() {
        let node = NodeId::parse(&format!("c{}-S1", std::process::id())).unwrap();
        let first = hold_name(&node).unwrap();
        assert!(hold_name(&node).unwrap_err().to_string().contains("runs on this machine already"));
        drop(first);
        assert!(hold_name(&node).is_ok());
    }
}
