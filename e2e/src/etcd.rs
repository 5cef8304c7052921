//! A real etcd of three members, each on a host of its own.

use crate::process::Process;
use crate::{Disk, Host, Network, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Members of the cluster.
pub const MEMBERS: usize = 3;
/// Values written at most to fill a store.
const FILL_MAX: usize = 10_000;

/// The cluster; ends with the value.
pub struct EtcdCluster {
    /// Their hosts.
    pub hosts: Vec<Host>,
    members: Vec<Process>,
    directory: PathBuf,
    options: EtcdOptions,
    /// A file system of each member's own.
    pub disks: Vec<Disk>,
}

/// How the members are started.
#[derive(Debug, Clone, Default)]
pub struct EtcdOptions {
    /// More arguments.
    pub arguments: Vec<String>,
    /// Size of a file system of its own for the data of each member (`200m`).
    pub disk: Option<String>,
}

impl EtcdCluster {
    /// Starts it on hosts `first`… of `network`. `None`, told loudly, where etcd is not installed.
    ///
    /// # Panics
    /// When it does not start, or must be there (`ORRERY_REQUIRE_ETCD`) and is not.
    pub async fn start(network: &Network, first: u8, directory: &Path, test: &str, options: EtcdOptions) -> Option<Self> {
        if std::process::Command::new("etcd").arg("--version").output().is_err() {
            assert!(std::env::var_os("ORRERY_REQUIRE_ETCD").is_none(), "etcd is not installed");
            eprintln!("SKIPPED: {test}: etcd is not installed (Debian: etcd-server)");
            return None;
        }
        let hosts: Vec<Host> = (0..MEMBERS).map(|member| network.host(first + member as u8)).collect();
        let directory = directory.to_owned();
        let mut cluster = Self { hosts, members: Vec::new(), directory, options, disks: Vec::new() };
        for member in 0..MEMBERS {
            if let Some(size) = &cluster.options.disk {
                cluster.disks.push(Disk::mount(&cluster.data(member), size));
            }
            let process = cluster.launch(member);
            cluster.members.push(process);
        }
        cluster.serves().await;
        Some(cluster)
    }

    fn data(&self, member: usize) -> PathBuf {
        self.directory.join(format!("etcd-{member}"))
    }

    fn launch(&self, member: usize) -> Process {
        let host = &self.hosts[member];
        let peer = |index: usize| format!("m{index}=http://{}:2380", self.hosts[index].address);
        let mut command = host.command(Path::new("etcd"));
        command
            .arg("--name")
            .arg(format!("m{member}"))
            .arg("--data-dir")
            .arg(self.data(member))
            .args(&self.options.arguments)
            .arg(format!("--listen-client-urls=http://{}:2379", host.address))
            .arg(format!("--advertise-client-urls=http://{}:2379", host.address))
            .arg(format!("--listen-peer-urls=http://{}:2380", host.address))
            .arg(format!("--initial-advertise-peer-urls=http://{}:2380", host.address))
            .arg(format!("--initial-cluster={}", (0..MEMBERS).map(peer).collect::<Vec<_>>().join(",")))
            .args(["--log-level=error", "--initial-cluster-state=new"]);
        Process::start(command, &self.directory.join(format!("etcd-{member}.log")))
    }

    async fn serves(&self) {
        let http = reqwest::Client::new();
        eventually("etcd is healthy", async || {
            let url = format!("http://{}:2379/health", self.hosts[0].address);
            let text = http.get(url).send().await.map_err(|error| error.to_string())?.text().await;
            let text = text.map_err(|error| error.to_string())?;
            if text.contains("\"true\"") { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// What `--store` of a controller takes.
    pub fn store(&self) -> String {
        let endpoints: Vec<String> = self.hosts.iter().map(|host| format!("{}:2379", host.address)).collect();
        format!("etcd://{}", endpoints.join(","))
    }

    /// One call through the JSON gateway of a member; its answer, or what it says is wrong.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask(&self, member: usize, path: &str, body: &Value) -> Value {
        let url = format!("http://{}:2379/v3/{path}", self.hosts[member].address);
        let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.expect("an answer of etcd");
        serde_json::from_str(&answer.text().await.expect("a text")).expect("JSON")
    }

    /// Writes a value of `bytes` beside what the cluster keeps, until there is no space; how often that
    /// went well.
    ///
    /// # Panics
    /// When it goes well for ever.
    pub async fn fill(&self, bytes: usize) -> usize {
        let value = STANDARD.encode(vec![7; bytes]);
        for count in 0..FILL_MAX {
            let answer = self.ask(0, "kv/put", &json!({ "key": STANDARD.encode("filling"), "value": value })).await;
            if answer.to_string().contains("space exceeded") {
                return count;
            }
        }
        panic!("the store is never full");
    }

    /// Writes a value of `bytes` beside what the cluster keeps, through a member, for as long as it takes.
    pub async fn put(&self, member: usize, key: &str, bytes: usize) {
        let url = format!("http://{}:2379/v3/kv/put", self.hosts[member].address);
        let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(vec![7; bytes]) }).to_string();
        eventually("the store takes a value", async || {
            let sent = reqwest::Client::new().post(&url).body(body.clone()).send().await;
            let text = sent.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())?;
            if text.contains("error") { Err(text) } else { Ok(()) }
        })
        .await;
    }

    /// Waits until a member has everything that the others have.
    pub async fn caught_up(&self, member: usize) {
        let url = format!("http://{}:2379/v3/kv/range", self.hosts[member].address);
        // A linearizable read: answered only by a member that has applied all.
        let body = json!({ "key": STANDARD.encode("filling"), "keys_only": true }).to_string();
        eventually("the member has caught up", async || {
            let sent = reqwest::Client::new().post(&url).body(body.clone()).send().await;
            let text = sent.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())?;
            if text.contains("\"header\"") && !text.contains("\"error\"") { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// Makes space as an operator does: forgets history, gives the space back, ends the alarms.
    ///
    /// # Panics
    /// When a member does not do so.
    pub async fn make_space(&self) {
        let status = self.ask(0, "maintenance/status", &json!({})).await;
        let revision = status["header"]["revision"].clone();
        self.ask(0, "kv/compaction", &json!({ "revision": revision, "physical": true })).await;
        for member in 0..MEMBERS {
            let answer = self.ask(member, "maintenance/defragment", &json!({})).await;
            assert!(answer["error"].is_null(), "{answer}");
        }
        let alarms = self.ask(0, "maintenance/alarm", &json!({ "action": "GET" })).await;
        for alarm in alarms["alarms"].as_array().into_iter().flatten() {
            let body = json!({ "action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": alarm["alarm"] });
            self.ask(0, "maintenance/alarm", &body).await;
        }
    }

    /// Whether a member has not ended.
    pub fn runs(&mut self, member: usize) -> bool {
        self.members[member].runs()
    }

    /// A value, through etcd's JSON gateway.
    ///
    /// # Panics
    /// When it cannot be read, or is not there.
    pub async fn value(&self, key: &str) -> String {
        let answer = self.ask(0, "kv/range", &json!({ "key": STANDARD.encode(key) })).await;
        let value = answer["kvs"][0]["value"].as_str().unwrap_or_else(|| panic!("no {key}: {answer}"));
        String::from_utf8(STANDARD.decode(value).expect("base64")).expect("text")
    }

    /// SIGKILL of a member.
    pub fn kill(&mut self, member: usize) {
        self.members[member].kill();
    }

    /// Starts a killed member again on its data.
    pub fn restart(&mut self, member: usize) {
        self.members[member] = self.launch(member);
    }

    /// Sends a signal to a member.
    pub fn signal(&self, member: usize, name: &str) {
        self.members[member].signal(name);
    }
}
