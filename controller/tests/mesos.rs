//! The Mesos, metadata and log routes of the door, with an agent that the test plays.

use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use orrery_catalog::{Repository, RepositorySource};
use orrery_controller::catalog::CatalogService;
use orrery_controller::door::{AgentDirectory, ClusterFacts, Door, router};
use orrery_controller::{AgentLink, Clock, Handle, LeaderOptions, Seeds, start};
use orrery_core::assignment::{Down, PROTOCOL_VERSION, TaskReport, Up};
use orrery_core::cluster::{AppEdit, Cluster};
use orrery_core::instance::Condition;
use orrery_core::node::{NodeFacts, PortRanges, Resources};
use orrery_core::{App, AppId, NodeId, Scalar, TaskId, Timestamp};
use orrery_net::ZoneHandle;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const NODE: &str = "c-S0";
const ADDRESS: &str = "127.0.0.1:8080";

struct World {
    routes: Router,
    handle: Handle,
    task: TaskId,
    up: mpsc::Sender<Up>,
    _down: mpsc::Receiver<Down>,
    _cache: tempfile::TempDir,
}

impl World {
    /// A cluster of one node on which one task of `/shop/web` runs.
    async fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let zone = ZoneHandle::new();
        let store = Arc::new(orrery_store::Embedded::in_memory().unwrap());
        let address = ADDRESS.parse().unwrap();
        let options = LeaderOptions {
            store,
            zone: zone.clone(),
            address,
            node_timeout: Duration::from_secs(3600),
            clock: Clock::system(),
            entropy: Seeds::random(),
        };
        let (handle, _) = start(options, CancellationToken::new()).await.unwrap();
        let source = RepositorySource { name: "empty".into(), uri: "test:".into() };
        let builtin = Repository::from_json(source, br#"{"packages": []}"#.to_vec()).unwrap();
        let catalog = CatalogService::new(cache.path().to_owned(), Arc::new(builtin), Vec::new());
        let agents = AgentDirectory::default();
        agents.insert(&NodeId::parse(NODE).unwrap(), agent_routes());
        let facts = ClusterFacts {
            name: "demo".into(),
            address,
            dns: "127.0.0.1:5300".parse().unwrap(),
            dns_upstreams: Vec::new(),
            started_at: Timestamp::from_millis(1000),
        };
        let door = Door {
            handle: handle.clone(),
            catalog: Arc::new(catalog),
            zone,
            agents: Arc::new(agents),
            facts: Arc::new(facts),
            asset: |_| None,
        };

        let (down, mut orders) = mpsc::channel(64);
        let (up, reports) = mpsc::channel(64);
        handle.attach(AgentLink { down, up: reports, signs: Arc::default() });
        let facts = Box::new(node());
        up.send(Up::Register { protocol: PROTOCOL_VERSION, facts, tasks: Vec::new() }).await.unwrap();
        let mut app = App::new(AppId::parse("/shop/web").unwrap());
        app.cmd = Some("serve".into());
        handle.edit(move |draft| draft.edit(vec![AppEdit::Create(app)], false, "/v2/apps")).await.unwrap();
        let task = loop {
            match orders.recv().await.unwrap() {
                Down::Launch { launch, .. } => break launch.tasks().next().unwrap(),
                Down::Snapshot { launches, .. } if !launches.is_empty() => break launches[0].tasks().next().unwrap(),
                _ => {}
            }
        };
        let world = Self { routes: router(door), handle, task, up, _down: orders, _cache: cache };
        world.report(Condition::Running).await;
        world.until(|cluster| cluster.instances.values().any(|instance| instance.condition == Condition::Running)).await;
        world
    }

    async fn report(&self, condition: Condition) {
        let report = TaskReport {
            task: self.task.clone(),
            condition,
            at: Timestamp::from_millis(2000),
            started_at: Some(Timestamp::from_millis(2000)),
            reason: None,
            exit: None,
            message: None,
            health: Vec::new(),
            ready: true,
            addresses: Vec::new(),
            container: Some("run-1".into()),
            sandbox: Some("/sand box/run-1".into()),
        };
        self.up.send(Up::Reports { tasks: vec![report] }).await.unwrap();
    }

