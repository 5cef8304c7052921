//! Agents and their hosts that die, pause, are cut off and come back.

use crate::{WARM, chaos, steady, steady_tasks, warm};
use orrery_e2e::{Cut, LabOptions, Load, PATIENCE, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

fn four() -> LabOptions {
    LabOptions { agents: 4, ..LabOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_killed_and_takes_its_tasks_back() {
    let Some(mut lab) = steady("an_agent_is_killed_and_takes_its_tasks_back", four()).await else { return };
    let before = steady_tasks(&lab);
    for index in 0..4 {
        lab.agents[index].process.kill();
        lab.agents[index].restart_ready();
    }
    let leader = lab.leader().await;
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before, "every task was taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn spawners_are_killed_under_their_agents() {
    let Some(lab) = steady("spawners_are_killed_under_their_agents", four()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    warm(&load, WARM).await;
    let rounds = if chaos("more kills of spawners") { 10 } else { 2 };
    for round in 0..rounds {
        for agent in &lab.agents {
            assert_eq!(agent.kill_children("spawner"), 1, "every agent has a spawner");
        }
        let killed = Instant::now();
        let leader = lab.leader().await;
        let id = format!("/after{round}");
        lab.launch(leader, &json!({ "id": id, "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": 8 })).await;
        lab.running(leader, &id, 8).await;
        println!("spawners killed, eight new tasks run after {:?}", killed.elapsed());
        let told = lab.get(leader, &format!("/v2/apps{id}")).await.expect("an app");
        assert!(told["app"]["lastTaskFailure"].is_null(), "none of them failed first: {told}");
        assert_eq!(steady_tasks(&lab), before, "the others run on");
    }
    let leader = lab.leader().await;
    println!("{:?}", load.finish(&lab, leader).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_is_replaced_and_its_duplicates_end() {
    let Some(lab) = steady("a_dead_host_is_replaced_and_its_duplicates_end", four()).await else { return };
    let load = Load::start(&lab);
    let leader = lab.leader().await;
    let rounds = if chaos("more dead hosts") { 6 } else { 1 };
    for round in 0..rounds {
        let tasks = lab.running(leader, "/steady", 6).await;
        let lost = lab.agent_of(&tasks[round % 6]);
        let unplugged = Instant::now();
        lab.agents[lost].host.unplug();
        eventually("all six run elsewhere", async || {
            let tasks = lab.tasks(leader, "/steady").await?;
            let host = &lab.agents[lost].host.address;
            let good = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING" && task["host"] != **host).count();
            if good == 6 { Ok(()) } else { Err(format!("{good} of 6")) }
        })
        .await;
        println!("host unplugged, replaced after {:?}", unplugged.elapsed());
        let plugged = Instant::now();
        lab.agents[lost].host.plug();
        eventually("duplicates end", async || {
            let live = steady_tasks(&lab);
            if live.len() == 6 { Ok(()) } else { Err(format!("{live:?}")) }
        })
        .await;
        eventually("the node is back", async || {
            let nodes = lab.get(leader, "/v1/nodes").await?;
            let text = nodes.to_string().to_lowercase();
            if text.contains("unreachable") { Err(text) } else { Ok(()) }
        })
        .await;
        println!("host plugged in, whole again after {:?}", plugged.elapsed());
    }
    let report = load.finish(&lab, leader).await;
    println!("{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_lose_the_leader_but_not_the_others() {
    let Some(lab) = steady("agents_lose_the_leader_but_not_the_others", four()).await else { return };
    let before = steady_tasks(&lab);
    let leader = lab.leader().await;
    for agent in &lab.agents {
        agent.host.cut(&lab.controllers[leader].host, Cut::Both);
    }
    lab.launch(leader, &json!({ "id": "/while", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": 4 })).await;
    lab.running(leader, "/while", 4).await;
    for agent in &lab.agents {
        agent.host.heal();
    }
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before, "a way around was found before anything was replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn lossy_links_raise_no_false_alarm() {
    let Some(lab) = steady("lossy_links_raise_no_false_alarm", four()).await else { return };
    let before = steady_tasks(&lab);
    for agent in &lab.agents {
        agent.host.lose(0.2);
    }
    let seconds = if chaos("a long time on lossy links") { 120 } else { 15 };
    // That nothing happens in a time can only be seen by letting it pass.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(steady_tasks(&lab), before, "nothing was replaced although a fifth of all packets is lost");
    let leader = lab.leader().await;
    lab.launch(leader, &json!({ "id": "/lossy", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": 4 })).await;
    lab.running(leader, "/lossy", 4).await;
    assert_eq!(steady_tasks(&lab), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn flapping_links_settle() {
    let Some(lab) = steady("flapping_links_settle", four()).await else { return };
    let load = Load::start(&lab);
    for _ in 0..if chaos("long flapping") { 20 } else { 3 } {
        for agent in &lab.agents[..2] {
            for controller in &lab.controllers {
                agent.host.cut(&controller.host, Cut::Inbound);
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        for agent in &lab.agents[..2] {
            agent.host.heal();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let leader = lab.leader().await;
    eventually("six run, and six only", async || {
        let (told, live) = (lab.tasks(leader, "/steady").await?, steady_tasks(&lab));
        if told.len() == 6 && live.len() == 6 { Ok(()) } else { Err(format!("{} told, {} live", told.len(), live.len())) }
    })
    .await;
    load.finish(&lab, leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_holds_when_most_nodes_vanish() {
    let Some(lab) = steady("the_brake_holds_when_most_nodes_vanish", four()).await else { return };
    let before = steady_tasks(&lab);
    let leader = lab.leader().await;
    for agent in &lab.agents[..3] {
        agent.host.unplug();
    }
    eventually("the brake is told", async || {
        let status = lab.get(leader, "/v1/status").await?;
        if status["brake"]["engaged"] == true { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let told = lab.dcos(leader, &["node", "list"]);
    assert!(format!("{told:?}").contains("eplacements are held"), "{told:?}");
    for agent in &lab.agents[..3] {
        agent.host.plug();
    }
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before, "nothing was replaced while the brake held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_host_loses_nothing() {
    let Some(lab) = steady("a_drained_host_loses_nothing", four()).await else { return };
    let leader = lab.leader().await;
    let tasks = lab.running(leader, "/steady", 6).await;
    let agent = &lab.agents[lab.agent_of(&tasks[0])];
    let drained = lab.dcos(leader, &["node", "drain", &agent.host.address, "--wait"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    let tasks = lab.running(leader, "/steady", 6).await;
    assert!(tasks.iter().all(|task| task["host"] != *agent.host.address), "{tasks:?}");
    let back = lab.dcos(leader, &["node", "reactivate", &agent.host.address]);
    assert_eq!(back.code, 0, "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_agent_is_replaced_and_gives_up() {
    let Some(lab) = steady("a_paused_agent_is_replaced_and_gives_up", four()).await else { return };
    let leader = lab.leader().await;
    let tasks = lab.running(leader, "/steady", 6).await;
    let paused = &lab.agents[lab.agent_of(&tasks[0])];
    paused.process.signal("STOP");
    eventually("all six run elsewhere", async || {
        let tasks = lab.tasks(leader, "/steady").await?;
        let good = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING" && task["host"] != *paused.host.address).count();
        if good == 6 { Ok(()) } else { Err(format!("{good} of 6")) }
    })
    .await;
    paused.process.signal("CONT");
    eventually("duplicates end", async || {
        let live = steady_tasks(&lab);
        if live.len() == 6 { Ok(()) } else { Err(format!("{live:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_work_once_and_strangers_are_refused() {
    let Some(mut lab) = orrery_e2e::Lab::start("tokens_work_once_and_strangers_are_refused", LabOptions::default()).await else {
        return;
    };
    lab.add_agent(7, &["--attributes", "rack:r7", "--region", "west", "--zone", "z7"]);
    lab.agents.last_mut().expect("one").process.says("ready", PATIENCE);
    let token = lab.join_token();
    for round in 0..2 {
        let host = lab.network.host(60 + round);
        let mut command = host.command(&orrery_e2e::orrery_binary());
        let data = lab.scratch().join(format!("stranger-{round}"));
        command.args(["agent", "--join", &lab.url(1), "--token", &token, "--data-dir"]).arg(&data);
        let mut agent = orrery_e2e::Process::start(command, &data.with_extension("log"));
        if round == 0 {
            agent.says("ready", PATIENCE);
        } else {
            let (good, log) = agent.ends(PATIENCE);
            assert!(!good && log.contains("token"), "{log}");
        }
    }
}
