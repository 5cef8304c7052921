//! The members of an etcd cluster: each has a connection of its own, and one is used until it fails.
//!
//! A client that spreads its calls over all members fails a third of them while one is dead or stands still. Here
//! a call that does no more when it is made twice goes to a second member when the first has not answered in time,
//! or has failed; whoever answers is used from then on. A member that owes an answer for longer, while another one
//! has given it, counts as silent: what waits for it is told so.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use etcd_client::{Client, KvClient, LeaseClient, WatchClient};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::fault::{About, fault, is_unsent};
use super::{EtcdOptions, MAX_MESSAGE_BYTES, PROBE_KEY, probe_options};
use crate::{Error, Result};

/// After so long without an answer another member is asked too. An etcd with fsync answers within a few
/// milliseconds; a leader keeps its lease of two seconds alive every two thirds of a second.
pub(super) const ASK_ANOTHER_AFTER: Duration = Duration::from_millis(250);
/// A member that has owed an answer for so long, which another one has given, is silent.
const SILENT_AFTER: Duration = Duration::from_millis(750);

/// How often a silent member is asked whether it answers again, and how long it may take.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// A call as a member is to be asked, with the clients of that member.
pub(super) trait Call<F>: Fn(Clients) -> F + Clone + Send + 'static {}

impl<F, C: Fn(Clients) -> F + Clone + Send + 'static> Call<F> for C {}

/// What calls are made with.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
}

/// Why a member has not done what it was asked.
pub(super) struct Failure {
    pub(super) error: Error,
    /// It cannot have done it: it was not reached.
    pub(super) is_unsent: bool,
}

/// A call on its way.
pub(super) struct Asked<T> {
    index: usize,
    began: Instant,
    answer: BoxFuture<'static, Result<T, Failure>>,
}

impl<T> Future for Asked<T> {
    type Output = (usize, Result<T, Failure>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(context).map(|answer| (self.index, answer))
    }
}

struct Member {
    endpoint: String,
    /// Made when they are first needed: to log in, the member has to answer.
    clients: OnceCell<Clients>,
    silent: watch::Sender<bool>,
}

/// All members, and which one is used.
pub(super) struct Members {
    all: Vec<Member>,
    options: EtcdOptions,
    present: AtomicUsize,
}

impl Members {
    /// Those at these endpoints. The first to be used is that of this number, so that several clients need not
    /// burden the same.
    pub(super) fn new(endpoints: &[&str], options: &EtcdOptions, first: usize) -> Self {
        let member = |endpoint: &&str| Member {
            endpoint: (*endpoint).to_owned(),
            clients: OnceCell::new(),
            silent: watch::Sender::new(false),
        };
        let members: Vec<Member> = endpoints.iter().map(member).collect();
        let present = AtomicUsize::new(first % members.len().max(1));
        Self { all: members, options: options.clone(), present }
    }

    pub(super) const fn count(&self) -> usize {
        self.all.len()
    }

    /// The member that is used.
    pub(super) fn present(&self) -> usize {
        self.present.load(Ordering::SeqCst)
    }

    fn endpoint(&self, index: usize) -> &str {
        self.all.get(index).map_or("", |member| &member.endpoint)
    }