    async fn until(&self, holds: impl Fn(&Cluster) -> bool) {
        let mut generation = self.handle.generation();
        while !holds(&self.handle.cluster()) {
            generation.changed().await.unwrap();
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.routes.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, _, bytes) = self.send(Method::GET, path, &[], Vec::new()).await;
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn ok(&self, path: &str) -> Value {
        let (status, value) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }
}

fn node() -> NodeFacts {
    NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(4),
            mem: Scalar::from_units(4000),
            disk: Scalar::from_units(4000),
            ports: PortRanges::new([(31_000, 32_000)]),
            ..Resources::default()
        },
        executors: vec!["process".into()],
        version: "0.1.0".into(),
        ..NodeFacts::new(NodeId::parse(NODE).unwrap(), "node1".into(), "127.0.0.1".parse().unwrap())
    }
}

/// An agent that says what it was asked.
fn agent_routes() -> Router {
    // The parameters must be its own alone.
    async fn echo(uri: Uri, Path((_task, _name)): Path<(String, String)>, headers: HeaderMap) -> Json<Value> {
        let accept = headers.get("accept").and_then(|value| value.to_str().ok());
        Json(json!({ "uri": uri.to_string(), "accept": accept }))
    }
    async fn files(Query(query): Query<HashMap<String, String>>) -> Json<Value> {
        Json(json!(query))
    }
    Router::new()
        .route("/logs/v2/task/{task}/file/{*name}", get(echo))
        .route("/files/browse", get(files))
        .route("/files/download", get(files))
}

#[tokio::test]
async fn one_answer_at_every_spelling() {
    let world = World::new().await;
    for name in ["state", "state-summary", "slaves", "frameworks", "tasks", "roles", "metrics/snapshot", "version", "flags"] {
        let expected = world.ok(&format!("/mesos/{name}")).await;
        for path in [
            format!("/mesos/{name}.json"),
            format!("/mesos/master/{name}"),
            format!("/mesos/master/{name}.json?jsonp=f"),
            format!("/master/{name}"),
            format!("/cache/master/{name}"),
        ] {
            let value = world.ok(&path).await;
            // The values of metrics change while one looks.
            let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&value), keys(&expected), "{path}");
            assert!(name == "metrics/snapshot" || value == expected, "{path}");
        }
    }
    assert_eq!(world.ok("/metrics/snapshot").await["master/tasks_running"], json!(1.0));
}

#[tokio::test]
async fn state_follows_the_cluster() {
    let world = World::new().await;
    let task = world.task.to_string();
    let state = world.ok("/mesos/master/state").await;
    assert_eq!(state.pointer("/frameworks/0/tasks/0/id").unwrap(), &*task.clone());
    assert_eq!(state.pointer("/slaves/0/pid").unwrap(), "slave(1)@127.0.0.1:5051");
    assert_eq!(state["leader"], format!("master@{ADDRESS}"));
    assert_eq!(world.ok("/mesos/state-summary").await["cluster"], "demo");

    world.report(Condition::Failed).await;
    world.until(|cluster| !cluster.completed.is_empty()).await;
    let state = world.ok("/mesos/master/state").await;
    assert_eq!(state.pointer("/frameworks/0/completed_tasks/0/id").unwrap(), &*task.clone());
    assert_eq!(world.ok("/metrics/snapshot").await["master/tasks_failed"], json!(1.0));
    let tasks = world.ok(&format!("/mesos/tasks?task_id={task}")).await;
    assert_eq!(tasks.pointer("/tasks/0/state").unwrap(), "TASK_FAILED");
}

#[tokio::test]
async fn lists_of_one() {
    let world = World::new().await;
    let list = |value: Value, key: &str| value[key].as_array().unwrap().len();
    assert_eq!(list(world.ok(&format!("/mesos/slaves?slave_id={NODE}")).await, "slaves"), 1);
    assert_eq!(list(world.ok("/mesos/slaves?slave_id=other").await, "slaves"), 0);
    assert_eq!(list(world.ok("/mesos/frameworks?framework_id=other").await, "frameworks"), 0);
    assert_eq!(list(world.ok("/mesos/tasks?limit=0").await, "tasks"), 0);
    assert_eq!(world.get("/mesos/tasks?limit=many").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.ok("/net/v1/nodes").await[0]["private_ip"], "127.0.0.1");
}

