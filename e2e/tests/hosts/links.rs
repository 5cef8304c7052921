//! Half-open links: connections that both ends believe in and that move nothing.

use crate::{steady, steady_tasks, warm};
use orrery_e2e::{Lab, LabOptions, Load, eventually};
use std::time::{Duration, Instant};

/// Within this time everybody has noticed: an agent suspects after 1.2 s, a follower after 1.5 s, and both
/// give a connection up after 3 s.
const NOTICED_MAX: Duration = Duration::from_secs(10);

/// Whether a controller's answers are marked as out of date.
async fn is_stale(lab: &Lab, controller: usize) -> Result<bool, String> {
    let request = lab.http.get(format!("{}/v2/apps/steady", lab.url(controller)));
    let answer = request.header("authorization", format!("token={}", lab.token())).send().await;
    Ok(answer.map_err(|error| error.to_string())?.headers().contains_key("orrery-stale"))
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_links_are_noticed() {
    let options = LabOptions { proxied: true, ..LabOptions::default() };
    let Some(lab) = steady("half_open_links_are_noticed", options).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    let leader = lab.leader().await;
    let followers = lab.followers().await;
    // First those to the followers, over which agents are connected; then those to the leader too.
    for ends in [followers.clone(), vec![leader], vec![leader, followers[0], followers[1]]] {
        warm(&load, 20).await;
        let began = Instant::now();
        for end in &ends {
            lab.controllers[*end].proxy.as_ref().expect("a proxy").abandon();
        }
        if ends.contains(&leader) {
            eventually("the followers notice", async || {
                if is_stale(&lab, followers[0]).await? { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;
            println!("follower's link half open, marked as stale after {:?}", began.elapsed());
        }
        eventually("every follower hears the leader", async || {
            for follower in &followers {
                if is_stale(&lab, *follower).await? {
                    return Err(format!("controller {follower} is stale"));
                }
            }
            Ok(())
        })
        .await;
        println!("links of {} controllers half open, followed again after {:?}", ends.len(), began.elapsed());
        assert!(began.elapsed() < NOTICED_MAX);
        // Longer than a node may be silent: that it is not lost can only be seen by letting it pass.
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(steady_tasks(&lab), before, "nothing was replaced");
        assert_eq!(lab.leader().await, leader, "the lead has not moved");
        let nodes = lab.get(leader, "/v1/nodes").await.expect("nodes").to_string().to_lowercase();
        assert!(!nodes.contains("unreachable"), "{nodes}");
    }
    lab.running(leader, "/steady", 6).await;
    println!("{:?}", load.finish(&lab, leader).await);
}
