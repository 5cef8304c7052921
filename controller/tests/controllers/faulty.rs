//! A store that can be cut off, and that loses requests and answers.

use orrery_store::{Embedded, Entry, Error, LeaseId, LeaseTime, Range, Result, Revision, Store, Transaction, WatchStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What becomes of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It happens, and nobody is told.
    AnswerLost,
    /// It does not happen, and nobody is told.
    RequestLost,
    /// Nobody is told, and it arrives later, when its sender has given it up.
    AnswerLate,
}

pub(crate) struct Gate {
    inner: Arc<Embedded>,
    open: watch::Sender<bool>,
    next: Mutex<Option<Fault>>,
    pub(crate) faults: AtomicUsize,
}

impl Gate {
    pub(crate) fn new(inner: Arc<Embedded>) -> Self {
        Self { inner, open: watch::Sender::new(true), next: Mutex::new(None), faults: AtomicUsize::new(0) }
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    pub(crate) fn next_transaction(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }

    /// Requests of a controller that is cut off wait, and are made when it is connected again.
    async fn pass(&self) {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

#[async_trait::async_trait]
impl Store for Gate {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.pass().await;
        self.inner.get(key).await
    }
    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        self.pass().await;
        self.inner.range(prefix, at, limit, start_after).await
    }
    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        self.pass().await;
        let fault = self.next.lock().unwrap().take();
        let Some(fault) = fault else { return self.inner.transact(transaction).await };
        self.faults.fetch_add(1, Ordering::SeqCst);
        match fault {
            Fault::RequestLost => {}
            Fault::AnswerLost => drop(self.inner.transact(transaction).await?),
            Fault::AnswerLate => {
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    // Refused, when the fence has moved.
                    drop(inner.transact(transaction).await);
                });
            }
        }
        Err(Error::Unavailable { reason: "the answer did not come".into() })
    }
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        self.pass().await;
        self.inner.watch(prefix, from).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.pass().await;
        self.inner.grant(ttl).await
    }
    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.pass().await;
        self.inner.keep_alive(lease).await
    }
    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.pass().await;
        self.inner.remaining(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.pass().await;
        self.inner.revoke(lease).await
    }
    async fn compact(&self, revision: Revision) -> Result<()> {
        self.inner.compact(revision).await
    }
    async fn revision(&self) -> Result<Revision> {
        self.pass().await;
        self.inner.revision().await
    }
}
