use super::*;
use orrery_core::Timestamp;
use orrery_core::cluster::LEADER_KEY;
use orrery_store::{Embedded, Store, Transaction};
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;

const CLUSTER: &str = "c-1";

fn header() -> Header {
    Header { cluster: CLUSTER.into(), revision: 7, created_at: Timestamp::from_millis(1), version: "1".into() }
}

fn written(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for (key, value) in entries {
        writer.entry(key, value).unwrap();
    }
    writer.finish().unwrap().0
}

fn open(bytes: &[u8]) -> Result<Backup, BackupError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let backup = Backup::open(file.path())?;
    // Reads to the end while the file is there.
    for entry in backup.entries()? {
        entry?;
    }
    Ok(backup)
}

proptest::proptest! {
    #[test]
    fn what_was_written_is_read(entries in proptest::collection::btree_map("/[a-z/]{1,40}", proptest::collection::vec(proptest::num::u8::ANY, 0..300), 0..40)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), written(&entries)).unwrap();
        let backup = Backup::open(file.path()).unwrap();
        proptest::prop_assert_eq!(&backup.header, &header());
        let read: BTreeMap<String, Vec<u8>> = backup.entries().unwrap().map(Result::unwrap).collect();
        proptest::prop_assert_eq!(read, entries);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_shows() {
    let entries = BTreeMap::from([("/orrery/v1/a".to_owned(), b"one".to_vec()), ("/orrery/v1/b".to_owned(), vec![0; 200])]);
    let whole = written(&entries);
    assert!(open(&whole).is_ok());
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut broken = whole.clone();
            broken[at] ^= 1 << bit;
            assert!(matches!(open(&broken), Err(BackupError::Damaged(_))), "byte {at}, bit {bit}");
        }
        assert!(matches!(open(&whole[..at]), Err(BackupError::Damaged(_))), "cut at {at}");
    }
    assert!(matches!(open(&[&whole[..], b"x"].concat()), Err(BackupError::Damaged(_))));
}

#[test]
fn a_fresh_epoch_is_above_all_that_agents_may_have_seen() {
    let now = 1_800_000_000;
    let first = next_epoch(3, 0, now);
    assert!(first >= now);
    // Leaders after it, then another restore of the same backup an hour later.
    assert!(next_epoch(3, 0, now + 3600) > first + 1_000);
    // With a clock that went back the target still counts, and the step helps.
    assert!(next_epoch(3, first + 50, 0) > first + 50);
    assert!(next_epoch(first, 0, 0) > first + 1_000_000);
}

async fn store_with(keys: &[(&str, &str)]) -> Embedded {
    let store = Embedded::in_memory().unwrap();
    for (key, value) in keys {
        store.transact(Transaction::new().put(*key, value.as_bytes().to_vec())).await.unwrap();
    }
    store
}

async fn cluster() -> Embedded {
    let store = store_with(&[
        ("/orrery/v1/cluster/id", "\"c-1\""),
        (EPOCH_KEY, "5"),
        ("/orrery/v1/leader", "{}"),
        ("/orrery/v1/controllers/x", "{}"),
        ("/elsewhere", "not ours"),
    ])
    .await;
    for part in 0..4 {
        let apps = (0..100).map(|number| format!("/orrery/v1/apps/a{part}-{number}"));
        let all = apps.fold(Transaction::new(), |transaction, app| transaction.put(app, vec![7; 4000]));
        store.transact(all).await.unwrap();
    }
    store
}

/// A cluster whose controllers are stopped.
async fn stopped() -> Embedded {
    let store = cluster().await;
    store.transact(Transaction::new().delete(LEADER_KEY)).await.unwrap();
    store
}

async fn contents(store: &Embedded) -> BTreeMap<String, Vec<u8>> {
    let range = orrery_store::list(store, ROOT).await.unwrap();
    range.entries.into_iter().filter(|entry| is_state(&entry.key)).map(|entry| (entry.key, entry.value.to_vec())).collect()
}

async fn epoch(store: &Embedded) -> u64 {
    epoch_of(store.get(EPOCH_KEY).await.unwrap().as_ref().map(|entry| &*entry.value))
}

fn into(store: &Embedded) -> Target<'_> {
    Target { store, force: None }
}

