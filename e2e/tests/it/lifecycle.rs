//! The daemon's own life: stop, start, die.

use orrery_e2e::{TestCluster, eventually};
use serde_json::json;

#[tokio::test]
async fn everything_comes_back_after_a_stop() {
    let mut cluster = TestCluster::start(&[]);
    cluster.create(&json!({ "id": "/keep", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": 2 })).await;
    cluster.down();
    cluster.up();
    eventually("both tasks run again", async || {
        let tasks = cluster.tasks("/keep").await;
        if tasks.len() == 2 && tasks.iter().all(|task| task["state"] == "TASK_RUNNING") {
            Ok(())
        } else {
            Err(format!("{tasks:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn tasks_outlive_a_killed_daemon_and_are_adopted() {
    let mut cluster = TestCluster::start(&[]);
    cluster.create(&json!({ "id": "/survivor", "cmd": "echo $$ > started; exec sleep 1000", "cpus": 0.01, "mem": 16 })).await;
    let before = cluster.tasks("/survivor").await;
    cluster.kill();
    cluster.up();
    let after = eventually("the task is known again", async || {
        let tasks = cluster.tasks("/survivor").await;
        if tasks.iter().all(|task| task["state"] == "TASK_RUNNING") && tasks.len() == 1 {
            Ok(tasks)
        } else {
            Err(format!("{tasks:?}"))
        }
    })
    .await;
    assert_eq!(before[0]["id"], after[0]["id"], "the same task, not a new one");
    assert_eq!(before[0]["startedAt"], after[0]["startedAt"]);
}