#[tokio::test]
async fn small_answers_and_wrong_ones() {
    let world = World::new().await;
    let (status, _, bytes) = world.send(Method::GET, "/mesos/health", &[], Vec::new()).await;
    assert_eq!((status, bytes.len()), (StatusCode::OK, 0));
    let (status, headers, _) = world.send(Method::GET, "/mesos/master/redirect", &[], Vec::new()).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (StatusCode::TEMPORARY_REDIRECT, "//127.0.0.1:8080/"));
    assert_eq!(world.get("/mesos/nothing").await.0, StatusCode::NOT_FOUND);
    for (method, path) in [(Method::POST, "/mesos/state"), (Method::GET, "/mesos/api/v1")] {
        assert_eq!(world.send(method, path, &[], Vec::new()).await.0, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(world.send(Method::HEAD, "/mesos/master/state", &[], Vec::new()).await.0, StatusCode::OK);
    for (method, path, allowed) in [
        (Method::PUT, "/mesos/quota", "GET, HEAD, POST"),
        (Method::POST, "/mesos/weights", "GET, HEAD, PUT"),
        (Method::GET, "/mesos/quota/dev", "DELETE"),
        (Method::GET, "/mesos/master/reserve", "POST"),
        (Method::PUT, "/mesos/machine/down", "POST"),
    ] {
        let (status, headers, bytes) = world.send(method.clone(), path, &[], Vec::new()).await;
        let message = serde_json::from_slice::<Value>(&bytes).unwrap();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(headers["allow"], allowed, "{method} {path}");
        assert_eq!(message, json!({ "message": format!("this address takes {allowed} only") }));
    }
}

#[tokio::test]
async fn a_group_that_enforces_its_role_is_there() {
    let world = World::new().await;
    let send = |method: Method, path: &'static str, body: Value| {
        world.send(method, path, &[("content-type", "application/json")], body.to_string().into_bytes())
    };
    let enforce = json!({ "enforceRole": true });
    assert_eq!(send(Method::PATCH, "/v2/groups/ops", enforce.clone()).await.0, StatusCode::NOT_FOUND);
    assert!(world.handle.cluster().roles.is_empty(), "nothing of it is kept");
    let made = send(Method::POST, "/v2/groups", json!({ "id": "ops", "enforceRole": true })).await;
    assert_eq!(made.0, StatusCode::CREATED, "{}", String::from_utf8_lossy(&made.2));
    let ops = world.ok("/v2/groups/ops").await;
    assert_eq!((&ops["id"], &ops["enforceRole"], &ops["apps"]), (&json!("/ops"), &json!(true), &json!([])));
    let root = world.ok("/v2/groups").await;
    let groups: Vec<&Value> = root["groups"].as_array().unwrap().iter().map(|group| &group["id"]).collect();
    assert_eq!(groups, ["/shop", "/ops"]);
    // One with apps takes it too, and gives it up again.
    for (enforced, role) in [(true, 2), (false, 1)] {
        assert_eq!(send(Method::PATCH, "/v2/groups/shop", json!({ "enforceRole": enforced })).await.0, StatusCode::OK);
        assert_eq!(world.handle.cluster().roles.len(), role);
    }
    assert_eq!(send(Method::DELETE, "/v2/groups/ops", Value::Null).await.0, StatusCode::OK);
    assert_eq!(world.get("/v2/groups/ops").await.0, StatusCode::NOT_FOUND);
    assert!(world.handle.cluster().roles.is_empty());
}

