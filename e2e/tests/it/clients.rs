//! Clients that exist already: the exact requests of the Go `dcos`, Prometheus, marathon-lb and mesos-dns,
//! and, with `ORRERY_CLIENTS=DIR`, the Python ones themselves, installed as `DIR/dcoscli-<version>` and
//! `DIR/marathon`.

use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An answer: status, content type, bytes.
struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

async fn send(cluster: &TestCluster, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let mut request = cluster.http.request(method.parse().unwrap(), format!("{}{path}", cluster.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body.into()).send().await.expect("an answer");
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    Answer { status, content_type, body: response.bytes().await.expect("a body").to_vec() }
}

fn media(kind: &str, version: u8) -> String {
    format!("application/vnd.dcos.{kind}+json;charset=utf-8;version=v{version}")
}

/// A package request as the Go client sends it: two media types in one Accept header.
async fn package(cluster: &TestCluster, endpoint: &str, kind: &str, version: u8, body: &str) -> Answer {
    let content_type = media(&format!("package.{kind}-request"), 1);
    let response = media(&format!("package.{kind}-response"), version);
    let accept = format!("{response},{}", media("package.error", 1));
    let headers = [("content-type", content_type.as_str()), ("accept", accept.as_str()), ("authorization", "token=")];
    let answer = send(cluster, "POST", &format!("/package/{endpoint}"), &headers, body).await;
    let expected = if answer.status == 200 { response } else { media("package.error", 1) };
    assert_eq!(answer.content_type, expected, "{endpoint}");
    answer
}

fn sleeper(id: &str, instances: u32) -> Value {
    json!({ "id": id, "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": instances })
}

#[tokio::test]
async fn the_go_client_sets_up_and_handles_packages() {
    let cluster = TestCluster::start(&[]);
    assert_eq!(send(&cluster, "HEAD", "/", &[], "").await.status, 200);
    assert_eq!(
        send(&cluster, "HEAD", "/pkgpanda/active.buildinfo.full.json", &[], "").await.status,
        200,
        "no login is asked for"
    );
    let version = cluster.get("/dcos-metadata/dcos-version.json").await;
    assert!(version["version"].as_str().unwrap().starts_with("2."), "{version}");
    assert_eq!(version["dcos-variant"], "open");
    assert!(cluster.get("/metadata").await["CLUSTER_ID"].is_string());
    assert!(cluster.get("/mesos/state-summary").await["cluster"].is_string());

    let repositories = package(&cluster, "repository/list", "repository.list", 1, "null").await.json();
    assert_eq!(repositories["repositories"][0]["name"], "Universe");
    assert!(package(&cluster, "search", "search", 1, "{}").await.json()["packages"].as_array().unwrap().len() > 5);
    let described = package(&cluster, "describe", "describe", 3, r#"{"packageName":"hello-world"}"#).await.json();
    let version = described["package"]["version"].as_str().unwrap().to_owned();
    let missing = package(&cluster, "describe", "describe", 3, r#"{"packageName":"no-such-package"}"#).await;
    assert_eq!((missing.status, missing.json()["type"].as_str()), (400, Some("PackageNotFound")));
    let old = package(&cluster, "describe", "describe", 2, r#"{"packageName":"hello-world"}"#).await;
    assert_eq!((old.status, old.json()["version"].as_str()), (200, Some(version.as_str())), "dcoscli 0.4 has only the flat form");

    let wanted = json!({ "packageName": "hello-world", "packageVersion": version }).to_string();
    let installed = package(&cluster, "install", "install", 1, &wanted).await;
    assert_eq!((installed.status, installed.json()["appId"].as_str()), (200, Some("/hello-world")));
    let again = package(&cluster, "install", "install", 1, &wanted).await;
    assert_eq!((again.status, again.json()["type"].as_str()), (409, Some("PackageAlreadyInstalled")), "even while it deploys");
    let list = package(&cluster, "list", "list", 1, "{}").await.json();
    assert_eq!(list["packages"][0]["packageInformation"]["packageDefinition"]["name"], "hello-world");
    let gone = package(&cluster, "uninstall", "uninstall", 1, r#"{"packageName":"hello-world"}"#).await.json();
    assert_eq!(gone["results"][0]["appId"], "/hello-world");
    // The Python clients send numbers of the command line as they were typed.
    let far = package(&cluster, "repository/add", "repository.add", 1, r#"{"name":"x","uri":"builtin:y","index":"99"}"#).await;
    assert!(!String::from_utf8_lossy(&far.body).contains("whole number"), "{}", far.json());
}

#[tokio::test]
async fn devices_are_refused_as_repositories() {
    let cluster = TestCluster::start(&[]);
    let refused = package(&cluster, "repository/add", "repository.add", 1, r#"{"name":"x","uri":"/dev/zero"}"#).await;
    assert_eq!(refused.status, 400, "{}", refused.json());
    assert!(cluster.get("/v1/status").await.is_object());
}

#[tokio::test]
async fn lax_paths_booleans_and_nulls() {
    let cluster = TestCluster::start(&[]);
    let created = send(&cluster, "POST", "/service/marathon/v2/apps/", &[], sleeper("/go", 1).to_string()).await;
    assert_eq!(created.status, 201);
    assert!(created.json()["deployments"][0]["id"].is_string());
    cluster.settled().await;
    let put = json!({ "id": "/go", "instances": 2, "ports": null, "dependencies": null }).to_string();
    assert_eq!(send(&cluster, "PUT", "/service/marathon/v2/apps//go?force=False", &[], put).await.status, 200);
    cluster.settled().await;
    let app = cluster.get("/marathon/v2/apps//go/").await;
    assert_eq!((&app["app"]["instances"], &app["app"]["tasksRunning"]), (&json!(2), &json!(2)));
    // A client that sends whole apps sends the old form of the ports along, empty.
    let whole = json!({ "ports": [], "portDefinitions": app["app"]["portDefinitions"], "instances": 2 }).to_string();
    assert_eq!(send(&cluster, "PUT", "/v2/apps/go?force=True&partialUpdate=True", &[], whole).await.status, 200);
    let nothing = send(&cluster, "DELETE", "/v2/apps/go/tasks?host=nowhere&scale=True&wipe=False&force=True", &[], "").await;
    assert_eq!(nothing.status, 200, "nothing to kill is nothing to scale");
    assert!(nothing.json()["deploymentId"].is_string());
    let groups = cluster.get("/v2/groups//").await;
    assert!(groups.get("enforceRole").is_none(), "older than the PyPI client: {groups}");
    assert_eq!(send(&cluster, "DELETE", "/v2/groups/?force=true", &[], "").await.status, 200);
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
}

#[tokio::test]
async fn a_list_serves_dcoscli_0_4_and_marathon_lb_alike() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&sleeper("/g/a", 1)).await;
    let plain = cluster.get("/v2/apps").await["apps"][0].clone();
    assert!(plain.get("container").is_some_and(Value::is_null) && plain.get("args").is_some_and(Value::is_null), "{plain}");
    let embedded = cluster.get("/v2/apps/?embed=apps.tasks").await["apps"][0].clone();
    assert!(embedded.get("container").is_none(), "marathon-lb reads a missing container, not a null one: {embedded}");
    assert_eq!(embedded["tasksRunning"], 1);
    let task = &embedded["tasks"][0];
    assert!(task["host"].is_string() && task["ports"][0].is_u64() && task["ipAddresses"].is_array(), "{task}");
    let state = cluster.get("/master/state").await;
    assert_eq!(state["frameworks"][0]["tasks"][0]["name"], "a.g", "mesos-dns makes names of it");
    assert!(state["slaves"][0]["pid"].as_str().unwrap().starts_with("slave(1)@"), "{}", state["slaves"]);
    let status = &state["frameworks"][0]["tasks"][0]["statuses"][0];
    assert!(status["container_status"]["container_id"]["value"].is_string(), "{status}");
}

#[tokio::test]
async fn protobuf_calls() {
    let cluster = TestCluster::start(&[]);
    let headers = [("content-type", "application/x-protobuf"), ("accept", "application/x-protobuf")];
    // call type, response type, field that must be set
    for (call, kind, field) in [(10_u8, 9_u8, 0x52_u8), (11, 10, 0x5a)] {
        let answer = send(&cluster, "POST", "/mesos/api/v1", &headers, vec![8, call]).await;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/x-protobuf"));
        assert_eq!(&answer.body[..3], &[8, kind, field], "the type, then the payload");
    }
    let broken = send(&cluster, "POST", "/mesos/api/v1", &headers, vec![0xff; 64]).await;
    assert_eq!(broken.status, 400);
}

#[tokio::test]
async fn the_event_stream_of_marathon_lb() {
    let cluster = TestCluster::start(&[]);
    let url = format!("{}/v2/events?plan-format=light&event_type=api_post_event&event_type=status_update_event", cluster.url);
    let mut stream = cluster.http.get(url).header("accept", "text/event-stream").send().await.expect("a stream");
    cluster.create(&sleeper("/ev", 1)).await;
    let mut text = String::new();
    while !text.contains("TASK_RUNNING") {
        let chunk = stream.chunk().await.expect("a chunk").expect("the stream lives");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    let kinds = text.split("\r\n").filter_map(|line| line.strip_prefix("data: "));
    let kinds: Vec<String> = kinds
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|event| event["eventType"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.contains(&"api_post_event".to_owned()) && kinds.contains(&"status_update_event".to_owned()), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind.starts_with("deployment")), "the filter holds: {kinds:?}");
}

#[tokio::test]
async fn what_nobody_can_run_or_store_disturbs_nobody() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&sleeper("/steady", 1)).await;
    let before = cluster.tasks("/steady").await.remove(0);
    let (status, _) = cluster.send("POST", "/v2/apps", &sleeper("/huge", 1_000_000)).await;
    assert_eq!(status, 201);
    let large: Value =
        (0..2_000).map(|number| (format!("V{number}"), json!("x".repeat(1_000)))).collect::<serde_json::Map<_, _>>().into();
    let (status, answer) = cluster.send("POST", "/v2/apps", &json!({ "id": "/large", "cmd": "true", "env": large })).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["details"][0]["errors"][0].as_str().unwrap().contains("KiB"), "{answer}");
    let (status, _) = cluster.send("DELETE", "/v2/apps/huge?force=true", &Value::Null).await;
    assert_eq!(status, 200);
    cluster.settled().await;
    assert_eq!(cluster.tasks("/steady").await.remove(0)["id"], before["id"]);
    assert!(!cluster.log().contains("lost its controller"), "nobody was cut off");
}

/// Where the Python clients are, when they are.
fn clients() -> Option<PathBuf> {
    let directory = std::env::var_os("ORRERY_CLIENTS").map(PathBuf::from);
    if directory.is_none() {
        eprintln!("SKIPPED: existing Python clients are not run; install them and set ORRERY_CLIENTS to their directory");
    }
    directory
}

/// One run of a Python client; standard output and error together, and whether it succeeded.
fn run(program: &Path, home: &Path, arguments: &[&str]) -> (bool, String) {
    std::fs::create_dir_all(home).expect("a home");
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", home)
        .env("DCOS_DIR", home.join(".dcos"))
        .env("PYTHONWARNINGS", "ignore")
        .env_remove("DCOS_URL")
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn dcoscli_of_three_ages() {
    let Some(directory) = clients() else { return };
    let cluster = TestCluster::start(&["--agents", "2"]);
    std::fs::write(cluster.scratch().join("app.json"), sleeper("/g/a1", 2).to_string()).unwrap();
    let app_file = cluster.scratch().join("app.json").display().to_string();
    for version in ["0.6.1", "0.5.7", "0.4.17"] {
        let program = directory.join(format!("dcoscli-{version}/bin/dcos"));
        let home = cluster.scratch().join(version);
        let dcos = |arguments: &[&str]| run(&program, &home, arguments);
        let good = |arguments: &[&str], expected: &str| {
            let (success, text) = dcos(arguments);
            assert!(success && text.contains(expected), "{version} dcos {arguments:?}: expected {expected:?}\n{text}");
        };
        let bad = |arguments: &[&str], expected: &str| {
            let (success, text) = dcos(arguments);
            assert!(!success && text.contains(expected) && !text.contains("Traceback"), "{version} dcos {arguments:?}\n{text}");
        };
        if version == "0.4.17" {
            good(&["config", "set", "core.dcos_url", &cluster.url], "");
        } else {
            good(&["cluster", "setup", &cluster.url], "");
            good(&["cluster", "list"], &cluster.url);
        }
        good(&["package", "search", "hello"], "hello-world");
        good(&["package", "describe", "hello-world"], "\"version\"");
        good(&["package", "describe", "--app", "--render", "hello-world"], "\"cmd\"");
        bad(&["package", "describe", "nope"], "Package [nope] not found");
        good(&["package", "install", "hello-world", "--yes"], "");
        bad(&["package", "install", "hello-world", "--yes"], "already installed");
        good(&["package", "list"], "/hello-world");
        let consent: &[&str] = if version == "0.4.17" { &[] } else { &["--yes"] };
        good(&[&["package", "uninstall", "hello-world"][..], consent].concat(), "");
        good(&["package", "repo", "list"], "Universe");
        bad(&["package", "repo", "add", "--index=99", "x", "/nonexistent"], "/nonexistent");

        good(&["marathon", "app", "add", &app_file], "Created deployment");
        bad(&["marathon", "app", "add", &app_file], "already exists");
        cluster.settled().await;
        good(&["marathon", "app", "list"], "2/2");
        good(&["marathon", "app", "show", "/g/a1"], "\"instances\": 2");
        good(&["marathon", "app", "update", "/g/a1", "instances=3"], "Created deployment");
        cluster.settled().await;
        good(&["marathon", "app", "restart", "/g/a1"], "Created deployment");
        cluster.settled().await;
        good(&["marathon", "task", "list"], "g_a1.instance-");
        good(&["marathon", "group", "list"], "/g");
        good(&["task", "--json"], "a1.g");
        good(&["node"], "127.0.0.1");
        good(&["service"], "marathon");
        good(&["marathon", "app", "kill", "--scale", "/g/a1"], "deployment");
        cluster.settled().await;
        good(&["marathon", "app", "kill", "--scale", "/g/a1"], "deployment");
        good(&["marathon", "app", "remove", "/g/a1"], "");
        cluster.settled().await;
        bad(&["marathon", "app", "show", "/g/a1"], "does not exist");
        bad(&["marathon", "deployment", "list"], "There are no deployments");
        bad(&["job", "list"], "jobs are not served");
    }
}

const MARATHON_CALLS: &str = r"
import sys, time
from marathon import MarathonClient
from marathon.models import MarathonApp, MarathonGroup
c = MarathonClient(sys.argv[1] + '/service/marathon')
def settle():
    while c.list_deployments(): time.sleep(0.1)
c.ping(); c.get_info(); c.get_leader(); c.get_metrics()
c.create_app('/m1', MarathonApp(id='m1', cmd='exec sleep 1000', mem=16, cpus=0.01, instances=2)); settle()
c.list_apps(embed_tasks=True, embed_counts=True, embed_failures=True, embed_task_stats=True)
app = c.get_app('/m1', embed_tasks=True); app.cmd = 'exec sleep 1001'
c.update_app('/m1', app, minimal=False); settle()
c.update_apps([app], force=True); settle()
c.scale_app('/m1', delta=1); settle()
c.restart_app('/m1'); settle()
versions = c.list_versions('/m1'); c.get_version('/m1', versions[-1]); c.rollback_app('/m1', versions[-1], force=True); settle()
c.scale_app('/m1', instances=2, force=True); settle()
c.kill_given_tasks([c.list_tasks('/m1')[0].id], scale=True); settle()
c.kill_task('/m1', c.list_tasks('/m1')[0].id, scale=True); settle()
c.kill_tasks('/m1', scale=True); settle()
c.create_group(MarathonGroup(id='/mg', apps=[MarathonApp(id='m2', cmd='exec sleep 1000', mem=16, cpus=0.01)])); settle()
c.list_groups(); group = c.get_group('/mg'); c.scale_group('/mg', 2); settle()
c.update_group('/mg', group, force=True, minimal=False); settle()
c.delete_group('/mg', force=True); settle()
c.create_app('/big', MarathonApp(id='/big', cmd='x', cpus=900, mem=16))
while not c.list_queue(): time.sleep(0.1)
c.list_queue(embed_last_unused_offers=True)
import threading
threading.Timer(0.5, lambda: MarathonClient(sys.argv[1]).delete_app('/big', force=True)).start()
for event in c.event_stream():
    if event.event_type == 'deployment_success': break
c.delete_app('/m1'); settle()
print('all calls made')
";

#[tokio::test]
async fn the_marathon_package_of_python() {
    let Some(directory) = clients() else { return };
    let cluster = TestCluster::start(&["--agents", "2"]);
    let (program, home, url) = (directory.join("marathon/bin/python"), cluster.scratch().join("home"), cluster.url.clone());
    let run = tokio::task::spawn_blocking(move || run(&program, &home, &["-c", MARATHON_CALLS, &url]));
    let (success, text) = run.await.expect("it ends");
    assert!(success && text.contains("all calls made"), "{text}");
    eventually("nothing is left", async || {
        let tasks = cluster.get("/v2/tasks").await;
        if tasks["tasks"] == json!([]) { Ok(()) } else { Err(tasks.to_string()) }
    })
    .await;
}
