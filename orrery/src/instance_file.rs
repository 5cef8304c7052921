//! What a running cluster leaves in its data directory for `down` and `status`.

use crate::data_list;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What runs on a data directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `orrery up`.
    #[default]
    Cluster,
    /// `orrery agent`.
    Agent,
    /// `orrery controller`.
    Controller,
}

/// The running daemon of a data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceFile {
    #[serde(default)]
    pub(crate) kind: Kind,
    pub(crate) pid: i32,
    /// Start time from `/proc/<pid>/stat`, so that a reused pid is not mistaken for ours.
    pub(crate) started_ticks: u64,
    pub(crate) url: String,
    pub(crate) dns: String,
    pub(crate) cluster_id: String,
    /// SHA-256 of the authority's certificate, as `openssl x509 -fingerprint -sha256` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<String>,
    pub(crate) version: String,
    /// Why nothing can be decided, while the store does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store_outage: Option<String>,
}

/// The file itself.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    running: InstanceFile,
    /// The data directory that it was written in; a copy is nobody's. Absent in files of older versions.
    #[serde(default)]
    data: Option<PathBuf>,
}

impl InstanceFile {
    /// This process; where it serves what is told later.
    pub(crate) fn of_this_process(kind: Kind) -> Self {
        let pid = std::process::id().cast_signed();
        Self {
            kind,
            pid,
            started_ticks: started_ticks(pid).unwrap_or_default(),
            url: String::new(),
            dns: String::new(),
            cluster_id: String::new(),
            authority: None,
            version: env!("CARGO_PKG_VERSION").into(),
            store_outage: None,
        }
    }

    fn path(data: &Path) -> PathBuf {
        data.join("running.json")
    }

    pub(crate) fn write(&self, data: &Path) -> std::io::Result<()> {
        let partial = data.join("running.json.partial");
        let written = Written { running: self.clone(), data: data.canonicalize().ok() };
        std::fs::write(&partial, serde_json::to_vec_pretty(&written)?)?;
        std::fs::rename(partial, Self::path(data))?;
        data_list::note(data);
        Ok(())
    }

    pub(crate) fn remove(data: &Path) {
        // Nothing is lost when it stays: readers check the process.
        let _ = std::fs::remove_file(Self::path(data));
    }

    /// The daemon of `data`, if it is alive.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let Written { running, data: own } = serde_json::from_slice(&std::fs::read(Self::path(data)).ok()?).ok()?;
        let is_copy = own.is_some_and(|own| data.canonicalize().is_ok_and(|data| data != own));
        (!is_copy && started_ticks(running.pid) == Some(running.started_ticks)).then_some(running)
    }
}

/// Start time of a process in clock ticks since boot (proc(5): field 22).
pub(crate) fn started_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let is_zombie = fields.next() == Some("Z");
    fields.nth(18)?.parse().ok().filter(|_| !is_zombie)
}
