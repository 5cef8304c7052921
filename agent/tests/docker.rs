//! Tasks with images, on a real Docker Engine.

mod common;

use bollard::query_parameters::ListContainersOptions;
use common::engine::{Engine, IMAGE};
use common::{Cluster, assignment, config, file, is_root, log, spec};
use orrery_agent::AgentConfig;
use orrery_core::Scalar;
use orrery_core::app::{CommandLine, HealthCheck, HealthProtocol, NetworkMode, Parameter, Protocol, Volume, VolumeMode};
use orrery_core::assignment::{
    CommandSpec, ContainerSpec, ExecutorKind, Exit, FailureReason, HealthTarget, ImageSpec, PortBinding,
};
use orrery_core::instance::Condition;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

fn image(command: &str) -> ContainerSpec {
    let mut container = spec(command);
    container.executor = ExecutorKind::Docker;
    container.image = Some(ImageSpec { name: IMAGE.into(), ..ImageSpec::default() });
    container
}

fn parameter(key: &str, value: &str) -> Parameter {
    Parameter { key: key.into(), value: value.into() }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_tasks() {
    let mut engine = match Engine::start().await {
        Ok(engine) => engine,
        Err(why) => {
            assert!(std::env::var_os("ORRERY_REQUIRE_DOCKER").is_none(), "no Docker Engine: {why}");
            eprintln!("SKIPPED docker_tasks: {why}");
            return;
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.docker = Some(engine.socket());
    let mut cluster = Cluster::with(config.clone()).await;
    assert_eq!(cluster.agent.facts().executors, ["process", "docker"]);
    ends_and_output(&mut cluster).await;
    refusals(&mut cluster).await;
    confinement(&mut cluster, directory.path()).await;
    volumes_and_parameters(&mut cluster).await;
    out_of_memory(&mut cluster).await;
    bridge_ports_and_checks(&mut cluster).await;

    // The agent restarts: the container runs on, nothing of its output is lost or doubled.
    let counter = "i=0; while :; do i=$((i+1)); echo line $i; [ -e /mnt/mesos/sandbox/go ] && break; sleep 0.05; done; exit 4";
    let counting = assignment(image(counter));
    let task = cluster.run(&counting).await;
    let report = cluster.running(&task).await;
    let stdout = Path::new(report.sandbox.as_ref().unwrap()).join("stdout");
    while !file(&stdout).await.contains("line 5\n") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.abandon().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut cluster = Cluster::with(config.clone()).await;
    let again = cluster.running(&task).await;
    assert_eq!((again.started_at, again.container), (report.started_at, report.container));
    std::fs::write(stdout.with_file_name("go"), "").unwrap();
    let ended = cluster.ended(&task).await;
    assert_eq!(ended.exit, Some(Exit::Code(4)), "{ended:#?}");
    let numbers: Vec<usize> = log(&ended, "stdout").lines().map(|line| line[5..].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());

    // The engine restarts: its containers die, the agent notices, and goes on with the new one.
    let mut stubborn = assignment(image("sleep 1234"));
    stubborn.kill_grace_ms = 1000;
    let task = cluster.run(&stubborn).await;
    cluster.running(&task).await;
    engine.stop();
    engine.launch().await.unwrap();
    let ended = cluster.ended(&task).await;
    assert_eq!(ended.condition, Condition::Failed, "{ended:#?}");
    let task = cluster.run(&assignment(image("echo again"))).await;
    let ended = cluster.ended(&task).await;
    assert_eq!((ended.condition, log(&ended, "stdout").as_str()), (Condition::Finished, "again\n"), "{ended:#?}");

    let cluster = hang(cluster, config.clone(), &engine).await;
    absent_at_first(&engine).await;

    cluster.finish().await;
    let left = engine.client().list_containers(None).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// The engine hangs with its socket open: the rest of the agent goes on, the node stops offering it,
/// its containers count as running, and what was asked of it meanwhile happens not at all.
async fn hang(mut cluster: Cluster, config: AgentConfig, engine: &Engine) -> Cluster {
    let check = HealthTarget {
        check: HealthCheck {
            protocol: HealthProtocol::Command,
            command: Some(CommandLine { value: "true".into() }),
            delay_seconds: 0,
            grace_period_seconds: 0,
            interval_seconds: 1,
            timeout_seconds: 1,
            max_consecutive_failures: 1,
            ..HealthCheck::default()
        },
        host_port: None,
        container_port: None,
    };
    let mut checked = image("sleep 1234");
    checked.health_checks = vec![check];
    let before = cluster.run(&assignment(checked)).await;
    cluster.until(&before, |report| report.health.first().is_some_and(orrery_core::health::Health::is_alive)).await;
    engine.freeze(true);
    let meanwhile = cluster.run(&assignment(image("sleep 1234"))).await;
    // Far more than may be launched at once, so that one that waited would be noticed.
    let many: Vec<_> = (0..40).map(|_| assignment(image("sleep 1234"))).collect();
    for one in &many {
        cluster.run(one).await;
    }
    let process = cluster.run(&assignment(spec("echo fine"))).await;
    assert_eq!(log(&cluster.ended(&process).await, "stdout"), "fine\n");
    let mut cluster = cluster.reconnected().await;
    assert_eq!(cluster.agent.facts().executors, ["process"]);
    for task in many.iter().map(orrery_core::assignment::Assignment::task_id).chain([meanwhile]) {
        let report = cluster.ended(&task).await;
        assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::LaunchFailed)), "{report:#?}");
        assert!(report.message.as_ref().unwrap().contains("has not answered for"), "{report:#?}");
    }
    // Also after a restart of the agent during the hang.
    cluster.abandon().await;
    let cluster = Cluster::with(config).await;
    assert_eq!(cluster.reports[&before].condition, Condition::Running);
    engine.freeze(false);
    let mut cluster = cluster.reconnected().await;
    assert_eq!(cluster.agent.facts().executors, ["process", "docker"]);
    let again = cluster.run(&assignment(image("echo again"))).await;
    assert_eq!(log(&cluster.ended(&again).await, "stdout"), "again\n");
    assert_eq!(cluster.reports[&before].condition, Condition::Running);
    // What the engine was asked before it hung must not come to life now.
    let client = engine.client();
    let alone = async {
        while client.list_containers(Some(ListContainersOptions { all: true, ..Default::default() })).await.unwrap().len() != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, alone).await.expect("only the one container is left");
    cluster
}

/// An agent that starts before its engine offers it later.
async fn absent_at_first(engine: &Engine) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let mut config = config(directory.path());
    config.docker = Some(socket.clone());
    let early = Cluster::with(config).await;
    assert_eq!(early.agent.facts().executors, ["process"]);
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    let early = early.reconnected().await;
    assert_eq!(early.agent.facts().executors, ["process", "docker"]);
    early.finish().await;
}

