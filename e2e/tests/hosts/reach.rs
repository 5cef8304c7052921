//! Who reaches whom: leaders that nobody reaches, controllers that agents have never met.

use crate::{WARM, steady, steady_tasks, warm};
use orrery_e2e::{Cut, LabOptions, Load, eventually};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_nobody_reaches_gives_way() {
    let Some(lab) = steady("a_leader_nobody_reaches_gives_way", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let leader = lab.leader().await;
    let host = &lab.controllers[leader].host;
    // It keeps its lease: only etcd reaches it, and this machine.
    for other in lab.controllers.iter().chain(&lab.agents).filter(|other| other.host.address != host.address) {
        host.cut(&other.host, Cut::Both);
    }
    let cut = Instant::now();
    let load = Load::start(&lab);
    let next = eventually("another controller leads", async || {
        let now = lab.leader().await;
        if now == leader { Err(format!("controller {leader} still leads")) } else { Ok(now) }
    })
    .await;
    println!("leader out of reach, another one leads after {:?}", cut.elapsed());
    lab.running(next, "/steady", 6).await;
    warm(&load, WARM).await;
    println!("leader out of reach, all agents back after {:?}", cut.elapsed());
    assert_eq!(steady_tasks(&lab), before, "no task was restarted");
    assert!(lab.controllers[leader].log().contains("neither agents nor other controllers reach it"));
    host.heal();
    lab.running(leader, "/steady", 6).await;
    println!("{:?}", load.finish(&lab, next).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_find_controllers_that_came_after_them() {
    let Some(mut lab) = steady("agents_find_controllers_that_came_after_them", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let leader = lab.leader().await;
    let gone = lab.followers().await;
    // All but the leader are replaced; no connection of an agent ends by it.
    let first = lab.controllers.len();
    for index in first..first + gone.len() {
        lab.add_controller(u8::try_from(index).expect("few")).await;
    }
    for follower in gone {
        lab.controllers[follower].process.kill();
    }
    let newest = lab.url(lab.controllers.len() - 1);
    eventually("agents keep the new address", async || {
        for agent in &lab.agents {
            let credentials = std::fs::read_to_string(agent.data.join("credentials.json")).map_err(|error| error.to_string())?;
            if !credentials.contains(&newest) {
                return Err(credentials);
            }
        }
        Ok(())
    })
    .await;
    lab.controllers[leader].process.kill();
    let killed = Instant::now();
    let next = eventually("a new controller leads", async || {
        let now = lab.leader().await;
        if now >= first { Ok(now) } else { Err(format!("controller {now} leads")) }
    })
    .await;
    lab.running(next, "/steady", 6).await;
    println!("all controllers that agents had joined are gone; agents at new ones after {:?}", killed.elapsed());
    assert_eq!(steady_tasks(&lab), before, "no task was restarted");
}
