//! What only the embedded store does: it is one file of one process, is
//! reopened, and bounds its history by itself.

use std::time::Duration;

use futures::StreamExt;
use orrery_store::{Embedded, EmbeddedOptions, Error, Retention, Revision, Store, Transaction, list};

use crate::backend::soon;
use crate::cases::{keys, put};
use crate::watches::{list_is, next, short};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/directory/store.redb");
    let store = Embedded::open(&path).unwrap();
    let first = put(&store, "/a", "1").await;
    let lease = store.grant(Duration::from_secs(1)).await.unwrap();
    let leased = store.transact(Transaction::new().put("/a", "2").put_with_lease("/leased", "x", lease)).await.unwrap();
    drop(store);
    let store = Embedded::open(&path).unwrap();
    assert_eq!(store.revision().await.unwrap(), leased);
    assert_eq!(store.get("/a").await.unwrap().unwrap().version, 2);
    assert_eq!(keys(&store, "", Some(first)).await, ["/a"], "history too");
    let mut watch = store.watch("", first).await.unwrap();
    assert_eq!(short(&next(&mut watch).await), (first, vec!["/a=1".to_owned()]));
    assert_eq!(next(&mut watch).await.revision, leased);
    // The lease was given its time again, and still ends.
    assert_eq!(short(&next(&mut watch).await), (leased.next(), vec!["-/leased".to_owned()]));
    assert_ne!(store.grant(Duration::from_secs(9)).await.unwrap(), lease, "names of leases are not used again");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others can't read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opener_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = Embedded::open(&path).unwrap();
    let watch = store.watch("", Revision::NONE).await.unwrap();
    let refused = Embedded::open(&path).unwrap_err();
    assert_eq!(refused, Error::Locked { path: path.display().to_string() });
    drop(store);
    Embedded::open(&path).expect("an open watch does not keep the file");
    drop(watch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_ends_its_watches() {
    let store = Embedded::in_memory().unwrap();
    let mut watch = store.watch("", Revision::NONE).await.unwrap();
    drop(store);
    assert!(matches!(soon(watch.next()).await, Some(Err(Error::Unavailable { .. }))));
    assert!(soon(watch.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, "this is no database, but long enough to be looked at\n".repeat(200)).unwrap();
    let error = Embedded::open(&path).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { reason } if reason.contains("store.redb")), "{error}");
    let error = Embedded::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_bounded() {
    let options = EmbeddedOptions { retention: Some(Retention { revisions: 100 }) };
    let store = Embedded::in_memory_with(options).unwrap();
    put(&store, "/old", "kept").await;
    let mut last = Revision::NONE;
    for n in 0..1000 {
        last = put(&store, &format!("/k/{}", n % 3), &n.to_string()).await;
    }
    assert!(matches!(store.range("", Some(Revision(last.0 - 201)), 0, None).await, Err(Error::Compacted { .. })));
    list_is(&store, "", &["/k/0", "/k/1", "/k/2", "/old"]).await;
    assert_eq!(keys(&store, "/k", Some(Revision(last.0 - 99))).await.len(), 3);
    assert_eq!(list(&store, "/k/").await.unwrap().entries[0].version, 334);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_compaction_happens_in_slices() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = Embedded::open_with(&path, EmbeddedOptions { retention: None }).unwrap();
    for part in 0..60 {
        let fill = (0..128).fold(Transaction::new(), |t, n| t.put(format!("/k/{n}"), part.to_string()));
        store.transact(fill).await.unwrap();
    }
    let mark = store.transact(Transaction::new().delete_prefix("/k/1")).await.unwrap();
    store.compact(mark).await.unwrap();
    // Closed while garbage is left: it is removed by the next run.
    drop(store);
    let store = Embedded::open_with(&path, EmbeddedOptions { retention: None }).unwrap();
    for n in 0..20 {
        put(&store, "/other", &n.to_string()).await;
    }
    let left = store.range("/k/", Some(mark), 0, None).await.unwrap();
    assert_eq!(left.entries.len(), 128 - 1 - 10 - 28);
    assert!(left.entries.iter().all(|entry| entry.value == "59" && entry.version == 60));
    let mut watch = store.watch("/k/", mark).await.unwrap();
    assert_eq!(next(&mut watch).await.events.len(), 39, "a deletion at the mark is still owed");
}
