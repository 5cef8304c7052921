//! An engine that hangs while the agent starts: the node is there at once, its containers count as running.

mod common;

use common::{Cluster, assignment, config, spec};
use orrery_core::assignment::{Assignment, ExecutorKind, ImageSpec};
use orrery_core::instance::Condition;
use orrery_core::{TaskId, Timestamp};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// An agent that is silent for longer is taken for lost, and its start and registration take their time too.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Answers with one running container, once it is told to answer at all.
async fn serve(mut connection: UnixStream, mut answers: watch::Receiver<bool>) {
    let mut request = Vec::new();
    while let Ok(1..) = connection.read_buf(&mut request).await {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let line = String::from_utf8_lossy(&std::mem::take(&mut request)).lines().next().unwrap_or_default().to_owned();
        let _ = answers.wait_for(|answers| *answers).await;
        let body = if line.contains("/version") {
            json!({ "ApiVersion": "1.44" })
        } else if line.contains("/containers/json") {
            json!([])
        } else if line.starts_with("GET") && line.contains("/json") {
            json!({ "Id": "abc", "State": { "Status": "running", "Running": true } })
        } else {
            // Events, output and ends that never come.
            std::future::pending().await
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
    }
}

fn engine(socket: &Path) -> watch::Sender<bool> {
    let (answers, told) = watch::channel(false);
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection, told.clone()));
        }
    });
    answers
}

fn with_image() -> Assignment {
    let mut container = spec("sleep 1234");
    container.executor = ExecutorKind::Docker;
    container.image = Some(ImageSpec { name: "any".into(), ..ImageSpec::default() });
    assignment(container)
}

/// What an agent leaves of a container that it has started.
fn leave_record(data: &Path, assignment: &Assignment) -> TaskId {
    let task = assignment.task_id();
    let record = data.join("tasks").join(task.to_string());
    let sandbox = data.join("executors").join(task.to_string()).join("runs/1");
    std::fs::create_dir_all(&record).unwrap();
    std::fs::create_dir_all(&sandbox).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let at = Timestamp::from_millis(1_000);
    let text = json!({
        "assignment": assignment,
        "run": { "container": "1", "sandbox": sandbox, "record": record },
        "created_at": at,
        "boot": boot.trim(),
        "started_at": at,
        "docker": "abc",
    });
    std::fs::write(record.join("task.json"), text.to_string()).unwrap();
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_does_not_hold_up_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let answers = engine(&socket);
    let task = leave_record(directory.path(), &with_image());
    let mut config = config(directory.path());
    config.docker = Some(socket);
    let started = Instant::now();
    let cluster = Cluster::with(config).await;
    assert!(started.elapsed() < SILENCE_MAX, "{:?}", started.elapsed());
    assert_eq!(cluster.agent.facts().executors, ["process"]);
    assert_eq!(cluster.reports[&task].condition, Condition::Running);
    answers.send_replace(true);
    let mut cluster = cluster.reconnected().await;
    assert_eq!(cluster.agent.facts().executors, ["process", "docker"]);
    // Which is found out when the container has been looked at.
    cluster.until(&task, |report| report.ready).await;
    assert!(cluster.history.iter().all(|report| report.condition == Condition::Running), "{:#?}", cluster.history);
    cluster.abandon().await;
}
