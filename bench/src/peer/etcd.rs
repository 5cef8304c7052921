//! A single etcd member with fsync on, reached through the same trait as our own store.

use super::free_port;
use crate::process::{Killed, find};
use anyhow::Context as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const READY: Duration = Duration::from_secs(15);

/// A running etcd.
pub(crate) struct Etcd {
    _child: Killed,
    url: String,
}

impl Etcd {
    /// Starts one below `directory`; `None` when it is not installed.
    pub(crate) fn start(directory: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = find("etcd") else { return Ok(None) };
        let (url, peer) = (format!("http://127.0.0.1:{}", free_port()?), format!("http://127.0.0.1:{}", free_port()?));
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(directory.join("etcd"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start etcd")?;
        Ok(Some(Self { _child: Killed(child), url }))
    }

    /// A client, once it serves.
    pub(crate) async fn store(&self) -> anyhow::Result<orrery_store::Etcd> {
        self.connecting().await
    }

    /// The same, for another thread to wait for.
    pub(crate) fn connecting(&self) -> impl Future<Output = anyhow::Result<orrery_store::Etcd>> + Send + use<> {
        let (url, start) = (self.url.clone(), Instant::now());
        async move {
            loop {
                match orrery_store::Etcd::connect(&[&url], &orrery_store::EtcdOptions::default()).await {
                    Ok(store) => return Ok(store),
                    Err(error) if start.elapsed() > READY => return Err(error).context("etcd does not serve"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
    }
}
