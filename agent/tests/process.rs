//! Process tasks with the real spawner.

mod common;

use common::{Cluster, PATIENCE, assignment, file, is_root, log, spec};
use orrery_core::Scalar;
use orrery_core::app::{Volume, VolumeMode};
use orrery_core::assignment::{CommandSpec, ContainerSpec, Down, Exit, FailureReason, Up};
use orrery_core::instance::Condition;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let rows = [
        ("exit 0", Condition::Finished, Exit::Code(0)),
        ("exit 7", Condition::Failed, Exit::Code(7)),
        ("kill -SEGV $$", Condition::Failed, Exit::Signal(11)),
        ("kill -9 $$", Condition::Failed, Exit::Signal(9)),
    ];
    for (command, condition, exit) in rows {
        let task = cluster.run(&assignment(spec(command))).await;
        let report = cluster.ended(&task).await;
        assert_eq!((report.condition, report.exit), (condition, Some(exit)), "{command}: {report:#?}");
        assert_eq!(report.reason, Some(FailureReason::CommandExited));
        assert!(report.started_at.is_some());
    }
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_gpus_runs_and_sees_those_of_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let mut of_machine: Vec<String> = std::fs::read_dir("/dev")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("nvidia"))
        .collect();
    of_machine.sort();
    // Without root a task has the machine's own /dev.
    let without = if is_root() { Vec::new() } else { of_machine.clone() };
    for (gpus, seen) in [(2, &of_machine), (0, &without)] {
        let container = ContainerSpec { gpus, ..spec("echo x > /dev/null && ls /dev | grep ^nvidia; exit 0") };
        let task = cluster.run(&assignment(container)).await;
        let report = cluster.ended(&task).await;
        assert_eq!(report.condition, Condition::Finished, "{report:#?}");
        assert_eq!(log(&report, "stdout").lines().collect::<Vec<_>>(), *seen, "with {gpus} gpus");
    }
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_environment_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let mut container = spec("echo \"$GREETING from $PWD in $MESOS_SANDBOX\"; echo oops >&2; env | sort > env; echo $PATH");
    container.env.insert("GREETING".into(), "hello".into());
    let task = cluster.run(&assignment(container)).await;
    let report = cluster.ended(&task).await;
    let sandbox = report.sandbox.clone().unwrap();
    let out = log(&report, "stdout");
    assert!(out.starts_with(&format!("hello from {sandbox} in {sandbox}\n")), "{out}");
    assert!(out.contains("/usr/bin"));
    assert_eq!(log(&report, "stderr"), "oops\n");
    let env = std::fs::read_to_string(Path::new(&sandbox).join("env")).unwrap();
    assert!(!env.contains("CARGO"), "nothing of the agent's environment: {env}");
    let run = report.container.unwrap();
    assert!(sandbox.ends_with(&format!("/frameworks/framework-0001/executors/{task}/runs/{run}")), "{sandbox}");
    let latest = Path::new(&sandbox).parent().unwrap().join("latest");
    assert_eq!(latest.canonicalize().unwrap(), Path::new(&sandbox).canonicalize().unwrap());
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_failures_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let mut absent = spec("");
    absent.command = Some(CommandSpec::Arguments(vec!["no-such-program".into()]));
    let mut nobody = spec("true");
    nobody.user = Some("no-such-user".into());
    let mut volume = spec("true");
    volume.volumes = vec![Volume::host("../x", "/tmp", VolumeMode::ReadWrite)];
    let mut image = spec("true");
    image.executor = orrery_core::assignment::ExecutorKind::Docker;
    let mut nothing = spec("true");
    nothing.command = None;
    for (container, text) in [
        (absent, "no-such-program"),
        (nobody, "no-such-user"),
        (volume, "../x"),
        (image, "container engine"),
        (nothing, "no command"),
    ] {
        let task = cluster.run(&assignment(container)).await;
        let report = cluster.ended(&task).await;
        assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::LaunchFailed)), "{report:#?}");
        assert!(report.message.as_ref().unwrap().contains(text), "{report:#?}");
        assert!(report.started_at.is_none());
    }
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_gives_grace_and_then_kills_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    // Ends in an orderly way when asked.
    let polite = cluster.run(&assignment(spec("trap 'echo bye; exit 0' TERM; echo up > up; while :; do sleep 0.05; done"))).await;
    let sandbox = cluster.running(&polite).await.sandbox.unwrap();
    file(&Path::new(&sandbox).join("up")).await;
    cluster.stop(&polite).await;
    let report = cluster.ended(&polite).await;
    assert_eq!((report.condition, report.exit), (Condition::Killed, Some(Exit::Code(0))), "{report:#?}");
    assert_eq!(log(&report, "stdout"), "bye\n");
    assert!(report.message.unwrap().contains("a test asked"));
    assert!(cluster.history.iter().any(|report| report.task == polite && report.condition == Condition::Killing));
    // Ignores it, and so do its daemonised grandchildren.
    let command = "trap '' TERM; (trap '' TERM; setsid sleep 1234 & echo $! > child; wait) & echo up > up; sleep 1234";
    let mut stubborn = assignment(spec(command));
    stubborn.kill_grace_ms = 200;
    let task = cluster.run(&stubborn).await;
    let sandbox = cluster.running(&task).await.sandbox.unwrap();
    file(&Path::new(&sandbox).join("child")).await;
    let sandbox_inode = std::fs::metadata(&sandbox).unwrap();
    cluster.stop(&task).await;
    let report = cluster.ended(&task).await;
    assert_eq!((report.condition, report.exit), (Condition::Killed, Some(Exit::Signal(9))), "{report:#?}");
    assert_eq!(processes_in(&sandbox_inode), Vec::<String>::new());
    cluster.finish().await;
}

