//! Bad input is named and disturbs nobody.

use orrery_e2e::TestCluster;
use orrery_e2e::app::{sleeper, with};
use serde_json::{Value, json};

#[tokio::test]
async fn every_fault_of_a_spec_is_told_at_once() {
    let cluster = TestCluster::start(&[]);
    let app = json!({ "id": "/Bad_Id", "cmd": "true", "args": ["also"], "cpus": -1, "mem": "much", "instances": 1.5, "constraints": [["a", "NEAR"]] });
    let (status, answer) = cluster.send("POST", "/v2/apps", &app).await;
    assert_eq!(status, 422, "{answer}");
    let paths: Vec<&str> = answer["details"].as_array().unwrap().iter().filter_map(|detail| detail["path"].as_str()).collect();
    for path in ["/id", "/cpus", "/mem", "/instances"] {
        assert!(paths.contains(&path), "{path} is missing in {answer}");
    }
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
}

#[tokio::test]
async fn deep_and_large_bodies_are_refused_and_the_cluster_lives() {
    let cluster = TestCluster::start(&[]);
    let deep = "[".repeat(100_000);
    let large = format!("{{\"id\":\"/a\",\"cmd\":\"{}\"}}", "x".repeat(100 << 20));
    for (path, body, wanted) in [("/v2/apps", deep.clone(), 400), ("/package/install", deep, 400), ("/v2/apps", large, 413)] {
        let request = cluster.http.post(format!("{}{path}", cluster.url)).header("content-type", "application/json").body(body);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), wanted, "{path}");
    }
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
}

/// What nobody could place is named at once or waits by itself; others start meanwhile.
#[tokio::test]
async fn bad_placements_are_named_and_hold_up_nobody() {
    let cluster = TestCluster::start(&["--attributes", "rack:a"]);
    let many: Vec<Value> = (0..101).map(|number| json!([format!("a{number}"), "UNIQUE"])).collect();
    let refused = [
        (json!({ "instances": 1_000_000_000 }), "/instances"),
        (json!({ "constraints": many }), "/constraints"),
        (json!({ "constraints": [["rack", "LIKE", "(a{1000}){1000}"]] }), "/constraints(0)"),
        (json!({ "constraints": [["rack", "LIKE", "x".repeat(20_000)]] }), "/constraints(0)"),
        (json!({ "cpus": 1e308 }), "/cpus"),
    ];
    for (fields, path) in &refused {
        let (status, answer) = cluster.send("POST", "/v2/apps", &with(&sleeper("/bad", 1), fields)).await;
        assert_eq!(status, 422, "{answer}");
        let paths: Vec<&str> =
            answer["details"].as_array().unwrap().iter().filter_map(|detail| detail["path"].as_str()).collect();
        assert_eq!(paths, [*path], "{answer}");
    }
    let waiting = [
        ("/contradiction", json!({ "constraints": [["rack", "IS", "a"], ["rack", "UNLIKE", "a"]] }), "constraint rack:UNLIKE:a"),
        ("/explosive", json!({ "constraints": [["rack", "LIKE", "(((a|b|1)*)*)*4"]] }), "constraint rack:LIKE"),
        ("/endless", json!({ "instances": 1_000_000, "cpus": 1000 }), "cpus"),
    ];
    for (id, fields, _) in &waiting {
        cluster.launch(&with(&sleeper(id, 1), fields)).await;
    }
    cluster.launch(&sleeper("/good", 2)).await;
    cluster.running("/good", 2).await;
    for (id, _, words) in &waiting {
        assert_eq!(cluster.tasks(id).await, Vec::<Value>::new());
        let explained = cluster.dcos(&["explain", id]).stdout;
        assert!(explained.contains(words), "{id}: {explained}");
    }
}
