//! Wall clocks that jump.

use crate::{steady, steady_tasks, warm};
use orrery_e2e::{LabOptions, Load, eventually};
use std::time::Duration;

/// Seconds of a jump.
const JUMPS: [&str; 4] = ["+3600", "+0", "-3600", "+0"];

#[tokio::test(flavor = "multi_thread")]
async fn wall_clocks_jump_by_an_hour() {
    let options = LabOptions { clocks: true, ..LabOptions::default() };
    let Some(mut lab) = steady("wall_clocks_jump_by_an_hour", options).await else { return };
    if lab.agents[0].clock.is_none() {
        return;
    }
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    let leader = lab.leader().await;
    let follower = lab.followers().await[0];
    let set = |lab: &orrery_e2e::Lab, difference: &str| {
        for machine in [&lab.controllers[leader], &lab.agents[0]] {
            machine.clock.as_ref().expect("a clock").set(difference);
        }
    };
    for difference in JUMPS {
        set(&lab, difference);
        warm(&load, 50).await;
        // That nothing is lost or restarted in a time can only be seen by letting it pass.
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(lab.leader().await, leader, "the lead does not move: {difference}");
        assert_eq!(steady_tasks(&lab), before, "{difference}");
        let nodes = lab.get(follower, "/v1/nodes").await.expect("nodes").to_string().to_lowercase();
        assert!(!nodes.contains("unreachable"), "{difference}: {nodes}");
    }
    // Whoever connects anew is believed, an hour off or not.
    for difference in ["-3600", "+3600"] {
        set(&lab, difference);
        lab.agents[0].process.kill();
        lab.agents[0].restart_ready();
        lab.controllers[leader].process.kill();
        lab.controllers[leader].restart_ready();
        warm(&load, 20).await;
        let now = lab.leader().await;
        lab.running(now, "/steady", 6).await;
        eventually("every node is there", async || {
            let nodes = lab.get(follower, "/v1/nodes").await?.to_string().to_lowercase();
            if nodes.contains("unreachable") { Err(nodes) } else { Ok(()) }
        })
        .await;
        assert_eq!(steady_tasks(&lab), before, "{difference}");
    }
    let leader = lab.leader().await;
    println!("{:?}", load.finish(&lab, leader).await);
}
