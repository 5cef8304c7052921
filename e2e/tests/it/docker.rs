//! Packages and apps with images, on a real Docker Engine.

use orrery_e2e::{Engine, IMAGE, TestCluster, dns, eventually};
use serde_json::{Value, json};

async fn page(cluster: &TestCluster, id: &str) -> String {
    let task = cluster.running(id, 1).await.remove(0);
    let address = TestCluster::address(&task, 0);
    eventually("the container's page", async || {
        let (status, text) = cluster.fetch(&format!("{address}/")).await?;
        if status == 200 { Ok(text) } else { Err(format!("{status}: {text}")) }
    })
    .await
}

/// One test, so that one engine serves all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_with_an_image_from_install_to_uninstall() {
    let Some(mut engine) = Engine::start("a_package_with_an_image_from_install_to_uninstall").await else { return };
    let cluster = TestCluster::start(&["--docker-socket", engine.socket().to_str().unwrap()]);
    let options = |image: &str, text: &str, pull: bool| json!({ "container": { "image": image, "force_pull": pull }, "nginx": { "index_html": text }, "service": { "mem": 64 } });
    let body =
        json!({ "packageName": "nginx", "packageVersion": "1.26.2", "options": options(IMAGE, "from a container", false) });
    cluster.cosmos_ok("/package/install", &body).await;
    cluster.healthy("/nginx", 1).await;
    assert!(page(&cluster, "/nginx").await.contains("from a container"));
    let server = cluster.dns_server().await;
    let service = dns::services(server, "_nginx._tcp.marathon.mesos");
    let port = cluster.tasks("/nginx").await[0]["ports"][0].clone();
    assert!(service.services.iter().any(|(named, _)| json!(named) == port), "{service:?} {port}");

    let change = json!({ "appId": "/nginx", "packageVersion": "1.28.0", "options": { "nginx": { "index_html": "changed" } }, "replace": false });
    cluster.cosmos_ok("/cosmos/service/update", &change).await;
    cluster.settled().await;
    assert!(page(&cluster, "/nginx").await.contains("changed"));

    cluster.cosmos_ok("/package/uninstall", &json!({ "packageName": "nginx" })).await;
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/tasks").await["tasks"], json!([]));

    // An image nobody has.
    let image = "127.0.0.1:1/no/such:1";
    let app = json!({ "id": "/absent", "cmd": "true", "cpus": 0.01, "mem": 32, "backoffSeconds": 300, "container": { "type": "DOCKER", "docker": { "image": image } } });
    cluster.launch(&app).await;
    let failure = cluster.failure_with("/absent", &["127.0.0.1:1/no/such:1"]).await;
    println!("an absent image: {}", failure["message"]);
    cluster.send("DELETE", "/v2/apps/absent?force=true", &Value::Null).await;
    cluster.settled().await;

    let Some(image) = engine.move_to_registry().await else {
        assert!(std::env::var_os("ORRERY_REQUIRE_DOCKER").is_none(), "docker-registry is not installed");
        eprintln!("SKIPPED: pulling from a registry: docker-registry is not installed");
        return;
    };
    let body = json!({ "packageName": "nginx", "appId": "/pulled", "options": options(&image, "from a registry", true) });
    cluster.cosmos_ok("/package/install", &body).await;
    cluster.healthy("/pulled", 1).await;
    assert!(page(&cluster, "/pulled").await.contains("from a registry"));
}
