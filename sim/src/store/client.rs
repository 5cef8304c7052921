//! One process's way to the store. A request that was sent is carried out whether or not the
//! sender still waits: it may have timed out, been stopped or died.

use super::cell::{Cell, check_text, check_ttl};
use super::watch;
use crate::chance::Chance;
use crate::judge::Judge;
use crate::planted::Planted;
use crate::trace::Trace;
use async_trait::async_trait;
use orrery_core::cluster::EPOCH_KEY;
use orrery_store::{Entry, Error, LeaseId, LeaseTime, Operation, Range, Result, Revision, Store, Transaction, WatchStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a call waits for its answer (`EtcdOptions`' default).
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the way to the store is like. All chances are per mille.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// Nothing gets to the store.
    pub requests_cut: bool,
    /// Nothing comes back from it.
    pub answers_cut: bool,
    /// Of a lost quorum: writes and reads hang.
    pub quorum_lost: bool,
    /// A request is lost on its way.
    pub loses_request: u32,
    /// It was carried out, but its answer is lost.
    pub loses_answer: u32,
    /// A request or an answer takes up to [`TIMEOUT`] and more.
    pub slow: u32,
    /// A read shows an older state.
    pub stale: u32,
    /// The store says that it is unavailable, at once.
    pub refuses: u32,
    /// A watch loses a batch.
    pub watch_loses: u32,
    /// A watch tells an old batch again.
    pub watch_repeats: u32,
    /// A watch ends.
    pub watch_breaks: u32,
}

impl Weather {
    /// One way through the network.
    pub(super) const fn delay(&self, chance: &mut Chance) -> Duration {
        if chance.hits(self.slow) { chance.millis(500, 8_000) } else { chance.millis(0, 3) }
    }

    pub(super) const fn is_deaf(&self) -> bool {
        self.answers_cut || self.quorum_lost
    }

    const fn is_cut(&self) -> bool {
        self.requests_cut || self.quorum_lost
    }
}

/// A client of the store.
#[derive(Clone)]
pub struct Client {
    name: Arc<str>,
    cell: Cell,
    weather: Arc<Mutex<Weather>>,
    chance: Arc<Mutex<Chance>>,
    /// The highest revision any answer has shown: a read that shows less is refused, as by the
    /// etcd backend. Each process begins anew.
    seen: Arc<AtomicU64>,
    judge: Judge,
    trace: Trace,
    planted: Planted,
}

impl Client {
    /// A client called `name`, whose `way` to the store has a weather that others may change.
    pub fn new(name: &str, cell: Cell, way: (Arc<Mutex<Weather>>, Chance), judge: Judge, trace: Trace, planted: Planted) -> Self {
        let (weather, chance) = way;
        let chance = Arc::new(Mutex::new(chance));
        Self { name: name.into(), cell, weather, chance, seen: Arc::default(), judge, trace, planted }
    }

    fn weather(&self) -> Weather {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: &str) {
        self.trace.note(&self.name, format_args!("store: {what}"));
    }

    /// Sends a request and awaits its answer.
    async fn call<T: Send + 'static>(&self, what: String, act: impl FnOnce(&Cell) -> Result<T> + Send + 'static) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let weather = self.weather();
        let (out, back, refused, lost, mute) = {
            let mut chance = self.chance();
            (
                weather.delay(&mut chance),
                weather.delay(&mut chance),
                chance.hits(weather.refuses),
                chance.hits(weather.loses_request),
                chance.hits(weather.loses_answer),
            )
        };
        let client = self.clone();
        let deadline = Instant::now() + TIMEOUT;
        tokio::spawn(async move {
            tokio::time::sleep(out).await;
            if lost || client.weather().is_cut() {
                return client.note(&format!("{what}: request lost"));
            }
            if refused {
                let _ = answer.send(Err(Error::Unavailable { reason: "the store is electing".into() }));
                return client.note(&format!("{what}: refused"));
            }
            let result = act(&client.cell);
            if Instant::now() >= deadline {
                client.note(&format!("{what}: carried out after its time"));
            }
            tokio::time::sleep(back).await;
            if mute || client.weather().is_deaf() {
                return client.note(&format!("{what}: answer lost"));
            }
            let _ = answer.send(result);
        });
        let silent = || Error::Unavailable { reason: format!("the store has not answered within {TIMEOUT:?}") };
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                // Nothing will come; a client learns that by waiting.
                tokio::time::sleep_until(deadline).await;
                Err(silent())
            }
            Err(_) => Err(silent()),
        }
    }

    /// The revision a read shows.
    fn shown(&self) -> Option<Revision> {
        let stale = if self.planted == Planted::StaleTakeover { 500 } else { self.weather().stale };
        let mut chance = self.chance();
        if !chance.hits(stale) {
            return None;
        }
        let latest = self.cell.latest();
        Some(Revision(latest.0.saturating_sub(chance.between(1, 30)).max(1)))
    }

    fn observe(&self, revision: Revision) -> Result<()> {
        let floor = self.seen.fetch_max(revision.0, Ordering::SeqCst);
        if revision.0 < floor && self.planted != Planted::StaleTakeover {
            self.note("stale answer refused");
            return Err(Error::Unavailable { reason: format!("answered at {revision} after it had shown {floor}") });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Client {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        check_text(key)?;
        let (wanted, shown) = (key.to_owned(), self.shown());
        let (revision, entry) = self
            .call(format!("get {key}"), move |cell| {
                let history = cell.history();
                let state = shown.and_then(|revision| history.at(revision).ok().map(|state| (revision, state)));
                let (revision, state) = state.unwrap_or_else(|| (history.latest(), history.now()));
                Ok((revision, state.entries.get(&wanted).cloned()))
            })
            .await?;
        self.observe(revision)?;
        Ok(entry)
    }

    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        let (prefix, after, shown) = (prefix.to_owned(), start_after.map(str::to_owned), self.shown());
        let fixed = at.is_some_and(|at| !at.is_none());
        let range = self
            .call(format!("range {prefix}"), move |cell| {
                let at = if fixed { at } else { shown.filter(|shown| *shown >= cell.history().compacted()) };
                cell.read(&prefix, at, limit, after.as_deref())
            })
            .await?;
        if !fixed {
            self.observe(range.revision)?;
        }
        Ok(range)
    }

    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        transaction.validate()?;
        let mut transaction = transaction;
        let takes_over =
            transaction.operations.iter().any(|operation| matches!(operation, Operation::Put { key, .. } if key == EPOCH_KEY));
        if !takes_over {
            match self.planted {
                Planted::NoFencing => transaction.compares.retain(|compare| compare.key() != EPOCH_KEY),
                Planted::AcknowledgedBeforeKept if self.chance().hits(50) => return Ok(self.cell.latest()),
                Planted::PublishedBeforeStored => {
                    let (client, late) = (self.clone(), self.chance().millis(20, 400));
                    tokio::spawn(async move {
                        tokio::time::sleep(late).await;
                        let _ = client.cell.change(|history| history.transact(&transaction));
                    });
                    return Ok(self.cell.latest().next());
                }
                _ => {}
            }
        }
        let name = Arc::clone(&self.name);
        let (judge, trace) = (self.judge.clone(), self.trace.clone());
        let revision = self
            .call(format!("transact {}", transaction.operations.len()), move |cell| {
                let result = cell.change(|history| history.transact(&transaction));
                match &result {
                    Ok(revision) => {
                        trace.note(&name, format_args!("store: committed {revision}"));
                        judge.wrote(&name, &transaction);
                    }
                    Err(error) => trace.note(&name, format_args!("store: {error}")),
                }
                result
            })
            .await?;
        self.seen.fetch_max(revision.0, Ordering::SeqCst);
        Ok(revision)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        check_text(prefix)?;
        let from = if from.is_none() { self.revision().await?.next() } else { from };
        let chance = self.chance().split(&format!("watch {from}"));
        let client = self.clone();
        let note = move |what: String| client.note(&what);
        Ok(watch::spoilt(self.cell.clone(), prefix.to_owned(), from, Arc::clone(&self.weather), chance, note))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let ttl = check_ttl(ttl)?;
        self.call("grant".into(), move |cell| Ok(cell.change(|history| history.grant(ttl, Instant::now())))).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        self.call("keep alive".into(), move |cell| cell.change(|history| history.keep_alive(lease, Instant::now()))).await
    }

    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        self.call("remaining".into(), move |cell| cell.lease_time(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.call("revoke".into(), move |cell| cell.change(|history| history.revoke(lease))).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.call("compact".into(), move |cell| cell.change(|history| history.compact(revision))).await
    }

    async fn revision(&self) -> Result<Revision> {
        let shown = self.shown();
        let revision = self.call("revision".into(), move |cell| Ok(shown.unwrap_or_else(|| cell.latest()))).await?;
        self.observe(revision)?;
        Ok(revision)
    }
}
