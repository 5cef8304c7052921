//! What a controller remembers in its data directory: who it is, and of which cluster.

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Identity of the controller of one data directory.
pub(crate) struct Identity {
    /// Lasting id.
    pub(crate) id: String,
    data: PathBuf,
    /// Held for as long as the process lives: two processes of one id would depose each other.
    _lock: Flock<File>,
}

const ID_FILE: &str = "controller-id";
const CLUSTER_FILE: &str = "cluster-id";

impl Identity {
    /// Reads it, or makes a new one.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("lock");
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            anyhow::anyhow!("another process uses {}; stop it with `orrery down` or choose another --data-dir", data.display())
        })?;
        let id = if let Some(id) = read(&data.join(ID_FILE))? {
            id
        } else {
            let id = uuid::Uuid::new_v4().to_string();
            write(&data.join(ID_FILE), &id)?;
            id
        };
        Ok(Self { id, data: data.to_owned(), _lock: lock })
    }

    /// The cluster it belonged to, if it ever did.
    pub(crate) fn cluster(&self) -> anyhow::Result<Option<String>> {
        read(&self.data.join(CLUSTER_FILE))
    }

    /// Belongs to `cluster` from now on.
    pub(crate) fn remember(&self, cluster: &str) -> anyhow::Result<()> {
        if self.cluster()?.as_deref() == Some(cluster) { Ok(()) } else { write(&self.data.join(CLUSTER_FILE), cluster) }
    }
}

/// Whether a data directory is that of a controller on an etcd.
pub(crate) fn is_controller(data: &Path) -> bool {
    data.join(ID_FILE).exists()
}

/// Makes a data directory that of no controller any more: the cluster has moved into it.
pub(crate) fn forget(data: &Path) -> anyhow::Result<()> {
    for path in [data.join(ID_FILE), data.join(CLUSTER_FILE)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces a file, all or nothing even if the machine crashes.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    std::fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_lasts_and_is_used_once_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let first = Identity::open(data.path()).unwrap();
        assert_eq!(first.cluster().unwrap(), None);
        first.remember("c1").unwrap();
        assert!(Identity::open(data.path()).err().unwrap().to_string().contains("another process uses"));
        let id = first.id.clone();
        drop(first);
        let again = Identity::open(data.path()).unwrap();
        assert_eq!((again.id.clone(), again.cluster().unwrap()), (id, Some("c1".into())));
    }
}