    /// What calls to a member are made with.
    pub(super) async fn clients(&self, index: usize) -> Result<Clients, etcd_client::Error> {
        let member = self.all.get(index).ok_or_else(|| etcd_client::Error::InvalidArgs("empty endpoints".into()))?;
        let clients = member.clients.get_or_try_init(|| async {
            let client = Client::connect([&member.endpoint], Some(self.options.connect_options())).await?;
            Ok::<_, etcd_client::Error>(Clients {
                kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE_BYTES),
                lease: client.lease_client(),
                watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES),
            })
        });
        clients.await.cloned()
    }

    /// Uses another member than this one, which has failed: one that answers, if there is one.
    pub(super) fn leave(&self, index: usize) {
        let count = self.all.len();
        let mut others = (1..count).map(|step| (index + step) % count);
        let answers = |other: &usize| self.all.get(*other).is_some_and(|member| !*member.silent.borrow());
        if let Some(other) = others.clone().find(answers).or_else(|| others.next()) {
            self.replace(index, other);
        }
    }

    fn replace(&self, index: usize, by: usize) {
        if index != by && self.present.compare_exchange(index, by, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            tracing::debug!(from = self.endpoint(index), to = self.endpoint(by), "another etcd member is used from now on");
        }
    }

    /// A member has answered.
    fn hear(&self, index: usize) {
        let Some(member) = self.all.get(index) else { return };
        if member.silent.send_if_modified(std::mem::take) {
            tracing::info!(member = member.endpoint, "an etcd member that was silent answers again");
        }
    }

    /// Returns when the member is silent while another one answers.
    pub(super) async fn silence_of(&self, index: usize) -> Error {
        let Some(member) = self.all.get(index) else { return std::future::pending().await };
        // The sender lives as long as this.
        let _ = member.silent.subscribe().wait_for(|silent| *silent).await;
        Error::unavailable(format!("the etcd member at {} does not answer while another one does", member.endpoint))
    }

    /// Makes a call, which does no more when it is made twice, to the present member, and to the others one after
    /// another while there is no answer.
    ///
    /// # Errors
    /// That of the last one, when all have failed.
    pub(super) async fn ask<T, F>(self: &Arc<Self>, about: About, call: impl Call<F>) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, etcd_client::Error>> + Send + 'static,
    {
        let first = self.present();
        let mut others = (1..self.all.len()).map(|step| (first + step) % self.all.len());
        let mut asked = FuturesUnordered::new();
        asked.push(self.send(first, about, call.clone()));
        loop {
            let answered = tokio::select! {
                answered = asked.next() => answered,
                () = tokio::time::sleep(ASK_ANOTHER_AFTER), if others.len() > 0 => None,
            };
            match answered {
                Some((index, Err(failure))) if failure.error.is_retryable() && others.len() + asked.len() > 0 => {
                    self.leave(index);
                }
                Some((index, answer)) => {
                    if answer.is_ok() {
                        self.replace(first, index);
                    }
                    if !asked.is_empty() {
                        tokio::spawn(Arc::clone(self).judge(asked));
                    }
                    return answer.map_err(|failure| failure.error);
                }
                None => {}
            }
            if let Some(other) = others.next() {
                asked.push(self.send(other, about, call.clone()));
            }
        }
    }

    /// Makes a call to one member.
    pub(super) fn send<T, F>(self: &Arc<Self>, index: usize, about: About, call: impl Call<F>) -> Asked<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, etcd_client::Error>> + Send + 'static,
    {
        let members = Arc::clone(self);
        let answer = async move {
            let answer = match members.clients(index).await {
                Ok(clients) => call(clients).await.map_err(|error| (is_unsent(&error), error)),
                Err(error) => Err((true, error)),
            };
            match answer {
                Ok(answer) => {
                    members.hear(index);
                    Ok(answer)
                }
                Err((is_unsent, error)) => Err(Failure { error: place(fault(error, about), members.endpoint(index)), is_unsent }),
            }
        };
        Asked { index, began: Instant::now(), answer: Box::pin(answer) }
    }

    /// Waits for answers that another member has given meanwhile; who does not give them in time is silent.
    async fn judge<T>(self: Arc<Self>, mut owed: FuturesUnordered<Asked<T>>) {
        let mut owing: Vec<usize> = owed.iter().map(|asked| asked.index).collect();
        let until = owed.iter().map(|asked| asked.began + SILENT_AFTER).max().unwrap_or_else(Instant::now);
        while let Ok(Some((index, _))) = tokio::time::timeout_at(until, owed.next()).await {
            owing.retain(|other| *other != index);
        }
        for index in owing {
            let Some(member) = self.all.get(index) else { continue };
            if !member.silent.send_replace(true) {
                tracing::warn!(member = member.endpoint, "an etcd member does not answer while another one does");
                tokio::spawn(probe(Arc::downgrade(&self), index));
            }
        }
    }
}

/// Asks a silent member now and then, until it answers.
async fn probe(members: Weak<Members>, index: usize) {
    let get = |mut clients: Clients| async move { clients.kv.get(PROBE_KEY, Some(probe_options())).await };
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let Some(members) = members.upgrade() else { return };
        let asked = members.send(index, About::default(), get);
        drop(members);
        if let Ok((_, Ok(_))) = tokio::time::timeout(PROBE_INTERVAL, asked).await {
            return;
        }
    }
}

/// Says where to look: the client's own words name no address.
fn place(error: Error, endpoint: &str) -> Error {
    match error {
        Error::Unavailable { reason } => Error::unavailable(format!(
            "{reason} (etcd at {endpoint}; check that it runs and that address, scheme and certificates are right)"
        )),
        other => other,
    }
}
