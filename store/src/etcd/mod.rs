//! The backend for clusters: etcd, from 3.4 on.
//!
//! Known faults of 3.4 are designed around: reads and watches check that
//! revisions rise (a member may answer stale after a pause, or send a watch
//! back in time), a watch that lags is taken off etcd before etcd starves it,
//! and is reopened now and then, since etcd may lose an event of an old one.

mod fault;
mod members;
mod options;
mod transaction;
mod watch;

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{GetOptions, KeyValue, ResponseHeader};
use tokio::time::Instant;

use self::fault::About;
use self::members::{ASK_ANOTHER_AFTER, Call, Clients, Members};
pub use self::options::{EtcdOptions, EtcdTls};
use crate::prefix::{page_start, prefix_end};
use crate::store::{page_limit, whole_seconds};
use crate::transaction::{validate_key, validate_prefix};
use crate::{
    Entry, Error, KeyRange, LeaseId, LeaseTime, MAX_RANGE_BYTES, Range, Result, Revision, Store, Transaction, WatchStream,
};

/// Entries asked for at once: few first, more when they turn out small.
const FIRST_PAGE: usize = 64;
const LARGEST_PAGE: usize = 512;
/// A page whose entries are larger than this on average is followed by small ones.
const SMALL_ENTRY_BYTES: usize = 32 << 10;

/// Largest message accepted from etcd. Its watch messages hold up to 1,000
/// revisions, its pages up to [`LARGEST_PAGE`] entries, and it bounds neither in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 30;

/// Read when only the revision is asked for. It lies where a user of etcd that may touch nothing but the
/// cluster's keys is allowed to read.
const PROBE_KEY: &[u8] = b"/orrery/";