/// Drops a future after it has waited a number of times, as the end of its process would.
async fn dropped_after<F: Future>(future: F, waits: usize) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), waits);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn a_move_that_is_interrupted_anywhere_is_made_again() {
    let wanted = contents(&cluster().await).await;
    assert_eq!(wanted.len(), 401);
    let mut finished = false;
    for waits in 0..200 {
        let (origin, target) = (cluster().await, Embedded::in_memory().unwrap());
        let first = dropped_after(migrate(&origin, &into(&target), "there", 100), waits).await;
        // What was on its way arrives before the process is started again.
        for store in [&origin, &target] {
            store.transact(Transaction::new().put("/flush", "")).await.unwrap();
        }
        let open = closed(&target).await.unwrap().is_none();
        if open && !contents(&target).await.is_empty() {
            assert_eq!(contents(&target).await, wanted, "an open store is whole, after {waits}");
            assert!(closed(&origin).await.unwrap().is_some(), "never two open ones, after {waits}");
        }
        migrate(&origin, &into(&target), "there", 200).await.unwrap();
        assert_eq!(contents(&target).await, wanted, "after {waits}");
        assert_eq!(closed(&target).await.unwrap(), None);
        assert_eq!(closed(&origin).await.unwrap(), Some(Closed::Moved { to: "there".into() }));
        assert!(epoch(&target).await > epoch(&origin).await);
        assert!(target.get("/orrery/v1/leader").await.unwrap().is_none());
        if first.is_some() {
            finished = true;
            break;
        }
    }
    assert!(finished, "the loop reached the end of a whole move");
}

