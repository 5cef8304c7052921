//! Keys, revisions, compares, ranges, compaction.

use bytes::Bytes;
use orrery_store::{Error, Revision, Store, Transaction, list};

use crate::backend::Backend;

pub(crate) async fn keys(store: &dyn Store, prefix: &str, at: Option<Revision>) -> Vec<String> {
    store.range(prefix, at, 0, None).await.unwrap().entries.into_iter().map(|entry| entry.key).collect()
}

pub(crate) async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    store.transact(Transaction::new().put(key, value.to_owned())).await.unwrap()
}

pub(crate) async fn a_new_store_is_empty(Backend { store, .. }: Backend) {
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    assert_eq!(store.get("/a").await.unwrap(), None);
    let range = store.range("", None, 0, None).await.unwrap();
    assert_eq!((range.entries.len(), range.revision, range.more), (0, Revision(1), false));
}

pub(crate) async fn revisions_and_versions_rise(Backend { store, .. }: Backend) {
    let first = put(&*store, "/a", "1").await;
    let second = store.transact(Transaction::new().put("/a", "2").put("/b", "x")).await.unwrap();
    assert_eq!(second, first.next());
    let entry = store.get("/a").await.unwrap().unwrap();
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (first, second, 2));
    assert_eq!((entry.key.as_str(), entry.value), ("/a", Bytes::from("2")));
    let third = store.transact(Transaction::new().delete("/a")).await.unwrap();
    assert_eq!((third, store.get("/a").await.unwrap()), (second.next(), None));
    let fourth = put(&*store, "/a", "").await;
    let entry = store.get("/a").await.unwrap().unwrap();
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (fourth, fourth, 1));
    assert!(entry.value.is_empty());
    assert_eq!(store.revision().await.unwrap(), fourth);
}

pub(crate) async fn what_changes_nothing_takes_no_revision(Backend { store, .. }: Backend) {
    let revision = put(&*store, "/a", "1").await;
    for transaction in [
        Transaction::new(),
        Transaction::new().delete("/absent"),
        Transaction::new().delete_prefix("/absent/"),
        Transaction::new().expect_revision("/a", revision),
    ] {
        assert_eq!(store.transact(transaction).await.unwrap(), revision);
    }
    assert_eq!(put(&*store, "/a", "1").await, revision.next(), "an equal value is a write all the same");
}

pub(crate) async fn a_failed_compare_writes_nothing(Backend { store, .. }: Backend) {
    let a = put(&*store, "/a", "1").await;
    let b = put(&*store, "/b", "2").await;
    let refused = [
        (Transaction::new().expect_absent("/a"), "/a"),
        (Transaction::new().expect_revision("/a", b), "/a"),
        (Transaction::new().expect_revision("/absent", a), "/absent"),
        (Transaction::new().expect_value("/a", "2"), "/a"),
        (Transaction::new().expect_value("/absent", ""), "/absent"),
        (Transaction::new().expect_revision("/a", a).expect_absent("/c").expect_value("/b", "3"), "/b"),
    ];
    for (transaction, key) in refused {
        let transaction = transaction.put("/new", "x").delete("/a");
        assert_eq!(store.transact(transaction).await, Err(Error::Conflict { key: key.into() }));
    }
    assert_eq!(keys(&*store, "", None).await, ["/a", "/b"]);
    assert_eq!(store.revision().await.unwrap(), b);
    let good = Transaction::new().expect_revision("/a", a).expect_value("/b", "2").expect_absent("/new");
    store.transact(good.clone().put("/new", "x")).await.unwrap();
    assert_eq!(store.transact(good.put("/new", "y")).await, Err(Error::Conflict { key: "/new".into() }));
}

pub(crate) async fn prefixes_have_sharp_edges(Backend { store, .. }: Backend) {
    let all =
        ["!", "/a", "/a/", "/a/b", "/a/b/c", "/a0", "/ab", "/b", "\u{7f}", "ÿ", "ÿ/x", "\u{ffff}", "\u{10ffff}", "\u{10ffff}x"];
    let mut transaction = Transaction::new();
    for key in all {
        transaction = transaction.put(key, key);
    }
    store.transact(transaction).await.unwrap();
    for prefix in ["", "/", "/a", "/a/", "/a/b", "/b", "/c", "ÿ", "\u{7f}", "\u{ffff}", "\u{10ffff}", "z"] {
        let expected: Vec<&str> = all.into_iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(keys(&*store, prefix, None).await, expected, "{prefix:?}");
    }
    store.transact(Transaction::new().delete_prefix("/a/")).await.unwrap();
    assert_eq!(keys(&*store, "/", None).await, ["/a", "/a0", "/ab", "/b"]);
    store.transact(Transaction::new().delete_prefix("\u{10ffff}")).await.unwrap();
    assert_eq!(keys(&*store, "\u{ffff}", None).await, ["\u{ffff}"]);
    store.transact(Transaction::new().delete_prefix("")).await.unwrap();
    assert_eq!(keys(&*store, "", None).await, Vec::<String>::new());
}

