//! Small file systems of their own, which can be full.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes written at once when it is filled, and at last, so that not a single small file fits.
const LARGE: usize = 1 << 20;
const SMALL: usize = 64;

/// A file system in memory, mounted on a directory; unmounted with the value.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of `size` (`32m`) on `path`, which is made.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount(path: &Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("a directory");
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status();
        assert!(mounted.is_ok_and(|status| status.success()), "a file system can be mounted");
        Self { path: path.to_owned() }
    }

    fn filling(&self) -> PathBuf {
        self.path.join("filling")
    }

    /// Takes all of its space.
    ///
    /// # Panics
    /// When writing fails for another reason than that it is full.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filling()).expect("a file");
        for size in [LARGE, SMALL] {
            let chunk = vec![7; size];
            loop {
                match file.write_all(&chunk) {
                    Ok(()) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::WriteZero) => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
    }

    /// Makes space again.
    ///
    /// # Panics
    /// When it cannot.
    pub fn clear(&self) {
        std::fs::remove_file(self.filling()).expect("the filling is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: somebody may still have a file open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}