#[tokio::test]
async fn refusals_leave_everything_as_it_is() {
    let origin = stopped().await;
    let other = store_with(&[("/orrery/v1/cluster/id", "\"c-2\""), (EPOCH_KEY, "1")]).await;
    let nothing = Embedded::in_memory().unwrap();
    let before = contents(&other).await;
    for (force, text) in [(None, "not empty"), (Some("c-2"), "the target holds c-2"), (Some(CLUSTER), "the target holds c-2")] {
        let error = migrate(&origin, &Target { store: &other, force }, "there", 1).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    assert_eq!((contents(&other).await, closed(&other).await.unwrap(), closed(&origin).await.unwrap()), (before, None, None));
    assert!(matches!(migrate(&nothing, &into(&other), "there", 1).await, Err(BackupError::Nothing)));
    // Moved away, and not to another place after that; back with force.
    let target = Embedded::in_memory().unwrap();
    migrate(&origin, &into(&target), "there", 1).await.unwrap();
    let error = migrate(&origin, &into(&nothing), "elsewhere", 1).await.unwrap_err().to_string();
    assert!(error.contains("moved to there"), "{error}");
    target.transact(Transaction::new().put("/orrery/v1/apps/new", "x")).await.unwrap();
    let error = migrate(&origin, &into(&target), "there", 1).await.unwrap_err();
    assert!(matches!(error, BackupError::Closed(_)), "what was written there since is not replaced: {error}");
    let error = migrate(&target, &Target { store: &origin, force: Some("c-9") }, "back", 1).await.unwrap_err().to_string();
    assert_eq!(error, format!("--force names c-9, but what is replaced is cluster {CLUSTER}: give --force {CLUSTER}"));
    migrate(&target, &Target { store: &origin, force: Some(CLUSTER) }, "back", 1).await.unwrap();
    assert_eq!(contents(&origin).await, contents(&target).await);
    assert_eq!(closed(&origin).await.unwrap(), None);
    assert!(epoch(&origin).await > epoch(&target).await);
    assert!(reopen(&target, "c-2", 1).await.is_err());
    let before = epoch(&target).await;
    reopen(&target, CLUSTER, 1).await.unwrap();
    assert_eq!(closed(&target).await.unwrap(), None);
    assert!(epoch(&target).await > before + 1, "agents have met later leaders meanwhile");
}

#[tokio::test]
async fn a_leader_of_the_target_is_fenced_off_and_of_the_origin_too() {
    let (origin, target) = (cluster().await, stopped().await);
    let fences = [origin.get(EPOCH_KEY).await.unwrap().unwrap(), target.get(EPOCH_KEY).await.unwrap().unwrap()];
    migrate(&origin, &Target { store: &target, force: Some(CLUSTER) }, "there", 1).await.unwrap();
    for (store, fence) in [&origin, &target].into_iter().zip(fences) {
        let late = Transaction::new().expect_revision(EPOCH_KEY, fence.mod_revision).put("/orrery/v1/late", "x");
        assert!(store.transact(late).await.is_err());
    }
}

#[tokio::test]
async fn a_target_with_a_leader_is_refused() {
    let leads = r#"{"id":"c1","url":"https://c1:8443","address":"10.0.0.1:8443","epoch":5}"#;
    for (record, told) in [(leads, "leads on the target now, at https://c1:8443; stop all"), ("{}", "target now; stop all")] {
        let (origin, target) = (cluster().await, stopped().await);
        target.transact(Transaction::new().put(LEADER_KEY, record)).await.unwrap();
        let before = (contents(&target).await, epoch(&target).await);
        let goal = Target { store: &target, force: Some(CLUSTER) };
        let moved = migrate(&origin, &goal, "there", 1).await.unwrap_err().to_string();
        let restored = copy(&mut StoreSource::new(&origin, origin.revision().await.unwrap()), CLUSTER, 5, &goal, 1).await;
        assert!(moved.contains(told), "{moved}");
        assert!(matches!(restored, Err(BackupError::Led(_))), "{restored:?}");
        assert_eq!((contents(&target).await, epoch(&target).await), before);
        assert_eq!((closed(&origin).await.unwrap(), closed(&target).await.unwrap()), (None, None));
    }
}

#[tokio::test]
async fn a_store_on_which_a_controller_led_alone_is_replaced() {
    let (origin, target) = (cluster().await, stopped().await);
    let me = crate::ControllerRecord {
        id: "alone".into(),
        url: "http://127.0.0.1:8080".into(),
        address: ([127, 0, 0, 1], 8080).into(),
        protocol: orrery_link::protocol::Versions::spoken(),
    };
    let candidacy = crate::election::Candidacy { me: &me, ttl: None, over: None, steadfast: false };
    assert!(crate::election::campaign(&target, candidacy).await.unwrap().is_some());
    migrate(&origin, &Target { store: &target, force: Some(CLUSTER) }, "there", 1).await.unwrap();
    assert_eq!(contents(&target).await, contents(&origin).await);
}

#[tokio::test]
async fn a_backup_restores_what_was_there() {
    let origin = cluster().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = Vec::new();
    let (header, footer) = export(&origin, Timestamp::from_millis(5), &mut bytes).await.unwrap();
    // 401 and the epoch; neither who leads nor what is not ours.
    assert_eq!((header.cluster.as_str(), footer.entries), (CLUSTER, 402));
    std::fs::write(file.path(), bytes).unwrap();
    let backup = Backup::open(file.path()).unwrap();
    let target = Embedded::in_memory().unwrap();
    let copied = copy(&mut backup.entries().unwrap(), &backup.header.cluster, 0, &into(&target), 1).await.unwrap();
    assert_eq!(contents(&target).await, contents(&origin).await);
    assert!(copied.epoch > 5 + 1_000_000 && epoch(&target).await == copied.epoch, "{copied:?}");
    let empty = Embedded::in_memory().unwrap();
    assert!(matches!(export(&empty, Timestamp::from_millis(5), &mut Vec::new()).await, Err(BackupError::Nothing)));
}

#[test]
fn entries_that_do_not_load_are_named() {
    let entries = BTreeMap::from([
        ("/orrery/v1/apps/web".to_owned(), b"{".to_vec()),
        ("/orrery/v1/cluster/id".to_owned(), b"\"c-1\"".to_vec()),
    ]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), written(&entries)).unwrap();
    let contents = verify(&Backup::open(file.path()).unwrap(), Timestamp::from_millis(1)).unwrap();
    assert_eq!(contents.entries, 2);
    assert_eq!(contents.faults.iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(), ["/orrery/v1/apps/web"]);
}

#[tokio::test]
async fn a_store_of_which_only_controllers_are_left_counts_as_empty() {
    let origin = stopped().await;
    let wiped = store_with(&[("/orrery/v1/controllers/x", "{}"), ("/orrery/v1/controllers/y", "{}"), (EPOCH_KEY, "3")]).await;
    migrate(&origin, &into(&wiped), "there", 1).await.unwrap();
    let nameless = store_with(&[("/orrery/v1/apps/a", "{}")]).await;
    let origin = stopped().await;
    let error = migrate(&origin, &into(&nameless), "there", 1).await.unwrap_err().to_string();
    assert!(error.contains("names no cluster") && error.contains(&format!("--force {CLUSTER}")), "{error}");
    migrate(&origin, &Target { store: &nameless, force: Some(CLUSTER) }, "there", 1).await.unwrap();
    assert_eq!(contents(&nameless).await, contents(&wiped).await);
}
