//! What is kept for whom: reservations, quotas and preemption, as an operator sets them.

use orrery_e2e::app::{sleeper, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};

const TWO_CPUS: [&str; 2] = ["--resources", "cpus:2;mem:2048;disk:2048;ports:[31000-31999]"];

async fn waits_for(cluster: &TestCluster, app: &str, words: &str) {
    eventually(&format!("{app} says what it waits for"), async || {
        let explained = cluster.dcos(&["explain", app]).stdout;
        if explained.contains(words) { Ok(()) } else { Err(explained) }
    })
    .await;
}

#[tokio::test]
async fn what_is_reserved_for_a_role_is_kept_from_others() {
    let cluster = TestCluster::start(&TWO_CPUS);
    let agent = cluster.get("/mesos/master/slaves").await["slaves"][0]["id"].clone();
    let order = |kind: &str, cpus: f64| {
        let key = kind.to_lowercase();
        let reservation = json!({ "type": "DYNAMIC", "role": "eng", "principal": "ops", "labels": { "labels": [{ "key": "for", "value": "db" }] } });
        let resource = json!({ "type": "SCALAR", "name": "cpus", "scalar": { "value": cpus }, "reservations": [reservation] });
        json!({ "type": kind, key: { "agent_id": { "value": agent }, "resources": [resource] } })
    };
    let (status, answer) = cluster.send("POST", "/mesos/api/v1", &order("RESERVE_RESOURCES", 1.5)).await;
    assert_eq!(status, 202, "{answer}");
    let reserved = cluster.get("/mesos/master/slaves").await["slaves"][0]["reserved_resources"]["eng"]["cpus"].clone();
    assert_eq!(reserved, json!(1.5));
    let (status, answer) = cluster.send("POST", "/mesos/api/v1", &order("RESERVE_RESOURCES", 1.5)).await;
    assert!(status == 409 && answer.to_string().contains("cpus"), "more than is free: {status} {answer}");

    cluster.launch(&with(&sleeper("/others", 1), &json!({ "cpus": 1 }))).await;
    waits_for(&cluster, "/others", "0.5 more cpus").await;
    cluster.launch(&with(&sleeper("/theirs", 1), &json!({ "cpus": 1, "role": "eng" }))).await;
    cluster.running("/theirs", 1).await;
    let (status, answer) = cluster.send("POST", "/mesos/api/v1", &order("UNRESERVE_RESOURCES", 1.5)).await;
    assert_eq!(status, 409, "in use: {answer}");
    cluster.send("DELETE", "/v2/apps/theirs", &Value::Null).await;
    eventually("what nobody uses is given back", async || {
        let (status, answer) = cluster.send("POST", "/mesos/api/v1", &order("UNRESERVE_RESOURCES", 1.5)).await;
        if status == 202 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    cluster.running("/others", 1).await;
}

#[tokio::test]
async fn a_quota_holds_and_lets_go() {
    let cluster = TestCluster::start(&TWO_CPUS);
    let made = cluster.dcos(&["quota", "create", "dev", "--cpu", "0.5"]);
    assert_eq!(made.code, 0, "{made:?}");
    cluster.launch(&with(&sleeper("/dev/web", 3), &json!({ "cpus": 0.25 }))).await;
    cluster.running("/dev/web", 2).await;
    waits_for(&cluster, "/dev/web", "quota").await;
    let roles = cluster.get("/mesos/roles").await;
    let dev = roles["roles"].as_array().unwrap().iter().find(|role| role["name"] == "dev").unwrap().clone();
    assert_eq!((&dev["quota"]["limit"]["cpus"], &dev["quota"]["consumed"]["cpus"]), (&json!(0.5), &json!(0.5)), "{dev}");
    let changed = cluster.dcos(&["quota", "update", "dev", "--cpu", "1"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    cluster.running("/dev/web", 3).await;
}

#[tokio::test]
async fn the_more_important_app_gets_the_room_of_the_expendable_one() {
    let cluster = TestCluster::start(&TWO_CPUS);
    let expendable = json!({ "cpus": 0.5, "upgradeStrategy": { "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 } });
    cluster.create(&with(&sleeper("/batch", 4), &expendable)).await;
    cluster.running("/batch", 4).await;
    cluster.launch(&with(&sleeper("/urgent", 1), &json!({ "cpus": 1, "placement": { "priority": 100 } }))).await;
    cluster.running("/urgent", 1).await;
    assert_eq!(cluster.running("/batch", 2).await.len(), 2, "no more than its budget goes");
    waits_for(&cluster, "/batch", "cpus").await;
    cluster.send("DELETE", "/v2/apps/urgent", &Value::Null).await;
    cluster.running("/batch", 4).await;
}
