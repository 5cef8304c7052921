//! Where tasks go: constraints over several nodes, ports, resources.

use orrery_e2e::app::{sleeper, task, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RACKS: [&str; 8] = ["--agents", "3", "--attributes", "rack:a", "--attributes", "rack:b", "--attributes", "rack:b"];

async fn spread(cluster: &TestCluster, app: &str, count: usize) -> Vec<usize> {
    let mut hosts = BTreeMap::<String, usize>::new();
    for task in cluster.running(app, count).await {
        *hosts.entry(task["host"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let mut counts: Vec<usize> = hosts.into_values().collect();
    counts.sort_unstable();
    counts
}

fn constrained(id: &str, instances: u32, constraint: &Value) -> Value {
    with(&sleeper(id, instances), &json!({ "constraints": [constraint] }))
}

#[tokio::test]
async fn packing_uses_one_node_where_one_will_do() {
    let cluster = TestCluster::start(&RACKS);
    let packed = |id: &str, instances| with(&sleeper(id, instances), &json!({ "placement": { "strategy": "binpack" } }));
    cluster.create(&packed("/batch", 4)).await;
    assert_eq!(spread(&cluster, "/batch", 4).await, [4]);
    for number in 0..3 {
        cluster.create(&packed(&format!("/single{number}"), 1)).await;
    }
    cluster.create(&sleeper("/spread", 3)).await;
    assert_eq!(spread(&cluster, "/spread", 3).await, [1, 1, 1]);
    let host = cluster.running("/batch", 4).await[0]["host"].clone();
    for number in 0..3 {
        assert_eq!(cluster.running(&format!("/single{number}"), 1).await[0]["host"], host, "it goes where there are others");
    }
}

#[tokio::test]
async fn constraints_are_kept_over_three_nodes() {
    let cluster = TestCluster::start(&RACKS);
    let cases = [
        ("/unique", 3, json!(["hostname", "UNIQUE"]), vec![1, 1, 1]),
        ("/group-by", 6, json!(["hostname", "GROUP_BY", "3"]), vec![2, 2, 2]),
        ("/max-per", 6, json!(["hostname", "MAX_PER", "2"]), vec![2, 2, 2]),
        ("/like", 2, json!(["rack", "LIKE", "a"]), vec![2]),
        ("/is", 2, json!(["rack", "IS", "a"]), vec![2]),
    ];
    for (id, instances, constraint, expected) in &cases {
        cluster.create(&constrained(id, *instances, constraint)).await;
        assert_eq!(spread(&cluster, id, *instances as usize).await, *expected, "{constraint}");
    }
    cluster.create(&constrained("/cluster", 4, &json!(["hostname", "CLUSTER"]))).await;
    assert_eq!(spread(&cluster, "/cluster", 4).await, [4]);
    cluster.create(&constrained("/unlike", 4, &json!(["rack", "UNLIKE", "a"]))).await;
    let racks = cluster.get("/mesos/master/slaves").await;
    let rack_a = racks["slaves"].as_array().unwrap().iter().find(|slave| slave["attributes"]["rack"] == "a").unwrap().clone();
    assert!(cluster.tasks("/unlike").await.iter().all(|task| task["slaveId"] != rack_a["id"]));

    // One more than fits stays pending, and why is said.
    cluster.launch(&constrained("/too-many", 4, &json!(["hostname", "UNIQUE"]))).await;
    cluster.running("/too-many", 3).await;
    let queue = eventually("it is queued", async || {
        let queue = cluster.get("/v2/queue?embed=lastUnusedOffers").await;
        if queue["queue"][0]["count"] == 1 { Ok(queue) } else { Err(queue.to_string()) }
    })
    .await;
    let summary = &queue["queue"][0]["processedOffersSummary"]["rejectSummaryLastOffers"];
    let constraint = summary.as_array().unwrap().iter().find(|reason| reason["reason"] == "UnfulfilledConstraint").unwrap();
    assert_eq!(constraint["declined"], 3, "{summary}");
    let offers = queue["queue"][0]["lastUnusedOffers"].as_array().unwrap();
    let mut refused: Vec<&str> = offers.iter().filter_map(|unused| unused["offer"]["hostname"].as_str()).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["127.0.0.1", "127.0.0.2", "127.0.0.3"], "{offers:?}");
    assert!(offers.iter().all(|unused| unused["reason"] == json!(["UnfulfilledConstraint"])), "{offers:?}");
    let explained = cluster.dcos(&["explain", "/too-many"]).stdout;
    assert!(explained.contains("hostname") && explained.contains("UNIQUE"), "{explained}");
}

#[tokio::test]
async fn a_required_port_is_given_once_a_node() {
    let cluster = TestCluster::start(&["--resources", "cpus:4;mem:2048;disk:1000;ports:[31000-31010]"]);
    let fixed = |id: &str| with(&sleeper(id, 1), &json!({ "portDefinitions": [{ "port": 31005 }], "requirePorts": true }));
    cluster.create(&fixed("/first")).await;
    assert_eq!(cluster.tasks("/first").await[0]["ports"], json!([31005]));
    cluster.launch(&fixed("/second")).await;
    let explained = eventually("the clash is explained", async || {
        let explained = cluster.get("/v1/apps/second/explain").await;
        if explained["pending"].to_string().contains("Port") { Ok(explained) } else { Err(explained.to_string()) }
    })
    .await;
    assert_eq!(explained["pending"]["reasons"], json!({ "InsufficientPorts": 1 }), "{explained}");
    cluster.send("DELETE", "/v2/apps/first", &Value::Null).await;
    cluster.running("/second", 1).await;
    cluster.settled().await;
}

#[tokio::test]
async fn ports_of_tasks_on_one_node_differ() {
    let cluster = TestCluster::start(&[]);
    let app =
        with(&task("/many", "exec sleep 1000"), &json!({ "instances": 5, "portDefinitions": [{ "port": 0 }, { "port": 0 }] }));
    cluster.create(&app).await;
    let mut ports: Vec<u64> = Vec::new();
    for task in cluster.tasks("/many").await {
        ports.extend(task["ports"].as_array().unwrap().iter().filter_map(Value::as_u64));
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 10);
}
