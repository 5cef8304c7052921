//! What tasks see follows the node.

mod common;

use common::{Cluster, assignment, config, is_root, log, spec};
use nix::mount::{MsFlags, mount, umount};
use orrery_core::app::{Volume, VolumeMode};
use orrery_core::instance::Condition;
use std::os::unix::net::UnixListener;

const NONE: Option<&str> = None;

/// A file system mounted on the node.
struct Mounted(tempfile::TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount(self.0.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_between_two_tasks_is_protected_too() {
    if !is_root() {
        eprintln!("SKIPPED what_is_mounted_between_two_tasks_is_protected_too: mounting needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let disk = Mounted(tempfile::tempdir().unwrap());
    let command = format!("grep ' {} ' /proc/self/mountinfo || true", disk.0.path().display());
    let before = cluster.run(&assignment(spec(&command))).await;
    let report = cluster.ended(&before).await;
    assert_eq!((report.condition, log(&report, "stdout").as_str()), (Condition::Finished, ""));
    mount(NONE, disk.0.path(), Some("tmpfs"), MsFlags::empty(), NONE).unwrap();
    let after = cluster.run(&assignment(spec(&command))).await;
    let report = cluster.ended(&after).await;
    let line = log(&report, "stdout");
    assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");
    // Nothing of the agent's keeps it.
    umount(disk.0.path()).unwrap();
    let gone = cluster.run(&assignment(spec(&command))).await;
    assert_eq!(log(&cluster.ended(&gone).await, "stdout"), "");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_socket_is_shown_to_who_asks_for_it() {
    if !is_root() {
        eprintln!("SKIPPED a_hidden_socket_is_shown_to_who_asks_for_it: namespaces need root");
        return;
    }
    let (directory, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let socket = place.path().join("engine.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let mut config = config(directory.path());
    config.hidden = vec![socket.clone()];
    let mut cluster = Cluster::with(config).await;
    let command = format!("for at in {0} given; do if [ -S $at ]; then echo yes; else echo no; fi; done", socket.display());
    let mut asks = spec(&command);
    asks.volumes = vec![Volume::host("given", socket.to_str().unwrap(), VolumeMode::ReadOnly)];
    for (container, expected) in [(spec(&command), "no\nno\n"), (asks, "no\nyes\n"), (spec(&command), "no\nno\n")] {
        let task = cluster.run(&assignment(container)).await;
        let report = cluster.ended(&task).await;
        assert_eq!(log(&report, "stdout"), expected, "{report:#?}");
    }
    cluster.finish().await;
}
