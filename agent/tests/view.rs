//! What tasks see follows the node.

mod common;

use common::{Cluster, assignment, config, is_root, log, spec};
use nix::mount::{MsFlags, mount, umount};
use orrery_core::Scalar;
use orrery_core::app::{PersistentVolume, Volume, VolumeMode};
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
async fn only_what_is_a_tasks_own_can_be_written_below_the_home_of_root() {
    if !is_root() {
        eprintln!("SKIPPED only_what_is_a_tasks_own_can_be_written_below_the_home_of_root: namespaces need root");
        return;
    }
    let directory = tempfile::tempdir_in("/root").unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let probe = format!("orrery-test-{}", std::process::id());
    let command = format!(
        "echo x > mine && echo x > data/mine && \
         for at in /root /run/systemd /run/udev; do if echo x > $at/{probe}; then echo $at; fi; done 2>/dev/null"
    );
    let mut writes = spec(&command);
    let size = Scalar::ONE;
    let persistent = PersistentVolume { kind: None, size, max_size: None, profile_name: None, constraints: Vec::new() };
    writes.volumes = vec![Volume { container_path: "data".into(), persistent: Some(persistent), ..Volume::default() }];
    let task = cluster.run(&assignment(writes)).await;
    let report = cluster.ended(&task).await;
    assert_eq!(report.condition, Condition::Finished, "{report:#?} {}", log(&report, "stderr"));
    assert_eq!(log(&report, "stdout"), "");
    assert_eq!(log(&report, "mine"), "x\n");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_directory_is_seen_by_no_mount_of_it() {
    if !is_root() {
        eprintln!("SKIPPED the_agents_directory_is_seen_by_no_mount_of_it: mounting needs root");
        return;
    }
    let (place, alias) = (tempfile::tempdir().unwrap(), Mounted(tempfile::tempdir().unwrap()));
    let real = place.path().join("real");
    std::fs::create_dir(&real).unwrap();
    std::fs::write(real.join("secret"), "x").unwrap();
    mount(Some(&real), alias.0.path(), NONE, MsFlags::MS_BIND, NONE).unwrap();
    let command = format!("ls {0} {1}; cat {0}/secret {1}/secret; echo x > mine", real.display(), alias.0.path().display());
    for directory in [alias.0.path(), &real] {
        let mut cluster = Cluster::start(directory).await;
        let task = cluster.run(&assignment(spec(&command))).await;
        let report = cluster.ended(&task).await;
        assert_eq!(log(&report, "stderr").matches("secret: No such file").count(), 2, "{}", log(&report, "stderr"));
        assert!(!log(&report, "stdout").contains("secret"), "{}", log(&report, "stdout"));
        assert_eq!(log(&report, "mine"), "x\n");
        cluster.finish().await;
    }
}
