//! Health and readiness checks of process tasks.

mod common;

use common::{Cluster, assignment, file, is_root, spec};
use orrery_core::app::{CommandLine, HealthCheck, HealthProtocol, ReadinessCheck};
use orrery_core::assignment::{ContainerSpec, FailureReason, HealthTarget};
use orrery_core::health::Health;
use orrery_core::instance::Condition;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A server in the place of the task's: answers with the status that the test sets.
async fn server() -> (u16, watch::Sender<u16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (status, told) = watch::channel(503u16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut request = [0u8; 4096];
                let _ = stream.read(&mut request).await;
                let status = *told.borrow();
                let location = if status == 302 { "Location: http://127.0.0.1:1/\r\n" } else { "" };
                let _ = stream
                    .write_all(
                        format!("HTTP/1.1 {status} x\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
                    )
                    .await;
            });
        }
    });
    (port, status)
}

fn target(protocol: HealthProtocol, port: u16, change: impl FnOnce(&mut HealthCheck)) -> HealthTarget {
    let mut check =
        HealthCheck { protocol, path: Some("/health".into()), delay_seconds: 0, interval_seconds: 1, ..HealthCheck::default() };
    change(&mut check);
    HealthTarget { check, host_port: Some(port), container_port: Some(port) }
}

fn sleeper(checks: Vec<HealthTarget>) -> ContainerSpec {
    let mut container = spec("export MARK=1; echo up > up; exec sleep 1234");
    container.health_checks = checks;
    container
}

fn alive(health: &[Health]) -> bool {
    !health.is_empty() && health.iter().all(Health::is_alive)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_becomes_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let (port, status) = server().await;
    let command = "test \"$MESOS_SANDBOX\" = \"$PWD\" && test -e up && test \"$GREETING\" = hello";
    let kinds = [HealthProtocol::Http, HealthProtocol::Tcp, HealthProtocol::MesosHttp, HealthProtocol::MesosTcp];
    let mut checks: Vec<HealthTarget> = kinds.map(|kind| target(kind, port, |_| {})).into();
    checks.push(target(HealthProtocol::Command, 0, |check| check.command = Some(CommandLine { value: command.into() })));
    let mut container = sleeper(checks);
    container.env.insert("GREETING".into(), "hello".into());
    if is_root() {
        container.user = Some("nobody".into());
    }
    let task = cluster.run(&assignment(container)).await;
    // TCP and the command succeed while HTTP does not, and failures in the grace period don't count.
    let report = cluster
        .until(&task, |report| {
            report.health.len() == 5 && report.health[1].is_alive() && report.health[3].is_alive() && report.health[4].is_alive()
        })
        .await;
    assert!(!report.health[0].is_alive() && report.health[0].consecutive_failures == 0);
    // A redirect is an answer, and is not followed.
    status.send_replace(302);
    let report = cluster.until(&task, |report| alive(&report.health)).await;
    assert_eq!(report.condition, Condition::Running);
    // Over a restart of the agent it stays known to be healthy.
    cluster.abandon().await;
    let mut cluster = Cluster::start(directory.path()).await;
    assert!(alive(&cluster.running(&task).await.health));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_and_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let (port, status) = server().await;
    status.send_replace(200);
    let check = target(HealthProtocol::Http, port, |check| check.max_consecutive_failures = 2);
    let task = cluster.run(&assignment(sleeper(vec![check]))).await;
    cluster.until(&task, |report| alive(&report.health)).await;
    status.send_replace(500);
    let report = cluster.until(&task, |report| report.health.iter().any(|health| health.consecutive_failures == 1)).await;
    assert!(report.health[0].last_failure_cause.as_ref().unwrap().contains("500"), "{report:#?}");
    let report = cluster.ended(&task).await;
    assert_eq!((report.condition, report.reason), (Condition::Failed, Some(FailureReason::Unhealthy)), "{report:#?}");
    assert!(report.message.as_ref().unwrap().contains("500"), "{report:#?}");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_commands_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let command = |value: &str| {
        let value = value.to_owned();
        target(HealthProtocol::Command, 0, move |check| {
            check.command = Some(CommandLine { value });
            check.grace_period_seconds = 0;
            check.timeout_seconds = 1;
            check.max_consecutive_failures = 0;
        })
    };
    let refused = target(HealthProtocol::MesosTcp, 1, |check| {
        check.grace_period_seconds = 0;
        check.max_consecutive_failures = 0;
    });
    let checks = vec![command("echo broken pipe dream; exit 4"), command("sleep 1234"), refused];
    let task = cluster.run(&assignment(sleeper(checks))).await;
    let report = cluster
        .until(&task, |report| report.health.len() == 3 && report.health.iter().all(|health| health.consecutive_failures > 0))
        .await;
    let cause = |index: usize| report.health[index].last_failure_cause.clone().unwrap();
    assert!(cause(0).contains("status 4: broken pipe dream"), "{}", cause(0));
    assert!(cause(1).contains("within 1 s"), "{}", cause(1));
    assert!(cause(2).contains("refused"), "{}", cause(2));
    assert_eq!(report.condition, Condition::Running, "0 never kills");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_reported_once_it_is_reached() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let (port, status) = server().await;
    let mut container = sleeper(Vec::new());
    let check: ReadinessCheck = serde_json::from_str(r#"{"httpStatusCodesForReady": [203]}"#).unwrap();
    container.readiness_checks = vec![(check, port)];
    let task = cluster.run(&assignment(container)).await;
    let report = cluster.running(&task).await;
    assert!(!report.ready);
    file(&Path::new(&report.sandbox.unwrap()).join("up")).await;
    status.send_replace(203);
    cluster.until(&task, |report| report.ready).await;
    cluster.finish().await;
}