#[tokio::test]
async fn operator_calls() {
    let world = World::new().await;
    let protobuf = [("content-type", "application/x-protobuf"), ("accept", "application/x-protobuf")];
    for path in ["/mesos/api/v1", "/mesos/master/api/v1", "/master/api/v1"] {
        let (status, headers, bytes) = world.send(Method::POST, path, &protobuf, vec![0x08, 0x0a]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "application/x-protobuf");
        // Type 9, then field 10: the agents.
        assert_eq!(bytes[..3], [0x08, 0x09, 0x52], "{path}");
    }
    let json = [("content-type", "application/json")];
    let call = |value: Value| world.send(Method::POST, "/mesos/api/v1", &json, value.to_string().into_bytes());
    for word in ["GET_HEALTH", "GET_STATE", "GET_METRICS", "GET_QUOTA"] {
        let (status, _, bytes) = call(json!({ "type": word })).await;
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((status, &value["type"]), (StatusCode::OK, &json!(word)));
        assert!(value[word.to_ascii_lowercase()].is_object());
    }
    let framework = format!("{}-0001", world.handle.cluster().id);
    for (value, status) in [
        (json!({}), StatusCode::BAD_REQUEST),
        (json!({ "type": "DANCE" }), StatusCode::BAD_REQUEST),
        (json!({ "type": "SUBSCRIBE" }), StatusCode::NOT_IMPLEMENTED),
        (json!({ "type": "TEARDOWN", "teardown": { "framework_id": { "value": "x" } } }), StatusCode::BAD_REQUEST),
        (json!({ "type": "TEARDOWN", "teardown": { "framework_id": { "value": framework } } }), StatusCode::FORBIDDEN),
        (json!({ "type": "DRAIN_AGENT", "drain_agent": { "agent_id": { "value": "x" } } }), StatusCode::NOT_FOUND),
        (json!({ "type": "DRAIN_AGENT" }), StatusCode::BAD_REQUEST),
    ] {
        let (got, _, bytes) = call(value.clone()).await;
        assert_eq!(got, status, "{value}");
        assert!(serde_json::from_slice::<Value>(&bytes).unwrap()["message"].is_string());
    }
    let agent = json!({ "agent_id": { "value": NODE } });
    let drain = json!({ "agent_id": { "value": NODE }, "max_grace_period": { "seconds": 600 }, "mark_gone": false });
    for (value, active, state) in [
        (json!({ "type": "DEACTIVATE_AGENT", "deactivate_agent": agent }), false, Value::Null),
        (json!({ "type": "REACTIVATE_AGENT", "reactivate_agent": agent }), true, Value::Null),
        (json!({ "type": "DRAIN_AGENT", "drain_agent": drain }), false, json!("DRAINING")),
        (json!({ "type": "REACTIVATE_AGENT", "reactivate_agent": agent }), true, Value::Null),
    ] {
        let (status, _, bytes) = call(value.clone()).await;
        assert_eq!((status, bytes.len()), (StatusCode::OK, 0), "{value}");
        let (_, _, bytes) = call(json!({ "type": "GET_AGENTS" })).await;
        let shown: Value = serde_json::from_slice(&bytes).unwrap();
        let shown = &shown["get_agents"]["agents"][0];
        assert_eq!((shown["active"].as_bool(), shown["deactivated"].as_bool()), (Some(active), Some(!active)), "{value}");
        assert_eq!(shown.pointer("/drain_info/state").cloned().unwrap_or_default(), state, "{value}");
        let slaves = world.ok("/mesos/slaves").await;
        assert_eq!(slaves["slaves"][0]["deactivated"], !active, "{value}");
    }
    let (status, ..) = world.send(Method::POST, "/mesos/api/v1", &[("content-type", "text/html")], vec![]).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, ..) = world.send(Method::POST, "/mesos/api/v1", &[("accept", "text/html")], vec![]).await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn quotas_as_they_were_set_before_there_were_calls_for_them() {
    let world = World::new().await;
    let post = |cpus: f64, force: bool| {
        let scalar = json!({ "name": "cpus", "type": "SCALAR", "scalar": { "value": cpus } });
        json!({ "role": "dev/web", "guarantee": [scalar], "force": force }).to_string().into_bytes()
    };
    let quota = "/mesos/quota";
    for (method, path, body, status) in [
        (Method::POST, quota, post(1e9, false), StatusCode::BAD_REQUEST),
        (Method::POST, quota, b"{".to_vec(), StatusCode::BAD_REQUEST),
        (Method::POST, quota, post(1e9, true), StatusCode::OK),
        (Method::POST, quota, post(1.0, true), StatusCode::BAD_REQUEST),
        (Method::DELETE, "/mesos/master/quota/dev/web", Vec::new(), StatusCode::OK),
        (Method::DELETE, "/mesos/quota/dev/web", Vec::new(), StatusCode::BAD_REQUEST),
        (Method::POST, "/mesos/master/quota", post(1.5, false), StatusCode::OK),
    ] {
        let (got, _, bytes) = world.send(method.clone(), path, &[], body).await;
        assert_eq!(got, status, "{method} {path}: {}", String::from_utf8_lossy(&bytes));
    }
    // The call is refused for a role without a quota, as the address is.
    let json = [("content-type", "application/json")];
    let call = json!({ "type": "REMOVE_QUOTA", "remove_quota": { "role": "nobody" } }).to_string().into_bytes();
    let (status, _, bytes) = world.send(Method::POST, "/mesos/api/v1", &json, call).await;
    let message = serde_json::from_slice::<Value>(&bytes).unwrap();
    assert_eq!((status, message), (StatusCode::BAD_REQUEST, json!({ "message": "role nobody has no quota" })));
    let amount = json!({ "cpus": { "value": 1.5 } });
    let wanted = json!([{ "role": "dev/web", "guarantees": amount, "limits": amount }]);
    assert_eq!(world.ok(quota).await["configs"], wanted);
}

