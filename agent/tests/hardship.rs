//! Full disks, lack of descriptors, damaged records and restarts of the machine: what runs goes on,
//! what ends is told as it was, and nothing runs twice.

mod common;

use common::{Cluster, PATIENCE, assignment, is_root, log, spec};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use orrery_core::assignment::{Exit, FailureReason};
use orrery_core::instance::Condition;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A small file system of its own.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some("size=4m,mode=711")).unwrap();
        Self(directory)
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Takes the last byte.
    fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount(self.0.path());
    }
}

fn go(sandbox: &str) {
    fs::write(Path::new(sandbox).join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk() {
    if !is_root() {
        eprintln!("SKIPPED a_full_disk: mounting needs root");
        return;
    }
    let disk = SmallDisk::new();
    let data = disk.0.path().to_owned();
    let mut cluster = Cluster::start(&data).await;
    let waiting = |code: u32| assignment(spec(&format!("while [ ! -e go ]; do sleep 0.02; done; exit {code}")));
    let (lives, ends, gap) = (waiting(3), waiting(4), waiting(5));
    let mut sandboxes = Vec::new();
    for one in [&lives, &ends, &gap] {
        let task = cluster.run(one).await;
        sandboxes.push(cluster.running(&task).await.sandbox.unwrap());
    }
    disk.fill();
    let refused = cluster.run(&assignment(spec("true"))).await;
    let report = cluster.ended(&refused).await;
    assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::LaunchFailed)), "{report:#?}");
    let message = report.message.unwrap();
    assert!(message.contains("disk of the node is full") || message.contains("No space left"), "{message}");
    go(&sandboxes[1]);
    let report = cluster.ended(&ends.task_id()).await;
    assert_eq!(report.exit, Some(Exit::Code(4)), "{report:#?}");
    // Without an agent, and found by one that starts on the full disk.
    let container = cluster.reports[&lives.task_id()].container.clone();
    cluster.abandon().await;
    go(&sandboxes[2]);
    let exit = data.join("tasks").join(gap.task_id().to_string()).join("exit.json");
    let told = async {
        while !exit.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("its init needs no room to tell how it ended");
    let mut cluster = Cluster::start(&data).await;
    assert_eq!(cluster.ended(&gap.task_id()).await.exit, Some(Exit::Code(5)));
    assert_eq!(cluster.ended(&ends.task_id()).await.exit, Some(Exit::Code(4)));
    let again = cluster.running(&lives.task_id()).await;
    assert_eq!(again.container, container, "the same run");
    // Once there is room everything works again, and the one that ran all the time still does.
    fs::remove_file(disk.ballast()).unwrap();
    let fresh = cluster.run(&assignment(spec("echo room"))).await;
    assert_eq!(log(&cluster.ended(&fresh).await, "stdout"), "room\n");
    go(&sandboxes[0]);
    assert_eq!(cluster.ended(&lives.task_id()).await.exit, Some(Exit::Code(3)));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_descriptors_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let waiting = assignment(spec("while [ ! -e go ]; do sleep 0.02; done; exit 6"));
    let ends = cluster.run(&waiting).await;
    let sandbox = cluster.running(&ends).await.sandbox.unwrap();
    let lives = cluster.run(&assignment(spec("sleep 1234"))).await;
    cluster.running(&lives).await;
    go(&sandbox);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // What is open stays open; nothing more can be opened.
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    let refused = cluster.run(&assignment(spec("true"))).await;
    let report = cluster.ended(&refused).await;
    assert_eq!(report.reason, Some(FailureReason::LaunchFailed), "{report:#?}");
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    assert_eq!(cluster.ended(&ends).await.exit, Some(Exit::Code(6)), "it ended as it ended, however late that could be read");
    assert_eq!(cluster.reports[&lives].condition, Condition::Running);
    let fresh = cluster.run(&assignment(spec("echo open"))).await;
    assert_eq!(log(&cluster.ended(&fresh).await, "stdout"), "open\n");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_was_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let before = cluster.run(&assignment(spec("exec sleep 1234"))).await;
    cluster.running(&before).await;
    let records = directory.path().join("tasks").join(before.to_string());
    let pid: serde_json::Value = serde_json::from_slice(&fs::read(records.join("pid.json")).unwrap()).unwrap();
    cluster.abandon().await;
    // The end of the machine: nothing is left of the task but its record, of another boot. Its number
    // belongs to another process now.
    let init = nix::unistd::Pid::from_raw(i32::try_from(pid["pid"].as_i64().unwrap()).unwrap());
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(records.join("task.json")).unwrap()).unwrap();
    record["boot"] = "another".into();
    fs::write(records.join("task.json"), record.to_string()).unwrap();
    let mine = std::process::id();
    let start = fs::read_to_string("/proc/self/stat").unwrap();
    let start: u64 = start.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
    fs::write(records.join("pid.json"), serde_json::json!({"pid": mine, "start_time": start}).to_string()).unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let report = cluster.ended(&before).await;
    assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::NodeRestarted)), "{report:#?}");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_leaves_no_orphan() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let (good, bad) = (assignment(spec("exec sleep 1234")), assignment(spec("exec sleep 1234")));
    for one in [&good, &bad] {
        let task = cluster.run(one).await;
        cluster.running(&task).await;
    }
    let records = directory.path().join("tasks").join(bad.task_id().to_string());
    let pid: serde_json::Value = serde_json::from_slice(&fs::read(records.join("pid.json")).unwrap()).unwrap();
    cluster.abandon().await;
    fs::write(records.join("task.json"), "{\"assignm").unwrap();
    // A launch that got no further than its directory.
    fs::create_dir(directory.path().join("tasks/nothing")).unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    assert_eq!(cluster.reports.keys().cloned().collect::<Vec<_>>(), [good.task_id()]);
    let init = nix::unistd::Pid::from_raw(i32::try_from(pid["pid"].as_i64().unwrap()).unwrap());
    assert_eq!(nix::sys::signal::kill(init, None), Err(nix::errno::Errno::ESRCH), "it would run beside its replacement");
    assert!(!directory.path().join("tasks/nothing").exists());
    // The controller still wants it: it starts anew.
    let task = cluster.run(&bad).await;
    assert_eq!(cluster.running(&task).await.condition, Condition::Running);
    cluster.finish().await;
}

