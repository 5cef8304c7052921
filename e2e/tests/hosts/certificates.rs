//! Certificates that live for seconds: renewed under load and through failovers, and missed by an agent
//! that was away.

use crate::{steady, steady_tasks, warm};
use orrery_e2e::{LabOptions, Load, Machine, PATIENCE, eventually};
use serde_json::Value;
use std::time::Duration;

/// Life of certificates, seconds.
const LIFE: u64 = 12;
/// Renewals of every agent that are waited for.
const RENEWALS: usize = 3;

fn credentials(agent: &Machine) -> Value {
    let text = std::fs::read_to_string(agent.data.join("credentials.json")).expect("credentials");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_through_failovers() {
    let environment = vec![("ORRERY_CERTIFICATE_SECONDS".to_owned(), LIFE.to_string())];
    let options = LabOptions { environment, ..LabOptions::default() };
    let Some(mut lab) = steady("certificates_are_renewed_through_failovers", options).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    for _ in 0..RENEWALS {
        let shown: Vec<Value> = lab.agents.iter().map(|agent| credentials(agent)["certificate"].clone()).collect();
        // A failover while certificates fall due.
        let leader = lab.leader().await;
        lab.controllers[leader].process.kill();
        warm(&load, 20).await;
        lab.controllers[leader].restart_ready();
        for (agent, shown) in lab.agents.iter().zip(&shown) {
            eventually(
                "a new certificate",
                async || {
                    if credentials(agent)["certificate"] == *shown { Err(agent.log()) } else { Ok(()) }
                },
            )
            .await;
        }
    }
    let leader = lab.leader().await;
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before, "nothing was restarted while {RENEWALS} certificates of each node ended");

    // One that is away for longer than its certificate lives.
    let node = credentials(&lab.agents[0])["node"].clone();
    lab.agents[0].process.kill();
    // Only time makes a certificate expire.
    tokio::time::sleep(Duration::from_secs(LIFE + 1)).await;
    // Without its token, which would let it in again: it is bound to the node's key.
    let words = &mut lab.agents[0].arguments;
    let place = words.iter().position(|word| word == "--token").expect("it joined with a token");
    words.drain(place..place + 2);
    lab.agents[0].restart();
    let (good, log) = lab.agents[0].process.ends(PATIENCE);
    let told = log.lines().rev().find(|line| line.contains("expired")).unwrap_or_default();
    println!("an agent whose certificate has expired: {told}");
    assert!(!good && told.contains("--token"), "{log}");
    let token = lab.join_token();
    lab.agents[0].arguments.extend(["--token".into(), token]);
    lab.agents[0].restart_ready();
    assert_eq!(credentials(&lab.agents[0])["node"], node, "the same node");
    eventually("six run, and six only", async || {
        let (told, live) = (lab.tasks(leader, "/steady").await?, steady_tasks(&lab));
        if told.len() == 6 && live.len() == 6 { Ok(()) } else { Err(format!("{} told, {} live", told.len(), live.len())) }
    })
    .await;
    println!("{:?}", load.finish(&lab, leader).await);
}
