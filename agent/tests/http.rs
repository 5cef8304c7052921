//! Files, logs and state over the agent's routes.

mod common;

use axum::Router;
use common::{Cluster, assignment, file, spec};
use futures::StreamExt;
use serde_json::Value;
use std::path::Path;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    at
}

async fn get(url: &str, accept: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).header("accept", accept).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn json(url: &str) -> Value {
    let (status, text) = get(url, "application/json").await;
    assert_eq!(status, 200, "{url}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_sandboxes() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let at = serve(cluster.agent.routes()).await;
    let task = cluster
        .run(&assignment(spec("echo hello; mkdir d; echo x > d/f; ln -s /etc/passwd leak; ln -s d/f inside; mkfifo pipe")))
        .await;
    let report = cluster.ended(&task).await;
    let (sandbox, run) = (report.sandbox.unwrap(), report.container.unwrap());
    let listed = json(&format!("{at}/files/browse?path={sandbox}")).await;
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["d", "inside", "leak", "pipe", "stderr", "stdout"]);
    assert_eq!((&listed[0]["mode"], &listed[5]["size"]), (&"drwxr-xr-x".into(), &6.into()));
    let virtual_path = format!("/frameworks/framework-0001/executors/{task}/runs/latest");
    for (path, prefix) in [(&sandbox, ""), (&virtual_path, "/slave(1)")] {
        let read = json(&format!("{at}{prefix}/files/read.json?path={path}/stdout&offset=1&length=3")).await;
        assert_eq!(read, serde_json::json!({"data": "ell", "offset": 1}));
    }
    assert_eq!(
        json(&format!("{at}/files/read?path={sandbox}/stdout&offset=-1")).await,
        serde_json::json!({"data": "", "offset": 6})
    );
    assert_eq!(
        json(&format!("{at}/files/read?path={sandbox}/stdout&offset=99")).await,
        serde_json::json!({"data": "", "offset": 99})
    );
    assert_eq!(get(&format!("{at}/files/download?path={sandbox}/inside"), "*/*").await, (200, "x\n".into()));
    for (path, status) in [
        (format!("{sandbox}/leak"), 403),
        (format!("{sandbox}/pipe"), 400),
        (format!("{sandbox}/d"), 400),
        (format!("{sandbox}/absent"), 404),
        (format!("{sandbox}/../../../../../../../../lock"), 403),
        (format!("{sandbox}/d/../../../../../../../lock"), 403),
        ("/etc/passwd".into(), 404),
        (directory.path().join("lock").display().to_string(), 404),
    ] {
        let (found, text) = get(&format!("{at}/files/download?path={path}"), "*/*").await;
        assert_eq!(found, status, "{path}: {text}");
    }
    assert_eq!(get(&format!("{at}/files/read"), "*/*").await, (400, "Expecting 'path=value' in query.\n".into()));
    let paths = json(&format!("{at}/files/debug")).await;
    assert!(paths[&sandbox].as_str().unwrap().ends_with(&format!("/frameworks/framework-0001/executors/{task}/runs/{run}")));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_read_and_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let at = serve(cluster.agent.routes()).await;
    let command = "for i in 1 2 3 4; do echo line $i; done; echo up > up; while [ ! -e go ]; do sleep 0.02; done; \
                   echo more; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last; sleep 1234";
    let task = cluster.run(&assignment(spec(command))).await;
    let sandbox = cluster.running(&task).await.sandbox.unwrap();
    file(&Path::new(&sandbox).join("stdout")).await;
    file(&Path::new(&sandbox).join("up")).await;
    while common::log(&cluster.reports[&task], "stdout").lines().count() < 4 {
        tokio::task::yield_now().await;
    }
    let url = format!("{at}/logs/v2/task/{task}/file/stdout");
    assert_eq!(get(&format!("{url}?cursor=END&skip=-2"), "text/plain").await, (200, "line 3\nline 4\n".into()));
    assert_eq!(get(&format!("{url}?skip=1&limit=2"), "text/plain").await, (200, "line 2\nline 3\n".into()));
    assert_eq!(get(&format!("{at}/logs/v2/task/{task}?cursor=BEG&limit=1"), "*/*").await, (200, "line 1\n".into()));
    let (_, lines) = get(&format!("{url}?cursor=END&skip=-1"), "application/json").await;
    let line: Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(line["fields"]["MESSAGE"], "line 4");
    assert_eq!(get(&format!("{url}?cursor=x"), "*/*").await.0, 400);
    assert_eq!(get(&format!("{at}/logs/v2/task/{task}/file/absent"), "*/*").await.0, 404);
    assert_eq!(get(&format!("{at}/logs/v2/task/..%2f..%2fx/file/stdout"), "*/*").await.0, 400);

    // Followed across a rotation.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{url}?cursor=END&skip=-1")).header("accept", "text/event-stream");
    let mut stream = request.send().await.unwrap().bytes_stream();
    let mut text = String::new();
    let mut next = async |text: &mut String| -> Value {
        loop {
            if let Some((event, rest)) = text.split_once("\n\n") {
                let data =
                    event.lines().find_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str(data).unwrap());
                *text = rest.to_owned();
                if let Some(data) = data {
                    return data;
                }
                continue;
            }
            let chunk = tokio::time::timeout(common::PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    assert_eq!(next(&mut text).await["fields"]["MESSAGE"], "line 4");
    std::fs::write(Path::new(&sandbox).join("go"), "").unwrap();
    let more = next(&mut text).await;
    assert_eq!(more["fields"]["MESSAGE"], "more");
    assert!(next(&mut text).await["fields"]["MESSAGE"].as_str().unwrap().starts_with("xxx"));
    assert_eq!(next(&mut text).await["fields"]["MESSAGE"], "last");
    assert!(Path::new(&sandbox).join("stdout.1").exists(), "it was rotated meanwhile");
    // Taken up again behind a line that has been set aside since.
    let request = client.get(&url).header("accept", "application/json").header("last-event-id", more["cursor"].as_str().unwrap());
    let lines = request.send().await.unwrap().text().await.unwrap();
    let messages: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"]["MESSAGE"].clone()).collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1], "last");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_and_usage() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let at = serve(cluster.agent.routes()).await;
    let task = cluster.run(&assignment(spec("exec sleep 1234"))).await;
    let report = cluster.running(&task).await;
    let state = json(&format!("{at}/slave(1)/state.json")).await;
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["id"], task.to_string());
    assert_eq!(executor["directory"].as_str(), report.sandbox.as_deref());
    assert_eq!(executor["container"].as_str(), report.container.as_deref());
    assert_eq!(executor["name"], "app.test");
    let containers = json(&format!("{at}/containers")).await;
    assert_eq!(containers[0]["container_id"].as_str(), report.container.as_deref());
    assert_eq!(containers[0]["statistics"]["mem_limit_bytes"], 64 << 20);
    if common::is_root() {
        assert!(containers[0]["statistics"]["mem_total_bytes"].as_u64().unwrap() > 0, "{containers}");
        assert_eq!(containers[0]["statistics"]["processes"], 2);
    }
    assert_eq!(json(&format!("{at}/containers?container_id=none")).await, Value::Array(Vec::new()));
    let statistics = json(&format!("{at}/monitor/statistics")).await;
    assert!(statistics[0].get("container_id").is_none() && statistics[0]["executor_id"] == task.to_string());
    let metrics = json(&format!("{at}/metrics/snapshot")).await;
    assert_eq!((&metrics["slave/tasks_running"], &metrics["slave/cpus_used"]), (&1.into(), &0.1.into()));
    assert_eq!(get(&format!("{at}/health"), "*/*").await.0, 200);
    cluster.finish().await;
}
