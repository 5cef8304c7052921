use super::*;
use orrery_core::node::NodeFacts;

fn drained(status: NodeStatus) -> Value {
    let facts = NodeFacts::new(NodeId::parse("S1").unwrap(), "h1".into(), [10, 0, 0, 1].into());
    let administration = Administration::Deactivated { since: Timestamp::EPOCH, drained: true };
    let node = Node { status, administration, ..Node::joined(facts, Timestamp::EPOCH) };
    node_json(&Cluster::default(), &node, Timestamp::EPOCH)
}

#[test]
fn a_node_that_is_not_connected_is_never_called_drained() {
    let there = drained(NodeStatus::Active);
    assert_eq!((&there["state"], &there["drain"]), (&json!("drained"), &Value::Null));
    for status in [NodeStatus::Disconnected, NodeStatus::Unreachable] {
        let gone = drained(status);
        assert_eq!(gone["state"], "unreachable");
        assert_eq!(gone["drain"]["waitingFor"][0]["reason"], NOT_CONNECTED);
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
