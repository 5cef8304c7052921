//! The store itself, shared by all its clients: without faults it is a [`Store`] like any other.

use super::history::{History, State, under};
use super::watch;
use crate::trace::Trace;
use async_trait::async_trait;
use orrery_store::{
    Entry, Error, LEASE_TTL, LeaseId, LeaseTime, MAX_KEY_BYTES, MAX_RANGE_BYTES, MAX_RANGE_ENTRIES, Range, Result, Revision,
    Store, Transaction, WatchStream,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Called with each new revision while the store is locked: it must not call back.
pub type Observer = Box<dyn FnMut(Revision, &State) + Send>;

/// The store. Cheap to clone. Its leases end by a task of its own, on the runtime's clock.
#[derive(Clone)]
pub struct Cell {
    inner: Arc<Inner>,
}

struct Inner {
    history: Mutex<History>,
    /// Wakes in the order of waiting; tokio's `watch` does not, and histories would differ.
    changed: Arc<Notify>,
    leases_changed: tokio::sync::Notify,
    observer: Mutex<Option<Observer>>,
    trace: Mutex<Option<Trace>>,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("latest", &self.latest()).finish_non_exhaustive()
    }
}

impl Cell {
    /// An empty store. Needs a runtime.
    pub fn start() -> Self {
        let cell = Self {
            inner: Arc::new(Inner {
                history: Mutex::new(History::new()),
                changed: Arc::default(),
                leases_changed: tokio::sync::Notify::new(),
                observer: Mutex::new(None),
                trace: Mutex::new(None),
            }),
        };
        tokio::spawn(expire(Arc::downgrade(&cell.inner)));
        cell
    }

    /// Calls `observer` with every revision from now on, and notes in `trace` which leases end.
    pub fn observe(&self, observer: Observer, trace: Trace) {
        *self.inner.trace.lock().unwrap_or_else(PoisonError::into_inner) = Some(trace);
        *self.inner.observer.lock().unwrap_or_else(PoisonError::into_inner) = Some(observer);
    }

    /// The latest revision, at once.
    pub fn latest(&self) -> Revision {
        self.history().latest()
    }

    /// The key space now.
    pub fn now(&self) -> State {
        self.history().now().clone()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.inner.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told of every new revision and compaction.
    pub(super) fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.changed)
    }

    pub(super) fn lease_time(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.history().remaining(lease, Instant::now())
    }

    /// Gives every lease its whole time again, as a new leader of etcd does.
    pub fn extend_leases(&self) {
        self.history().extend_leases(Instant::now());
        self.inner.leases_changed.notify_one();
    }

    /// Forgets all history but the latest revision.
    pub fn compact_now(&self) {
        // The latest revision always exists.
        let _ = self.change(|history| history.compact(history.latest()));
    }

    /// Changes the history and tells whoever waits.
    pub(super) fn change<T>(&self, act: impl FnOnce(&mut History) -> T) -> T {
        self.inner.change(act)
    }

    pub(super) fn read(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        check_text(prefix)?;
        let history = self.history();
        let revision = at.filter(|at| !at.is_none()).unwrap_or_else(|| history.latest());
        let state = history.at(revision)?;
        let limit = if limit == 0 { MAX_RANGE_ENTRIES } else { limit.min(MAX_RANGE_ENTRIES) };
        let (mut entries, mut bytes, mut more) = (Vec::new(), 0, false);
        for entry in under(state, prefix).filter(|entry| start_after.is_none_or(|after| entry.key.as_str() > after)) {
            if entries.len() == limit || bytes >= MAX_RANGE_BYTES {
                more = true;
                break;
            }
            bytes += entry.key.len() + entry.value.len();
            entries.push(entry.clone());
        }
        Ok(Range { entries, revision, more })
    }
}

impl Inner {
    fn change<T>(&self, act: impl FnOnce(&mut History) -> T) -> T {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let before = history.latest();
        let result = act(&mut history);
        let after = history.latest();
        if let Some(observer) = self.observer.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            for revision in before.0 + 1..=after.0 {
                if let Ok(state) = history.at(Revision(revision)) {
                    observer(Revision(revision), state);
                }
            }
        }
        drop(history);
        self.changed.notify_waiters();
        self.leases_changed.notify_one();
        result
    }
}

async fn expire(cell: std::sync::Weak<Inner>) {
    loop {
        let Some(inner) = cell.upgrade() else { return };
        let next = inner.history.lock().unwrap_or_else(PoisonError::into_inner).next_end();
        if next.is_some_and(|end| end <= Instant::now()) {
            let ended = inner.change(|history| history.expire(Instant::now()));
            if let Some(trace) = inner.trace.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                trace.note("store", format_args!("leases {ended:?} end"));
            }
            continue;
        }
        let changed = inner.leases_changed.notified();
        match next {
            Some(end) => tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(end) => {}
            },
            None => changed.await,
        }
    }
}

pub(super) fn check_text(text: &str) -> Result<()> {
    if text.len() > MAX_KEY_BYTES {
        return Err(Error::TooLarge { what: "a key's length in bytes", actual: text.len(), limit: MAX_KEY_BYTES });
    }
    if text.contains('\0') {
        return Err(Error::Invalid { reason: "a key holds a NUL character".into() });
    }
    Ok(())
}

pub(super) fn check_ttl(ttl: Duration) -> Result<Duration> {
    if !LEASE_TTL.contains(&ttl) {
        return Err(Error::Invalid { reason: format!("a lease lasts 1 s to 24 h, not {ttl:?}") });
    }
    Ok(Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)))
}

#[async_trait]
impl Store for Cell {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        if key.is_empty() {
            return Err(Error::Invalid { reason: "a key is empty".into() });
        }
        check_text(key)?;
        Ok(self.history().now().entries.get(key).cloned())
    }

    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        self.read(prefix, at, limit, start_after)
    }

    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        self.change(|history| history.transact(&transaction))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        check_text(prefix)?;
        let from = if from.is_none() { self.latest().next() } else { from };
        Ok(watch::exact(self.clone(), prefix.to_owned(), from))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let ttl = check_ttl(ttl)?;
        Ok(self.change(|history| history.grant(ttl, Instant::now())))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.change(|history| history.keep_alive(lease, Instant::now()))
    }

    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.lease_time(lease)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.change(|history| history.revoke(lease))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.change(|history| history.compact(revision))
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(self.latest())
    }
}
