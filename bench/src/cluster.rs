//! A cluster of its own for a bench: the built `orrery` on free ports and a fresh data directory.

use crate::http::{Client, Endpoint};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a cluster may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Resources told to the cluster: processes of benches need next to none.
pub(crate) const RESOURCES: &str = "cpus:64;mem:65536;disk:100000;ports:[20000-31000]";
/// Lines of the log shown when it does not start.
const LOG_LINES_SHOWN: usize = 10;

/// A running cluster; dropping it stops it and its tasks.
pub(crate) struct Cluster {
    child: Child,
    directory: tempfile::TempDir,
    url: String,
    /// Address of the DNS server.
    pub(crate) dns: SocketAddr,
    /// For requests.
    pub(crate) http: Client,
}

/// The daemon: `ORRERY_BIN`, else beside this program.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("ORRERY_BIN") {
        return Ok(path.into());
    }
    let path = std::env::current_exe()?.with_file_name("orrery");
    if !path.exists() {
        bail!("{} is not built; run benches with `cargo x bench`", path.display());
    }
    Ok(path)
}

impl Cluster {
    /// Starts one.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let binary = binary()?;
        let directory = tempfile::Builder::new().prefix("orrery-bench-").tempdir()?;
        // Tasks of other users must reach what benches put there.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let data = directory.path().join("data");
        let log_path = directory.path().join("orrery.log");
        let mut child = Command::new(&binary)
            .args(["up", "--listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0", "--no-attach", "--resources", RESOURCES])
            .arg("--data-dir")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log_path)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let Some(url) = line.trim().strip_prefix("ready http://") else {
            let status = child.wait()?;
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
            bail!("orrery up did not become ready ({status}); its log ends:\n{end}");
        };
        let running: Value = serde_json::from_slice(&fs::read(data.join("running.json"))?)?;
        let dns = running["dns"].as_str().context("running.json names no DNS server")?;
        let dns = dns.parse().with_context(|| format!("{dns} is no address"))?;
        let http = Client::new(Endpoint::Tcp(url.trim_end_matches('/').to_owned()));
        let url = format!("http://{url}");
        Ok(Self { child, directory, url, dns, http })
    }

    /// Directory for files of the bench.
    pub(crate) fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// The store's file.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.data().join("store.redb")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Where the door is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Process id of the daemon.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Removes an app and waits until its tasks are gone.
    pub(crate) fn remove(&mut self, id: &str) -> anyhow::Result<()> {
        self.http.delete(&format!("/v2/apps{id}?force=true"))?;
        self.settled()
    }

    /// Waits until no deployment is left.
    pub(crate) fn settled(&mut self) -> anyhow::Result<()> {
        self.until("deployments end", |http| Ok(http.get("/v2/deployments")?.as_array().is_some_and(Vec::is_empty).then_some(())))
    }

    /// Asks until there is an answer.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut probe: impl FnMut(&mut Client) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = probe(&mut self.http)? {
                return Ok(value);
            }
            if Instant::now() > deadline {
                bail!("{what}: not within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let data = self.directory.path().join("data");
        let stopped = binary()
            .ok()
            .and_then(|binary| Command::new(binary).args(["down", "--data-dir"]).arg(data).stdout(Stdio::null()).status().ok());
        if !stopped.is_some_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// An app definition with next to no resources.
pub(crate) fn app(id: &str, command: &str, instances: usize) -> Value {
    json!({ "id": id, "cmd": command, "cpus": 0.001, "mem": 32, "disk": 0, "instances": instances })
}
