//! What a running task keeps in the agent.

mod common;

use common::{Cluster, PATIENCE, assignment, spec};
use orrery_core::app::{HealthCheck, HealthProtocol};
use orrery_core::assignment::HealthTarget;
use std::time::Duration;

const TASKS: usize = 20;
/// What has not changed for so long is settled.
const SETTLED: Duration = Duration::from_millis(300);

/// What this process, with the agent in it, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// Spawned futures that have not ended.
    futures: usize,
    descriptors: usize,
}

impl Held {
    fn now() -> Self {
        Self {
            futures: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }

    /// Waits until it no longer changes.
    async fn settled() -> Self {
        let settled = async {
            let mut before = Self::now();
            loop {
                tokio::time::sleep(SETTLED).await;
                let now = Self::now();
                if now == before {
                    return now;
                }
                before = now;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("it settles in time")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_checks_is_one_future_and_one_descriptor() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    let first = cluster.run(&assignment(spec("exec sleep 1234"))).await;
    cluster.running(&first).await;
    let before = Held::settled().await;
    let tasks: Vec<_> = (0..TASKS).map(|_| assignment(spec("exec sleep 1234"))).collect();
    for task in &tasks {
        cluster.run(task).await;
    }
    for task in &tasks {
        cluster.running(&task.task_id()).await;
    }
    let unchecked = Held { futures: before.futures + TASKS, descriptors: before.descriptors + TASKS };
    assert_eq!(Held::settled().await, unchecked);
    // A check is a future of its own.
    let mut container = spec("exec sleep 1234");
    let check = HealthCheck { protocol: HealthProtocol::MesosTcp, delay_seconds: 600, ..HealthCheck::default() };
    container.health_checks = vec![HealthTarget { check, host_port: Some(1), container_port: Some(1) }];
    let checked = cluster.run(&assignment(container)).await;
    cluster.running(&checked).await;
    assert_eq!(Held::settled().await.futures, unchecked.futures + 2);
    cluster.stop(&checked).await;
    cluster.ended(&checked).await;
    assert_eq!(Held::settled().await, unchecked, "nothing is left of a task that has ended");
    cluster.finish().await;
}