async fn ends_and_output(cluster: &mut Cluster) {
    let mut container = image("echo \"$GREETING\"; echo oops >&2; env; exit 3");
    container.env.insert("GREETING".into(), "hello".into());
    let task = cluster.run(&assignment(container)).await;
    let report = cluster.ended(&task).await;
    assert_eq!((report.condition, report.exit), (Condition::Failed, Some(Exit::Code(3))), "{report:#?}");
    let out = log(&report, "stdout");
    assert!(out.starts_with("hello\n") && out.contains("MESOS_SANDBOX=/mnt/mesos/sandbox\n"), "{out}");
    assert_eq!(log(&report, "stderr"), "oops\n");
    // Arguments go to the image's entry point, or are the command.
    let mut arguments = image("");
    arguments.command = Some(CommandSpec::Arguments(vec!["/bin/echo".into(), "a b".into()]));
    let task = cluster.run(&assignment(arguments)).await;
    let report = cluster.ended(&task).await;
    assert_eq!((report.condition, log(&report, "stdout").as_str()), (Condition::Finished, "a b\n"));
    // Stopping.
    let mut sleeper = assignment(image("trap '' TERM; echo up; while :; do sleep 1; done"));
    sleeper.kill_grace_ms = 1000;
    let task = cluster.run(&sleeper).await;
    let sandbox = cluster.running(&task).await.sandbox.unwrap();
    file(&Path::new(&sandbox).join("stdout")).await;
    cluster.stop(&task).await;
    let report = cluster.ended(&task).await;
    assert_eq!((report.condition, report.reason), (Condition::Killed, Some(FailureReason::Stopped)), "{report:#?}");
}

async fn refusals(cluster: &mut Cluster) {
    let mut absent = image("true");
    absent.image.as_mut().unwrap().name = "localhost:1/no/such:7".into();
    let task = cluster.run(&assignment(absent)).await;
    let report = cluster.ended(&task).await;
    assert_eq!(report.reason, Some(FailureReason::ImagePullFailed), "{report:#?}");
    let message = report.message.unwrap();
    assert!(message.contains("localhost:1/no/such:7") && message.contains("refused"), "{message}");
    let mut unknown = image("true");
    unknown.image.as_mut().unwrap().parameters = vec![parameter("frobnicate", "1")];
    let mut network = image("true");
    network.network = NetworkMode::Container;
    network.network_name = Some("no-such-network".into());
    for (container, text) in [(unknown, "frobnicate"), (network, "no-such-network")] {
        let task = cluster.run(&assignment(container)).await;
        let report = cluster.ended(&task).await;
        assert_eq!(report.reason, Some(FailureReason::LaunchFailed), "{report:#?}");
        assert!(report.message.as_ref().unwrap().contains(text), "{report:#?}");
    }
}

