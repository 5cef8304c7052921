//! Changing what runs: capacity while rolling, backoff, rollback, dependencies.

use orrery_e2e::app::{health_check, sleeper, task, web_server, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_change_never_goes_below_the_minimum() {
    let cluster = TestCluster::start(&[]);
    let check = health_check("HTTP", &json!({ "path": "/", "portIndex": 0 }));
    let app = with(
        &web_server("/web"),
        &json!({ "instances": 4, "env": { "BODY": "old" }, "healthChecks": [check], "upgradeStrategy": { "minimumHealthCapacity": 0.75, "maximumOverCapacity": 0.25 } }),
    );
    cluster.create(&app).await;
    cluster.healthy("/web", 4).await;
    let done = AtomicBool::new(false);
    let watch = async {
        let (mut looks, mut fewest, mut most) = (0, u64::MAX, Vec::new());
        while !done.load(Ordering::Relaxed) {
            let shown = cluster.get("/v2/apps/web").await;
            fewest = fewest.min(shown["app"]["tasksHealthy"].as_u64().unwrap());
            let tasks = cluster.tasks("/web").await;
            most = if tasks.len() > most.len() { tasks } else { most };
            looks += 1;
        }
        (looks, fewest, most)
    };
    let change = async {
        cluster.change("/web", &json!({ "env": { "BODY": "new" } })).await;
        done.store(true, Ordering::Relaxed);
    };
    let ((looks, fewest, most), ()) = tokio::join!(watch, change);
    println!("{looks} looks: between {fewest} healthy and {} tasks", most.len());
    assert!(fewest >= 3, "{fewest} of 4 were healthy at one time");
    assert!(most.len() <= 5, "{} tasks at one time: {most:#?}", most.len());
    for task in cluster.tasks("/web").await {
        assert_eq!(cluster.fetch(&TestCluster::address(&task, 0)).await.unwrap().1.trim(), "new");
    }
}

#[tokio::test]
async fn a_crash_loop_backs_off_and_says_so() {
    let cluster = TestCluster::start(&[]);
    let app = with(
        &task("/crash", "echo bang >&2; exit 3"),
        &json!({ "backoffSeconds": 1, "backoffFactor": 4, "maxLaunchDelaySeconds": 300 }),
    );
    cluster.launch(&app).await;
    let delay = eventually("the queue shows a growing delay", async || {
        let queue = cluster.get("/v2/queue").await;
        let entry = queue["queue"][0].clone();
        let left = entry["delay"]["timeLeftSeconds"].as_u64().unwrap_or_default();
        if left >= 4 && entry["delay"]["overdue"] == false { Ok(left) } else { Err(queue.to_string()) }
    })
    .await;
    assert!(delay <= 300);
    let failure = cluster.failure_with("/crash", &["3"]).await;
    assert_eq!(failure["state"], "TASK_FAILED", "{failure}");
    let explained = cluster.dcos(&["explain", "/crash"]);
    assert!(explained.stdout.contains('3'), "{explained:?}");
    let (status, _) = cluster.send("DELETE", "/v2/queue/crash/delay", &Value::Null).await;
    assert_eq!(status, 204);
    let (status, answer) = cluster.send("DELETE", "/v2/apps/crash?force=true", &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/queue").await["queue"], json!([]));
    let (status, answer) = cluster.send("DELETE", "/v2/queue/crash/delay", &Value::Null).await;
    assert_eq!((status, &answer["message"]), (404, &json!("Application /crash not found in tasks queue.")));
}

#[tokio::test]
async fn single_instance_apps_never_overlap() {
    let cluster = TestCluster::start(&[]);
    let witness = cluster.scratch().join("witness");
    std::fs::create_dir(&witness).unwrap();
    // Each incarnation takes the directory's lock; whoever finds it taken leaves a mark.
    let command = format!(
        "mkdir {0}/lock || touch {0}/overlap; trap 'sleep 0.3; rmdir {0}/lock; exit 0' TERM; touch up; while :; do sleep 0.05; done",
        witness.display()
    );
    let app = with(
        &task("/one", &command),
        &json!({
            "labels": { "MARATHON_SINGLE_INSTANCE_APP": "true" },
            "upgradeStrategy": { "minimumHealthCapacity": 0, "maximumOverCapacity": 0 },
        }),
    );
    cluster.create(&app).await;
    eventually("the first runs", async || if witness.join("lock").exists() { Ok(()) } else { Err(String::new()) }).await;
    for turn in 0..3 {
        cluster.change("/one", &json!({ "env": { "TURN": turn.to_string() } })).await;
        eventually("the next runs", async || if witness.join("lock").exists() { Ok(()) } else { Err(String::new()) }).await;
    }
    assert!(!witness.join("overlap").exists(), "two ran at the same time");
    let (status, answer) = cluster.send("PUT", "/v2/apps/one", &json!({ "instances": 2 })).await;
    assert_eq!(status, 422, "{answer}");
}

#[tokio::test]
async fn dependencies_start_first() {
    let cluster = TestCluster::start(&[]);
    let check = health_check("HTTP", &json!({ "path": "/", "portIndex": 0 }));
    let database = with(&web_server("/shop/db"), &json!({ "healthChecks": [check], "env": { "START_STATUS": "503" } }));
    let web = with(&sleeper("/shop/web", 1), &json!({ "dependencies": ["/shop/db"] }));
    let (status, answer) = cluster.send("POST", "/v2/groups", &json!({ "id": "/shop", "apps": [web, database] })).await;
    assert!(status < 300, "{status} {answer}");
    let task = cluster.running("/shop/db", 1).await.remove(0);
    let deployment = &cluster.get("/v2/deployments").await[0];
    assert_eq!(deployment["currentStep"], 1, "{deployment}");
    assert!(cluster.tasks("/shop/web").await.is_empty());
    eventually("it answers", async || cluster.fetch(&format!("{}/set/200", TestCluster::address(&task, 0))).await).await;
    cluster.settled().await;
    assert_eq!(cluster.tasks("/shop/web").await.len(), 1);
}

#[tokio::test]
async fn a_stuck_deployment_is_taken_back() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&sleeper("/good", 2)).await;
    let before = cluster.tasks("/good").await;
    let (_, answer) = cluster.send("PUT", "/v2/apps/good", &json!({ "cmd": "exec sleep 2000", "cpus": 1000 })).await;
    let deployment = answer["deploymentId"].as_str().expect("a deployment").to_owned();
    eventually("it waits for resources", async || {
        let queue = cluster.get("/v2/queue").await;
        if queue["queue"][0]["app"]["cpus"] == json!(1000) { Ok(()) } else { Err(queue.to_string()) }
    })
    .await;
    let (status, answer) = cluster.send("PUT", "/v2/apps/good", &json!({ "instances": 3 })).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["deployments"][0]["id"], json!(deployment), "{answer}");
    let (status, answer) = cluster.send("DELETE", &format!("/v2/deployments/{deployment}"), &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    cluster.settled().await;
    let app = cluster.get("/v2/apps/good").await;
    assert_eq!((&app["app"]["cmd"], &app["app"]["instances"]), (&json!("exec sleep 1000"), &json!(2)));
    let after = cluster.running("/good", 2).await;
    assert!(after.iter().any(|task| before.iter().any(|old| old["id"] == task["id"])), "what ran well was kept");
}

#[tokio::test]
async fn restart_replaces_every_task() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&sleeper("/again", 3)).await;
    let before = cluster.tasks("/again").await;
    let (status, answer) = cluster.send("POST", "/v2/apps/again/restart", &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    cluster.settled().await;
    let after = cluster.running("/again", 3).await;
    assert!(after.iter().all(|task| before.iter().all(|old| old["id"] != task["id"])));
}
