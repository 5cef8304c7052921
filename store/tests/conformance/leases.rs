//! Leases. Time passes by the store's own clock: what is awaited is an event.

use std::time::Duration;

use futures::StreamExt;
use orrery_store::{Error, LeaseId, LeaseTime, Revision, Store, Transaction};

use crate::backend::{Backend, soon};
use crate::watches::{list_is, next, short};

const SECOND: Duration = Duration::from_secs(1);

async fn leased(store: &dyn Store, ttl: Duration, keys: &[&str]) -> LeaseId {
    let lease = store.grant(ttl).await.unwrap();
    let put = keys.iter().fold(Transaction::new(), |t, key| t.put_with_lease(*key, "v", lease));
    store.transact(put).await.unwrap();
    lease
}

pub(crate) async fn an_ended_lease_deletes_its_keys(Backend { store, .. }: Backend) {
    let ended = leased(&*store, SECOND, &["/l/a", "/l/b"]).await;
    let revoked = leased(&*store, SECOND * 600, &["/l/c"]).await;
    let free = store.transact(Transaction::new().put("/l/free", "v")).await.unwrap();
    let mut watch = store.watch("/l/", free.next()).await.unwrap();
    let batch = next(&mut watch).await;
    assert_eq!(short(&batch).1, ["-/l/a", "-/l/b"], "in one revision");
    assert_eq!(store.keep_alive(ended).await, Err(Error::LeaseNotFound { lease: ended }));
    assert_eq!(store.revoke(ended).await, Err(Error::LeaseNotFound { lease: ended }));
    store.revoke(revoked).await.unwrap();
    assert_eq!(short(&next(&mut watch).await), (batch.revision.next(), vec!["-/l/c".to_owned()]));
    list_is(&*store, "/l/", &["/l/free"]).await;
}

pub(crate) async fn a_kept_lease_lives_on(Backend { store, .. }: Backend) {
    let kept = leased(&*store, SECOND * 3, &["/k/kept"]).await;
    let mut watch = store.watch("/k/", store.revision().await.unwrap().next()).await.unwrap();
    // Four leases of one second end one after another, by the same clock: longer than the kept one's three.
    for _ in 0..4 {
        leased(&*store, SECOND, &["/k/short"]).await;
        assert_eq!(short(&next(&mut watch).await).1, ["/k/short=v"]);
        let batch = loop {
            match tokio::time::timeout(SECOND / 5, watch.next()).await {
                Ok(batch) => break batch.unwrap().unwrap(),
                Err(_) => store.keep_alive(kept).await.unwrap(),
            }
        };
        assert_eq!(short(&batch).1, ["-/k/short"]);
    }
    list_is(&*store, "/k/", &["/k/kept"]).await;
    assert_eq!(short(&next(&mut watch).await).1, ["-/k/kept"]);
    assert_eq!(store.keep_alive(kept).await, Err(Error::LeaseNotFound { lease: kept }));
}

pub(crate) async fn a_put_decides_the_lease(Backend { store, .. }: Backend) {
    let first = leased(&*store, SECOND * 600, &["/d/freed", "/d/moved", "/d/deleted", "/d/stays"]).await;
    let second = store.grant(SECOND * 600).await.unwrap();
    let change = Transaction::new().put("/d/freed", "v").put_with_lease("/d/moved", "v", second).delete("/d/deleted");
    store.transact(change).await.unwrap();
    store.transact(Transaction::new().put("/d/deleted", "again")).await.unwrap();
    store.revoke(first).await.unwrap();
    list_is(&*store, "/d/", &["/d/deleted", "/d/freed", "/d/moved"]).await;
    store.revoke(second).await.unwrap();
    list_is(&*store, "/d/", &["/d/deleted", "/d/freed"]).await;
}

pub(crate) async fn what_is_left_of_a_lease_is_told(Backend { store, .. }: Backend) {
    let lease = store.grant(SECOND * 600).await.unwrap();
    let LeaseTime { left, granted } = store.remaining(lease).await.unwrap();
    assert_eq!(granted, SECOND * 600);
    assert!(left <= granted && left > SECOND * 500, "{left:?}");
    assert_eq!(left.subsec_nanos(), 0);
    store.revoke(lease).await.unwrap();
    assert_eq!(store.remaining(lease).await, Err(Error::LeaseNotFound { lease }));
}

pub(crate) async fn an_unknown_lease_is_refused(Backend { store, .. }: Backend) {
    let lease = LeaseId(0x7fff_1234);
    let missing = Error::LeaseNotFound { lease };
    let put = Transaction::new().put("/a", "v").put_with_lease("/b", "v", lease);
    assert_eq!(store.transact(put).await, Err(missing.clone()));
    assert_eq!(store.keep_alive(lease).await, Err(missing.clone()));
    assert_eq!(store.revoke(lease).await, Err(missing));
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    for ttl in [Duration::ZERO, SECOND / 2, SECOND * 100_000] {
        assert!(matches!(store.grant(ttl).await, Err(Error::Invalid { .. })), "{ttl:?}");
    }
    let empty = store.grant(SECOND * 60).await.unwrap();
    soon(store.revoke(empty)).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(1), "a lease without keys takes no revision");
}
