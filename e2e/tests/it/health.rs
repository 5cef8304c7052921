//! Health and readiness checks against a real server, and what follows from them.

use orrery_e2e::app::{health_check, task, web_server, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};
use std::process::Command;

/// A healthy task is told to fail, is killed, and another one takes over.
async fn fails_and_is_replaced(app: Value, path: &str) {
    let cluster = TestCluster::start(&[]);
    let id = app["id"].as_str().unwrap();
    cluster.create(&app).await;
    cluster.healthy(id, 1).await;
    let before = cluster.tasks(id).await.remove(0);
    assert_eq!(before["healthCheckResults"][0]["alive"], true, "{before}");
    let address = TestCluster::address(&before, 0);
    // A COMMAND check may pass before the server listens.
    eventually("it answers", async || cluster.fetch(&format!("{address}{path}")).await).await;
    let after = eventually("another healthy task", async || {
        let tasks = cluster.tasks(id).await;
        let good = |task: &&Value| task["id"] != before["id"] && task["healthCheckResults"][0]["alive"] == true;
        if tasks.len() == 1 {
            tasks.iter().find(good).cloned().ok_or_else(|| format!("{tasks:?}"))
        } else {
            Err(format!("{tasks:?}"))
        }
    })
    .await;
    assert_ne!(after["id"], before["id"]);
    let failure = cluster.last_failure(id).await;
    assert_eq!(failure["taskId"], before["id"], "{failure}");
    assert!(failure["message"].as_str().unwrap().to_lowercase().contains("health"), "{failure}");
}

#[tokio::test]
async fn http() {
    let check = health_check("HTTP", &json!({ "path": "/", "portIndex": 0 }));
    fails_and_is_replaced(with(&web_server("/web"), &json!({ "healthChecks": [check] })), "/set/503").await;
}

#[tokio::test]
async fn mesos_http() {
    let check = health_check("MESOS_HTTP", &json!({ "path": "/", "portIndex": 0 }));
    fails_and_is_replaced(with(&web_server("/web"), &json!({ "healthChecks": [check] })), "/set/404").await;
}

#[tokio::test]
async fn http_that_hangs() {
    let check = health_check("HTTP", &json!({ "path": "/", "portIndex": 0 }));
    fails_and_is_replaced(with(&web_server("/web"), &json!({ "healthChecks": [check] })), "/hang").await;
}

#[tokio::test]
async fn command() {
    let check = health_check("COMMAND", &json!({ "command": { "value": "test ! -e $MESOS_SANDBOX/ill" } }));
    let server = web_server("/web");
    // A second process makes the file when the server is told to fail.
    let command = server["cmd"].as_str().unwrap().replace("$status = $1 if", "system('touch ill'), $status = $1 if");
    fails_and_is_replaced(with(&server, &json!({ "cmd": command, "healthChecks": [check] })), "/set/500").await;
}

#[tokio::test]
async fn tcp() {
    for protocol in ["TCP", "MESOS_TCP"] {
        let cluster = TestCluster::start(&[]);
        let check = health_check(protocol, &json!({ "portIndex": 0 }));
        // A server that closes its door when told, and runs on.
        let server = web_server("/web");
        let command = server["cmd"]
            .as_str()
            .unwrap()
            .replace("$status = $1 if", "close($server), print($client \"\"), close($client), sleep(3600) if");
        cluster.create(&with(&server, &json!({ "cmd": command, "healthChecks": [check] }))).await;
        cluster.healthy("/web", 1).await;
        let before = cluster.tasks("/web").await.remove(0);
        let _ = cluster.fetch(&format!("{}/set/1", TestCluster::address(&before, 0))).await;
        eventually("another healthy task", async || {
            let tasks = cluster.tasks("/web").await;
            let good = |task: &Value| task["id"] != before["id"] && task["healthCheckResults"][0]["alive"] == true;
            if tasks.len() == 1 && good(&tasks[0]) { Ok(()) } else { Err(format!("{tasks:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn https_with_a_certificate_of_its_own() {
    if !Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: https_with_a_certificate_of_its_own: openssl is not installed");
        return;
    }
    let cluster = TestCluster::start(&[]);
    let command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=test 2>/dev/null && exec openssl s_server -accept $PORT0 -key key -cert certificate -www -quiet";
    for (id, protocol) in [("/one", "HTTPS"), ("/two", "MESOS_HTTPS")] {
        let check = health_check(protocol, &json!({ "path": "/", "portIndex": 0 }));
        let app = with(&task(id, command), &json!({ "portDefinitions": [{ "port": 0 }], "healthChecks": [check] }));
        cluster.launch(&app).await;
    }
    cluster.healthy("/one", 1).await;
    cluster.healthy("/two", 1).await;
}

#[tokio::test]
async fn a_check_that_never_passes_kills_after_the_grace_period() {
    let cluster = TestCluster::start(&[]);
    let check = health_check("TCP", &json!({ "portIndex": 0, "gracePeriodSeconds": 1 }));
    let app = with(&task("/deaf", "exec sleep 1000"), &json!({ "portDefinitions": [{ "port": 0 }], "healthChecks": [check] }));
    cluster.launch(&app).await;
    cluster.failure_with("/deaf", &["health"]).await;
    let deployments = cluster.get("/v2/deployments").await;
    assert_eq!(deployments[0]["affectedApps"], json!(["/deaf"]), "it waits for a healthy task");
}

#[tokio::test]
async fn a_deployment_waits_until_tasks_are_ready() {
    let cluster = TestCluster::start(&[]);
    let ready = json!({ "name": "up", "portName": "http", "path": "/", "intervalSeconds": 2, "timeoutSeconds": 1, "httpStatusCodesForReady": [200], "preserveLastResponse": true });
    let app = with(&web_server("/slow"), &json!({ "readinessChecks": [ready], "env": { "START_STATUS": "503" } }));
    cluster.launch(&app).await;
    let task = cluster.running("/slow", 1).await.remove(0);
    eventually("the check has asked and shows its result", async || {
        let asked = cluster.dcos(&["task", "log", "slow", "asked"]);
        let deployments = cluster.get("/v2/deployments").await;
        let result = &deployments[0]["currentActions"][0]["readinessCheckResults"][0];
        let good = asked.stdout.contains('/') && result["taskId"] == task["id"] && result["ready"] == false;
        if good { Ok(()) } else { Err(format!("{asked:?} {deployments}")) }
    })
    .await;
    eventually("it answers", async || cluster.fetch(&format!("{}/set/200", TestCluster::address(&task, 0))).await).await;
    cluster.settled().await;
    assert_eq!(cluster.tasks("/slow").await[0]["id"], task["id"], "nothing was replaced");
}
