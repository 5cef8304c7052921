//! Backups and moves, with the commands of the guide.

use orrery_e2e::app::sleeper;
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const GUIDE: &str = include_str!("../../../docs/guide/backup.md");

/// The commands of the guide, in order.
fn commands() -> Vec<&'static str> {
    GUIDE.lines().filter(|line| line.starts_with("orrery ")).collect()
}

struct Guide {
    file: String,
    etcd: String,
    id: String,
}

impl Guide {
    /// Runs a command as it stands in the guide.
    fn try_run(&self, cluster: &TestCluster, command: &str) -> orrery_e2e::Output {
        assert!(commands().contains(&command), "the guide does not show {command}");
        let data = cluster.data().display().to_string();
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let word = |word: &str| match word {
            "DATA" => data.clone(),
            "FILE" => self.file.clone(),
            "ETCD" => self.etcd.clone(),
            "CLUSTER" => self.id.clone(),
            word => word.to_owned(),
        };
        let words: Vec<String> = words.into_iter().map(word).collect();
        cluster.orrery(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run(&self, cluster: &TestCluster, command: &str) -> String {
        let output = self.try_run(cluster, command);
        assert_eq!(output.code, 0, "{command}: {output:?}");
        output.stdout
    }
}

/// A real etcd of the test's own; ends with the value.
struct Etcd {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Option<Self> {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (client, peer) = (port(), port());
        let directory = tempfile::tempdir().unwrap();
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client, "--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, url: client.replace("http://", "etcd://"), _directory: directory })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ids(tasks: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> = tasks.iter().map(|task| format!("{} {}", task["id"], task["startedAt"])).collect();
    ids.sort();
    ids
}

async fn gone(cluster: &TestCluster, app: &str) {
    eventually(&format!("{app} is gone"), async || {
        let (status, answer) = cluster.send("GET", &format!("/v2/apps{app}"), &Value::Null).await;
        if status == 404 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

/// Whether a process with this text in its command line runs.
fn runs(text: &str) -> bool {
    let commands = std::fs::read_dir("/proc").expect("/proc").flatten();
    commands
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(text))
}

#[tokio::test]
async fn a_restore_adopts_what_runs_and_doubles_nothing() {
    let mut cluster = TestCluster::start(&[]);
    let mark = format!("77{:05}", std::process::id() % 100_000);
    cluster.create(&sleeper("/stays", 3)).await;
    cluster.create(&sleeper("/removed", 1)).await;
    let before = ids(&cluster.running("/stays", 3).await);
    let file = cluster.scratch().join("cluster.backup");
    let id = cluster.get("/v1/status").await["cluster"]["id"].as_str().unwrap().to_owned();
    let guide = Guide { file: file.display().to_string(), etcd: String::new(), id: id.clone() };
    guide.run(&cluster, "orrery backup create FILE --data-dir DATA");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let told = guide.run(&cluster, "orrery backup verify FILE");
    assert!(told.contains(&id) && told.contains("instances  4") && told.contains("whole"), "{told}");
    // A file that is there is never written over.
    assert_ne!(guide.try_run(&cluster, "orrery backup create FILE --data-dir DATA").code, 0);
    // After the backup: one app goes, another comes.
    let (status, answer) = cluster.send("DELETE", "/v2/apps/removed?force=true", &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    gone(&cluster, "/removed").await;
    cluster.create(&json!({ "id": "/later", "cmd": format!("exec sleep {mark}"), "cpus": 0.01, "mem": 32 })).await;
    assert!(runs(&mark));
    // Not while it runs, and not over another cluster by accident.
    let refused = guide.try_run(&cluster, "orrery backup restore FILE --data-dir DATA --force CLUSTER");
    assert!(refused.code != 0 && refused.stderr.contains("stop it"), "{refused:?}");
    cluster.kill();
    let refused = guide.try_run(&cluster, "orrery backup restore FILE --data-dir DATA");
    assert!(refused.code != 0 && refused.stderr.contains("not empty"), "{refused:?}");
    guide.run(&cluster, "orrery backup restore FILE --data-dir DATA --force CLUSTER");
    cluster.up();
    assert_eq!(ids(&cluster.running("/stays", 3).await), before, "the same tasks");
    cluster.running("/removed", 1).await;
    gone(&cluster, "/later").await;
    eventually("the later task is stopped", async || if runs(&mark) { Err(mark.clone()) } else { Ok(()) }).await;
    // The store is lost: into an empty one.
    cluster.kill();
    std::fs::remove_file(cluster.data().join("store.redb")).unwrap();
    guide.run(&cluster, "orrery backup restore FILE --data-dir DATA");
    cluster.up();
    assert_eq!(ids(&cluster.running("/stays", 3).await), before, "the same tasks again");
    // A broken file is refused.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let refused = guide.try_run(&cluster, "orrery backup verify FILE");
    assert!(refused.code != 0 && refused.stderr.contains("digest"), "{refused:?}");
}

#[tokio::test]
async fn a_move_to_etcd_and_back() {
    let Some(etcd) = Etcd::start() else {
        assert!(std::env::var_os("ORRERY_REQUIRE_ETCD").is_none(), "etcd is not installed");
        eprintln!("SKIPPED: a_move_to_etcd_and_back: etcd is not installed");
        return;
    };
    let mut cluster = TestCluster::start(&[]);
    cluster.create(&sleeper("/stays", 2)).await;
    let before = ids(&cluster.running("/stays", 2).await);
    let id = cluster.get("/v1/status").await["cluster"]["id"].as_str().unwrap().to_owned();
    let guide = Guide { file: String::new(), etcd: etcd.url.clone(), id: id.clone() };
    cluster.kill();
    let there = "orrery store migrate --data-dir DATA --to ETCD";
    guide.run(&cluster, there);
    // Again: nothing changes.
    let told = guide.run(&cluster, there);
    assert!(told.contains("Moved 0 entries"), "{told}");
    // Nobody leads on what was left.
    let data = cluster.data().display().to_string();
    let refused = cluster.orrery(&["up", "--data-dir", &data, "--listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0"]);
    assert!(refused.code != 0 && refused.stderr.contains("has moved to"), "{refused:?}");
    // The etcd can be saved too.
    let file = Path::new(&data).with_file_name("etcd.backup").display().to_string();
    let saved = cluster.orrery(&["backup", "create", &file, "--store", &etcd.url]);
    assert_eq!(saved.code, 0, "{saved:?}");
    guide.run(&cluster, "orrery store migrate --data-dir DATA --from ETCD --force CLUSTER");
    guide.run(&cluster, "orrery store reopen --store ETCD --force CLUSTER");
    cluster.up();
    assert_eq!(ids(&cluster.running("/stays", 2).await), before, "the tasks have not noticed");
}
