//! A disk that loses power or fails: what was acknowledged is there afterwards.

use std::io::Error as IoError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Embedded, EmbeddedOptions};
use crate::{Error, Retention, Revision, Store, Transaction, list};

/// The unit a disk writes whole.
const SECTOR: usize = 512;

/// What the system has been told, and what of it the disk holds for sure.
#[derive(Debug, Default)]
struct Platter {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Refuses changes.
    broken: bool,
    /// Refuses to sync, and takes for synced what it refused, as Linux does.
    forgets: bool,
    /// Refuses to be read.
    unreadable: bool,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Write(offset, data) => {
                for (place, sector) in data.chunks(SECTOR).enumerate() {
                    let start = offset + place * SECTOR;
                    if keep() && start + sector.len() <= image.len() {
                        image[start..start + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
    }
}

/// A handle on a platter, as redb's storage.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    fn change(&self, change: Change) -> Result<(), IoError> {
        let mut platter = self.0.lock().unwrap();
        if platter.broken {
            return Err(IoError::other("no space left"));
        }
        change.apply(&mut platter.seen, || true);
        platter.unsynced.push(change);
        Ok(())
    }

    /// The disk as a power cut leaves it: any sectors not yet synced may be
    /// there or not. `seed` decides.
    fn power_cut(&self, seed: u64) -> Self {
        let platter = self.0.lock().unwrap();
        let mut random = seed | 1;
        let mut image = platter.synced.clone();
        for change in &platter.unsynced {
            change.apply(&mut image, || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                !random.is_multiple_of(3)
            });
        }
        Self(Arc::new(Mutex::new(Platter { seen: image.clone(), synced: image, ..Platter::default() })))
    }

    fn set(&self, change: impl FnOnce(&mut Platter)) {
        change(&mut self.0.lock().unwrap());
    }

