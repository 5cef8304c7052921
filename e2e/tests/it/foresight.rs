//! `dcos plan` and `dcos rebalance` on real tasks.

use orrery_e2e::app::{sleeper, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::json;
use std::collections::BTreeMap;

async fn by_host(cluster: &TestCluster, app: &str) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    for task in cluster.tasks(app).await.iter().filter(|task| task["state"] == "TASK_RUNNING") {
        *hosts.entry(task["host"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    hosts
}

#[tokio::test]
async fn a_plan_says_what_then_happens() {
    let cluster = TestCluster::start(&["--agents", "3"]);
    cluster.create(&sleeper("/web", 6)).await;
    let before = by_host(&cluster, "/web").await;
    assert_eq!(before.values().copied().collect::<Vec<_>>(), [2, 2, 2]);
    let generation = cluster.generation().await;
    let plan = cluster.dcos(&["plan", "--scale", "/web=9", "--drain", "127.0.0.3"]).success();
    for line in ["/web: 6 → 9 instances; 5 would start, 2 stop", "-2 on 127.0.0.3", "node 127.0.0.3 would be empty"] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert_eq!(cluster.generation().await, generation, "nothing has changed");
    assert_eq!(by_host(&cluster, "/web").await, before);
    cluster.change("/web", &json!({ "instances": 9 })).await;
    cluster.dcos(&["node", "drain", "127.0.0.3", "--wait"]).success();
    let after = by_host(&cluster, "/web").await;
    assert!(!after.contains_key("127.0.0.3") && after.values().sum::<usize>() == 9, "{after:?}");

    for (arguments, words) in [
        (&["plan"][..], &["nothing to plan", "--scale"][..]),
        (&["plan", "--scale", "/web"], &["\"/web\" is not APP=INSTANCES"]),
        (&["plan", "--drain", "nowhere", "--gone", "neither"], &["nowhere", "neither", "dcos node list"]),
    ] {
        let refused = cluster.dcos(arguments);
        assert!(refused.code != 0 && words.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    }
}

#[tokio::test]
async fn accepted_moves_empty_a_node_and_constraints_forbid_them() {
    let cluster = TestCluster::start(&["--agents", "3"]);
    cluster.create(&sleeper("/web", 6)).await;
    cluster.dcos(&["rebalance", "--goal", "pack", "--accept"]).success();
    eventually("one node has all", async || {
        let hosts = by_host(&cluster, "/web").await;
        if hosts.values().copied().eq([6]) { Ok(()) } else { Err(format!("{hosts:?}")) }
    })
    .await;
    let even = with(&sleeper("/even", 6), &json!({ "constraints": [["hostname", "GROUP_BY"]] }));
    cluster.create(&even).await;
    let proposal = cluster.dcos(&["rebalance", "--goal", "pack"]).success();
    assert!(proposal.contains("Nothing to gain"), "{proposal}");
    cluster.dcos(&["rebalance", "--goal", "spread", "--accept"]).success();
    eventually("all nodes have some", async || {
        let hosts = by_host(&cluster, "/web").await;
        if hosts.len() == 3 { Ok(()) } else { Err(format!("{hosts:?}")) }
    })
    .await;
}
