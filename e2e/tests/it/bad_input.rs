//! Bad input is named and disturbs nobody.

use orrery_e2e::TestCluster;
use serde_json::json;

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