/// The number of a task's init, as its record has it.
fn init_of(records: &Path) -> nix::unistd::Pid {
    let pid: serde_json::Value = serde_json::from_slice(&fs::read(records.join("pid.json")).unwrap()).unwrap();
    nix::unistd::Pid::from_raw(i32::try_from(pid["pid"].as_i64().unwrap()).unwrap())
}

fn runs(process: nix::unistd::Pid) -> bool {
    nix::sys::signal::kill(process, None).is_ok()
}

/// Waits for a process that is on its way out.
async fn gone(process: nix::unistd::Pid) {
    let gone = async {
        while runs(process) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_crash_of_the_machine_left_empty() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let (all, some) = (assignment(spec("exec sleep 1234")), assignment(spec("exec sleep 1234")));
    let records = |of: &orrery_core::assignment::Assignment| directory.path().join("tasks").join(of.task_id().to_string());
    for one in [&all, &some] {
        let task = cluster.run(one).await;
        cluster.running(&task).await;
    }
    cluster.abandon().await;
    for one in [&all, &some] {
        let init = init_of(&records(one));
        nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).unwrap();
        gone(init).await;
        for name in ["pid.json", "exit.json"] {
            fs::write(records(one).join(name), "").unwrap();
        }
    }
    fs::write(records(&all).join("task.json"), "").unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(records(&some).join("task.json")).unwrap()).unwrap();
    record["boot"] = "another".into();
    fs::write(records(&some).join("task.json"), record.to_string()).unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let report = cluster.ended(&some.task_id()).await;
    assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::NodeRestarted)), "{report:#?}");
    assert!(!cluster.reports.contains_key(&all.task_id()));
    // The controller still wants it: it starts anew.
    let task = cluster.run(&all).await;
    cluster.running(&task).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_process_is_not_named_any_more_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    // The second one has no other record either.
    let (known, unknown) = (assignment(spec("exec sleep 1234")), assignment(spec("exec sleep 1234")));
    let mut inits = Vec::new();
    for one in [&known, &unknown] {
        let task = cluster.run(one).await;
        cluster.running(&task).await;
        let records = directory.path().join("tasks").join(task.to_string());
        inits.push(init_of(&records));
        fs::write(records.join("pid.json"), "{\"pid\":").unwrap();
    }
    cluster.abandon().await;
    fs::write(directory.path().join("tasks").join(unknown.task_id().to_string()).join("task.json"), "").unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let report = cluster.ended(&known.task_id()).await;
    assert!(!runs(inits[0]), "it would run beside its replacement");
    assert_eq!(report.condition, Condition::Failed, "{report:#?}");
    gone(inits[1]).await;
    assert!(!cluster.reports.contains_key(&unknown.task_id()));
    cluster.finish().await;
}
