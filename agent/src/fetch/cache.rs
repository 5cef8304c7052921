//! Artifacts kept on the node for the next task, by URL, the least recently used going first.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::Mutex as AsyncMutex;

#[derive(Debug)]
struct Slot {
    bytes: u64,
    used: SystemTime,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    limit: u64,
    slots: Mutex<HashMap<String, Slot>>,
    /// One download per URL at a time.
    downloads: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// Name of a URL's file.
fn key(url: &str) -> String {
    crate::checkpoint::sha256(url)
}

impl Cache {
    /// Opens the cache of a directory; what a crash left half-written is removed.
    pub(crate) fn open(directory: PathBuf, limit: u64) -> std::io::Result<Self> {
        let mut slots = HashMap::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let found = entry.metadata()?;
            if name.len() == 64 && found.is_file() {
                slots.insert(name, Slot { bytes: found.len(), used: found.modified()? });
            } else if found.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { directory, limit, slots: Mutex::new(slots), downloads: Mutex::default() })
    }

    /// The lock of a URL: hold it from looking up to entering.
    pub(crate) fn lock(&self, url: &str) -> Arc<AsyncMutex<()>> {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.retain(|_, lock| Arc::strong_count(lock) > 1);
        downloads.entry(key(url)).or_default().clone()
    }

    /// Where a URL's file is to be written first.
    pub(crate) fn temporary(&self, url: &str) -> PathBuf {
        self.directory.join(format!("{}.new", key(url)))
    }

    /// The file of a URL, if it is there.
    pub(crate) fn find(&self, url: &str) -> Option<PathBuf> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get_mut(&key(url))?;
        slot.used = SystemTime::now();
        Some(self.directory.join(key(url)))
    }

    /// Takes in a file that was written to [`Cache::temporary`], and makes room.
    pub(crate) fn enter(&self, url: &str, temporary: &Path) -> std::io::Result<PathBuf> {
        let (name, path) = (key(url), self.directory.join(key(url)));
        let bytes = fs::metadata(temporary)?.len();
        fs::rename(temporary, &path)?;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(name.clone(), Slot { bytes, used: SystemTime::now() });
        let mut total: u64 = slots.values().map(|slot| slot.bytes).sum();
        while total > self.limit {
            let oldest = slots.iter().filter(|(other, _)| **other != name).min_by_key(|(_, slot)| slot.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            // Whoever is copying it holds it open; the copy goes on.
            let _ = fs::remove_file(self.directory.join(&oldest));
            total -= slots.remove(&oldest).map_or(0, |slot| slot.bytes);
        }
        Ok(path)
    }

    /// Drops a URL whose file has gone.
    pub(crate) fn forget(&self, url: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_recently_used() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 25).unwrap();
        let put = |url: &str| {
            let temporary = cache.temporary(url);
            fs::write(&temporary, [7; 10]).unwrap();
            cache.enter(url, &temporary).unwrap();
        };
        put("a");
        put("b");
        assert!(cache.find("a").is_some());
        put("c");
        assert!(cache.find("b").is_none() && cache.find("a").is_some() && cache.find("c").is_some());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        fs::write(cache.temporary("d"), "half").unwrap();
        let again = Cache::open(directory.path().to_owned(), 25).unwrap();
        assert!(again.find("a").is_some() && !cache.temporary("d").exists());
    }
}
