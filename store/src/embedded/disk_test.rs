//! A disk that loses power or fails: what was acknowledged is there afterwards.

use std::io::Error as IoError;
use std::sync::{Arc, Mutex};

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
    broken: bool,
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

    fn open(&self) -> crate::Result<Embedded> {
        let database = redb::Builder::new().create_with_backend(self.clone()).map_err(super::broken)?;
        Embedded::start(database, EmbeddedOptions { retention: Some(Retention { revisions: 40 }) })
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, IoError> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        let start = offset as usize;
        out.copy_from_slice(&self.0.lock().unwrap().seen[start..start + out.len()]);
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
