//! What a follower reads from the store: the stored part of the cluster, kept in step.
//!
//! A watch is a hint: revisions must rise, and whatever is odd leads to a new list through the same
//! code. Before a follower leads, keys and revisions are compared once and what differs is read again.

use crate::election::LeaderRecord;
use crate::surroundings::compute_beside;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use orrery_core::Timestamp;
use orrery_core::cluster::{CONTROLLERS, EPOCH_KEY, INSTANCES, LEADER_KEY, Mirror, PageReader, ROOT, ReadPages};
use orrery_store::{Entry, Error, Event, Key, Revision, Store, WatchEvents, WatchStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Entries read one by one when the mirror is made exact; when more differ, all are listed.
const READ_AGAIN_MAX: usize = 2_000;
/// How long changes that were written before an election may take to arrive.
const CHANGES_WAIT: Duration = Duration::from_millis(100);
/// Answers of the store that may be on the way to being seated when a whole cluster is read.
const READ_AHEAD: usize = 2;
/// Reads at a time.
const READS_AT_ONCE: usize = 32;

/// The mirror with the coordinates of the store.
pub(crate) struct StoreMirror {
    mirror: Mirror,
    /// When each entry was written.
    revisions: BTreeMap<Key, Revision>,
    /// Up to which revision it is complete.
    at: Revision,
    leader: Option<LeaderRecord>,
    /// All of it was read at once, and nothing but who controls has changed since, as far as a watch tells.
    is_read: bool,
}

impl StoreMirror {
    /// Reads everything, as of one revision. When that is compacted on the way, starts over at the latest.
    pub(crate) async fn load(store: &dyn Store, now: Timestamp) -> Result<Self, Error> {
        let loaded = loop {
            match Self::read(store, now).await {
                Err(error) if error.needs_relist() => {}
                read => break read?,
            }
        };
        for fault in loaded.mirror.faults() {
            tracing::error!(%fault, "a stored entry cannot be read and is left alone");
        }
        Ok(loaded)
    }

    /// What instances refer to is read first, then their pages. Three things go on side by side: the store is
    /// asked for pages, those before them are read, and those before these are seated.
    async fn read(store: &dyn Store, now: Timestamp) -> Result<Self, Error> {
        let (mut entries, mut last_instance) = (Vec::new(), None);
        let mut page = store.range(ROOT, None, 0, None).await?;
        let at = page.revision;
        loop {
            let last = page.entries.last().map(|entry| entry.key.clone());
            entries.append(&mut page.entries);
            let Some(mut after) = last.filter(|_| page.more) else { break };
            if after.starts_with(INSTANCES) {
                let past = format!("{INSTANCES}/{}", char::MAX);
                last_instance = Some(std::mem::replace(&mut after, past));
            }
            page = store.range(ROOT, Some(at), 0, Some(&after)).await?;
        }
        let mut loaded = Self { mirror: Mirror::default(), revisions: BTreeMap::new(), at, leader: None, is_read: true };
        let mut pages = pages_behind(store, at, last_instance);
        let taking = compute_beside(move || {
            let entries: Vec<_> = entries.into_iter().map(|entry| (entry.key.clone(), Some(entry))).collect();
            loaded.take_all(&entries, now);
            loaded
        });
        let first;
        (loaded, first) = tokio::join!(taking, pages.next());
        let reader = Arc::new(loaded.mirror.page_reader());
        let mut read = read_pages(reader, stream::iter(first).chain(pages).boxed());
        let mut next = read.next().await;
        while let Some((revisions, pages)) = next.transpose()? {
            let taking = compute_beside(move || {
                loaded.revisions.extend(revisions);
                loaded.mirror.take_pages(pages);
                loaded
            });
            (loaded, next) = tokio::join!(taking, read.next());
        }
        Ok(loaded)
    }

    pub(crate) const fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The first revision that is not in it.
    pub(crate) fn next(&self) -> Revision {
        self.at.next()
    }

    /// Who leads, as far as it tells.
    pub(crate) const fn leader(&self) -> Option<&LeaderRecord> {
        self.leader.as_ref()
    }

    /// The leader's key was read apart from the watch.
    pub(crate) fn set_leader(&mut self, leader: Option<LeaderRecord>) {
        self.leader = leader;
    }

    fn take_all(&mut self, entries: &[(Key, Option<Entry>)], now: Timestamp) {
        for (key, entry) in entries {
            match entry {
                Some(entry) => drop(self.revisions.insert(key.clone(), entry.mod_revision)),
                None => drop(self.revisions.remove(key)),
            }
            if key == LEADER_KEY {
                self.leader = entry.as_ref().and_then(|entry| LeaderRecord::parse(&entry.value));
            }
        }
        let changes = entries.iter().map(|(key, entry)| (key.as_str(), entry.as_ref().map(|entry| entry.value.as_ref())));
        self.mirror.apply(changes, now);
    }

    /// Takes in a batch of the watch.
    ///
    /// # Errors
    /// [`Error::Regressed`]: it does not continue what is here; load again.
    pub(crate) fn take(&mut self, batch: WatchEvents, now: Timestamp) -> Result<(), Error> {
        if batch.revision <= self.at {
            return Err(Error::Regressed { seen: self.at, received: batch.revision });
        }
        let is_of_controllers =
            |event: &Event| event.key().starts_with(CONTROLLERS) || matches!(event.key(), EPOCH_KEY | LEADER_KEY);
        self.is_read &= batch.revision == self.at.next() && batch.events.iter().all(is_of_controllers);
        let entries: Vec<(Key, Option<Entry>)> = batch
            .events
            .into_iter()
            .map(|event| match event {
                Event::Put(entry) => (entry.key.clone(), Some(entry)),
                Event::Delete { key, .. } => (key, None),
            })
            .collect();
        self.take_all(&entries, now);
        self.at = batch.revision;
        Ok(())
    }

    /// Whether it is exact already, because all of it has just been read and nothing was written since but who
    /// controls, up to the election that made `fence`. A controller that starts alone need not compare a million
    /// instances that it has just read.
    pub(crate) async fn is_exact(&mut self, fence: Revision, changes: &mut WatchStream, now: Timestamp) -> bool {
        while self.is_read && self.at.next() < fence {
            let Ok(Some(Ok(batch))) = tokio::time::timeout(CHANGES_WAIT, changes.next()).await else { return false };
            if self.take(batch, now).is_err() {
                return false;
            }
        }
        self.is_read && (self.at == fence || self.at.next() == fence)
    }

    /// Makes it exact, given that nobody else writes any more: whatever a watch has lost, delayed or
    /// repeated is found by its revision and read again.
    pub(crate) async fn make_exact(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), Error> {
        let listed = orrery_store::list_keys(store, ROOT).await?;
        let mut differing: Vec<Key> = Vec::new();
        let mut gone: BTreeMap<&Key, Revision> = self.revisions.iter().map(|(key, revision)| (key, *revision)).collect();
        for (key, revision) in &listed.keys {
            if gone.remove(key) != Some(*revision) {
                differing.push(key.clone());
            }
        }
        let gone: Vec<(Key, Option<Entry>)> = gone.into_keys().map(|key| (key.clone(), None)).collect();
        tracing::debug!(differ = differing.len(), gone = gone.len(), revision = listed.revision.0, "the mirror is made exact");
        if differing.len() > READ_AGAIN_MAX {
            *self = Self::load(store, now).await?;
            return Ok(());
        }
        let reads = differing.into_iter().map(|key| async move { store.get(&key).await.map(|entry| (key, entry)) });
        let read: Vec<Result<(Key, Option<Entry>), Error>> = futures::stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
        let read: Vec<(Key, Option<Entry>)> = gone.into_iter().map(Ok).chain(read).collect::<Result<_, _>>()?;
        self.take_all(&read, now);
        self.at = self.at.max(listed.revision);
        Ok(())
    }
}

/// Entries of instances behind a key, as of one revision; without a key nothing.
fn pages_behind(store: &dyn Store, at: Revision, after: Option<Key>) -> BoxStream<'_, Result<Vec<Entry>, Error>> {
    let next = move |after: Option<Key>| async move {
        let Some(after) = after else { return Ok(None) };
        let page = store.range(INSTANCES, Some(at), 0, Some(&after)).await?;
        let last = page.entries.last().filter(|_| page.more).map(|entry| entry.key.clone());
        Ok(Some((page.entries, last)))
    };
    stream::try_unfold(after, next).boxed()
}

/// When each page was written, and what they say.
type Read = (Vec<(Key, Revision)>, ReadPages);

/// Reads pages of instances, a few answers of the store ahead.
fn read_pages(reader: Arc<PageReader>, pages: BoxStream<'_, Result<Vec<Entry>, Error>>) -> BoxStream<'_, Result<Read, Error>> {
    let read = move |entries: Vec<Entry>| {
        let reader = Arc::clone(&reader);
        let read = compute_beside(move || {
            let pages = reader.read(entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_ref())));
            (entries.into_iter().map(|entry| (entry.key, entry.mod_revision)).collect(), pages)
        });
        read.map(Ok)
    };
    pages.map_ok(read).try_buffered(READ_AHEAD).boxed()
}

#[cfg(test)]
#[path = "mirror_test.rs"]
mod tests;
