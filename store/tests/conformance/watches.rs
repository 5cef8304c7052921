//! Watches: in order, none lost, none twice.

use futures::StreamExt;
use orrery_store::{Error, Event, Revision, Store, Transaction, WatchEvents, WatchStream, list};

use crate::backend::{Backend, soon};
use crate::cases::put;

pub(crate) async fn next(watch: &mut WatchStream) -> WatchEvents {
    soon(watch.next()).await.expect("a watch does not end").expect("a watch does not fail")
}

/// A batch in short: revision, then `key=value` or `-key`, sorted.
pub(crate) fn short(batch: &WatchEvents) -> (Revision, Vec<String>) {
    let mut events: Vec<String> = batch
        .events
        .iter()
        .map(|event| {
            assert_eq!(event.revision(), batch.revision);
            match event {
                Event::Put(entry) => format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
                Event::Delete { key, .. } => format!("-{key}"),
            }
        })
        .collect();
    events.sort();
    (batch.revision, events)
}

pub(crate) async fn a_watch_sees_each_revision_once_and_whole(Backend { store, .. }: Backend) {
    let start = put(&*store, "/w/before", "0").await;
    let mut live = store.watch("/w/", start.next()).await.unwrap();
    let a = store.transact(Transaction::new().put("/w/1", "a").put("/w/2", "a").put("/other", "a")).await.unwrap();
    put(&*store, "/other", "b").await;
    put(&*store, "/w", "not under the prefix").await;
    let b = store.transact(Transaction::new().put("/w/1", "b").delete("/w/2").delete("/w/absent")).await.unwrap();
    let c = store.transact(Transaction::new().delete_prefix("/w/")).await.unwrap();
    let expected = [
        (a, vec!["/w/1=a".to_owned(), "/w/2=a".into()]),
        (b, vec!["-/w/2".to_owned(), "/w/1=b".into()]),
        (c, vec!["-/w/1".to_owned(), "-/w/before".into()]),
    ];
    let mut replay = store.watch("/w/", start.next()).await.unwrap();
    for expected in &expected {
        assert_eq!(&short(&next(&mut live).await), expected);
        assert_eq!(&short(&next(&mut replay).await), expected);
    }
    let mut everything = store.watch("", start).await.unwrap();
    let mut revisions = Vec::new();
    while revisions.last() != Some(&c.0) {
        revisions.push(next(&mut everything).await.revision.0);
    }
    assert_eq!(revisions, (start.0..=c.0).collect::<Vec<_>>());
    let entry = store.watch("/w/", b).await.unwrap().next().await.unwrap().unwrap();
    let Some(Event::Put(entry)) = entry.events.iter().find(|event| matches!(event, Event::Put(_))) else { panic!() };
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (a, b, 2));
}

pub(crate) async fn a_watch_resumes_after_what_it_saw(Backend { store, .. }: Backend) {
    let mut from = store.revision().await.unwrap().next();
    let mut written = Vec::new();
    for n in 0..30 {
        written.push(put(&*store, &format!("/r/{}", n % 4), &n.to_string()).await);
        put(&*store, "/elsewhere", "x").await;
    }
    let mut seen = Vec::new();
    while seen.len() < written.len() {
        let mut watch = store.watch("/r/", from).await.unwrap();
        for _ in 0..7.min(written.len() - seen.len()) {
            let batch = next(&mut watch).await;
            from = batch.revision.next();
            seen.push(batch.revision);
        }
    }
    assert_eq!(seen, written);
}

pub(crate) async fn a_watch_from_now_sees_only_what_follows(Backend { store, .. }: Backend) {
    put(&*store, "/n", "before").await;
    let mut now = store.watch("/n", Revision::NONE).await.unwrap();
    let after = put(&*store, "/n", "after").await;
    assert_eq!(short(&next(&mut now).await), (after, vec!["/n=after".to_owned()]));
    let mut later = store.watch("/n", Revision(after.0 + 3)).await.unwrap();
    for n in 1..=3 {
        put(&*store, "/n", &n.to_string()).await;
    }
    assert_eq!(short(&next(&mut later).await), (Revision(after.0 + 3), vec!["/n=3".to_owned()]));
}

