//! Wall clocks of single processes that can be set, while the machine's own is left alone.

use std::path::{Path, PathBuf};

/// Where Debian's package `faketime` puts the library; the directory before it is the architecture's.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock of one process.
#[derive(Debug, Clone)]
pub struct WallClock {
    file: PathBuf,
    library: PathBuf,
}

impl WallClock {
    /// A clock that is right, set by `file`; `None`, told loudly, where the library is not installed.
    ///
    /// # Panics
    /// When it must be there (`ORRERY_REQUIRE_FAKETIME`) and is not, or the file cannot be written.
    pub fn new(file: &Path) -> Option<Self> {
        let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path().join(LIBRARY));
        let Some(library) = found.into_iter().find(|path| path.exists()) else {
            assert!(std::env::var_os("ORRERY_REQUIRE_FAKETIME").is_none(), "faketime is not installed");
            eprintln!("SKIPPED: clocks that jump: faketime is not installed (Debian: faketime)");
            return None;
        };
        let clock = Self { file: file.to_owned(), library };
        clock.set("+0");
        Some(clock)
    }

    /// Sets it, by its difference from the machine's (`+3600`).
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set(&self, difference: &str) {
        // At once and whole, since the process may read it at any time.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{difference}\n")).expect("a file");
        std::fs::rename(&next, &self.file).expect("a file");
    }

    /// What a process needs in its environment. Only wall time is changed.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