pub(crate) async fn pages_show_one_revision(Backend { store, .. }: Backend) {
    let names: Vec<String> = (0..25).map(|n| format!("/p/{n:02}")).collect();
    let filled = names.iter().fold(Transaction::new(), |t, name| t.put(name, "old")).put("/q", "x").put("/o", "x");
    store.transact(filled).await.unwrap();
    let mut page = store.range("/p/", None, 10, None).await.unwrap();
    let mut seen = page.entries.clone();
    while page.more {
        assert_eq!(page.entries.len(), 10);
        let last = page.entries.last().unwrap().key.clone();
        // Changes between pages, ahead and behind, must not show.
        let change = Transaction::new().put("/p/24", "new").put("/p/00x", "new").delete("/p/11").put("/p/99", "new");
        store.transact(change).await.unwrap();
        let next = store.range("/p/", Some(page.revision), 10, Some(&last)).await.unwrap();
        assert_eq!(next.revision, page.revision);
        page = next;
        seen.extend(page.entries.iter().cloned());
    }
    assert_eq!(seen.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), names);
    assert!(seen.iter().all(|entry| entry.value == "old"));
    let edge = |limit, after: &'static str| {
        let store = store.clone();
        async move {
            let range = store.range("/p/", None, limit, Some(after)).await.unwrap();
            (range.entries.first().map(|entry| entry.key.clone()), range.entries.len(), range.more)
        }
    };
    assert_eq!(edge(0, "/a").await, (Some("/p/00".into()), 26, false), "before the prefix");
    assert_eq!(edge(0, "/q").await, (None, 0, false), "behind the prefix");
    assert_eq!(edge(0, "/p/99").await, (None, 0, false), "at the end");
    assert_eq!(edge(1, "/p/24").await, (Some("/p/99".into()), 1, false), "the last one");
    let whole = store.range("/p/", None, 26, None).await.unwrap();
    assert_eq!((whole.entries.len(), whole.more), (26, false), "a page that fits exactly is the last");
}

pub(crate) async fn keys_come_without_values(Backend { store, .. }: Backend) {
    let first =
        store.transact(Transaction::new().put("/k/a", "1").put("/k/b", "1").put("/k/c", "1").put("/l", "x")).await.unwrap();
    let second = store.transact(Transaction::new().put("/k/b", "2").delete("/k/c")).await.unwrap();
    let page = store.keys("/k/", None, 0, None).await.unwrap();
    assert_eq!(page.keys, [("/k/a".to_owned(), first), ("/k/b".to_owned(), second)]);
    assert_eq!((page.revision, page.more), (second, false));
    let page = store.keys("/k/", Some(first), 2, None).await.unwrap();
    assert_eq!((page.keys.len(), page.revision, page.more), (2, first, true));
    let page = store.keys("/k/", Some(first), 2, Some("/k/b")).await.unwrap();
    assert_eq!((page.keys, page.more), (vec![("/k/c".to_owned(), first)], false));
    let page = store.keys("/k/", None, 1, None).await.unwrap();
    assert_eq!((page.keys.len(), page.more), (1, true), "now, in pages");
    let behind = store.keys("/k/", None, 0, Some("/z")).await.unwrap();
    assert_eq!((behind.keys.len(), behind.more, behind.revision), (0, false, second));
    let whole = orrery_store::list_keys(&*store, "").await.unwrap();
    assert_eq!(whole.keys.len(), 3);
    let future = store.keys("/k/", Some(second.next()), 0, None).await;
    assert!(matches!(future, Err(Error::FutureRevision { .. })), "{future:?}");
    store.compact(second).await.unwrap();
    let compacted = store.keys("/k/", Some(first), 0, None).await;
    assert!(matches!(compacted, Err(Error::Compacted { .. })), "{compacted:?}");
}

