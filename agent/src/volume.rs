//! Volumes of a container, resolved to directories of the node.

use crate::checkpoint::directory_name;
use crate::fetch::lies_in;
use orrery_core::app::{Volume, VolumeMode};
use orrery_core::{AppId, InstanceId};
use std::path::{Component, Path, PathBuf};

/// One volume with its place on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) source: PathBuf,
    /// As the user wrote it: relative ones lie in the sandbox.
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
    /// The directory is ours and is created on first use.
    pub(crate) persistent: bool,
}

/// Whether `path` stays where it starts: no `..`.
fn stays(path: &Path) -> bool {
    !path.components().any(|part| matches!(part, Component::ParentDir))
}

/// Where a container's volumes are; all faults at once.
///
/// Persistent volumes lie in `<volumes>/<instance>/<container path>`: each instance has its own, and
/// keeps it from launch to launch. There is no quota on them: their size is counted, not enforced. A relative host path lies in the sandbox, as in Mesos. Nothing below
/// `hidden` is given out, but a hidden socket may be asked for by its name.
pub(crate) fn resolve(
    volumes: &[Volume],
    directory: &Path,
    instance: &InstanceId,
    sandbox: &Path,
    hidden: &[PathBuf],
) -> Result<Vec<Resolved>, String> {
    let (mut resolved, mut faults) = (Vec::new(), Vec::new());
    for volume in volumes {
        match resolve_one(volume, directory, instance, sandbox) {
            Ok(one) if !one.persistent && is_hidden(&one.source, sandbox, hidden) => faults.push(format!(
                "volume {}: host path \"{}\" belongs to the agent or another task, and tasks may not see it",
                one.target.display(),
                one.source.display()
            )),
            Ok(one) => resolved.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(resolved) } else { Err(faults.join("; ")) }
}

fn is_hidden(source: &Path, sandbox: &Path, hidden: &[PathBuf]) -> bool {
    // What does not exist is created in the sandbox or refused later.
    let Ok(real) = source.canonicalize() else { return false };
    let own = sandbox.canonicalize().is_ok_and(|sandbox| real.starts_with(sandbox));
    let by_name = !real.is_dir() && hidden.iter().any(|path| path.canonicalize().is_ok_and(|path| path == real));
    !own && !by_name && lies_in(&real, hidden)
}

fn resolve_one(volume: &Volume, directory: &Path, instance: &InstanceId, sandbox: &Path) -> Result<Resolved, String> {
    let target = PathBuf::from(&volume.container_path);
    if volume.container_path.is_empty() || !stays(&target) {
        return Err(format!("volume path \"{}\" is not allowed: it is empty or contains \"..\"", volume.container_path));
    }
    let read_only = volume.mode == Some(VolumeMode::ReadOnly);
    if volume.external.is_some() {
        return Err(format!("volume {}: external volumes need a storage provider, and this agent has none", target.display()));
    }
    if volume.secret.is_some() {
        return Err(format!("volume {}: secret volumes are not available on this agent", target.display()));
    }
    if volume.persistent.is_some() {
        let source = home(directory, instance).join(volume_name(&volume.container_path));
        return Ok(Resolved { source, target, read_only, persistent: true });
    }
    let Some(host) = &volume.host_path else {
        return Err(format!("volume {}: give \"hostPath\" or \"persistent\"", target.display()));
    };
    if host.is_empty() || !stays(Path::new(host)) {
        return Err(format!("volume {}: host path \"{host}\" is not allowed: it is empty or contains \"..\"", target.display()));
    }
    Ok(Resolved { source: sandbox.join(host), target, read_only, persistent: false })
}

/// Where the persistent volumes of an instance lie.
fn home(directory: &Path, instance: &InstanceId) -> PathBuf {
    directory.join(directory_name(instance))
}

fn volume_name(container_path: &str) -> String {
    container_path.trim_matches('/').replace(['/', ':'], "_")
}

/// Earlier versions kept one directory per app, which the first instance to start takes over.
pub(crate) fn adopt(volumes: &[Volume], directory: &Path, app: &AppId, instance: &InstanceId) -> std::io::Result<()> {
    for volume in volumes.iter().filter(|volume| volume.persistent.is_some()) {
        let old =
            directory.join(&app.as_str()[1..]).join("_volumes").join(volume.container_path.trim_matches('/').replace('/', "_"));
        let new = home(directory, instance).join(volume_name(&volume.container_path));
        if old.is_dir() && !new.exists() {
            std::fs::create_dir_all(home(directory, instance))?;
            std::fs::rename(&old, &new)?;
        }
    }
    Ok(())
}

/// Deletes the persistent volumes of an instance, if it has any.
pub(crate) fn destroy(directory: &Path, instance: &InstanceId) -> std::io::Result<()> {
    match std::fs::remove_dir_all(home(directory, instance)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Creates what belongs to us: directories of persistent volumes, and of host paths in the sandbox.
pub(crate) fn create(volumes: &[Resolved], sandbox: &Path, identity: Option<&crate::spawner::Identity>) -> Result<(), String> {
    for volume in volumes {
        if !volume.persistent && !volume.source.starts_with(sandbox) || volume.source.exists() {
            continue;
        }
        let fail = |error: std::io::Error| format!("cannot create volume directory {}: {error}", volume.source.display());
        std::fs::create_dir_all(&volume.source).map_err(fail)?;
        if let Some(identity) = identity {
            std::os::unix::fs::chown(&volume.source, Some(identity.uid), Some(identity.gid)).map_err(fail)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_core::app::PersistentVolume;

    fn instance() -> InstanceId {
        InstanceId::parse("shop_db.instance-00000000-0000-0000-0000-000000000007").unwrap()
    }

    fn run(volume: Volume) -> Result<Resolved, String> {
        resolve(&[volume], Path::new("/data/volumes"), &instance(), Path::new("/sandbox"), &[]).map(|mut all| all.remove(0))
    }

    #[test]
    fn places() {
        let host = run(Volume::host("data", "/srv/data", VolumeMode::ReadOnly)).unwrap();
        assert_eq!((host.source.to_str(), host.read_only, host.persistent), (Some("/srv/data"), true, false));
        let relative = run(Volume::host("/mnt/x", "x", VolumeMode::ReadWrite)).unwrap();
        assert_eq!(relative.source, Path::new("/sandbox/x"));
        let persistent = PersistentVolume {
            kind: None,
            size: orrery_core::Scalar::ONE,
            max_size: None,
            profile_name: None,
            constraints: Vec::new(),
        };
        let volume = Volume { container_path: "pg".into(), persistent: Some(persistent), ..Volume::default() };
        assert_eq!(run(volume.clone()).unwrap().source, Path::new("/data/volumes").join(instance().to_string()).join("pg"));
        let data = tempfile::tempdir().unwrap();
        let old = data.path().join("shop/db/_volumes/pg");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("kept"), "").unwrap();
        let app = AppId::parse("/shop/db").unwrap();
        for _ in 0..2 {
            adopt(std::slice::from_ref(&volume), data.path(), &app, &instance()).unwrap();
            assert!(home(data.path(), &instance()).join("pg/kept").exists() && !old.exists());
        }
        for _ in 0..2 {
            destroy(data.path(), &instance()).unwrap();
            assert!(!home(data.path(), &instance()).exists());
        }
    }

    #[test]
    fn the_agents_own_files_are_not_given_out() {
        let agent = tempfile::tempdir().unwrap();
        let sandbox = agent.path().join("sandbox");
        std::fs::create_dir_all(sandbox.join("x")).unwrap();
        std::fs::create_dir_all(agent.path().join("tasks")).unwrap();
        std::fs::write(agent.path().join("socket"), "").unwrap();
        std::os::unix::fs::symlink(agent.path(), sandbox.join("out")).unwrap();
        let hidden = [agent.path().to_owned(), agent.path().join("socket")];
        let path = |name: &str| agent.path().join(name).to_str().unwrap().to_owned();
        for (host, allowed) in [
            (path("tasks"), false),
            (path("."), false),
            ("out".into(), false),
            ("x".into(), true),
            ("new".into(), true),
            (path("socket"), true),
            ("/".into(), true),
        ] {
            let volume = Volume::host("v", &host, VolumeMode::ReadOnly);
            let resolved = resolve(&[volume], Path::new("/data/volumes"), &instance(), &sandbox, &hidden);
            assert_eq!(resolved.is_ok(), allowed, "{host} {resolved:?}");
        }
    }

    #[test]
    fn refusals_name_the_volume() {
        for (volume, text) in [
            (Volume::host("../x", "/a", VolumeMode::ReadWrite), "../x"),
            (Volume::host("x", "/a/../../b", VolumeMode::ReadWrite), "/a/../../b"),
            (Volume { container_path: "y".into(), ..Volume::default() }, "hostPath"),
            (Volume { container_path: "z".into(), secret: Some("s".into()), ..Volume::default() }, "secret"),
        ] {
            let error = run(volume).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
