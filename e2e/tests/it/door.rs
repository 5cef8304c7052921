//! Who may come in, and how strange requests are met.

use orrery_e2e::TestCluster;
use serde_json::{Value, json};

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let cluster = TestCluster::start(&[]);
    let apps = format!("{}/v2/apps", cluster.url);
    for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:80"] {
        let response = cluster.http.get(&apps).header("host", host).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 403, "{host}");
        assert!(response.text().await.unwrap().contains("this machine only"));
    }
    let app = json!({ "id": "/evil", "cmd": "true" }).to_string();
    for origin in ["http://evil.example", "null"] {
        let request = cluster.http.post(&apps).header("origin", origin).header("content-type", "text/plain");
        let response = request.body(app.clone()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 403, "{origin}");
    }
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
    for host in ["localhost", "leader.mesos", "[::1]"] {
        let response = cluster.http.get(&apps).header("host", host).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{host}");
    }
}

#[tokio::test]
async fn old_paths_answer() {
    let cluster = TestCluster::start(&[]);
    for path in ["/v2/info", "/service/marathon/v2/info", "/marathon/v2/info"] {
        assert_eq!(cluster.get(path).await["name"], "marathon", "{path}");
    }
    assert_eq!(cluster.fetch(&format!("{}/ping", cluster.url)).await.unwrap().1.trim(), "pong");
    assert!(cluster.get("/dcos-metadata/dcos-version.json").await["version"].is_string());
    assert!(cluster.get("/metadata").await["CLUSTER_ID"].is_string());
    let state = cluster.get("/mesos/master/state").await;
    assert_eq!(state["activated_slaves"], 1, "{state}");
    assert!(cluster.get("/mesos/master/state-summary").await["slaves"].is_array());
    assert!(cluster.get("/mesos_dns/v1/version").await.is_object());
    assert_eq!(cluster.get("/mesos_dns/v1/hosts/leader.mesos").await[0]["host"], "leader.mesos.");
    let (status, answer) = cluster.send("GET", "/no/such/path", &Value::Null).await;
    assert_eq!(status, 404, "{answer}");
}

#[tokio::test]
async fn the_leader_has_a_name() {
    let cluster = TestCluster::start(&[]);
    let server = cluster.dns_server().await;
    for name in ["leader.mesos", "master.mesos"] {
        let answer = orrery_e2e::dns::addresses(server, name);
        assert_eq!((answer.code, answer.addresses), (0, vec![std::net::Ipv4Addr::LOCALHOST]), "{name}");
    }
    assert_eq!(orrery_e2e::dns::addresses(server, "nobody.marathon.mesos").code, 3);
}
