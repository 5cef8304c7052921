//! Requests the other way round.

use crate::common::{CLUSTER, certify, controller, dialer, door, node, now, valid};
use orrery_link::authority::Authority;
use orrery_link::{stream, tunnel};
use tokio::sync::mpsc;

#[tokio::test]
async fn the_controller_asks_the_agent_through_its_own_connection() {
    let own = Authority::create(CLUSTER, now()).unwrap();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let connection = dialer(&own, Some(&certify(&own, &node(), valid()))).connect(&door.address).await.unwrap();
    let stream = connection.open_tunnel().await.unwrap();
    // Larger than any window on the way.
    let hello: bytes::Bytes = (0_u32..8 << 20).map(|number| number as u8).collect::<Vec<u8>>().into();
    let (heard, mut hears) = mpsc::channel(1);
    let answer = hello.clone();
    let serving = tokio::spawn(tunnel::serve(stream, move |request: hyper::Request<hyper::body::Incoming>| {
        let (heard, answer) = (heard.clone(), answer.clone());
        async move {
            if request.uri().path() == "/hello" {
                return Ok(hyper::Response::new(stream::whole_body(answer)));
            }
            heard.send(stream::read_body(request.into_body(), 1 << 26).await.unwrap()).await.unwrap();
            Ok(hyper::Response::new(stream::whole_body("")))
        }
    }));
    assert!(hears.recv().await.unwrap() == hello, "the answer came through changed");
    door.connections.cut(|_| true);
    // It ends with the connection; how it broke is of no account.
    let _ = serving.await.unwrap();
}
