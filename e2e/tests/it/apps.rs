//! Apps through Marathon's interface.

use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};

fn sleeper(id: &str, instances: u32) -> Value {
    json!({ "id": id, "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": instances })
}

#[tokio::test]
async fn created_scaled_changed_and_removed() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&sleeper("/shop/web", 2)).await;
    assert_eq!(cluster.tasks("/shop/web").await.len(), 2);

    let (status, answer) = cluster.send("PUT", "/v2/apps/shop/web", &json!({ "instances": 4 })).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["deploymentId"].is_string());
    cluster.settled().await;
    let before = cluster.tasks("/shop/web").await;
    assert_eq!(before.len(), 4);

    cluster.send("PUT", "/v2/apps/shop/web", &json!({ "env": { "COLOUR": "blue" } })).await;
    cluster.settled().await;
    let after = cluster.tasks("/shop/web").await;
    assert_eq!(after.len(), 4);
    assert!(after.iter().all(|task| before.iter().all(|old| old["id"] != task["id"])), "every task was replaced");

    let versions = cluster.get("/v2/apps/shop/web/versions").await;
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(3));
    let (status, _) = cluster.send("DELETE", "/v2/apps/shop/web", &Value::Null).await;
    assert_eq!(status, 200);
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/tasks").await["tasks"], json!([]));
    let (status, answer) = cluster.send("GET", "/v2/apps/shop/web", &Value::Null).await;
    assert_eq!((status, answer["message"].as_str()), (404, Some("App '/shop/web' does not exist")));
}

#[tokio::test]
async fn a_dead_task_is_replaced_in_the_same_instance() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&json!({ "id": "/pid", "cmd": "echo $$ > pid; exec sleep 1000", "cpus": 0.01, "mem": 16 })).await;
    let before = cluster.tasks("/pid").await.remove(0);
    let (status, _) =
        cluster.send("DELETE", &format!("/v2/apps/pid/tasks/{}", before["id"].as_str().unwrap()), &Value::Null).await;
    assert_eq!(status, 200);
    let after = eventually("another task runs", async || {
        let tasks = cluster.tasks("/pid").await;
        tasks
            .into_iter()
            .find(|task| task["id"] != before["id"] && task["state"] == "TASK_RUNNING")
            .ok_or_else(|| "none".to_owned())
    })
    .await;
    let instance = |task: &Value| task["id"].as_str().unwrap().rsplit_once("._app").unwrap().0.to_owned();
    assert_eq!(instance(&before), instance(&after));
}

#[tokio::test]
async fn why_an_app_waits_is_told_with_counts() {
    let cluster =
        TestCluster::start(&["--agents", "3", "--attributes", "rack:a", "--attributes", "rack:b", "--attributes", "rack:b"]);
    let app = json!({ "id": "/picky", "cmd": "true", "cpus": 1000, "mem": 16, "constraints": [["rack", "LIKE", "b"]] });
    let (status, _) = cluster.send("POST", "/v2/apps", &app).await;
    assert_eq!(status, 201);
    let explained = eventually("it is explained", async || {
        let explained = cluster.get("/v1/apps/picky/explain").await;
        if explained["pending"].is_object() { Ok(explained) } else { Err(explained.to_string()) }
    })
    .await;
    assert_eq!(explained["pending"]["reasons"], json!({ "UnfulfilledConstraint": 1, "InsufficientCpus": 2 }));
    assert_eq!(explained["pending"]["details"], json!({ "constraint rack:LIKE:b": 1 }));
    let queue = cluster.get("/v2/queue").await;
    assert_eq!(queue["queue"][0]["app"]["id"], "/picky");
}