    fn open(&self) -> crate::Result<Embedded> {
        let medium = super::Medium::new(self.clone());
        let database = medium.open().map_err(super::broken)?;
        Embedded::start(medium, database, EmbeddedOptions { retention: Some(Retention { revisions: 40 }) })
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, IoError> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        let start = offset as usize;
        let platter = self.0.lock().unwrap();
        if platter.unreadable {
            return Err(IoError::other("a sector cannot be read"));
        }
        out.copy_from_slice(&platter.seen[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), IoError> {
        self.change(Change::Length(length as usize))
    }

    fn sync_data(&self) -> Result<(), IoError> {
        let mut platter = self.0.lock().unwrap();
        if platter.broken {
            return Err(IoError::other("no space left"));
        }
        if platter.forgets {
            platter.unsynced.clear();
            return Err(IoError::other("it could not be written"));
        }
        for change in std::mem::take(&mut platter.unsynced) {
            change.apply(&mut platter.synced, || true);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), IoError> {
        self.change(Change::Write(offset as usize, data.to_vec()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_by_a_power_cut() {
    const WRITERS: usize = 4;
    const CUTS: u64 = 60;
    let disk = Disk::default();
    let store = Arc::new(disk.open().unwrap());
    // Count and revision each writer has been told.
    let told = Arc::new(Mutex::new([(0_u64, Revision::NONE); WRITERS]));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, told) = (Arc::clone(&store), Arc::clone(&told));
            tokio::spawn(async move {
                for count in 1.. {
                    let value = format!("{count} {}", "x".repeat(if count % 9 == 0 { 30_000 } else { 10 }));
                    let change =
                        Transaction::new().put(format!("/w/{writer}"), value).put(format!("/also/{writer}"), count.to_string());
                    let revision = store.transact(change).await.unwrap();
                    told.lock().unwrap()[writer] = (count, revision);
                }
            })
        })
        .collect();
    let mut latest = store.watch("/w/", Revision::NONE).await.unwrap();
    for cut in 0..CUTS {
        // A little later each time, at a moment that commits decide.
        for _ in 0..cut % 5 {
            futures::StreamExt::next(&mut latest).await.unwrap().unwrap();
        }
        let promised = *told.lock().unwrap();
        let after = disk.power_cut(cut * 7919);
        let found = after.open().unwrap();
        for (writer, (count, revision)) in promised.into_iter().enumerate() {
            if count == 0 {
                continue;
            }
            let entry = found.get(&format!("/w/{writer}")).await.unwrap().unwrap();
            assert!(entry.version >= count && entry.mod_revision >= revision, "cut {cut}: {writer} lost {count}");
            assert!(entry.value.starts_with(format!("{} ", entry.version).as_bytes()));
            let also = found.get(&format!("/also/{writer}")).await.unwrap().unwrap();
            assert_eq!((also.mod_revision, also.version), (entry.mod_revision, entry.version), "whole transactions only");
        }
        let revision = found.revision().await.unwrap();
        assert_eq!(found.transact(Transaction::new().put("/next", "x")).await.unwrap(), revision.next());
        list(&found, "").await.unwrap();
    }
    for writer in writers {
        writer.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_is_reported_and_loses_nothing() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    let revision = store.transact(Transaction::new().put("/a", "1")).await.unwrap();
    disk.0.lock().unwrap().broken = true;
    for _ in 0..3 {
        let error = store.transact(Transaction::new().put("/a", "2")).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable { reason } if reason.contains("disk")), "{error}");
    }
    drop(store);
    disk.0.lock().unwrap().broken = false;
    let store = disk.open().unwrap();
    assert_eq!(store.get("/a").await.unwrap().unwrap().mod_revision, revision);
    assert_eq!(store.transact(Transaction::new().put("/a", "3")).await.unwrap(), revision.next());
}

/// Repeats a call until it succeeds; each failure must be one that may pass.
async fn until_it_succeeds<T, F: Future<Output = crate::Result<T>>>(call: impl Fn() -> F) -> T {
    let repeated = async {
        loop {
            match call().await {
                Ok(done) => return done,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), repeated).await.expect("the store goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_on_by_itself_when_its_disk_does() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    let mut watch = store.watch("/", Revision::NONE).await.unwrap();
    let lease = store.grant(Duration::from_secs(600)).await.unwrap();
    let mut told = Vec::new();
    for count in 0..3 {
        let acknowledged = Transaction::new().put_with_lease("/a", format!("before {count}"), lease);
        told.push(until_it_succeeds(|| store.transact(acknowledged.clone())).await);
        disk.set(|platter| platter.broken = true);
        let refused = store.transact(Transaction::new().put("/a", "refused")).await.unwrap_err();
        assert!(refused.is_retryable() && refused.to_string().contains("disk"), "{refused}");
        disk.set(|platter| platter.broken = false);
    }
    told.push(until_it_succeeds(|| store.transact(Transaction::new().put("/a", "after"))).await);
    store.keep_alive(lease).await.unwrap();
    for (place, revision) in told.iter().enumerate() {
        let seen = futures::StreamExt::next(&mut watch).await.unwrap().unwrap();
        assert_eq!((seen.revision, seen.events.len()), (*revision, 1), "{place}");
    }
    assert!(told.is_sorted() && told.last() == Some(&store.revision().await.unwrap()));
    let found = disk.power_cut(1).open().unwrap();
    assert_eq!(found.get("/a").await.unwrap().unwrap().value, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_after_a_sync_that_failed_survives_a_power_cut() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    let before = store.transact(Transaction::new().put("/a", "1")).await.unwrap();
    let mut watch = store.watch("/", before.next()).await.unwrap();
    disk.set(|platter| platter.forgets = true);
    store.transact(Transaction::new().put("/a", "2")).await.unwrap_err();
    match store.get("/a").await {
        Ok(entry) => assert_eq!(entry.unwrap().value, "1", "it is not durable"),
        Err(error) => assert!(error.is_retryable(), "{error}"),
    }
    disk.set(|platter| platter.forgets = false);
    let next = until_it_succeeds(|| store.transact(Transaction::new().put("/b", "1"))).await;
    let after = disk.power_cut(1).open().unwrap();
    assert_eq!(after.revision().await.unwrap(), next);
    let mut seen = Vec::new();
    while seen.last() != Some(&next) {
        seen.push(futures::StreamExt::next(&mut watch).await.unwrap().unwrap().revision);
    }
    let whole: Vec<Revision> = (before.next().0..=next.0).map(Revision).collect();
    assert_eq!(seen, whole, "watches miss nothing of what is in the file");
    assert_eq!(after.get("/a").await.unwrap(), store.get("/a").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_only_read_goes_on_as_well() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    // More than is kept in memory.
    let keys: Vec<String> = (0..30).map(|number| format!("/{number}")).collect();
    for key in &keys {
        store.transact(Transaction::new().put(key, "x".repeat(900_000))).await.unwrap();
    }
    disk.set(|platter| platter.unreadable = true);
    let mut failed = None;
    for key in &keys {
        if store.get(key).await.is_err() {
            failed = Some(key);
        }
    }
    disk.set(|platter| platter.unreadable = false);
    let failed = failed.expect("a key that is read from the disk");
    let found = until_it_succeeds(|| store.get(failed)).await.unwrap();
    assert_eq!(found.value.len(), 900_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_opened_again_stays_locked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.redb");
    let store = Embedded::open(&file).unwrap();
    store.transact(Transaction::new().put("/a", "1")).await.unwrap();
    for count in 0..3 {
        super::revival::reopen(&store.shared).unwrap();
        assert!(matches!(Embedded::open(&file), Err(Error::Locked { .. })), "{count}");
        store.transact(Transaction::new().put("/a", count.to_string())).await.unwrap();
    }
    drop(store);
    assert_eq!(Embedded::open(&file).unwrap().get("/a").await.unwrap().unwrap().value, "2");
}