pub(crate) async fn old_revisions_stay_readable(Backend { store, .. }: Backend) {
    let first = put(&*store, "/a", "1").await;
    let second = store.transact(Transaction::new().put("/a", "2").put("/b", "2")).await.unwrap();
    let third = store.transact(Transaction::new().delete("/a")).await.unwrap();
    let fourth = put(&*store, "/a", "4").await;
    let at = |revision| {
        let store = store.clone();
        async move {
            let range = store.range("/", Some(revision), 0, None).await.unwrap();
            assert_eq!(range.revision, revision);
            range
                .entries
                .into_iter()
                .map(|e| format!("{}={}v{}", e.key, String::from_utf8_lossy(&e.value), e.version))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(at(Revision(1)).await, Vec::<String>::new());
    assert_eq!(at(first).await, ["/a=1v1"]);
    assert_eq!(at(second).await, ["/a=2v2", "/b=2v1"]);
    assert_eq!(at(third).await, ["/b=2v1"]);
    assert_eq!(at(fourth).await, ["/a=4v1", "/b=2v1"]);
    let future = store.range("/", Some(fourth.next()), 0, None).await;
    assert_eq!(future, Err(Error::FutureRevision { requested: fourth.next(), current: fourth }));
    let latest = store.range("/", Some(Revision::NONE), 0, None).await.unwrap();
    assert_eq!(latest.revision, fourth, "0 is the latest");
}

pub(crate) async fn compaction_forgets_only_what_was_superseded(Backend { store, .. }: Backend) {
    let first = put(&*store, "/a", "1").await;
    put(&*store, "/quiet", "q").await;
    put(&*store, "/gone", "g").await;
    store.transact(Transaction::new().delete("/gone")).await.unwrap();
    put(&*store, "/a", "2").await;
    let mark = put(&*store, "/a", "3").await;
    let last = put(&*store, "/a", "4").await;
    store.compact(mark).await.unwrap();
    assert!(matches!(store.range("/", Some(first), 0, None).await, Err(Error::Compacted { .. })));
    let value = |at| {
        let store = store.clone();
        async move { store.range("/a", at, 0, None).await.unwrap().entries[0].value.clone() }
    };
    assert_eq!(value(Some(mark)).await, "3");
    assert_eq!(value(None).await, "4");
    assert_eq!(keys(&*store, "", Some(mark)).await, ["/a", "/quiet"]);
    assert_eq!(keys(&*store, "", None).await, ["/a", "/quiet"]);
    store.compact(mark).await.expect("compacting again does nothing");
    store.compact(first).await.expect("nor does compacting further back");
    let ahead = store.compact(last.next()).await;
    assert!(matches!(ahead, Err(Error::FutureRevision { .. })), "{ahead:?}");
    store.compact(last).await.unwrap();
    assert_eq!(list(&*store, "").await.unwrap().entries.len(), 2);
    let entry = store.get("/a").await.unwrap().unwrap();
    assert_eq!((entry.create_revision, entry.version), (first, 4), "what a key is survives its history");
}

pub(crate) async fn concurrent_writers_lose_no_update(Backend { store, .. }: Backend) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 20;
    put(&*store, "/counter", "0").await;
    let writers = (0..WRITERS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                loop {
                    let entry = store.get("/counter").await.unwrap().unwrap();
                    let next = std::str::from_utf8(&entry.value).unwrap().parse::<usize>().unwrap() + 1;
                    let change =
                        Transaction::new().expect_revision("/counter", entry.mod_revision).put("/counter", next.to_string());
                    match store.transact(change).await {
                        Ok(_) => break,
                        Err(Error::Conflict { key }) => assert_eq!(key, "/counter"),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let entry = store.get("/counter").await.unwrap().unwrap();
    assert_eq!(entry.value, (WRITERS * ROUNDS).to_string());
    assert_eq!(entry.version as usize, WRITERS * ROUNDS + 1);
}

pub(crate) async fn nonsense_is_refused(Backend { store, .. }: Backend) {
    for transaction in [
        Transaction::new().put("", "x"),
        Transaction::new().put("/a\0", "x"),
        Transaction::new().put("/a", "x").put("/a", "y"),
        Transaction::new().put("/a", "x").delete("/a"),
        Transaction::new().put("/a/b", "x").delete_prefix("/a/"),
        Transaction::new().delete(""),
    ] {
        let refused = store.transact(transaction.clone()).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{transaction:?}: {refused:?}");
    }
    assert!(matches!(store.get("").await, Err(Error::Invalid { .. })));
    let future = store.range("", Some(Revision(u64::MAX)), 0, None).await;
    assert!(matches!(future, Err(Error::FutureRevision { .. })), "{future:?}");
    assert_eq!(store.revision().await.unwrap(), Revision(1));
}