pub(crate) async fn a_compacted_watch_lists_again(Backend { store, .. }: Backend) {
    let first = put(&*store, "/c/a", "1").await;
    for n in 2..10 {
        put(&*store, "/c/a", &n.to_string()).await;
    }
    let mark = put(&*store, "/c/b", "1").await;
    store.compact(mark).await.unwrap();
    let mut watch = store.watch("/c/", first.next()).await.unwrap();
    let error = soon(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error, Error::Compacted { revision: mark });
    assert!(error.needs_relist() && !error.is_retryable());
    assert!(soon(watch.next()).await.is_none(), "the stream is over");
    let listed = list(&*store, "/c/").await.unwrap();
    assert_eq!(listed.entries.len(), 2);
    let mut watch = store.watch("/c/", listed.revision.next()).await.unwrap();
    let after = put(&*store, "/c/a", "after").await;
    assert_eq!(short(&next(&mut watch).await), (after, vec!["/c/a=after".to_owned()]));
    // A watch that has kept up is not disturbed by a compaction.
    store.compact(after).await.unwrap();
    let last = store.transact(Transaction::new().delete("/c/a")).await.unwrap();
    assert_eq!(short(&next(&mut watch).await), (last, vec!["-/c/a".to_owned()]));
}

pub(crate) async fn a_lagging_watch_is_replayed(Backend { store, .. }: Backend) {
    const WRITES: usize = 700;
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("/lag/", start.next()).await.unwrap();
    // Opened and then not read: 33 MiB pile up behind it, more than any buffer holds.
    let value = bytes::Bytes::from(vec![7; 48 << 10]);
    let mut written: Vec<Revision> = futures::stream::iter(0..WRITES)
        .map(|n| store.transact(Transaction::new().put(format!("/lag/{}", n % 10), value.clone())))
        .buffer_unordered(16)
        .map(Result::unwrap)
        .collect()
        .await;
    written.sort();
    for revision in written {
        assert_eq!(next(&mut watch).await.revision, revision);
    }
    let live = put(&*store, "/lag/x", "live").await;
    assert_eq!(next(&mut watch).await.revision, live);
}

pub(crate) async fn watches_under_load_see_the_same(Backend { store, .. }: Backend) {
    const WRITERS: u64 = 6;
    const ROUNDS: u64 = 30;
    let start = store.revision().await.unwrap();
    let last = start.0 + WRITERS * ROUNDS;
    let watchers: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut watch = store.watch("/load/", start.next()).await.unwrap();
                let mut seen = Vec::new();
                while seen.last().is_none_or(|(revision, _): &(Revision, Vec<String>)| revision.0 < last) {
                    seen.push(short(&next(&mut watch).await));
                }
                seen
            })
        })
        .collect();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for round in 0..ROUNDS {
                let change = Transaction::new().put(format!("/load/{writer}"), round.to_string()).put("/load/all", "x");
                revisions.push(store.transact(change).await.unwrap());
            }
            revisions
        })
    });
    let mut acknowledged: Vec<Revision> = Vec::new();
    for writer in futures::future::join_all(writers).await {
        let revisions = writer.unwrap();
        assert!(revisions.is_sorted_by(|a, b| a < b));
        acknowledged.extend(revisions);
    }
    acknowledged.sort();
    assert!(acknowledged.is_sorted_by(|a, b| a < b), "each transaction has its own revision");
    for watcher in watchers {
        let seen = watcher.await.unwrap();
        assert_eq!(seen.iter().map(|(revision, _)| *revision).collect::<Vec<_>>(), acknowledged);
        assert!(seen.iter().all(|(_, events)| events.len() == 2));
    }
}

pub(crate) async fn list_is(store: &dyn Store, prefix: &str, expected: &[&str]) {
    let keys: Vec<String> = list(store, prefix).await.unwrap().entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, expected);
}
