//! Large values and large transactions.

use futures::StreamExt;
use orrery_store::{Error, Event, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, Revision, Transaction, list};

use crate::backend::{Backend, soon};

pub(crate) async fn large_values_pass(Backend { store, .. }: Backend) {
    let value = |seed: u8| -> Vec<u8> { (0..1 << 20).map(|n: u32| seed ^ (n % 251) as u8).collect() };
    let mut watch = store.watch("/big/", Revision::NONE).await.unwrap();
    for seed in 0..12 {
        store.transact(Transaction::new().put(format!("/big/{seed:02}"), value(seed))).await.unwrap();
    }
    let mut replay = store.watch("/big/", Revision(2)).await.unwrap();
    for seed in 0..12 {
        assert_eq!(store.get(&format!("/big/{seed:02}")).await.unwrap().unwrap().value, value(seed));
        for watch in [&mut watch, &mut replay] {
            let batch = soon(watch.next()).await.unwrap().unwrap();
            assert!(matches!(&batch.events[..], [Event::Put(entry)] if entry.value == value(seed)), "{seed}");
        }
    }
    let page = store.range("/big/", None, 0, None).await.unwrap();
    assert!(page.more, "a page is bounded in bytes");
    let whole = list(&*store, "/big/").await.unwrap();
    assert_eq!(whole.entries.len(), 12);
    assert!(whole.entries.iter().zip(0..).all(|(entry, seed)| entry.value == value(seed)));
    let swap = Transaction::new().expect_value("/big/00", value(0)).put("/big/00", "small");
    store.transact(swap.clone()).await.expect("a large value can be compared");
    assert_eq!(store.transact(swap).await, Err(Error::Conflict { key: "/big/00".into() }));
    let largest = MAX_TRANSACTION_BYTES - "/big/max".len();
    store.transact(Transaction::new().put("/big/max", vec![1; largest])).await.unwrap();
    let refused = store.transact(Transaction::new().put("/big/max", vec![1; largest + 1])).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

pub(crate) async fn operations_are_limited(Backend { store, .. }: Backend) {
    let fill = |count: usize| (0..count).fold(Transaction::new(), |t, n| t.put(format!("/k/{n:03}"), "v"));
    let revision = store.transact(fill(MAX_OPERATIONS)).await.unwrap();
    let range = store.range("/k/", None, 0, None).await.unwrap();
    assert_eq!((range.entries.len(), range.revision), (MAX_OPERATIONS, revision));
    assert!(range.entries.iter().all(|entry| entry.mod_revision == revision));
    let refused = store.transact(fill(MAX_OPERATIONS + 1)).await;
    assert_eq!(refused, Err(Error::TooLarge { what: "the number of operations", actual: 129, limit: 128 }));
    let compared =
        |revision| (0..MAX_OPERATIONS).fold(fill(MAX_OPERATIONS), |t, n| t.expect_revision(format!("/k/{n:03}"), revision));
    store.transact(compared(revision)).await.expect("128 compares and 128 operations");
    assert_eq!(store.transact(compared(revision)).await, Err(Error::Conflict { key: "/k/000".into() }));
    let refused = store.transact(compared(revision).expect_absent("/k/x")).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
}

pub(crate) async fn long_lists_arrive_whole(Backend { store, .. }: Backend) {
    let mut expected = Vec::new();
    for part in 0..20 {
        let names: Vec<String> = (0..MAX_OPERATIONS).map(|n| format!("/l/{part:02}/{n:03}")).collect();
        store.transact(names.iter().fold(Transaction::new(), |t, name| t.put(name, "v"))).await.unwrap();
        expected.extend(names);
    }
    let whole = list(&*store, "/l/").await.unwrap();
    assert_eq!(whole.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>(), expected);
    let page = store.range("/l/", None, 1000, None).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (1000, true));
}
