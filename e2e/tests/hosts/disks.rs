//! Disks and stores without space.

use crate::{steady, steady_tasks, warm};
use orrery_e2e::{EtcdOptions, Lab, LabOptions, Load, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Bytes of etcd's quota: what a laboratory keeps fits into a tenth of it.
const QUOTA: usize = 16 << 20;
/// Bytes of a value that takes space.
const LARGE: usize = 512 << 10;
/// How long one answer may take while the store has no space: nobody waits for what cannot be.
const REFUSAL_MAX: Duration = Duration::from_secs(3);

fn app(id: &str) -> Value {
    json!({ "id": id, "cmd": "true", "cpus": 0.01, "mem": 16, "instances": 0 })
}

async fn written(lab: &Lab, controller: usize, id: &str) {
    eventually("writes are taken again", async || match lab.send(controller, "POST", "/v2/apps", &app(id)).await {
        Ok((201 | 409, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_the_leader_is_full() {
    let options = LabOptions { controller_disk: Some("32m".into()), ..LabOptions::default() };
    let Some(mut lab) = steady("the_disk_of_the_leader_is_full", options).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    warm(&load, 20).await;
    let leader = lab.leader().await;
    lab.controllers[leader].disk.as_ref().expect("a disk of its own").fill();
    // What it decides is in the store.
    warm(&load, 50).await;
    assert_eq!(lab.leader().await, leader, "it leads on");
    let refused = lab.dcos(leader, &["package", "search", "web"]);
    assert_eq!(refused.code, 0, "the catalog's copies are read: {refused:?}");
    // A start needs a few bytes, and says so.
    lab.controllers[leader].process.kill();
    warm(&load, 20).await;
    lab.controllers[leader].restart();
    let (good, log) = lab.controllers[leader].process.ends(orrery_e2e::PATIENCE);
    let last = log.lines().last().unwrap_or_default().to_owned();
    println!("a controller that starts on a full disk: {last}");
    assert!(!good && last.contains("space"), "{log}");
    lab.controllers[leader].disk.as_ref().expect("a disk of its own").clear();
    lab.controllers[leader].restart_ready();
    warm(&load, 20).await;
    let leader = lab.leader().await;
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before);
    println!("{:?}", load.finish(&lab, leader).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_one_member_is_full() {
    let etcd = EtcdOptions { disk: Some("200m".into()), ..EtcdOptions::default() };
    let Some(mut lab) = steady("the_disk_of_one_member_is_full", LabOptions { etcd, ..LabOptions::default() }).await else {
        return;
    };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    warm(&load, 20).await;
    lab.etcd.disks[0].fill();
    // Values that its files have no room for.
    for _ in 0..64 {
        lab.etcd.put(1, "filling", LARGE).await;
    }
    warm(&load, 50).await;
    println!("member with a full disk {}", if lab.etcd.runs(0) { "runs on" } else { "has ended" });
    lab.etcd.disks[0].clear();
    if !lab.etcd.runs(0) {
        lab.etcd.restart(0);
    }
    // It must be good again: the cluster cannot do without it now.
    lab.etcd.caught_up(0).await;
    lab.etcd.kill(1);
    warm(&load, 20).await;
    lab.etcd.restart(1);
    assert_eq!(steady_tasks(&lab), before);
    let leader = lab.leader().await;
    println!("{:?}", load.finish(&lab, leader).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_has_no_space() {
    let etcd = EtcdOptions { arguments: vec![format!("--quota-backend-bytes={QUOTA}")], ..EtcdOptions::default() };
    let Some(lab) = steady("the_store_has_no_space", LabOptions { etcd, ..LabOptions::default() }).await else { return };
    let before = steady_tasks(&lab);
    let leader = lab.leader().await;
    let load = Load::start(&lab);
    warm(&load, 20).await;
    lab.etcd.fill(LARGE).await;
    // Reads are answered, writes are refused with one sentence, by every controller and at once.
    let mut longest = Duration::ZERO;
    for round in 0..12 {
        let controller = round % 3;
        let (status, answer) = lab.send(controller, "GET", "/v2/apps/steady", &Value::Null).await.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        let asked = Instant::now();
        let (status, answer) = lab.send(controller, "POST", "/v2/apps", &app("/refused")).await.expect("an answer");
        longest = longest.max(asked.elapsed());
        assert_eq!(status, 503, "{answer}");
        assert!(answer.to_string().contains("space quota is used up"), "{answer}");
    }
    println!("a store without space refuses within {longest:?}");
    assert!(longest < REFUSAL_MAX, "{longest:?}");
    assert_eq!(steady_tasks(&lab), before, "tasks run on");
    let back = Instant::now();
    lab.etcd.make_space().await;
    written(&lab, 0, "/after").await;
    println!("space made, writes taken after {:?}", back.elapsed());
    warm(&load, 20).await;
    assert_eq!(lab.leader().await, leader, "the same controller leads all the while");
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before, "nothing was restarted");
    println!("{:?}", load.finish(&lab, leader).await);
}
