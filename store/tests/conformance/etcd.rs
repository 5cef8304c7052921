//! What only a cluster does: it goes away and comes back.

use std::time::Duration;

use futures::StreamExt;
use orrery_store::{Error, Etcd, EtcdOptions, EtcdTls, Revision, Store, Transaction, list};

use crate::backend::{Certificates, Server, soon};
use crate::cases::put;
use crate::watches::{next, short};

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_a_crash_of_etcd() {
    let Some(mut server) = Server::start() else { return };
    let store = server.connect().await;
    let mut watch = store.watch("/w/", Revision(2)).await.unwrap();
    let mut untouched = store.watch("/quiet/", Revision(2)).await.unwrap();
    let mut written = Vec::new();
    let mut seen = Vec::new();
    for round in 0..4 {
        for n in 0..10 {
            written.push(put(&store, &format!("/w/{n}"), &round.to_string()).await);
        }
        // Half of them are seen before the crash; the rest lies in the stream, the buffer, or nowhere yet.
        while seen.len() < written.len() - 5 {
            seen.push(next(&mut watch).await.revision);
        }
        server.kill();
        server.restart();
        // Another client makes changes before ours has found its way back.
        let other = server.connect().await;
        written.push(put(&other, "/w/other", &round.to_string()).await);
        written.push(other.transact(Transaction::new().delete_prefix("/w/")).await.unwrap());
    }
    while seen.len() < written.len() {
        seen.push(next(&mut watch).await.revision);
    }
    assert_eq!(seen, written);
    let quiet = put(&store, "/quiet/a", "x").await;
    assert_eq!(short(&next(&mut untouched).await), (quiet, vec!["/quiet/a=x".to_owned()]));
    let live = put(&store, "/w/live", "x").await;
    assert_eq!(next(&mut watch).await.revision, live);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_watch_that_was_compacted_says_so() {
    let Some(mut server) = Server::start() else { return };
    let store = server.connect().await;
    let mut watch = store.watch("/w/", Revision(2)).await.unwrap();
    put(&store, "/w/a", "1").await;
    let seen = next(&mut watch).await.revision;
    server.kill();
    let writer = {
        server.restart();
        server.connect().await
    };
    // The lost connection is not yet restored when history goes: either the
    // watch was in time and sees every write, or it must list again.
    let mut latest = seen;
    for n in 0..20 {
        latest = put(&writer, "/w/a", &n.to_string()).await;
    }
    writer.compact(latest).await.unwrap();
    let mut expected = seen.next();
    loop {
        match soon(watch.next()).await.unwrap() {
            Ok(batch) => {
                assert_eq!(batch.revision, expected);
                if batch.revision == latest {
                    break;
                }
                expected = expected.next();
            }
            Err(error) => {
                assert!(error.needs_relist(), "{error}");
                assert_eq!(list(&store, "/w/").await.unwrap().entries[0].mod_revision, latest);
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_crash_of_etcd() {
    let Some(mut server) = Server::start() else { return };
    let store = server.connect().await;
    for n in 0..20 {
        let key = format!("/a/{n}");
        let revision = put(&store, &key, "x").await;
        server.kill();
        server.restart();
        // Reads are repeated until the cluster is back; a write reports that its outcome is unknown.
        assert_eq!(store.get(&key).await.unwrap().unwrap().mod_revision, revision);
        if n >= 4 {
            break;
        }
    }
    assert_eq!(list(&store, "/a/").await.unwrap().entries.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_cluster_is_unavailable() {
    let Some(mut server) = Server::start() else { return };
    drop(server.connect().await);
    let options = EtcdOptions { timeout: Duration::from_secs(2), ..EtcdOptions::default() };
    let store = Etcd::connect(&[server.endpoint()], &options).await.unwrap();
    server.kill();
    for error in [
        store.get("/a").await.unwrap_err(),
        store.range("/", None, 0, None).await.unwrap_err(),
        store.transact(Transaction::new().put("/a", "x")).await.unwrap_err(),
        store.grant(Duration::from_secs(5)).await.unwrap_err(),
        store.revision().await.unwrap_err(),
    ] {
        assert!(error.is_retryable() && error.to_string().contains(&server.endpoint()), "{error}");
    }
    let nobody = EtcdOptions { timeout: Duration::from_secs(1), ..EtcdOptions::default() };
    let error = Etcd::connect(&[server.endpoint()], &nobody).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

/// Whichever of them is asked first.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_dead_or_say_nothing_are_passed_over() {
    let Some(server) = Server::start() else { return };
    drop(server.connect().await);
    // The kernel takes connections for it, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = |listener: &std::net::TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let endpoints = [endpoint(&silent), endpoint(&dead), server.endpoint()];
    drop(dead);
    for number in 0..12 {
        let store = Etcd::connect(&endpoints, &EtcdOptions::default()).await.unwrap();
        let mut watch = store.watch("/", Revision::NONE).await.unwrap();
        let key = format!("/{number}");
        let revision = put(&store, &key, "x").await;
        assert_eq!(next(&mut watch).await.revision, revision);
        assert!(store.get(&key).await.unwrap().is_some());
        let lease = store.grant(Duration::from_secs(60)).await.unwrap();
        store.keep_alive(lease).await.unwrap();
        store.revoke(lease).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_authenticated() {
    let Some(server) = Server::start() else { return };
    drop(server.connect().await);
    let mut admin = etcd_client::Client::connect([server.endpoint()], None).await.unwrap();
    admin.user_add("root", "secret", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();
    let user = |password: &str| EtcdOptions { user: Some(("root".into(), password.into())), ..EtcdOptions::default() };
    let store = Etcd::connect(&[server.endpoint()], &user("secret")).await.unwrap();
    let mut watch = store.watch("/", Revision::NONE).await.unwrap();
    let revision = put(&store, "/a", "x").await;
    assert_eq!(next(&mut watch).await.revision, revision);
    for options in [user("wrong"), EtcdOptions::default()] {
        let refused = Etcd::connect(&[server.endpoint()], &options).await;
        assert!(matches!(refused, Err(Error::Unauthorized { .. })), "{refused:?}");
    }
    assert!(!format!("{:?}", user("secret")).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_both_ways() {
    let good = Certificates::generate();
    let tls = |authority: &Certificates, identity: Option<&Certificates>| EtcdOptions {
        tls: Some(EtcdTls {
            authority: authority.authority.clone().into_bytes(),
            identity: identity.map(|own| (own.certificate.clone().into_bytes(), own.key.clone().into_bytes())),
            server_name: None,
        }),
        timeout: Duration::from_secs(10),
        ..EtcdOptions::default()
    };
    let stranger = Certificates::generate();
    let trusted = tls(&good, Some(&good));
    let refused = [tls(&stranger, Some(&good)), tls(&good, None), tls(&good, Some(&stranger))];
    let Some(server) = Server::start_with(Some(good)) else { return };
    let store = Etcd::connect(&[server.endpoint()], &trusted).await.unwrap();
    let mut watch = store.watch("/", Revision::NONE).await.unwrap();
    let revision = put(&store, "/a", "x").await;
    assert_eq!(next(&mut watch).await.revision, revision);
    for mut options in refused {
        options.timeout = Duration::from_secs(2);
        let error = Etcd::connect(&[server.endpoint()], &options).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }
    assert!(!format!("{trusted:?}").contains("PRIVATE"));
}
