//! Messages over real connections.

use crate::common::{CLUSTER, certify, controller, dialer, door, node, now, valid};
use orrery_link::authority::Authority;
use orrery_link::client::JOIN_PATH;
use orrery_link::stream::{LinkEnd, StreamOptions};
use std::time::Duration;

#[tokio::test]
async fn messages_come_back_in_order_large_ones_too() {
    let own = Authority::create(CLUSTER, now()).unwrap();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let connection = dialer(&own, Some(&certify(&own, &node(), valid()))).connect(&door.address).await.unwrap();
    let (mut link, controllers) = connection.open_link::<String, String>(StreamOptions::AGENT).await.unwrap();
    assert_eq!(controllers, ["https://a:1", "https://b:2"]);
    // 20 MB is what 10,000 assignments come to.
    let mut sent: Vec<String> = (0..500).map(|number| format!("{number}")).collect();
    sent.insert(250, "x".repeat(20 << 20));
    let sender = link.outgoing.clone();
    let messages = sent.clone();
    tokio::spawn(async move {
        for message in messages {
            sender.send(message).await.unwrap();
        }
    });
    for expected in sent {
        assert!(link.incoming.recv().await.as_ref() == Some(&expected), "a message is lost or changed");
    }
}

#[tokio::test]
async fn a_link_that_nobody_reads_blocks_no_other_request() {
    let own = Authority::create(CLUSTER, now()).unwrap();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let connection = dialer(&own, None).connect(&door.address).await.unwrap();
    let (link, _) =
        connection.open_link::<String, String>(StreamOptions { incoming: 1, outgoing: 1, ..StreamOptions::AGENT }).await.unwrap();
    // Until every buffer on the way is full.
    let message = "y".repeat(256 << 10);
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(500), link.outgoing.send(message.clone())).await {
        sent.unwrap();
    }
    assert_eq!(connection.call::<Option<String>>(JOIN_PATH, &()).await, Ok(None));
    let (mut second, _) = connection.open_link::<String, String>(StreamOptions::AGENT).await.unwrap();
    second.outgoing.send("still".into()).await.unwrap();
    assert_eq!(second.incoming.recv().await.as_deref(), Some("still"));
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_both_ends() {
    let own = Authority::create(CLUSTER, now()).unwrap();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let connection = dialer(&own, Some(&certify(&own, &node(), valid()))).connect(&door.address).await.unwrap();
    let (mut link, _) = connection.open_link::<String, String>(StreamOptions::AGENT).await.unwrap();
    assert_eq!(door.connections.cut(|peer| peer.controller().is_some()), 0);
    assert_eq!(door.connections.cut(|peer| peer.identity == node()), 1);
    assert_eq!(link.incoming.recv().await, None);
    assert!(matches!(link.state.ended().await, LinkEnd::Broken(_) | LinkEnd::Closed));
    link.outgoing.closed().await;
    connection.closed().await;
}

#[tokio::test]
async fn a_link_ends_when_its_sender_is_dropped() {
    let own = Authority::create(CLUSTER, now()).unwrap();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let connection = dialer(&own, None).connect(&door.address).await.unwrap();
    let (mut link, _) = connection.open_link::<String, String>(StreamOptions::AGENT).await.unwrap();
    link.outgoing.send("last".into()).await.unwrap();
    drop(link.outgoing);
    assert_eq!(link.incoming.recv().await.as_deref(), Some("last"));
    assert_eq!(link.incoming.recv().await, None);
}

#[tokio::test]
async fn silence_ends_a_link_and_signs_of_life_keep_it() {
    let own = Authority::create(CLUSTER, now()).unwrap();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let proxy = half_open_proxy(door.address.authority().clone()).await;
    let connection = dialer(&own, None).connect(&format!("https://{}", proxy.address).parse().unwrap()).await.unwrap();
    let silence = Duration::from_millis(1_500);
    let (mut link, _) = connection.open_link::<String, String>(StreamOptions { silence, ..StreamOptions::AGENT }).await.unwrap();
    // Longer than the silence allowed, and nothing is said but signs of life.
    let quiet = tokio::time::timeout(silence * 2, link.incoming.recv()).await;
    assert!(quiet.is_err(), "the link ended although the controller lives: {quiet:?}");
    proxy.stop.send_replace(true);
    assert_eq!(link.incoming.recv().await, None);
    assert_eq!(link.state.ended().await, LinkEnd::Silent(silence));
}

struct Proxy {
    address: std::net::SocketAddr,
    stop: tokio::sync::watch::Sender<bool>,
}

/// Passes bytes on until it is told to swallow them; connections stay open.
async fn half_open_proxy(target: String) -> Proxy {
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, stop: tokio::sync::watch::Receiver<bool>) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if !*stop.borrow() && to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = tokio::net::TcpStream::connect(&target).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_read, far_write, stopped.clone()));
            tokio::spawn(pass(far_read, near_write, stopped.clone()));
        }
    });
    Proxy { address, stop }
}
