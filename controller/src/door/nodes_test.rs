use super::*;
use orrery_core::node::{Drain, NodeFacts};

#[test]
fn a_drain_waits_for_a_node_that_is_not_connected() {
    for (status, waits) in [(NodeStatus::Active, false), (NodeStatus::Disconnected, true), (NodeStatus::Unreachable, true)] {
        let facts = NodeFacts::new(NodeId::parse("S1").unwrap(), "h1".into(), [10, 0, 0, 1].into());
        let administration =
            Administration::Draining(Drain { since: Timestamp::EPOCH, deadline: None, then: AfterDrain::Deactivate });
        let node = Node { status, administration, ..Node::joined(facts, Timestamp::EPOCH) };
        let told = node_json(&Cluster::default(), &node, Timestamp::EPOCH);
        assert_eq!(told["drain"]["waitingFor"][0]["reason"] == NOT_CONNECTED, waits, "{told}");
    }
}

#[tokio::test]
async fn a_body_is_an_object_or_nothing() {
    for (text, taken) in
        [("", true), (" ", true), ("{}", true), (" {\"decommission\": true}", true), ("[]", false), ("null", false), ("1", false)]
    {
        let answer = read::<DrainRequest>(Body::from(text)).await;
        assert_eq!(answer.as_ref().err().map(Response::status), (!taken).then_some(StatusCode::BAD_REQUEST), "{text}");
    }
}
