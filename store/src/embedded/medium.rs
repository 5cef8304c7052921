//! What lies under redb. A database does not go on after an I/O error, so a new one is put on the
//! same medium then; the one before must not touch it any more.

use std::io::Error as IoError;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, StorageBackend};

/// Memory for cached pages of the file; redb's own default is 1 GiB.
const CACHE_BYTES: usize = 16 << 20;

/// How much of a medium is written again at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A file, or memory, and the database that is on it.
#[derive(Debug)]
pub(super) struct Medium {
    ground: Arc<Ground>,
    mount: Mutex<Arc<Mount>>,
}

/// What stays when databases come and go.
#[derive(Debug)]
struct Ground {
    storage: Box<dyn StorageBackend>,
    /// A sync failed: the system may take for written what is not.
    doubted: AtomicBool,
}

/// One database's time on its medium.
#[derive(Debug, Default)]
struct Mount {
    /// A read has failed; the database does not go on.
    failed: AtomicBool,
    /// Another database may be on the medium.
    retired: AtomicBool,
}

/// A mount as redb's storage.
#[derive(Debug)]
struct Handle {
    ground: Arc<Ground>,
    mount: Arc<Mount>,
}

impl Medium {
    pub(super) fn new(storage: impl StorageBackend) -> Self {
        let ground = Ground { storage: Box::new(storage), doubted: AtomicBool::new(false) };
        Self { ground: Arc::new(ground), mount: Mutex::default() }
    }

    /// Opens a database, or creates one. There must not be one any more.
    pub(super) fn open(&self) -> Result<redb::Database, redb::DatabaseError> {
        let mount = Arc::new(Mount::default());
        *self.mount.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&mount);
        let handle = Handle { ground: Arc::clone(&self.ground), mount };
        redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(handle)
    }

    /// Whether a read of the database has failed, and another database is needed. Writes tell their callers.
    pub(super) fn has_failed(&self) -> bool {
        self.mounted().failed.load(Ordering::SeqCst)
    }

    /// From here on the database neither reads nor writes.
    pub(super) fn retire(&self) {
        self.mounted().retired.store(true, Ordering::SeqCst);
    }

    /// Makes durable what can be read. After a sync that failed a system may hold pages for written
    /// that never reached the disk, so all are written again.
    pub(super) fn settle(&self) -> Result<(), IoError> {
        let Ground { storage, doubted } = &*self.ground;
        if doubted.load(Ordering::SeqCst) {
            let (mut start, length) = (0, storage.len()?);
            let mut chunk = vec![0; CHUNK_BYTES];
            while start < length {
                chunk.truncate(usize::try_from(length - start).unwrap_or(CHUNK_BYTES));
                storage.read(start, &mut chunk)?;
                storage.write(start, &chunk)?;
                start += chunk.len() as u64;
            }
        }
        // A sync that fails tells so once only.
        doubted.store(true, Ordering::SeqCst);
        storage.sync_data()?;
        doubted.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn mounted(&self) -> Arc<Mount> {
        Arc::clone(&self.mount.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Handle {
    fn check(&self) -> Result<(), IoError> {
        if self.mount.retired.load(Ordering::SeqCst) { Err(IoError::other("it is opened again")) } else { Ok(()) }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> Result<u64, IoError> {
        self.check()?;
        self.ground.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        let read = self.ground.storage.read(offset, out);
        if read.is_err() {
            self.mount.failed.store(true, Ordering::SeqCst);
        }
        // Not before: the next database may have written while this one read.
        self.check()?;
        read
    }

    fn set_len(&self, length: u64) -> Result<(), IoError> {
        self.check()?;
        self.ground.storage.set_len(length)
    }

    fn sync_data(&self) -> Result<(), IoError> {
        self.check()?;
        let synced = self.ground.storage.sync_data();
        if synced.is_err() {
            self.ground.doubted.store(true, Ordering::SeqCst);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), IoError> {
        self.check()?;
        self.ground.storage.write(offset, data)
    }

    fn close(&self) -> Result<(), IoError> {
        self.ground.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.ground.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.ground.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.ground.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.ground.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.ground.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.ground.storage.query_lock_range(start, end)
    }
}
