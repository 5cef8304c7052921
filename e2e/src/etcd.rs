//! A real etcd of three members, each on a host of its own.

use crate::process::Process;
use crate::{Host, Network, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Members of the cluster.
pub const MEMBERS: usize = 3;

/// The cluster; ends with the value.
pub struct EtcdCluster {
    /// Their hosts.
    pub hosts: Vec<Host>,
    members: Vec<Process>,
    directory: PathBuf,
}

impl EtcdCluster {
    /// Starts it on hosts `first`… of `network`. `None`, told loudly, where etcd is not installed.
    ///
    /// # Panics
    /// When it does not start, or must be there (`ORRERY_REQUIRE_ETCD`) and is not.
    pub async fn start(network: &Network, first: u8, directory: &Path, test: &str) -> Option<Self> {
        if std::process::Command::new("etcd").arg("--version").output().is_err() {
            assert!(std::env::var_os("ORRERY_REQUIRE_ETCD").is_none(), "etcd is not installed");
            eprintln!("SKIPPED: {test}: etcd is not installed (Debian: etcd-server)");
            return None;
        }
        let hosts: Vec<Host> = (0..MEMBERS).map(|member| network.host(first + member as u8)).collect();
        let mut cluster = Self { hosts, members: Vec::new(), directory: directory.to_owned() };
        for member in 0..MEMBERS {
            let process = cluster.launch(member);
            cluster.members.push(process);
        }
        cluster.serves().await;
        Some(cluster)
    }

    fn launch(&self, member: usize) -> Process {
        let host = &self.hosts[member];
        let peer = |index: usize| format!("m{index}=http://{}:2380", self.hosts[index].address);
        let mut command = host.command(Path::new("etcd"));
        command
            .arg("--name")
            .arg(format!("m{member}"))
            .arg("--data-dir")
            .arg(self.directory.join(format!("etcd-{member}")))
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

    /// A value, through etcd's JSON gateway.
    ///
    /// # Panics
    /// When it cannot be read, or is not there.
    pub async fn value(&self, key: &str) -> String {
        let url = format!("http://{}:2379/v3/kv/range", self.hosts[0].address);
        let body = json!({ "key": STANDARD.encode(key) }).to_string();
        let answer = reqwest::Client::new().post(url).body(body).send().await.expect("an answer of etcd");
        let answer: Value = serde_json::from_str(&answer.text().await.expect("a text")).expect("JSON");
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
