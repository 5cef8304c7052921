//! The embedded backend: one redb file with its history, one process.

mod apply;
mod compact;
#[cfg(test)]
mod disk_test;
mod lease;
mod medium;
mod read;
mod recent;
mod revival;
mod tables;
mod watch;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redb::ReadableDatabase;
use redb::backends::{FileBackend, InMemoryBackend};
use tokio::sync::{Semaphore, oneshot};

use self::lease::Leases;
use self::medium::Medium;
use self::recent::Recent;
use self::tables::broken;
use self::writer::{Command, Queued};
use crate::store::{page_limit, whole_seconds};
use crate::transaction::{validate_key, validate_prefix};
use crate::{Entry, Error, KeyRange, LeaseId, LeaseTime, Range, Result, Retention, Revision, Store, Transaction, WatchStream};

/// Most writes that wait at once; further callers wait for their turn.
const MAX_WAITING_WRITES: usize = 1024;

/// How an embedded store is kept.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedOptions {
    /// How much history is kept; `None`: all of it until someone compacts.
    pub retention: Option<Retention>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { retention: Some(Retention::default()) }
    }
}

/// A store in one file of this machine, or in memory.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    queue: Option<SyncSender<Queued>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer, readers and watches share.
struct Shared {
    medium: Medium,
    /// `None` while it is opened again.
    database: RwLock<Option<redb::Database>>,
    leases: Mutex<Leases>,
    recent: RwLock<Recent>,
    latest: tokio::sync::watch::Sender<Revision>,
    waiting: Arc<Semaphore>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("latest", &*self.latest.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    fn snapshot(&self) -> Result<redb::ReadTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or_else(revival::is_under_way)?.begin_read().map_err(broken)
    }

    fn begin_write(&self) -> Result<redb::WriteTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or_else(revival::is_under_way)?.begin_write().map_err(broken)
    }
}

impl Embedded {
    /// Opens the file at `path`, creating it (readable by its owner only) and
    /// its directory when absent. Fails with [`Error::Locked`] while another
    /// process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, EmbeddedOptions::default())
    }

    /// Opens the file at `path` with options.
    pub fn open_with(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let path = path.as_ref();
        let refused = |error| Error::unavailable(format!("{} can't be opened: {error}", path.display()));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(refused)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(refused)?;
        let medium = Medium::new(FileBackend::new(file).map_err(broken)?);
        let database = medium.open().map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Error::Locked { path: path.display().to_string() },
            other => match broken(other) {
                Error::Corrupt { reason } => Error::corrupt(format!("{}: {reason}", path.display())),
                other => other,
            },
        })?;
        Self::start(medium, database, options)
    }

    /// A store that is gone when it is dropped.
    pub fn in_memory() -> Result<Self> {
        Self::in_memory_with(EmbeddedOptions::default())
    }

    /// A store in memory with options.
    pub fn in_memory_with(options: EmbeddedOptions) -> Result<Self> {
        let medium = Medium::new(InMemoryBackend::new());
        let database = medium.open().map_err(broken)?;
        Self::start(medium, database, options)
    }

    fn start(medium: Medium, database: redb::Database, options: EmbeddedOptions) -> Result<Self> {
        tables::prepare(&database)?;
        let snapshot = database.begin_read().map_err(broken)?;
        let (revision, _) = tables::bounds(&snapshot)?;
        let mut leases = Leases::default();
        // While the store was down nobody could keep a lease alive, so each gets its whole time.
        leases.set(&tables::leases(&snapshot)?, Instant::now());
        drop(snapshot);
        let shared = Arc::new(Shared {
            medium,
            database: RwLock::new(Some(database)),
            leases: Mutex::new(leases),
            recent: RwLock::new(Recent::starting_at(revision.next())),
            latest: tokio::sync::watch::Sender::new(revision),
            waiting: Arc::new(Semaphore::new(MAX_WAITING_WRITES)),
        });
        let (queue, commands) = mpsc::sync_channel(MAX_WAITING_WRITES);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, &commands, options.retention)
            })
            .map_err(Error::unavailable)?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer) })
    }

    /// Hands a command to the writer and waits until it is durable.
    async fn write<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let stopped = || Error::unavailable("its writer has stopped; restart orrery");
        let turn = Arc::clone(&self.shared.waiting).acquire_owned().await.map_err(|_| stopped())?;
        let (caller, answer) = oneshot::channel();
        // There is room: each turn stands for a place in the queue.
        let queued = Queued { command: command(caller), _turn: turn };
        self.queue.as_ref().ok_or_else(stopped)?.try_send(queued).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Embedded {
    /// What reads share. A database that failed is opened again also when nobody writes.
    fn readable(&self) -> &Arc<Shared> {
        if self.shared.medium.has_failed()
            // Without a turn writes wait, and they do as well.
            && let Ok(turn) = Arc::clone(&self.shared.waiting).try_acquire_owned()
            && let Some(queue) = &self.queue
        {
            // A writer that has stopped is told by the next write.
            drop(queue.try_send(Queued { command: Command::Wake, _turn: turn }));
        }
        &self.shared
    }
}

impl Drop for Embedded {
    /// Finishes the writes that wait and closes the file.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so already.
            drop(writer.join());
        }
    }
}

/// Runs a read that may touch much of the file off the async threads.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(|error| Error::unavailable(format!("a read was given up: {error}")))?
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        validate_key(key)?;
        read::get(&self.readable().snapshot()?, key)
    }

    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        validate_prefix(prefix)?;
        let shared = Arc::clone(self.readable());
        let (prefix, start_after) = (prefix.to_owned(), start_after.map(str::to_owned));
        blocking(move || read::range(&shared.snapshot()?, &prefix, at, page_limit(limit), start_after.as_deref())).await
    }

    async fn keys(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<KeyRange> {
        validate_prefix(prefix)?;
        let shared = Arc::clone(self.readable());
        let (prefix, start_after) = (prefix.to_owned(), start_after.map(str::to_owned));
        blocking(move || read::keys(&shared.snapshot()?, &prefix, at, page_limit(limit), start_after.as_deref())).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        transaction.validate()?;
        self.write(|caller| Command::Transact(transaction, caller)).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        validate_prefix(prefix)?;
        watch::watch(self.readable(), prefix, from)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let ttl = Duration::from_secs(whole_seconds(ttl)?);
        self.write(|caller| Command::Grant(ttl, caller)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner).keep_alive(lease, Instant::now())
    }

    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner).remaining(lease, Instant::now())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.write(|caller| Command::Revoke(lease, caller)).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.write(|caller| Command::Compact(revision, caller)).await
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(tables::bounds(&self.readable().snapshot()?)?.0)
    }
}