/// Pause before a call is repeated, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An etcd cluster.
#[derive(Clone)]
pub struct Etcd {
    members: Arc<Members>,
    endpoints: String,
    timeout: Duration,
    /// The highest revision any answer has shown: a read that shows less is stale.
    seen: Arc<AtomicU64>,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Etcd {
    /// Connects to a cluster by its endpoints (`http://HOST:PORT` or `https://…`)
    /// and makes sure that it answers. Later the connection is restored by itself.
    pub async fn connect<E: AsRef<str>>(endpoints: &[E], options: &EtcdOptions) -> Result<Self> {
        let endpoints: Vec<&str> = endpoints.iter().map(AsRef::as_ref).collect();
        // Controllers with the same list need not all use its first member.
        let first = RandomState::new().hash_one(endpoints.len()) as usize;
        let etcd = Self {
            members: Arc::new(Members::new(&endpoints, options, first)),
            endpoints: endpoints.join(", "),
            timeout: options.timeout,
            seen: Arc::default(),
        };
        etcd.revision().await?;
        Ok(etcd)
    }

    fn about(&self) -> About {
        About { current: self.seen(), ..About::default() }
    }

    fn seen(&self) -> Revision {
        Revision(self.seen.load(Ordering::SeqCst))
    }

    /// The revision of an answer, remembered.
    fn observe(&self, header: Option<&ResponseHeader>) -> Result<Revision> {
        let header = header.ok_or_else(|| Error::corrupt("etcd sent an answer without a header"))?;
        let revision = header.revision().cast_unsigned();
        self.seen.fetch_max(revision, Ordering::SeqCst);
        Ok(Revision(revision))
    }

    fn late(&self) -> Error {
        Error::unavailable(format!("etcd at {} has not answered within {:?}; is it running?", self.endpoints, self.timeout))
    }

    /// Makes a call that may have been made when it fails with [`Error::Unavailable`]: it is repeated only where it
    /// cannot have been.
    async fn once<T, F>(&self, about: About, call: impl Call<F>) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, etcd_client::Error>> + Send + 'static,
    {
        let deadline = tokio::time::sleep(self.timeout);
        tokio::pin!(deadline);
        // While there is no answer others are asked something, which tells whether the member is silent.
        let watching = async {
            while self.members.count() > 1 {
                tokio::time::sleep(ASK_ANOTHER_AFTER).await;
                let _ = self.revision().await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::pin!(watching);
        for left in (0..self.members.count()).rev() {
            let index = self.members.present();
            let failure = tokio::select! {
                (_, answer) = self.members.send(index, about, call.clone()) => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                },
                silent = self.members.silence_of(index) => {
                    self.members.leave(index);
                    return Err(silent);
                }
                never = &mut watching => match never {},
                () = &mut deadline => return Err(self.late()),
            };
            if failure.error.is_retryable() {
                self.members.leave(index);
            }
            if left == 0 || !failure.is_unsent {
                return Err(failure.error);
            }
        }
        Err(self.late())
    }

    /// Repeats a call that changes nothing, or nothing more when it is made
    /// twice, until it is answered or the time is over.
    async fn repeat<T, F>(&self, about: About, call: impl Call<F>) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, etcd_client::Error>> + Send + 'static,
    {
        let deadline = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match tokio::time::timeout_at(deadline, self.members.ask(about, call.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => return Err(self.late()),
            };
            if !error.is_retryable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A linearizable read that is never older than what was seen when it began.
    async fn read(&self, key: &[u8], options: GetOptions, about: About) -> Result<(etcd_client::GetResponse, Revision)> {
        let (floor, key) = (self.seen(), key.to_vec());
        let get = move |mut clients: Clients| {
            let (key, options) = (key.clone(), options.clone());
            async move { clients.kv.get(key, Some(options)).await }
        };
        let answer = self.repeat(about, get).await?;
        let revision = self.observe(answer.header())?;
        if revision < floor {
            return Err(Error::unavailable(format!(
                "etcd answered at revision {revision} after it had shown {floor}: \
                 a member is stale, or the cluster was restored from a backup (restart orrery then)"
            )));
        }
        Ok((answer, revision))
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        validate_key(key)?;
        let (mut answer, _) = self.read(key.as_bytes(), GetOptions::new(), self.about()).await?;
        answer.take_kvs().pop().map(entry).transpose()
    }

    async fn range(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<Range> {
        validate_prefix(prefix)?;
        let limit = page_limit(limit);
        let end = prefix_end(prefix.as_bytes());
        let mut start = page_start(prefix, start_after);
        let at = at.filter(|at| !at.is_none());
        let mut range = Range { entries: Vec::new(), revision: at.unwrap_or_default(), more: true };
        if end.as_ref().is_some_and(|end| *end <= start) {
            range.revision = self.revision().await.map(|latest| at.unwrap_or(latest))?;
            range.more = false;
        }
        let (mut bytes, mut page) = (0, FIRST_PAGE);
        while range.more && range.entries.len() < limit && bytes < MAX_RANGE_BYTES {
            let wanted = page.min(limit - range.entries.len());
            // etcd's way to say "from the first key" and "to the last one" is a single zero byte.
            let first = if start.is_empty() { vec![0] } else { start };
            let options = GetOptions::new()
                .with_range(end.clone().unwrap_or_else(|| vec![0]))
                .with_limit(i64::try_from(wanted).unwrap_or(i64::MAX))
                .with_revision(wire(range.revision));
            let about = About { requested: range.revision, ..self.about() };
            let (mut answer, revision) = self.read(&first, options, about).await?;
            if range.revision.is_none() {
                range.revision = revision;
            }
            range.more = answer.more();
            let mut page_bytes = 0;
            for stored in answer.take_kvs() {
                if bytes + page_bytes >= MAX_RANGE_BYTES {
                    range.more = true;
                    break;
                }
                let entry = entry(stored)?;
                page_bytes += entry.key.len() + entry.value.len();
                range.entries.push(entry);
            }
            bytes += page_bytes;
            page = if page_bytes <= wanted * SMALL_ENTRY_BYTES { LARGEST_PAGE } else { FIRST_PAGE };
            start = range.entries.last().map_or(first, |entry| crate::prefix::successor(entry.key.as_bytes()));
        }
        Ok(range)
    }

    async fn keys(&self, prefix: &str, at: Option<Revision>, limit: usize, start_after: Option<&str>) -> Result<KeyRange> {
        validate_prefix(prefix)?;
        let end = prefix_end(prefix.as_bytes());
        let start = page_start(prefix, start_after);
        let at = at.filter(|at| !at.is_none());
        if end.as_ref().is_some_and(|end| *end <= start) {
            let revision = self.revision().await.map(|latest| at.unwrap_or(latest))?;
            return Ok(KeyRange { keys: Vec::new(), revision, more: false });
        }
        let options = GetOptions::new()
            .with_range(end.unwrap_or_else(|| vec![0]))
            .with_keys_only()
            .with_limit(i64::try_from(page_limit(limit)).unwrap_or(i64::MAX))
            .with_revision(wire(at.unwrap_or_default()));
        let about = About { requested: at.unwrap_or_default(), ..self.about() };
        // etcd's way to say "from the first key" is a single zero byte.
        let first = if start.is_empty() { vec![0] } else { start };
        let (mut answer, revision) = self.read(&first, options, about).await?;
        let keys = answer.take_kvs().into_iter().map(|stored| entry(stored).map(|entry| (entry.key, entry.mod_revision)));
        Ok(KeyRange { keys: keys.collect::<Result<_>>()?, revision: at.unwrap_or(revision), more: answer.more() })
    }

    async fn transact(&self, transaction: Transaction) -> Result<Revision> {
        transaction.validate()?;
        transaction::transact(self, transaction).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream> {
        validate_prefix(prefix)?;
        let from = if from.is_none() { self.revision().await?.next() } else { from };
        Ok(watch::watch(self.clone(), prefix, from))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let seconds = whole_seconds(ttl)?.cast_signed();
        let grant = move |mut clients: Clients| async move { clients.lease.grant(seconds, None).await };
        let granted = self.once(self.about(), grant).await?;
        Ok(LeaseId(granted.id()))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<()> {
        let about = About { lease: Some(lease), ..self.about() };
        // The stream behind it ends here: a call is one ping.
        let ping = move |mut clients: Clients| async move { clients.lease.keep_alive(lease.0).await.map(drop) };
        self.repeat(about, ping).await
    }

    async fn remaining(&self, lease: LeaseId) -> Result<LeaseTime> {
        let about = About { lease: Some(lease), ..self.about() };
        let ask = move |mut clients: Clients| async move { clients.lease.time_to_live(lease.0, None).await };
        let answer = self.repeat(about, ask).await?;
        // etcd says -1 for a lease that it does not have.
        let left = u64::try_from(answer.ttl()).map_err(|_| Error::LeaseNotFound { lease })?;
        let granted = u64::try_from(answer.granted_ttl()).unwrap_or_default();
        Ok(LeaseTime::new(Duration::from_secs(left), Duration::from_secs(granted)))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let about = About { lease: Some(lease), ..self.about() };
        let revoke = move |mut clients: Clients| async move { clients.lease.revoke(lease.0).await };
        self.once(about, revoke).await.map(drop)
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let about = About { requested: revision, ..self.about() };
        let compact = move |mut clients: Clients| async move { clients.kv.compact(wire(revision), None).await };
        match self.repeat(about, compact).await {
            Ok(_) | Err(Error::Compacted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn revision(&self) -> Result<Revision> {
        self.read(PROBE_KEY, probe_options(), self.about()).await.map(|(_, revision)| revision)
    }
}

/// Any linearizable read shows the revision; this one returns nothing else.
fn probe_options() -> GetOptions {
    GetOptions::new().with_keys_only().with_limit(1)
}

/// A revision as etcd takes it; one beyond its numbers is a future one all the same.
fn wire(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// An entry as etcd sends it.
fn entry(stored: KeyValue) -> Result<Entry> {
    let create_revision = Revision(stored.create_revision().cast_unsigned());
    let mod_revision = Revision(stored.mod_revision().cast_unsigned());
    let version = stored.version().cast_unsigned();
    let (key, value) = stored.into_key_value();
    let key = String::from_utf8(key).map_err(|error| Error::corrupt(format!("a key in etcd is not UTF-8: {error}")))?;
    Ok(Entry { key, value: value.into(), create_revision, mod_revision, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_reached_is_named_with_a_user_and_without() {
        // Bound and not listened on: nobody else gets the port, and nobody answers.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let endpoint = format!("http://{}", socket.local_addr().unwrap());
        for user in [None, Some(("root".to_owned(), "secret".to_owned()))] {
            let options = EtcdOptions { user, timeout: Duration::from_millis(500), ..EtcdOptions::default() };
            let text = Etcd::connect(&[&endpoint], &options).await.unwrap_err().to_string();
            assert!(text.contains(&format!("etcd at {endpoint}")) && !text.contains("secret"), "{text}");
        }
    }
}