/// What keeps a container in its place, and that it gets none of the agent's files.
async fn confinement(cluster: &mut Cluster, data: &Path) {
    let task =
        cluster.run(&assignment(image("cat /proc/self/status; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max"))).await;
    let out = log(&cluster.ended(&task).await, "stdout");
    // The capabilities are Docker's own default set; its system call filter is on.
    for text in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t00000000a80425fb"] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let processes: u32 = out.lines().last().unwrap().parse().unwrap_or_else(|_| panic!("a limit of processes: {out}"));
    assert!(processes <= 16_384, "{processes}");
    let mut curious = image("ls /agent");
    curious.volumes = vec![Volume::host("/agent", data.join("tasks").to_str().unwrap(), VolumeMode::ReadOnly)];
    let task = cluster.run(&assignment(curious)).await;
    let report = cluster.ended(&task).await;
    assert_eq!(report.reason, Some(FailureReason::LaunchFailed), "{report:#?}");
    assert!(report.message.as_ref().unwrap().contains("tasks may not see it"), "{report:#?}");
}

async fn volumes_and_parameters(cluster: &mut Cluster) {
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("given"), "from the node\n").unwrap();
    let mut container = image(
        "cat /data/given; cat /etc/hostname; echo $EXTRA; touch /data/x 2>/dev/null || echo read-only; echo s > $MESOS_SANDBOX/mine",
    );
    container.volumes = vec![Volume::host("/data", host.path().to_str().unwrap(), VolumeMode::ReadOnly)];
    container.image.as_mut().unwrap().parameters =
        vec![parameter("hostname", "orreryhost"), parameter("env", "EXTRA=more"), parameter("label", "a=b")];
    container.network = NetworkMode::Bridge;
    let task = cluster.run(&assignment(container)).await;
    let report = cluster.ended(&task).await;
    assert_eq!(log(&report, "stdout"), "from the node\norreryhost\nmore\nread-only\n", "{report:#?}");
    assert!(Path::new(report.sandbox.as_ref().unwrap()).join("mine").exists());
}

async fn out_of_memory(cluster: &mut Cluster) {
    let mut container = image("x=$(head -c 100000000 /dev/zero | cat -v); echo ${#x}");
    container.mem_limit = Some(Scalar::from_units(16));
    let task = cluster.run(&assignment(container)).await;
    let report = cluster.ended(&task).await;
    assert_eq!(report.reason, Some(FailureReason::OutOfMemory), "{report:#?}");
}

async fn bridge_ports_and_checks(cluster: &mut Cluster) {
    let port = free_port();
    let mut container = image("mkdir=1; echo page > /tmp/index.html; exec httpd -f -p 8080 -h /tmp");
    container.network = NetworkMode::Bridge;
    container.ports = vec![PortBinding { name: None, protocol: Protocol::Tcp, host_port: Some(port), container_port: 8080 }];
    let check = |protocol| HealthTarget {
        check: HealthCheck {
            protocol,
            path: Some("/index.html".into()),
            delay_seconds: 0,
            command: Some(CommandLine { value: "[ -e /tmp/index.html ]".into() }),
            ..HealthCheck::default()
        },
        host_port: Some(port),
        container_port: Some(8080),
    };
    container.health_checks =
        [HealthProtocol::Http, HealthProtocol::MesosTcp, HealthProtocol::MesosHttp, HealthProtocol::Command].map(check).into();
    let task = cluster.run(&assignment(container)).await;
    let report = cluster
        .until(&task, |report| {
            report.condition.is_terminal()
                || (report.health.len() == 4 && report.health.iter().all(orrery_core::health::Health::is_alive))
        })
        .await;
    assert_eq!(report.condition, Condition::Running, "{report:#?}");
    assert_eq!(report.addresses.len(), 1, "{report:#?}");
    let page = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::io::Write::write_all(&mut stream, b"GET /index.html HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    assert!(page.await.unwrap().contains("page"));
    cluster.stop(&task).await;
    assert_eq!(cluster.ended(&task).await.condition, Condition::Killed);
    assert!(is_root());
}
