//! The main job: a package from the catalog becomes a healthy, discoverable service.

use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn hello_world_from_search_to_uninstall() {
    let cluster = TestCluster::start(&[]);
    assert!(cluster.dcos(&["package", "search", "hello"]).success().contains("hello-world"));
    let installed = cluster.dcos(&["package", "install", "hello-world", "--yes", "--wait"]);
    assert_eq!(installed.code, 0, "{installed:?}");

    let app = cluster.get("/v2/apps/hello-world").await;
    assert_eq!(app["app"]["tasksHealthy"], 1, "{app}");
    let services = cluster.get("/mesos_dns/v1/services/_hello-world._tcp.marathon.mesos").await;
    let (ip, port) = (services[0]["ip"].as_str().unwrap(), services[0]["port"].as_str().unwrap());
    let page = cluster.http.get(format!("http://{ip}:{port}/")).send().await.unwrap();
    assert!(page.status().is_success());

    let list: Value = serde_json::from_str(&cluster.dcos(&["package", "list", "--json"]).success()).unwrap();
    assert_eq!(list[0]["name"], "hello-world", "{list}");
    cluster.dcos(&["package", "uninstall", "hello-world", "--yes"]).success();
    eventually("nothing is left", async || {
        let tasks = cluster.get("/v2/tasks").await;
        if tasks["tasks"] == json!([]) { Ok(()) } else { Err(tasks.to_string()) }
    })
    .await;
}
