//! What many tasks cost the agent, and that its own size does not slow them down.

mod common;

use common::{Cluster, assignment, is_root, spec};
use orrery_core::assignment::Assignment;
use std::time::Instant;

/// Tasks at once.
const TASKS: u64 = 500;
/// Bytes of the agent for each of them.
const BYTES_A_TASK: u64 = 16 << 10;
/// Memory the agent is blown up by: forking it would copy its page tables for every task.
const BALLAST_BYTES: usize = 1 << 30;

/// Tasks that run before anything is measured.
const WARM_UP: u64 = 200;

async fn start(cluster: &mut Cluster, tasks: &[Assignment]) {
    for task in tasks {
        cluster.run(task).await;
    }
    for task in tasks {
        cluster.running(&task.task_id()).await;
    }
}

/// Memory of this process that is not of files, bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_tasks_with_a_large_agent() {
    if !is_root() {
        eprintln!("SKIPPED five_hundred_tasks_with_a_large_agent: limits on processes need root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    // Threads and buffers that many tasks bring with them, whatever their number, are not counted.
    let first: Vec<_> = (0..WARM_UP).map(|_| assignment(spec("exec sleep 1234"))).collect();
    let tasks: Vec<_> = (0..TASKS).map(|_| assignment(spec("exec sleep 1234"))).collect();
    start(&mut cluster, &first).await;
    cluster.history.clear();
    let ballast = vec![1u8; BALLAST_BYTES];
    let before = anonymous();
    let begun = Instant::now();
    start(&mut cluster, &tasks).await;
    let took = begun.elapsed();
    cluster.history.clear();
    let each = anonymous().saturating_sub(before) / TASKS;
    eprintln!("{TASKS} tasks run after {took:?}: {:.0} a second", TASKS as f64 / took.as_secs_f64());
    eprintln!("{} KiB with {WARM_UP}, {each} bytes for each more", (before - BALLAST_BYTES as u64) >> 10);
    assert!(each <= BYTES_A_TASK, "{each}");
    assert_eq!(ballast[BALLAST_BYTES / 2], 1);
    cluster.finish().await;
}
