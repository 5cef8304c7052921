//! The daemon's own life: stop, start, die.

use orrery_e2e::app::{sleeper, task};
use orrery_e2e::{TestCluster, eventually, orrery_binary};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a process with this text in its command line runs.
fn runs(text: &str) -> bool {
    let commands = std::fs::read_dir("/proc").expect("/proc").flatten();
    commands
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(text))
}

#[tokio::test]
async fn everything_comes_back_after_a_stop() {
    let mut cluster = TestCluster::start(&[]);
    let mark = format!("10{:05}", std::process::id() % 100_000);
    cluster.create(&json!({ "id": "/keep", "cmd": format!("sleep {mark}"), "cpus": 0.01, "mem": 16, "instances": 2 })).await;
    cluster.cosmos_ok("/package/install", &json!({ "packageName": "hello-world" })).await;
    cluster.healthy("/hello-world", 1).await;
    assert!(runs(&mark));
    cluster.down();
    assert!(!runs(&mark), "stopping the cluster stops its tasks");
    cluster.up();
    cluster.running("/keep", 2).await;
    cluster.healthy("/hello-world", 1).await;
    let list = cluster.cosmos_ok("/package/list", &json!({})).await;
    assert_eq!(list["packages"][0]["appId"], "/hello-world");
}

#[tokio::test]
async fn tasks_outlive_a_killed_daemon_and_are_adopted() {
    let mut cluster = TestCluster::start(&[]);
    cluster.create(&task("/survivor", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done")).await;
    let before = cluster.tasks("/survivor").await;
    cluster.kill();
    cluster.up();
    let after = cluster.running("/survivor", 1).await;
    assert_eq!(before[0]["id"], after[0]["id"], "the same task, not a new one");
    assert_eq!(before[0]["startedAt"], after[0]["startedAt"]);
    let log = eventually("its output goes on", async || {
        let log = cluster.dcos(&["task", "log", "survivor", "--lines=100000"]);
        if log.code == 0 && log.stdout.lines().count() > 20 { Ok(log.stdout) } else { Err(format!("{log:?}")) }
    })
    .await;
    assert!(log.lines().enumerate().all(|(index, line)| line == (index + 1).to_string()), "nothing is lost: {log}");
}

#[tokio::test]
async fn an_exit_while_nobody_watched_is_noticed() {
    let mut cluster = TestCluster::start(&[]);
    let gate = cluster.scratch().join("gate");
    cluster.create(&task("/gap", &format!("while [ ! -e {} ]; do sleep 0.02; done; exit 9", gate.display()))).await;
    let before = cluster.tasks("/gap").await.remove(0);
    cluster.kill();
    std::fs::write(&gate, "").unwrap();
    let name = before["id"].as_str().unwrap().to_owned();
    eventually("the task has ended", async || if runs(&gate.display().to_string()) { Err(name.clone()) } else { Ok(()) }).await;
    cluster.up();
    let failure = cluster.failure_with("/gap", &["9"]).await;
    assert_eq!(failure["taskId"], before["id"], "{failure}");
    std::fs::remove_file(&gate).unwrap();
    eventually("another one runs", async || {
        let tasks = cluster.tasks("/gap").await;
        if tasks.iter().any(|task| task["id"] != before["id"] && task["state"] == "TASK_RUNNING") {
            Ok(())
        } else {
            Err(format!("{tasks:?}"))
        }
    })
    .await;
}

/// Deaths of the daemon under load.
const DEATHS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_app_is_lost_by_kill_9() {
    let mut cluster = TestCluster::start(&[]);
    let mut acknowledged = Vec::new();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for death in 0..DEATHS {
        let (url, pid) = (cluster.url.clone(), cluster.pid().expect("it runs"));
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (wanted, pause) = (seed % 16, std::time::Duration::from_micros((seed >> 8) % 10_000));
        let written = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (url, written) = (url.clone(), Arc::clone(&written));
                tokio::spawn(async move {
                    let (client, mut done) = (reqwest::Client::new(), Vec::new());
                    for number in 0.. {
                        let id = format!("/load/a{death}-{writer}-{number}");
                        let app = json!({ "id": id, "cmd": "true", "instances": 0, "cpus": 0.01, "mem": 16 });
                        let request = client.post(format!("{url}/v2/apps")).header("content-type", "application/json");
                        match request.body(app.to_string()).send().await {
                            Ok(response) if response.status().as_u16() == 201 => {
                                written.fetch_add(1, Ordering::Relaxed);
                                done.push(id);
                            }
                            Ok(response) => panic!("{}", response.status()),
                            Err(_) => break,
                        }
                    }
                    done
                })
            })
            .collect();
        eventually("some apps are written", async || {
            let written = written.load(Ordering::Relaxed);
            if written >= wanted { Ok(()) } else { Err(format!("{written} of {wanted}")) }
        })
        .await;
        // Not a wait for anything: the moment of death is meant to be random.
        tokio::time::sleep(pause).await;
        assert_eq!(cluster.pid(), Some(pid));
        cluster.kill();
        for writer in writers {
            acknowledged.extend(writer.await.expect("the writer ends"));
        }
        cluster.up();
    }
    let apps = cluster.get("/v2/apps").await;
    let present: std::collections::BTreeSet<&str> =
        apps["apps"].as_array().unwrap().iter().filter_map(|app| app["id"].as_str()).collect();
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !present.contains(id.as_str())).collect();
    println!("{} apps acknowledged over {DEATHS} deaths", acknowledged.len());
    assert!(!acknowledged.is_empty() && lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    cluster.settled().await;
}

