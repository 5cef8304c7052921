//! What `dcos` sends, and what it prints for given answers: the built command against a scripted server.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Largest request body the server reads.
const MAX_BODY: usize = 1 << 20;

#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<HashMap<String, (u16, String)>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri);
    let body = to_bytes(body, MAX_BODY).await.unwrap();
    let accept = parts.headers.get(header::ACCEPT).cloned();
    script.seen.lock().unwrap().push(Seen { line: line.clone(), headers: parts.headers, body });
    match script.answers.get(&line) {
        Some((status, text)) => {
            let kind = accept.filter(|_| text.starts_with(['{', '['])).unwrap_or("text/plain".parse().unwrap());
            (StatusCode::from_u16(*status).unwrap(), [(header::CONTENT_TYPE, kind)], text.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, r#"{"message":"no such thing"}"#).into_response(),
    }
}

struct Server {
    url: String,
    script: Script,
    home: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

fn serve(answers: &[(&str, u16, Value)]) -> Server {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let answers = answers.iter().map(|(line, status, body)| ((*line).to_owned(), (*status, text(body)))).collect();
    let script = Script { answers: Arc::new(answers), ..Script::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(script.clone());
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { url, script, home: tempfile::tempdir().unwrap(), _runtime: runtime }
}

impl Server {
    fn run(&self, arguments: &[&str]) -> Output {
        command(self.home.path(), arguments).env("DCOS_URL", &self.url).output().unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcos"));
    command.args(arguments).env_clear().env("HOME", home).env("TZ", "UTC").stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn package() -> Value {
    json!({"package": {"name": "redis", "version": "7", "marathon": {"v2AppMustacheTemplate": "e30="},
        "preInstallNotes": "before", "postInstallNotes": "after", "licenses": [{"name": "MIT", "url": "http://l"}]}})
}

#[test]
fn setup_writes_the_cluster_and_attaches_it() {
    let server = serve(&[
        ("HEAD /", 200, json!("")),
        ("HEAD /pkgpanda/active.buildinfo.full.json", 200, json!("")),
        ("GET /metadata", 200, json!({"CLUSTER_ID": "c-1"})),
        ("GET /mesos/state-summary", 200, json!({"cluster": "demo"})),
        ("GET /dcos-metadata/dcos-version.json", 200, json!({"version": "2.2.0"})),
    ]);
    let output = command(server.home.path(), &["cluster", "setup", &server.url]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let directory = server.home.path().join(".dcos/clusters/c-1");
    assert!(directory.join("attached").exists());
    let file = std::fs::read_to_string(directory.join("dcos.toml")).unwrap();
    assert!(file.contains(&format!("dcos_url = \"{}\"", server.url)), "{file}");
    let output = command(server.home.path(), &["cluster", "list"]).output().unwrap();
    let text = stdout(&output);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "CLUSTER", "ID", "STATUS", "VERSION", "URL"]);
    assert_eq!(lines[1], ["demo*", "c-1", "AVAILABLE", "2.2.0", &server.url]);
    let output = command(server.home.path(), &["config", "set", "core.timeout", "5"]).output().unwrap();
    assert_eq!(stderr(&output).trim(), "[core.timeout]: set to '5'");
    let output = command(server.home.path(), &["config", "show", "core.timeout"]).output().unwrap();
    assert_eq!(stdout(&output).trim(), "5");
}

#[test]
fn install_describes_asks_and_installs_the_version_it_showed() {
    let server = serve(&[
        ("POST /package/describe", 200, package()),
        ("POST /package/install", 200, json!({"packageName": "redis", "packageVersion": "7", "appId": "/cache"})),
    ]);
    let output = server.run(&["package", "install", "redis", "--yes", "--app-id=cache", "--set", "service.cpus=0.5"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let seen = server.seen();
    assert_eq!(seen[0].header("accept"), "application/vnd.dcos.package.describe-response+json;charset=utf-8;version=v3");
    assert_eq!(seen[1].header("content-type"), "application/vnd.dcos.package.install-request+json;charset=utf-8;version=v1");
    assert_eq!(
        seen[1].json(),
        json!({"packageName": "redis", "packageVersion": "7", "options": {"service": {"cpus": 0.5}}, "appId": "/cache"})
    );
    let text = stdout(&output);
    let order = ["MIT http://l", "before", "\"cpus\": 0.5", "Installing Marathon app for package [redis] version [7]", "after"];
    let places: Vec<usize> = order.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn install_without_an_answer_installs_nothing() {
    let server = serve(&[("POST /package/describe", 200, package())]);
    let output = server.run(&["package", "install", "redis"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("Exiting installation."));
    assert_eq!(server.lines(), ["POST /package/describe"]);
}

#[test]
fn faults_of_options_point_into_the_file() {
    let mismatch = json!({"type": "JsonSchemaMismatch", "message": "Options JSON failed validation", "data": {"errors": [
        {"instance": {"pointer": "/service/cpus"}, "keyword": "type", "found": "string", "expected": ["number"]},
        {"instance": {"pointer": "/service"}, "keyword": "additionalProperties", "unwanted": ["nmae"]}]}});
    let server = serve(&[("POST /package/describe", 200, package()), ("POST /package/install", 400, mismatch)]);
    let file = server.home.path().join("o.yaml");
    std::fs::write(&file, "service:\n  cpus: many\n  nmae: x\n").unwrap();
    let name = file.display().to_string();
    let output = server.run(&["package", "install", "redis", "--yes", "--options", &name]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains(&format!("{name}:2:3: /service/cpus: must be of type number, not string (found \"many\")")), "{text}");
    assert!(text.contains(&format!("{name}:3:3: /service/nmae: there is no such option (found \"x\")")), "{text}");
}

#[test]
fn app_add_looks_first_and_prints_the_deployment() {
    let server = serve(&[("POST /service/marathon/v2/apps", 201, json!({"id": "/web", "deployments": [{"id": "d-1"}]}))]);
    let file = server.home.path().join("web.yaml");
    std::fs::write(&file, "id: web\ncmd: sleep 1\n").unwrap();
    let output = server.run(&["marathon", "app", "add", &file.display().to_string()]);
    assert_eq!(stdout(&output), "Created deployment d-1\n");
    assert_eq!(server.lines(), ["GET /service/marathon/v2/apps/web", "POST /service/marathon/v2/apps"]);
    assert_eq!(server.seen()[1].json(), json!({"id": "web", "cmd": "sleep 1"}));
}

#[test]
fn a_locked_app_names_its_deployments() {
    let server = serve(&[
        ("GET /service/marathon/v2/apps/web", 200, json!({"app": {"id": "/web", "instances": 1}})),
        ("PUT /service/marathon/v2/apps/web", 409, json!({"message": "App is locked by one or more deployments."})),
        ("GET /service/marathon/v2/deployments", 200, json!([{"id": "d-9", "affectedApps": ["/web"]}])),
    ]);
    let output = server.run(&["marathon", "app", "update", "web", "instances=2"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("App is locked") && text.contains("deployment watch d-9") && text.contains("--force"), "{text}");
}

#[test]
fn apply_sends_units_with_their_places_and_prints_results() {
    let results = json!({"results": [
        {"kind": "app", "id": "/web", "action": "created", "changes": [], "deploymentId": "d-1"},
        {"kind": "package", "id": "redis", "action": "unchanged", "changes": []}]});
    let server = serve(&[("POST /v1/apply", 200, results)]);
    let file = server.home.path().join("specs.yaml");
    std::fs::write(&file, "id: web\ncpus: 0.1\n---\n# the cache\npackageName: redis\n").unwrap();
    let name = file.display().to_string();
    let output = server.run(&["apply", "-f", &name]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "app /web created (deployment d-1)\npackage redis unchanged\n");
    let body = server.seen()[0].json();
    assert_eq!(body["dryRun"], json!(false));
    assert_eq!(body["documents"][1], json!({"source": {"file": name, "line": 5}, "value": {"packageName": "redis"}}));
    assert_eq!(body["documents"][0]["value"]["id"], json!("/web"));
}

#[test]
fn diff_tells_by_its_exit_code() {
    let with = |results: Value| serve(&[("POST /v1/apply", 200, json!({ "results": results }))]);
    let change =
        json!([{"kind": "app", "id": "/web", "action": "configured", "changes": [{"path": "/cpus", "old": 0.1, "new": 0.2}]}]);
    let server = with(change);
    let file = server.home.path().join("a.json");
    std::fs::write(&file, "{\"id\": \"/web\"}").unwrap();
    let name = file.display().to_string();
    let output = server.run(&["diff", "-f", &name]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "app /web: would change\n  ~ /cpus: 0.1 → 0.2\n");
    assert_eq!(server.seen()[0].json()["dryRun"], json!(true));
    let server = with(json!([{"kind": "app", "id": "/web", "action": "unchanged"}]));
    assert_eq!(server.run(&["diff", "-f", &name]).status.code(), Some(0));
    std::fs::write(&file, "{\"id\": }").unwrap();
    assert_eq!(server.run(&["diff", "-f", &name]).status.code(), Some(2));
    let server = serve(&[("POST /v1/apply", 500, json!({"message": "x"}))]);
    std::fs::write(&file, "{\"id\": \"/web\"}").unwrap();
    assert_eq!(server.run(&["diff", "-f", &name]).status.code(), Some(9));
}

#[test]
fn apply_waits_until_healthy() {
    let app = json!({"app": {"id": "/web", "instances": 1, "tasksRunning": 1, "tasksHealthy": 1, "healthChecks": [{}]}});
    let results = json!({"results": [{"kind": "app", "id": "/web", "action": "created", "deploymentId": "d-1"}]});
    let server = serve(&[
        ("POST /v1/apply", 200, results),
        ("GET /service/marathon/v2/deployments", 200, json!([])),
        ("GET /service/marathon/v2/apps/web", 200, app),
        ("GET /service/marathon/v2/queue", 200, json!({"queue": []})),
    ]);
    let file = server.home.path().join("a.json");
    std::fs::write(&file, "{\"id\": \"/web\"}").unwrap();
    let output = server.run(&["apply", "-f", &file.display().to_string(), "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("✓ /web: 1/1 healthy"), "{}", stderr(&output));
}

#[test]
fn waiting_ends_with_its_own_code_and_the_reason() {
    let queue = json!({"queue": [{"app": {"id": "/web"}, "delay": {"overdue": true}, "processedOffersSummary":
        {"rejectSummaryLastOffers": [{"reason": "InsufficientCpus", "declined": 1, "processed": 1}]}}]});
    let server = serve(&[
        ("POST /v1/apply", 200, json!({"results": [{"kind": "app", "id": "/web", "action": "unchanged"}]})),
        ("GET /service/marathon/v2/deployments", 200, json!([])),
        ("GET /service/marathon/v2/apps/web", 200, json!({"app": {"instances": 1}})),
        ("GET /service/marathon/v2/queue", 200, queue),
    ]);
    let file = server.home.path().join("a.json");
    std::fs::write(&file, "{\"id\": \"/web\"}").unwrap();
    let output = server.run(&["apply", "-f", &file.display().to_string(), "--wait", "--timeout", "0s"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains("not enough free CPUs"), "{}", stderr(&output));
    assert!(stderr(&output).contains("keep watching: dcos apply --wait -f"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupted_wait_says_how_to_go_on() {
    let server = serve(&[
        (
            "GET /service/marathon/v2/deployments",
            200,
            json!([{"id": "d-1", "affectedApps": ["/web"], "currentStep": 1, "totalSteps": 1}]),
        ),
        ("GET /service/marathon/v2/apps/web", 200, json!({"app": {"instances": 1}})),
        ("GET /service/marathon/v2/queue", 200, json!({"queue": []})),
    ]);
    let mut child = command(server.home.path(), &["marathon", "deployment", "watch", "d-1"])
        .env("DCOS_URL", &server.url)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("/web: 0/1 running, step 1/1"), "{first}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let last = lines.next().unwrap().unwrap();
    assert!(last.contains("Watch again: dcos marathon deployment watch d-1"), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn errors_are_json_when_json_is_asked_for() {
    let server = serve(&[]);
    let output = server.run(&["--json", "explain", "/nothing"]);
    assert_eq!(output.status.code(), Some(3));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["summary"], json!("App '/nothing' does not exist"));
    assert_eq!(error["error"]["exitCode"], json!(3));
}

#[test]
fn usage_errors_end_with_1_in_old_commands_and_2_in_new_ones() {
    let server = serve(&[]);
    assert_eq!(server.run(&["package", "instal"]).status.code(), Some(1));
    assert_eq!(server.run(&["apply"]).status.code(), Some(2));
    assert_eq!(server.run(&["--help"]).status.code(), Some(0));
}

#[test]
fn the_token_goes_to_the_cluster_in_its_own_form() {
    let server = serve(&[("GET /service/marathon/v2/info", 200, json!({"name": "marathon"}))]);
    let output = command(server.home.path(), &["marathon", "about"])
        .env("DCOS_URL", &server.url)
        .env("DCOS_ACS_TOKEN", "abc")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(server.seen()[0].header("authorization"), "token=abc");
}

#[test]
fn a_token_of_the_file_stays_with_the_address_of_the_file() {
    let server = serve(&[("GET /service/marathon/v2/info", 200, json!({"name": "marathon"}))]);
    let directory = server.home.path().join(".dcos/clusters/c");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("attached"), "").unwrap();
    let write = |url: &str| {
        let text = format!("[core]\ndcos_url = \"{url}\"\ndcos_acs_token = \"secret\"\n");
        std::fs::write(directory.join("dcos.toml"), text).unwrap();
    };
    write("http://elsewhere.invalid");
    assert_eq!(server.run(&["marathon", "about"]).status.code(), Some(0));
    write(&server.url);
    assert_eq!(server.run(&["marathon", "about"]).status.code(), Some(0));
    let tokens: Vec<String> = server.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(tokens, ["", "token=secret"]);
}

#[test]
fn task_logs_ask_for_the_last_lines() {
    let state = json!({"frameworks": [{"user": "root", "tasks": [{"id": "web.1", "name": "web", "state": "TASK_RUNNING"}]}]});
    let server = serve(&[
        ("GET /mesos/master/state", 200, state),
        ("GET /system/v1/logs/v2/task/web.1/file/stderr?cursor=END&skip=-5", 200, json!("one\ntwo")),
    ]);
    let output = server.run(&["task", "log", "--lines=5", "web", "stderr"]);
    assert_eq!(stdout(&output), "one\ntwo\n");
}

#[cfg(unix)]
#[test]
fn plugins_run_with_the_cluster_in_their_environment() {
    use std::os::unix::fs::PermissionsExt;
    let server = serve(&[]);
    let path = server.home.path().join("dcos-tool");
    std::fs::write(&path, "#!/bin/sh\necho \"$DCOS_URL $*\"\nexit 7\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = command(server.home.path(), &["tool", "--x", "y"])
        .env("DCOS_URL", &server.url)
        .env("PATH", format!("{}:/usr/bin:/bin", server.home.path().display()))
        .output()
        .unwrap();
    assert_eq!(stdout(&output), format!("{} tool --x y\n", server.url));
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn orders_for_nodes_are_sent_and_told() {
    let node = json!({"id": "c-S1", "hostname": "h1", "state": "draining", "connected": true,
        "drain": {"then": "deactivate", "deadline": null, "tasksLeft": 1,
            "waitingFor": [{"app": "/a", "instances": 1, "reason": "there is no room"}]}});
    let server = serve(&[
        ("POST /v1/nodes/h1/drain", 200, node),
        ("POST /v1/nodes/h1/reactivate", 200, json!({"id": "c-S1", "hostname": "h1", "state": "active", "connected": true})),
        ("POST /v1/nodes/h1/decommission", 409, json!({"message": "node c-S1 is connected, so that it is not gone"})),
        ("POST /v1/nodes/brake/release", 200, json!({"released": ["c-S2"], "message": "released"})),
        ("PUT /v1/nodes/brake", 200, json!({"sharePercent": 0, "engaged": false})),
    ]);
    let output = server.run(&["node", "drain", "h1", "--deadline", "10m"]);
    assert_eq!(
        stdout(&output).lines().collect::<Vec<_>>(),
        [
            "h1 (c-S1) is draining: 1 task left",
            "  /a (1): there is no room",
            "watch: dcos node drain c-S1 --watch    cancel: dcos node reactivate c-S1",
        ]
    );
    assert_eq!(server.seen()[0].json(), json!({"deadlineSeconds": 600, "decommission": false}));
    // The option of older clients.
    server.run(&["node", "drain", "h1", "--max-grace-period", "5s", "--decommission"]);
    assert_eq!(server.seen()[1].json(), json!({"deadlineSeconds": 5, "decommission": true}));
    assert_eq!(stdout(&server.run(&["node", "drain", "h1", "--cancel"])).trim(), "Node h1 (c-S1) is in use again.");
    let output = server.run(&["node", "decommission", "h1", "--gone"]);
    assert_eq!(server.seen()[3].json(), json!({"gone": true, "force": false}));
    assert!(stderr(&output).contains("is connected"), "{}", stderr(&output));
    assert_eq!(stdout(&server.run(&["node", "brake", "release"])).lines().collect::<Vec<_>>(), ["released", "nodes: c-S2"]);
    assert!(stdout(&server.run(&["node", "brake", "set", "0"])).contains("off"));
    assert_eq!(server.seen()[5].json(), json!({"sharePercent": 0}));
    let output = server.run(&["node", "drain", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("dcos node list"), "{}", stderr(&output));
}

#[test]
fn other_quotas_are_planned() {
    let quota = json!({"role": "dev", "limit": {"cpus": 8.0, "mem": 64.0}, "guarantee": {"cpus": 2.0}});
    let server = serve(&[
        ("GET /mesos/roles", 200, json!({"roles": [{"name": "dev", "quota": quota}, {"name": "old", "quota": quota}]})),
        ("POST /v1/forecast", 200, json!({"apps": []})),
    ]);
    let output = server.run(&["plan", "--quota", "/dev=cpus:4, disk:10", "--quota", "old=", "--quota", "eng/new=mem:1.5"]);
    assert_eq!(stdout(&output).trim(), "Nothing would start, stop or wait.", "{}", stderr(&output));
    assert_eq!(server.lines(), ["GET /mesos/roles", "POST /v1/forecast"]);
    let value = |amount: f64| json!({"value": amount});
    assert_eq!(
        server.seen()[1].json()["quotas"],
        json!([
            {"role": "dev", "limits": {"cpus": value(4.0), "mem": value(64.0), "disk": value(10.0)}, "guarantees": {"cpus": value(2.0)}},
            {"role": "old", "limits": {}, "guarantees": {}},
            {"role": "eng/new", "limits": {"mem": value(1.5)}, "guarantees": {}},
        ])
    );
    for (option, words) in [
        ("dev", "\"dev\" is not GROUP=RESOURCE:AMOUNT"),
        ("=cpus:1", "is not GROUP=RESOURCE:AMOUNT"),
        ("dev=cpus", "\"cpus\" is not RESOURCE:AMOUNT"),
        ("dev=cpus:nan", "\"cpus:nan\" is not RESOURCE:AMOUNT"),
    ] {
        let output = server.run(&["plan", "--quota", option]);
        assert!(!output.status.success() && stderr(&output).contains(words), "{option}: {}", stderr(&output));
    }
    assert_eq!(server.lines().len(), 2, "what is wrong is not sent");
}
