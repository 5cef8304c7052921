//! Data that stay on their node.

use orrery_e2e::app::{task, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn a_volume_outlives_its_tasks_and_goes_with_the_app() {
    let mut cluster = TestCluster::start(&["--agents", "2"]);
    let volume = json!({ "containerPath": "data", "mode": "RW", "persistent": { "size": 10 } });
    let command = "echo begun >> data/log; cat data/log; exec sleep 1000";
    let app = with(&task("/db", command), &json!({ "instances": 1, "container": { "type": "MESOS", "volumes": [volume] } }));
    cluster.create(&app).await;
    let first = cluster.running("/db", 1).await[0].clone();
    let begun = async |cluster: &TestCluster, times: usize| {
        eventually("the log of all lives", async || {
            let log = cluster.dcos(&["task", "log", "db"]).stdout;
            if log.matches("begun").count() == times { Ok(()) } else { Err(log) }
        })
        .await;
    };
    begun(&cluster, 1).await;
    cluster.send("POST", "/v2/apps/db/restart", &Value::Null).await;
    cluster.settled().await;
    begun(&cluster, 2).await;
    cluster.down();
    cluster.up();
    let last = cluster.running("/db", 1).await[0].clone();
    begun(&cluster, 3).await;
    assert_eq!(last["host"], first["host"], "with its data");

    let volumes = |agent: usize| cluster.data().join(format!("agents/{agent}/volumes"));
    let count = || (0..2).map(|agent| std::fs::read_dir(volumes(agent)).map_or(0, Iterator::count)).sum::<usize>();
    assert_eq!(count(), 1);
    cluster.send("DELETE", "/v2/apps/db", &Value::Null).await;
    eventually("its data are deleted", async || if count() == 0 { Ok(()) } else { Err(format!("{} are left", count())) }).await;
}