/// Processes whose working directory is the given one.
fn processes_in(directory: &std::fs::Metadata) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = |path: &Path| {
        std::fs::metadata(path.join("cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (directory.dev(), directory.ino()))
    };
    entries.filter(|entry| inside(&entry.path())).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_survives_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let task =
        cluster.run(&assignment(spec("setsid sleep 1234 & (setsid sh -c 'sleep 1234 & sleep 1234' &); sleep 0.1; exit 3"))).await;
    let report = cluster.ended(&task).await;
    assert_eq!(report.exit, Some(Exit::Code(3)));
    let sandbox = std::fs::metadata(report.sandbox.unwrap()).unwrap();
    assert_eq!(processes_in(&sandbox), Vec::<String>::new());
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory_is_named() {
    if !is_root() {
        eprintln!("SKIPPED out_of_memory_is_named: memory limits need root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let mut container = spec("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
    container.mem_limit = Some(Scalar::from_units(24));
    let task = cluster.run(&assignment(container)).await;
    let report = cluster.ended(&task).await;
    assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::OutOfMemory)), "{report:#?}");
    assert!(report.message.unwrap().contains("24 MiB"));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_confined() {
    if !is_root() {
        eprintln!("SKIPPED tasks_are_confined: needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let command = "id -u; grep -E 'NoNewPrivs|Seccomp:|CapBnd|CapEff' /proc/self/status; \
                   mount -t tmpfs none /mnt && echo mounted; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm";
    let task = cluster.run(&assignment(spec(command))).await;
    let report = cluster.ended(&task).await;
    let out = log(&report, "stdout");
    for text in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t00000000200405fb", "CapEff:\t00000000200405fb"] {
        assert!(out.contains(text), "{out}");
    }
    assert!(!out.contains("mounted"), "{out}");
    let processes: u32 = out.lines().rev().nth(1).unwrap().parse().unwrap();
    assert!(processes < 10, "only its own processes: {out}");
    // Another user.
    let mut other = spec("id -un; id -gn; echo x > mine; cat /etc/shadow; grep CapEff /proc/self/status");
    other.user = Some("nobody".into());
    let task = cluster.run(&assignment(other)).await;
    let report = cluster.ended(&task).await;
    let out = log(&report, "stdout");
    assert!(out.starts_with("nobody\nnogroup\n"), "{out}");
    assert!(out.contains("CapEff:\t0000000000000000"), "{out}");
    assert!(!out.contains("root:"), "{out}");
    let sandbox = std::fs::metadata(report.sandbox.as_ref().unwrap()).unwrap();
    assert_eq!((sandbox.mode() & 0o777, sandbox.uid()), (0o700, 65534));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_spawner_is_inherited() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let command = "grep -E 'SigIgn|SigBlk' /proc/self/status; for f in /proc/self/fd/*; do readlink $f; done";
    for tty in [false, true] {
        let mut container = spec(command);
        container.tty = tty;
        let task = cluster.run(&assignment(container)).await;
        let out = log(&cluster.ended(&task).await, "stdout").replace('\r', "");
        let set = |name: &str| {
            let text = out.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{out}"));
            u64::from_str_radix(text.trim(), 16).unwrap()
        };
        // Signals 32 and 33 belong to the C library, which lets nobody change them.
        assert_eq!((set("SigBlk:"), set("SigIgn:") & 0x7fff_ffff), (0, 0), "{out}");
        assert!(!out.contains("ptmx") && !out.contains("socket:"), "{out}");
        assert_eq!(out.contains("/pts/"), tty, "{out}");
    }
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_mounted() {
    let directory = tempfile::tempdir().unwrap();
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("given"), "from the node\n").unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let mut container = spec("cat shared/given; echo kept >> data/log; cat data/log; touch shared/x && echo written");
    let persistent = orrery_core::app::PersistentVolume {
        kind: None,
        size: Scalar::ONE,
        max_size: None,
        profile_name: None,
        constraints: Vec::new(),
    };
    container.volumes = vec![
        Volume::host("shared", host.path().to_str().unwrap(), VolumeMode::ReadOnly),
        Volume { container_path: "data".into(), persistent: Some(persistent), ..Volume::default() },
    ];
    let mut wanted = assignment(container);
    let first = cluster.run(&wanted).await;
    let report = cluster.ended(&first).await;
    let expected = if is_root() { "from the node\nkept\n" } else { "from the node\nkept\nwritten\n" };
    assert_eq!(log(&report, "stdout"), expected, "{report:#?} {}", log(&report, "stderr"));
    wanted.incarnation += 1;
    let second = cluster.run(&wanted).await;
    let report = cluster.ended(&second).await;
    assert!(log(&report, "stdout").starts_with("from the node\nkept\nkept\n"));
    // The data go when they are told to, and the agent says so.
    let instances = vec![wanted.instance.clone()];
    cluster.down.send(Down::Destroy { epoch: 1, instances: instances.clone() }).await.unwrap();
    while cluster.receive().await != (Up::Destroyed { instances: instances.clone() }) {}
    wanted.incarnation += 1;
    let third = cluster.run(&wanted).await;
    let report = cluster.ended(&third).await;
    assert!(log(&report, "stdout").starts_with("from the node\nkept\n") && !log(&report, "stdout").contains("kept\nkept"));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_rotate() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let task = cluster.run(&assignment(spec("head -c 7000000 /dev/zero; echo end"))).await;
    let report = cluster.ended(&task).await;
    let sandbox = std::path::PathBuf::from(report.sandbox.as_ref().unwrap());
    let size = |name: &str| std::fs::metadata(sandbox.join(name)).map_or(0, |file| file.len());
    assert_eq!(size("stdout") + size("stdout.1") + size("stdout.2") + size("stdout.3"), 7_000_004);
    assert!(size("stdout.1") <= 2 << 20 && size("stdout.4") == 0);
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_agent_and_spawner() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let lives = assignment(spec("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; sleep 1234"));
    let ends = assignment(spec("while [ ! -e go ]; do sleep 0.02; done; exit 5"));
    let (lives, ends) = (cluster.run(&lives).await, cluster.run(&ends).await);
    let (report, other) = (cluster.running(&lives).await, cluster.running(&ends).await);
    let sandbox = report.sandbox.clone().unwrap();
    cluster.abandon().await;
    // The spawner dies too.
    let spawner = spawner_of(directory.path());
    nix::sys::signal::kill(spawner, nix::sys::signal::Signal::SIGKILL).unwrap();
    std::fs::write(Path::new(&sandbox).join("go"), "").unwrap();
    std::fs::write(Path::new(&other.sandbox.unwrap()).join("go"), "").unwrap();
    // Output is written with nobody there.
    let written = async {
        while !std::fs::read_to_string(Path::new(&sandbox).join("stdout")).unwrap().contains("two") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let again = cluster.running(&lives).await;
    assert_eq!((again.started_at, &again.container), (report.started_at, &report.container));
    let report = cluster.ended(&ends).await;
    assert_eq!(report.exit, Some(Exit::Code(5)), "{report:#?}");
    // Still in hand: new tasks start, old ones stop.
    let new = cluster.run(&assignment(spec("exit 0"))).await;
    assert_eq!(cluster.ended(&new).await.condition, Condition::Finished);
    cluster.stop(&lives).await;
    assert_eq!(cluster.ended(&lives).await.condition, Condition::Killed);
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_end_when_the_directory_of_their_agent_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut cluster = Cluster::start(&data).await;
    let told = directory.path().join("told");
    let obeys = format!("trap 'echo x > {}; exit' TERM; echo ready; while :; do sleep 0.02; done", told.display());
    let ignores = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    let mut sandboxes = Vec::new();
    for command in [obeys.as_str(), ignores] {
        let task = cluster.run(&assignment(spec(command))).await;
        let sandbox = cluster.running(&task).await.sandbox.unwrap();
        let ready = async {
            while !std::fs::read_to_string(Path::new(&sandbox).join("stdout")).unwrap().contains("ready") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        sandboxes.push(std::fs::metadata(sandbox).unwrap());
    }
    cluster.abandon().await;
    // The working directories stay what they are, nameless.
    assert!(sandboxes.iter().all(|sandbox| !processes_in(sandbox).is_empty()), "without their agent they run on");
    std::fs::remove_dir_all(&data).unwrap();
    let ended = async {
        while !sandboxes.iter().all(|sandbox| processes_in(sandbox).is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the tasks end");
    assert!(told.exists(), "asked first");
}

fn spawner_of(directory: &Path) -> nix::unistd::Pid {
    let wanted = directory.join("spawner").canonicalize().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Ok(pid) = name.to_string_lossy().parse() else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == wanted);
        if inside && command.starts_with(env!("CARGO_BIN_EXE_orrery-spawner").as_bytes()) {
            return nix::unistd::Pid::from_raw(pid);
        }
    }
    panic!("no spawner in {}", wanted.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_its_tasks_says_so_before_their_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let task = cluster.run(&assignment(spec("sleep 1000"))).await;
    cluster.running(&task).await;
    let agent = cluster.agent.clone();
    let stopping = tokio::spawn(async move {
        agent.stop_all("the node is stopping").await;
        agent.part().await;
    });
    let mut cluster = cluster.reconnected().await;
    assert!(cluster.agent.facts().leaving);
    assert_eq!(cluster.ended(&task).await.condition, Condition::Killed);
    while !matches!(cluster.receive().await, Up::Goodbye) {}
    assert!(!stopping.is_finished(), "the controller has not closed the link yet");
    drop(cluster);
    tokio::time::timeout(PATIENCE, stopping).await.expect("the agent parts in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_spawner_is_replaced_and_a_killed_init_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    nix::sys::signal::kill(spawner_of(directory.path()), nix::sys::signal::Signal::SIGKILL).unwrap();
    let task = cluster.run(&assignment(spec("sleep 1234"))).await;
    let report = cluster.running(&task).await;
    let record = directory.path().join("tasks").join(task.to_string()).join("pid.json");
    let pid: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid["pid"].as_i64().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let ended = cluster.ended(&task).await;
    assert_eq!((ended.condition, ended.reason), (Condition::Failed, Some(FailureReason::Unknown)), "{ended:#?}");
    let sandbox = std::fs::metadata(report.sandbox.unwrap()).unwrap();
    if is_root() {
        assert_eq!(processes_in(&sandbox), Vec::<String>::new());
    }
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_reconciled() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let (keep, orphan, stopping, never) = (
        assignment(spec("sleep 1234")),
        assignment(spec("sleep 1234")),
        assignment(spec("sleep 1234")),
        assignment(spec("true")),
    );
    for one in [&keep, &orphan, &stopping] {
        let task = cluster.run(one).await;
        cluster.running(&task).await;
    }
    let before = cluster.reports[&keep.task_id()].clone();
    // Of a deposed leader.
    cluster.epoch = 5;
    cluster.run(&keep).await;
    cluster
        .down
        .send(Down::Snapshot { epoch: 4, launches: Vec::new(), assignments: Vec::new(), stopping: Vec::new() })
        .await
        .unwrap();
    cluster
        .down
        .send(Down::Snapshot {
            epoch: 5,
            launches: Vec::new(),
            assignments: vec![keep.clone(), stopping.clone()],
            stopping: vec![stopping.task_id(), never.task_id()],
        })
        .await
        .unwrap();
    assert_eq!(cluster.ended(&orphan.task_id()).await.condition, Condition::Killed);
    assert_eq!(cluster.ended(&stopping.task_id()).await.condition, Condition::Killed);
    let report = cluster.ended(&never.task_id()).await;
    assert_eq!((report.condition, report.reason), (Condition::Killed, Some(FailureReason::Stopped)));
    assert_eq!(cluster.reports[&keep.task_id()], before);
    // Ended tasks are kept until they are forgotten, over a restart too; an ended one never runs again.
    cluster.run(&orphan).await;
    assert_eq!(cluster.ended(&orphan.task_id()).await.condition, Condition::Killed);
    cluster.abandon().await;
    let mut cluster = Cluster::start(directory.path()).await;
    assert_eq!(cluster.reports[&orphan.task_id()].condition, Condition::Killed);
    cluster.epoch = 4;
    cluster.stop(&keep.task_id()).await;
    cluster.down.send(Down::Forget { epoch: 5, tasks: vec![orphan.task_id(), keep.task_id()] }).await.unwrap();
    let marker = cluster.run(&assignment(spec("true"))).await;
    cluster.epoch = 5;
    let second = cluster.run(&assignment(spec("true"))).await;
    cluster.ended(&second).await;
    assert!(!cluster.reports.contains_key(&marker), "an old epoch stays old over a restart");
    cluster.abandon().await;
    let cluster = Cluster::start(directory.path()).await;
    assert!(!cluster.reports.contains_key(&orphan.task_id()));
    assert!(!cluster.reports[&keep.task_id()].condition.is_terminal());
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let tasks: Vec<_> = (0..100).map(|_| assignment(spec("exec sleep 1234"))).collect();
    let begun = Instant::now();
    for task in &tasks {
        cluster.run(task).await;
    }
    for task in &tasks {
        cluster.running(&task.task_id()).await;
    }
    eprintln!("100 tasks running after {:?}", begun.elapsed());
    let mut single = Vec::new();
    for _ in 0..20 {
        let one = assignment(spec("exec sleep 1234"));
        let begun = Instant::now();
        let task = cluster.run(&one).await;
        cluster.running(&task).await;
        single.push(begun.elapsed());
    }
    single.sort();
    let record = directory.path().join("tasks").join(tasks[0].task_id().to_string()).join("pid.json");
    let pid: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let memory = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", pid["pid"])).unwrap();
    let private =
        memory.lines().filter_map(|line| line.strip_prefix("Private_")?.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    let private: u64 = private.sum();
    eprintln!("a task's init holds {private} kB of its own");
    assert!(private < 500, "{memory}");
    eprintln!("one task running after {:?} (median), {:?} (worst)", single[10], single[19]);
    let begun = Instant::now();
    cluster.finish().await;
    eprintln!("120 tasks stopped after {:?}", begun.elapsed());
}
