//! Which data directories the daemons of this machine use, so that the tasks of any agent on it see none of them.

use orrery_link::fingerprint::Fingerprint;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// One file for each directory, with its path. Tasks do not see it.
pub(crate) const DATA_LIST: &str = "/run/orrery/data";

/// Notes the data directory of a daemon. It stays noted when the daemon has stopped: its secrets are there
/// still. Without root there is nobody to hide it from: tasks are the
/// user's own processes then.
pub(crate) fn note(data: &Path) {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    if let Err(error) = note_in(Path::new(DATA_LIST), data) {
        tracing::warn!(
            "tasks of other agents on this machine may see {}: {DATA_LIST} cannot be written: {error}",
            data.display()
        );
    }
}

fn entry(list: &Path, data: &Path) -> io::Result<PathBuf> {
    Ok(list.join(Fingerprint::of(std::path::absolute(data)?.as_os_str().as_bytes()).to_string()))
}

fn note_in(list: &Path, data: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(list)?;
    forget_gone(list);
    let entry = entry(list, data)?;
    let partial = entry.with_extension("partial");
    fs::write(&partial, std::path::absolute(data)?.as_os_str().as_bytes())?;
    fs::rename(partial, entry)
}

/// Drops the entries of directories that are there no longer.
fn forget_gone(list: &Path) {
    for entry in fs::read_dir(list).into_iter().flatten().flatten() {
        let named = fs::read(entry.path()).map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
        if named.is_ok_and(|named| matches!(named.try_exists(), Ok(false))) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn each_data_directory_has_one_entry() {
        let place = tempfile::tempdir().unwrap();
        let (list, gone) = (place.path().join("run/data"), place.path().join("gone"));
        fs::create_dir(&gone).unwrap();
        let read = || {
            let entries = fs::read_dir(&list).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
            let mut entries: Vec<PathBuf> = entries.map(PathBuf::from).collect();
            entries.sort();
            entries
        };
        note_in(&list, &gone).unwrap();
        note_in(&list, &gone).unwrap();
        assert_eq!(read(), std::slice::from_ref(&gone));
        assert_eq!(list.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        fs::remove_dir(&gone).unwrap();
        note_in(&list, place.path()).unwrap();
        assert_eq!(read(), [place.path()], "what is gone goes from the list");
    }
}