#[tokio::test]
async fn one_data_directory_belongs_to_one_daemon() {
    let cluster = TestCluster::start(&[]);
    let data = cluster.data();
    let second =
        cluster.orrery(&["up", "--listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_ne!(second.code, 0);
    assert!(second.stderr.contains("orrery down") || second.stderr.contains(&cluster.url), "{second:?}");
    let status = cluster.orrery(&["status", "--data-dir", data.to_str().unwrap()]);
    assert!(status.code == 0 && status.stdout.contains(&cluster.url), "{status:?}");
    cluster.create(&sleeper("/fine", 1)).await;
}

#[tokio::test]
async fn ports_and_addresses_that_cannot_be_served_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let up = |listen: &str, dns: &str| {
        let output = Command::new(orrery_binary())
            .args(["up", "--listen", listen, "--dns-listen", dns, "--data-dir"])
            .arg(directory.path().join("data"))
            .env("DCOS_DIR", directory.path())
            .output()
            .expect("orrery runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let occupied = std::net::TcpListener::bind(&taken).unwrap();
    let (good, said) = up(&taken, "127.0.0.1:0");
    assert!(!good && said.contains(&taken) && said.contains("in use"), "{said}");
    drop(occupied);
    // The door may be anywhere, with TLS and logins; names are for this machine and private networks.
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let (good, said) = up("127.0.0.1:0", address);
        assert!(!good && said.contains(address) && said.contains("loopback"), "{said}");
    }
    let (good, said) = up("nonsense", "127.0.0.1:0");
    assert!(!good && said.contains("nonsense"), "{said}");
}

#[test]
fn a_log_that_cannot_be_written_ends_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut daemon = Command::new(orrery_binary())
        .args(["up", "--listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env("DCOS_DIR", directory.path().join("dcos"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .spawn()
        .expect("orrery starts");
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().expect("piped")).read_line(&mut line).expect("orrery's output");
    assert!(line.starts_with("ready "), "it said {line:?} and is {:?}", daemon.try_wait());
    // What it says of its end is lost as well.
    let down = Command::new(orrery_binary()).args(["down", "--data-dir"]).arg(&data).status();
    assert!(down.is_ok_and(|status| status.success()));
    assert!(daemon.wait().unwrap().success());
}

#[tokio::test]
async fn an_idle_cluster_writes_nothing() {
    let cluster = TestCluster::start(&[]);
    cluster.cosmos_ok("/package/install", &json!({ "packageName": "hello-world" })).await;
    cluster.healthy("/hello-world", 1).await;
    let store = cluster.data().join("store.redb");
    let look = || {
        let metadata = std::fs::metadata(&store).expect("the store");
        (metadata.modified().expect("a time"), metadata.len())
    };
    let generation = cluster.generation().await;
    let before = (look(), std::fs::read(&store).expect("the store"));
    // The claim is about time that passes; health checks go on meanwhile.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(look(), before.0, "the store was written");
    assert!(std::fs::read(&store).expect("the store") == before.1, "the store has changed");
    assert_eq!(cluster.generation().await, generation);
    assert_eq!(cluster.get("/v2/apps/hello-world").await["app"]["tasksHealthy"], Value::from(1));
}
