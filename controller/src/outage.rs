//! Whether the store answers: while it does not, nobody leads and nothing can be changed, and people must hear why.

use crate::clock::Clock;
use async_trait::async_trait;
use orrery_core::Timestamp;
use orrery_store::{Entry, Error, KeyRange, LeaseId, LeaseTime, Range, Result, Revision, Store, Transaction, WatchStream};
use std::sync::Arc;
use tokio::sync::watch;

/// A store that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store has not answered since {since} ({reason}); start its members again: more than half of them must run")]
pub struct Outage {
    /// When the first request was made that was not answered.
    pub since: Timestamp,
    /// What became of the last one.
    pub reason: String,
}

/// A store of which it is noted whether it answers. Any answer counts, a refusal too.
pub(crate) struct Observed {
    inner: Arc<dyn Store>,
    clock: Clock,
    outage: watch::Sender<Option<Outage>>,
}

impl Observed {
    pub(crate) fn new(inner: Arc<dyn Store>, clock: Clock, outage: watch::Sender<Option<Outage>>) -> Self {
        Self { inner, clock, outage }
    }

    async fn note<T>(&self, request: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let since = self.clock.now();
        let answer = request.await;
        match &answer {
            Err(Error::Unavailable { reason }) => self.outage.send_if_modified(|known| {
                let since = known.as_ref().map_or(since, |known| known.since);
                let now = Some(Outage { since, reason: reason.clone() });
                std::mem::replace(known, now.clone()) != now
            }),
            _ => self.outage.borrow().is_some() && self.outage.send_if_modified(|known| known.take().is_some()),
        };
        answer
    }
}

#[async_trait]
impl Store for Observed {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.note(self.inner.get(key)).await
    }

    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        self.note(self.inner.range(prefix, at, limit, start_after)).await
    }

    async fn keys(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<KeyRange> {
        self.note(self.inner.keys(prefix, at, limit, start_after)).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        self.note(self.inner.transact(transaction)).await
    }

    // A watch may be opened on a member that reaches no other: that it opens says nothing.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        self.inner.watch(prefix, from).await
    }

    async fn grant(&self, ttl: std::time::Duration) -> Result<LeaseId> {
        self.note(self.inner.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.note(self.inner.keep_alive(lease)).await
    }

    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.note(self.inner.remaining(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.note(self.inner.revoke(lease)).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.note(self.inner.compact(revision)).await
    }

    async fn revision(&self) -> Result<Revision> {
        self.note(self.inner.revision()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_store::Embedded;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn an_outage_lasts_from_its_first_request_to_the_next_answer() {
        let directory = tempfile::tempdir().unwrap();
        let inner = Embedded::open(directory.path().join("store")).unwrap();
        let clock = Clock::starting_at(Timestamp::from_millis(1_000));
        let outage = watch::Sender::new(None);
        let store = Observed::new(Arc::new(inner), clock, outage.clone());
        let fails = |reason: &'static str| {
            store.note(async move {
                tokio::time::sleep(Duration::from_secs(5)).await; // Virtual time: nothing waits for it.
                Err::<(), _>(Error::Unavailable { reason: reason.into() })
            })
        };
        fails("silence").await.unwrap_err();
        fails("refused").await.unwrap_err();
        let known = outage.borrow().clone().unwrap();
        assert_eq!(known, Outage { since: Timestamp::from_millis(1_000), reason: "refused".into() });
        let text = known.to_string();
        assert!(text.contains("since 1970-01-01T00:00:01.000Z (refused); start"), "{text}");
        store.note(async { Err::<(), _>(Error::Conflict { key: "/a".into() }) }).await.unwrap_err();
        assert_eq!(*outage.borrow(), None, "a refusal is an answer");
        fails("silence").await.unwrap_err();
        store.get("/a").await.unwrap();
        assert_eq!(*outage.borrow(), None);
    }
}