#[tokio::test]
async fn metadata() {
    let world = World::new().await;
    let id = world.handle.cluster().id.to_string();
    assert_eq!(world.ok("/metadata").await, json!({ "PUBLIC_IPV4": "127.0.0.1", "CLUSTER_ID": id }));
    assert_eq!(world.ok("/dcos-metadata/dcos-version.json").await["dcos-variant"], "open");
    let config = world.ok("/dcos-metadata/ui-config.json").await;
    assert_eq!(config.pointer("/uiConfiguration/plugins/mesos/logging-strategy").unwrap(), "logrotate");
    assert_eq!(config.pointer("/clusterConfiguration/id").unwrap(), id.as_str());
    for path in ["/pkgpanda/active.buildinfo.full.json", "/acs/api/v1/auth/providers"] {
        assert_eq!(world.ok(path).await, json!({}));
    }
    let (status, ..) = world.send(Method::HEAD, "/pkgpanda/active.buildinfo.full.json", &[], Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(world.ok("/cluster/v1/links").await, json!({ "links": [] }));
    assert_eq!(world.get("/ca/dcos-ca.crt").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/system/health/v1/report").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn logs_come_from_the_agent_of_the_task() {
    let world = World::new().await;
    let task = world.task.to_string();
    let asked = format!("/logs/v2/task/{task}/file/stdout");
    for (path, uri) in [
        (format!("/system/v1/logs/v2/task/{task}/file/stdout?cursor=END&skip=-10"), format!("{asked}?cursor=END&skip=-10")),
        (format!("/system/v1/logs/v2/task/{task}"), asked.clone()),
        ("/system/v1/logs/v2/task/shop_web/file/stdout".to_owned(), asked.clone()),
        (format!("/system/v1/logs/v2/task/{task}/file/a/b%20c"), format!("/logs/v2/task/{task}/file/a/b%20c")),
        (format!("/system/v1/logs/v2/task/frameworks/f/executors/{task}/runs/run-1/stdout"), asked.clone()),
        (format!("/system/v1/agent/{NODE}/logs/v2/task/{task}/file/stdout?limit=3"), format!("{asked}?limit=3")),
    ] {
        assert_eq!(world.ok(&path).await["uri"], uri, "{path}");
    }
    let (_, _, bytes) = world
        .send(Method::GET, &format!("/system/v1/logs/v2/task/{task}/file/stdout"), &[("accept", "text/plain")], vec![])
        .await;
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["accept"], "text/plain");
    let browse = world.ok(&format!("/system/v1/logs/v2/task/{task}/browse")).await;
    assert_eq!(browse, json!({ "path": "/sand box/run-1" }));
    let download = world.ok(&format!("/system/v1/logs/v2/task/{task}/file/a%20b/download")).await;
    assert_eq!(download, json!({ "path": "/sand box/run-1/a b" }));
}

#[tokio::test]
async fn logs_that_are_not_there() {
    let world = World::new().await;
    for path in ["/system/v1/logs/v2/task/other/file/stdout", "/system/v1/agent/other/logs/v2/component/x"] {
        let (status, value) = world.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(value["message"].is_string());
    }
    for path in [
        "/system/v1/logs/v2/component",
        "/system/v1/logs/v2/component/orrery?skip=-10",
        "/system/v1/logs/v1/range/?skip_prev=10",
        "/system/v1/leader/mesos/logs/v2/component",
        &format!("/system/v1/agent/{NODE}/logs/v2/component"),
    ] {
        assert_eq!(world.get(path).await.0, StatusCode::NO_CONTENT, "{path}");
    }
}
