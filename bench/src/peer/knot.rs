//! Knot DNS with one UDP worker and the same records.

use super::free_port;
use crate::process::{Killed, find, pinned};
use anyhow::Context as _;
use orrery_core::dns::{Record, RecordData};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

/// A running Knot.
pub(crate) struct Knot {
    _child: Killed,
    pub(crate) address: SocketAddr,
    /// Name and version.
    pub(crate) version: String,
}

impl Knot {
    /// Starts one with `records` on one core; `None` when it is not installed.
    pub(crate) fn start(directory: &Path, records: impl Iterator<Item = Record>, core: usize) -> anyhow::Result<Option<Self>> {
        let Some(program) = find("knotd") else { return Ok(None) };
        let directory = directory.join("knot");
        fs::create_dir(&directory)?;
        fs::write(directory.join("mesos.zone"), zone(records))?;
        let port = free_port()?;
        let at = directory.display();
        let configuration = format!(
            "server:\n    rundir: {at}\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
             log:\n  - target: stderr\n    any: warning\n\
             database:\n    storage: {at}\n\
             zone:\n  - domain: mesos\n    storage: {at}\n    file: mesos.zone\n    semantic-checks: off\n"
        );
        let file = directory.join("knot.conf");
        fs::write(&file, configuration)?;
        let child = pinned(core, &program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("log"))?)
            .spawn()
            .context("cannot start knotd")?;
        let version = Command::new(&program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        let version = String::from_utf8_lossy(&version).rsplit(' ').next().unwrap_or_default().trim().to_owned();
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Some(Self { _child: Killed(child), address, version: format!("Knot {version}") }))
    }
}

fn zone(records: impl Iterator<Item = Record>) -> String {
    let mut text =
        String::from("$TTL 5\n@ IN SOA ns.mesos. root.mesos. 1 60 60 60 5\n@ IN NS ns.mesos.\nns.mesos. IN A 127.0.0.1\n");
    for record in records {
        let data = match &record.data {
            RecordData::A(address) => format!("A {address}"),
            RecordData::Aaaa(address) => format!("AAAA {address}"),
            RecordData::Srv(service) => format!("SRV 0 1 {} {}.", service.port, service.target),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}. IN {data}", record.name);
    }
    text
}
