//! A cluster of many hosts: a real etcd of three members, three controllers and several agents, each
//! in a network namespace of its own, and what breaks between them.
//!
//! The fast set runs with every test run; `ORRERY_CHAOS=1` (`cargo x chaos`) adds the long one.

mod bench;
mod certificates;
mod clocks;
mod cluster;
mod controllers;
mod disks;
mod links;
mod nodes;
mod reach;
mod store;
mod versions;

use orrery_e2e::{Lab, LabOptions, Load, eventually, live_tasks};
use serde_json::json;

/// Writes acknowledged before a fault, so that it hits a cluster at work.
const WARM: usize = 20;

async fn warm(load: &Load, more: usize) {
    let goal = load.acknowledged() + more;
    eventually("writes are acknowledged", async || {
        let now = load.acknowledged();
        if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}; {}", load.last_failure())) }
    })
    .await;
}

/// Whether the long set is wanted; tells that it is left out otherwise.
fn chaos(test: &str) -> bool {
    let wanted = std::env::var_os("ORRERY_CHAOS").is_some();
    if !wanted {
        eprintln!("LEFT OUT: {test} belongs to the long set; run `cargo x chaos`");
    }
    wanted
}

/// A laboratory with an app `/steady` of six instances, spread over its agents.
async fn steady(test: &str, options: LabOptions) -> Option<Lab> {
    let lab = Lab::start(test, options).await?;
    lab.launch(0, &json!({ "id": "/steady", "cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": 6 })).await;
    lab.running(0, "/steady", 6).await;
    Some(lab)
}

/// Ids of the tasks of `/steady` that really run, sorted; fails when one identity runs twice.
fn steady_tasks(lab: &Lab) -> Vec<String> {
    let ours: Vec<u64> = lab.agents.iter().map(|agent| agent.host.inode()).collect();
    let live = live_tasks("/steady");
    let live: Vec<(String, usize)> = live
        .into_iter()
        .map(|(task, hosts)| (task, hosts.iter().filter(|host| ours.contains(host)).count()))
        .filter(|(_, hosts)| *hosts > 0)
        .collect();
    for (task, hosts) in &live {
        assert_eq!(*hosts, 1, "{task} runs on several hosts");
    }
    live.into_iter().map(|(task, _)| task).collect()
}
