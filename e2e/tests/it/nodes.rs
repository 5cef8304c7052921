//! Nodes as operators handle them: drain, cancel, decommission; a large part of the nodes lost at once.

use orrery_e2e::app::{sleeper, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};

async fn state(cluster: &TestCluster, node: &str) -> (u16, Value) {
    cluster.send("GET", &format!("/v1/nodes/{node}"), &Value::Null).await
}

#[tokio::test]
async fn a_node_is_drained_used_again_and_decommissioned() {
    let cluster = TestCluster::start(&["--agents", "3"]);
    cluster.create(&sleeper("/web", 3)).await;
    let before = cluster.running("/web", 3).await;
    let on_first: Vec<&Value> = before.iter().filter(|task| task["host"] == "127.0.0.1").collect();
    assert_eq!(on_first.len(), 1);

    let drained = cluster.dcos(&["node", "drain", "S0", "--wait", "--timeout", "60s", "--progress", "plain"]);
    assert!(drained.success().contains("is drained"), "what was done is told");
    let after = cluster.running("/web", 3).await;
    assert!(after.iter().all(|task| task["host"] != "127.0.0.1"), "{after:?}");
    let kept = before.iter().filter(|task| after.iter().any(|now| now["id"] == task["id"])).count();
    assert_eq!(kept, 2, "only what was on the node has moved");

    cluster.dcos(&["node", "reactivate", "127.0.0.1"]).success();
    assert_eq!(state(&cluster, "S0").await.1["state"], "active");

    // A node that answers is not gone.
    let refused = cluster.dcos(&["node", "decommission", "S2", "--gone"]);
    assert!(refused.stderr.contains("is connected"), "{}", refused.stderr);
    cluster.dcos(&["node", "decommission", "S2", "--wait", "--timeout", "60s"]).success();
    assert_eq!(state(&cluster, "S2").await.0, 410);
    cluster.running("/web", 3).await;
    let list: Value = serde_json::from_str(&cluster.dcos(&["node", "list", "--json"]).success()).unwrap();
    assert_eq!(list.as_array().unwrap().iter().filter(|node| node["type"] == "agent").count(), 2);
}

#[tokio::test]
async fn a_drain_without_room_says_what_it_waits_for_and_can_be_cancelled() {
    let cluster = TestCluster::start(&["--agents", "2"]);
    let pinned = with(&sleeper("/pinned", 1), &json!({ "constraints": [["hostname", "LIKE", "127.0.0.2"]] }));
    cluster.create(&pinned).await;
    let task = cluster.running("/pinned", 1).await.remove(0);
    cluster.dcos(&["node", "drain", "127.0.0.2"]).success();
    let told = eventually("the drain says why it waits", async || {
        let (_, node) = state(&cluster, "S1").await;
        let reason = node.pointer("/drain/waitingFor/0/reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        if reason.contains("hostname:LIKE:127.0.0.2") { Ok(reason) } else { Err(node.to_string()) }
    })
    .await;
    assert!(cluster.dcos(&["node", "list"]).stderr.contains(&told), "the list says it too");
    cluster.dcos(&["node", "drain", "127.0.0.2", "--cancel"]).success();
    assert_eq!(cluster.running("/pinned", 1).await[0]["id"], task["id"], "the task was not touched");
}

#[tokio::test]
async fn most_nodes_lost_at_once_hold_replacements_until_an_operator_releases_them() {
    let mut cluster = TestCluster::start(&["--agents", "3"]);
    cluster.create(&with(&sleeper("/web", 3), &json!({ "cpus": 0.01 }))).await;
    cluster.running("/web", 3).await;
    cluster.down();
    cluster.set_arguments(&["--agents", "1"]);
    cluster.up();
    eventually("the brake holds", async || {
        let status = cluster.get("/v1/status").await;
        if status["brake"]["engaged"] == true { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert!(cluster.dcos(&["explain", "/web"]).stdout.contains("replacements are held"));
    cluster.dcos(&["node", "brake", "release"]).success();
    let tasks = eventually("they are replaced", async || {
        let tasks = cluster.tasks("/web").await;
        let here = tasks.iter().filter(|task| task["host"] == "127.0.0.1" && task["state"] == "TASK_RUNNING").count();
        if here == 3 { Ok(tasks) } else { Err(format!("{tasks:?}")) }
    })
    .await;
    assert_eq!(tasks.len(), 3, "the lost ones are forgotten");
    for node in ["S1", "S2"] {
        cluster.dcos(&["node", "decommission", node, "--gone"]).success();
    }
    assert_eq!(cluster.get("/v1/nodes").await["total"], 1);
}
