//! Files of sandboxes, by the paths clients know them by.
//!
//! The part inside a sandbox is resolved by the kernel below the sandbox's own directory, so that
//! no link a task makes shows a file from outside.

use crate::config::AgentConfig;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use orrery_core::TaskId;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A file or directory of a sandbox.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) metadata: std::fs::Metadata,
}

/// A path split into the run's directory and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) run: PathBuf,
    pub(crate) inner: PathBuf,
}

/// Understands a client's path: the real path of a sandbox, or Mesos' virtual path
/// `/frameworks/<F>/executors/<E>/runs/<R>`. `None` for everything else.
pub(crate) fn place(config: &AgentConfig, path: &str) -> Option<Place> {
    let executors = config.executors_dir();
    let path = Path::new(path);
    let virtual_root = Path::new("/frameworks").join(&config.framework_id).join("executors");
    let rest = path.strip_prefix(&executors).or_else(|_| path.strip_prefix(&virtual_root)).ok()?;
    let mut parts = rest.components();
    let mut name = || match parts.next() {
        Some(Component::Normal(name)) => Some(name.to_owned()),
        _ => None,
    };
    let executor = name()?;
    if name()? != "runs" {
        return None;
    }
    let run = executors.join(executor).join("runs").join(name()?);
    let inner = parts.as_path().to_owned();
    Some(Place { run, inner })
}

/// The place of a file in the latest run of a task.
pub(crate) fn latest(config: &AgentConfig, task: &TaskId, file: &str) -> Place {
    let run = config.executors_dir().join(crate::checkpoint::directory_name(task)).join("runs").join("latest");
    Place { run, inner: file.into() }
}

/// Opens a file or directory for reading; never waits for the other end of a pipe.
pub(crate) fn open(place: &Place) -> io::Result<Found> {
    let directory = File::open(&place.run)?;
    let inner = if place.inner.as_os_str().is_empty() { Path::new(".") } else { &place.inner };
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .mode(Mode::empty())
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match openat2(&directory, inner, how) {
        Ok(descriptor) => File::from(descriptor),
        Err(nix::errno::Errno::EXDEV | nix::errno::Errno::ELOOP) => return Err(io::ErrorKind::PermissionDenied.into()),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    Ok(Found { file, metadata })
}

/// Opens a plain file.
pub(crate) fn open_file(place: &Place) -> io::Result<Found> {
    let found = open(place)?;
    if found.metadata.is_file() { Ok(found) } else { Err(io::ErrorKind::IsADirectory.into()) }
}
