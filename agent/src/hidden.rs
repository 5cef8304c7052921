//! What tasks must not see of the node beside what no task of any node may see.

use crate::mount_table::Ways;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Most entries of a list that are read.
const ENTRIES_MAX: usize = 1_024;
/// Most bytes of a path in a list (Linux: `PATH_MAX`).
const PATH_BYTES_MAX: usize = 4_096;

/// Paths that are hidden from tasks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden {
    /// Known since the agent started.
    pub(crate) always: Arc<[PathBuf]>,
    /// Directory whose files name one path each. Others write them while the agent runs.
    pub(crate) list: Option<PathBuf>,
    ways: Arc<Mutex<Ways>>,
}

impl Hidden {
    pub(crate) fn new(always: Arc<[PathBuf]>, list: Option<PathBuf>) -> Self {
        Self { always, list, ways: Arc::default() }
    }

    /// All of them, now, by every mount that leads to them.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = self.always.to_vec();
        paths.extend(self.list.as_deref().map(listed).unwrap_or_default());
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).all(paths)
    }
}

/// What a list names. What is no absolute path, or no longer there, is left out.
fn listed(directory: &Path) -> Vec<PathBuf> {
    // Without the directory nobody has written anything.
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.take(ENTRIES_MAX).filter_map(|entry| named_by(&entry.ok()?.path())).collect()
}

fn named_by(file: &Path) -> Option<PathBuf> {
    if !fs::symlink_metadata(file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(PATH_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    let path = PathBuf::from(OsString::from_vec(bytes));
    (path.as_os_str().len() <= PATH_BYTES_MAX && path.is_absolute() && path.exists()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_whenever_they_are_asked_for() {
        let (list, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let always: Arc<[PathBuf]> = [PathBuf::from("/own")].into();
        let hidden = Hidden::new(always, Some(list.path().join("data")));
        assert_eq!(hidden.paths(), [PathBuf::from("/own")], "nobody has made the list");
        fs::create_dir(list.path().join("data")).unwrap();
        for (name, content) in [("relative", "data"), ("stale", "/no/such/path"), ("empty", "")] {
            fs::write(list.path().join("data").join(name), content).unwrap();
        }
        fs::write(list.path().join("data/long"), "/".repeat(PATH_BYTES_MAX + 1)).unwrap();
        fs::create_dir(list.path().join("data/directory")).unwrap();
        assert_eq!(hidden.paths(), [PathBuf::from("/own")]);
        let entry = list.path().join("data/other");
        fs::write(&entry, data.path().to_str().unwrap()).unwrap();
        assert_eq!(hidden.paths(), [Path::new("/own"), data.path()]);
        fs::remove_file(entry).unwrap();
        assert_eq!(hidden.paths(), [PathBuf::from("/own")]);
    }
}
