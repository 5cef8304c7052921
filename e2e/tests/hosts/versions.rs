//! Two versions of the protocol side by side: an upgrade of one machine after another, and what is refused.

use crate::{WARM, steady, steady_tasks, warm};
use orrery_e2e::{LabOptions, Load, Machine, PATIENCE, eventually};

/// Makes a program speak as another version would.
const VARIABLE: &str = "ORRERY_PROTOCOL_VERSION";

fn speaks(machine: &mut Machine, version: u32) {
    machine.environment.retain(|(name, _)| name != VARIABLE);
    machine.environment.push((VARIABLE.into(), version.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_then_agents_are_upgraded_under_load() {
    let environment = vec![(VARIABLE.to_owned(), "1".to_owned())];
    let options = LabOptions { environment, ..LabOptions::default() };
    let Some(mut lab) = steady("controllers_then_agents_are_upgraded_under_load", options).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    // Everything is two versions at once somewhere on the way: leader and followers, leader and agents.
    for version in [2, 3] {
        for index in 0..3 {
            warm(&load, WARM).await;
            lab.controllers[index].process.signal("TERM");
            let (good, log) = lab.controllers[index].process.ends(PATIENCE);
            assert!(good, "{log}");
            speaks(&mut lab.controllers[index], version);
            lab.controllers[index].restart_ready();
        }
        warm(&load, WARM).await;
        assert_eq!(steady_tasks(&lab), before, "controllers of version {version}");
        for agent in &mut lab.agents {
            agent.process.kill();
            speaks(agent, version);
            agent.restart_ready();
        }
        let leader = lab.leader().await;
        lab.running(leader, "/steady", 6).await;
        assert_eq!(steady_tasks(&lab), before, "agents of version {version}");
    }

    // Two versions apart: told in one sentence, and nothing else happens.
    lab.agents[0].process.kill();
    speaks(&mut lab.agents[0], 1);
    lab.agents[0].restart();
    let told = eventually("the agent is told", async || {
        let log = lab.agents[0].log();
        let line = log.lines().rev().find(|line| line.contains("upgrade the node")).map(str::to_owned);
        line.ok_or(log)
    })
    .await;
    println!("an agent that is too old: {told}");
    lab.agents[0].process.kill();
    speaks(&mut lab.agents[0], 3);
    lab.agents[0].restart_ready();

    let follower = lab.followers().await[0];
    lab.controllers[follower].process.kill();
    speaks(&mut lab.controllers[follower], 5);
    lab.controllers[follower].restart();
    let (good, log) = lab.controllers[follower].process.ends(PATIENCE);
    let told = log.lines().last().unwrap_or_default();
    println!("a controller that is too new: {told}");
    assert!(!good && told.contains("do not understand each other"), "{log}");
    speaks(&mut lab.controllers[follower], 4);
    lab.controllers[follower].restart_ready();
    warm(&load, WARM).await;
    let leader = lab.leader().await;
    eventually("six run, and six only", async || {
        let (told, live) = (lab.tasks(leader, "/steady").await?, steady_tasks(&lab));
        if told.len() == 6 && live.len() == 6 { Ok(()) } else { Err(format!("{} told, {} live", told.len(), live.len())) }
    })
    .await;
    println!("{:?}", load.finish(&lab, leader).await);
}
