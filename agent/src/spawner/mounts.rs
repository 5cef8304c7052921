//! The mount namespace of a task: its view of the node, and its volumes.

use super::launch::MountSetup;
use super::view::{self, Held};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const NONE: Option<&str> = None;

/// Separates the mounts of a fresh mount namespace from the node's and makes what all tasks see alike.
/// `gpus` says whether those of the machine are in sight.
pub(super) fn prepare(gpus: bool) -> Result<(), String> {
    // Mounts made on the node later still show up in here; none made here shows up there.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)
        .map_err(|error| format!("cannot separate its mounts from the node's: {}", error.desc()))?;
    view::prepare(gpus)
}

/// Makes the task's view and binds its volumes, in a mount namespace of its own: a copy of `template`,
/// else the one this process is in.
pub(super) fn set_up(
    template: Option<OwnedFd>,
    sandbox: &Path,
    hidden: &[PathBuf],
    mounts: &[MountSetup],
    gpus: bool,
) -> Result<(), String> {
    // What a volume shows although it is hidden from all tasks cannot be found in the template, and its /dev,
    // which nothing can be added to, has no GPUs.
    let asks_for_more = gpus || mounts.iter().any(|volume| asks_for_hidden(volume, hidden));
    let usable = template.is_some() && !asks_for_more;
    let fail = |error: Errno| format!("cannot have mounts of its own: {}", error.desc());
    if let Some(template) = template {
        if usable {
            setns(template, CloneFlags::CLONE_NEWNS).map_err(fail)?;
        }
        unshare(CloneFlags::CLONE_NEWNS).map_err(fail)?;
    }
    let sources: Vec<Option<Held>> = mounts.iter().map(|volume| hold(volume, hidden)).collect::<Result<_, _>>()?;
    if !usable {
        prepare(gpus)?;
    }
    view::complete(sandbox, hidden)?;
    mounts.iter().zip(&sources).try_for_each(|(volume, source)| bind(sandbox, volume, source.as_ref()))
}

/// Whether a volume is exactly a hidden socket.
fn asks_for_hidden(volume: &MountSetup, hidden: &[PathBuf]) -> bool {
    let real = volume.source.canonicalize().ok().filter(|real| !real.is_dir());
    real.is_some_and(|real| hidden.iter().any(|path| path.canonicalize().is_ok_and(|path| path == real)))
}

/// Takes hold of a source that will be hidden and may be mounted all the same: a directory of the
/// agent's own, or exactly a hidden socket that the app asks for. Everything else is looked up in
/// the task's view, so that a volume shows nothing that is hidden.
fn hold(volume: &MountSetup, hidden: &[PathBuf]) -> Result<Option<Held>, String> {
    if !volume.own && !asks_for_hidden(volume, hidden) {
        return Ok(None);
    }
    Held::open(&volume.source).map(Some).map_err(|error| refuse(volume, "it cannot be opened", &error.desc()))
}

fn refuse(volume: &MountSetup, what: &str, error: &dyn std::fmt::Display) -> String {
    format!("cannot mount volume {} on {}: {what}: {error}", volume.source.display(), volume.target.display())
}

fn bind(sandbox: &Path, volume: &MountSetup, held: Option<&Held>) -> Result<(), String> {
    let fail = |what: &str, error: &dyn std::fmt::Display| refuse(volume, what, error);
    let source = held.map_or_else(|| volume.source.clone(), Held::path);
    let found = fs::metadata(&source).map_err(|error| fail("its host path cannot be read", &error))?;
    let target = mount_point(sandbox, &volume.target, found.is_dir())?;
    // With what is mounted below, but not with what hides a held file.
    let below = if found.is_dir() { MsFlags::MS_REC } else { MsFlags::empty() };
    mount(Some(&source), &target, NONE, MsFlags::MS_BIND | below, NONE).map_err(|error| fail("bind", &error.desc()))?;
    if volume.read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(NONE, &target, NONE, flags, NONE).map_err(|error| fail("make it read-only", &error.desc()))?;
    } else if volume.own {
        // The agent's directory may lie where tasks must not write.
        view::open_up(&target).map_err(|error| fail("make it writable", &error.desc()))?;
    }
    Ok(())
}

/// The place to mount on. Created when it is below the sandbox; elsewhere it must exist, because
/// creating it would change the node.
fn mount_point(sandbox: &Path, target: &Path, directory: bool) -> Result<PathBuf, String> {
    let wanted = sandbox.join(target);
    if !wanted.starts_with(sandbox) {
        return match fs::metadata(&wanted) {
            Ok(found) if found.is_dir() == directory => Ok(wanted),
            Ok(_) => Err(format!(
                "cannot mount a volume on {}: one of the volume and that path is a directory, the other a file",
                wanted.display()
            )),
            Err(_) => Err(format!(
                "cannot mount a volume on {}: the node has no such path; create it there, use a path relative to the sandbox, or run an image",
                wanted.display()
            )),
        };
    }
    let fail = |error: std::io::Error| format!("cannot create the mount point {}: {error}", wanted.display());
    let root = sandbox.canonicalize().map_err(fail)?;
    let parent = if directory { wanted.as_path() } else { wanted.parent().unwrap_or(sandbox) };
    // One step at a time, so that a link in the sandbox never makes us create something outside.
    let mut made = root.clone();
    for part in parent.strip_prefix(sandbox).unwrap_or(Path::new("")).components() {
        made.push(part);
        match fs::create_dir(&made) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(error)),
            _ => {}
        }
        made = made.canonicalize().map_err(fail)?;
        if !made.starts_with(&root) {
            return Err(format!(
                "cannot create the mount point {}: a link on the way leads out of the sandbox",
                wanted.display()
            ));
        }
    }
    if directory {
        return Ok(made);
    }
    let file = made.join(wanted.file_name().unwrap_or_default());
    match fs::OpenOptions::new().write(true).create_new(true).open(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(fail(error)),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_stay_in_the_sandbox() {
        let sandbox = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let made = mount_point(sandbox.path(), Path::new("a/b"), true).unwrap();
        assert!(made.is_dir());
        assert!(mount_point(sandbox.path(), Path::new("a/f"), false).unwrap().is_file());
        std::os::unix::fs::symlink(outside.path(), sandbox.path().join("out")).unwrap();
        let error = mount_point(sandbox.path(), Path::new("out/new/deep"), true).unwrap_err();
        assert!(error.contains("out of the sandbox"), "{error}");
        assert!(!outside.path().join("new").exists());
        assert!(mount_point(sandbox.path(), Path::new("/no/such/path"), true).unwrap_err().contains("no such path"));
        assert!(mount_point(sandbox.path(), Path::new("/etc"), false).unwrap_err().contains("directory"));
    }
}
