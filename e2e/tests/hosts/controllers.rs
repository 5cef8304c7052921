//! Controllers that die, pause or are cut off.

use crate::{WARM, chaos, steady, steady_tasks, warm};
use orrery_e2e::{Cut, Lab, LabOptions, Load, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

/// After a fault: everything works, nothing was restarted.
async fn unharmed(lab: &Lab, before: &[String]) {
    let leader = lab.leader().await;
    lab.running(leader, "/steady", 6).await;
    assert_eq!(steady_tasks(lab), before, "no task was restarted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_killed() {
    let Some(mut lab) = steady("the_leader_is_killed", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    assert_eq!(before.len(), 6);
    let load = Load::start(&lab);
    let rounds = if chaos("more kills of leaders") { 20 } else { 2 };
    for _ in 0..rounds {
        warm(&load, WARM).await;
        let leader = lab.leader().await;
        let killed = Instant::now();
        lab.controllers[leader].process.kill();
        let acknowledged = load.acknowledged();
        eventually("a write is acknowledged", async || {
            if load.acknowledged() > acknowledged { Ok(()) } else { Err(format!("none yet; {}", load.last_failure())) }
        })
        .await;
        println!("leader killed, next acknowledged write after {:?}", killed.elapsed());
        assert_ne!(lab.leader().await, leader);
        lab.controllers[leader].restart_ready();
    }
    warm(&load, WARM).await;
    unharmed(&lab, &before).await;
    let report = load.finish(&lab, 0).await;
    println!("{report:?}");
}

/// Flaps of the firewall; the lead changes hands at most twice, however many they are.
const FLAPS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_that_refuses_does_not_depose_for_ever() {
    let Some(lab) = steady("a_firewall_that_refuses_does_not_depose_for_ever", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    let (one, other) = (lab.leader().await, lab.followers().await[0]);
    let epoch = async || lab.etcd.value("/orrery/v1/epoch").await.parse::<usize>().expect("a number");
    let first = epoch().await;
    for _ in 0..FLAPS {
        warm(&load, WARM).await;
        lab.controllers[one].host.reject(&lab.controllers[other].host);
        // That nothing more happens in a time can only be seen by letting it pass.
        tokio::time::sleep(Duration::from_secs(3)).await;
        warm(&load, WARM).await;
        lab.controllers[one].host.heal();
        for index in [one, other] {
            eventually("a follower hears the leader again", async || {
                let request = lab.http.get(format!("{}/v2/apps/steady", lab.url(index)));
                let answer = request.header("authorization", format!("token={}", lab.token())).send().await;
                let answer = answer.map_err(|error| error.to_string())?;
                if answer.headers().contains_key("orrery-stale") { Err("stale".to_owned()) } else { Ok(()) }
            })
            .await;
        }
    }
    let elections = epoch().await - first;
    println!("firewall between two living controllers, {FLAPS} times: {elections} elections");
    assert!((1..=2).contains(&elections), "{elections} elections");
    unharmed(&lab, &before).await;
    let report = load.finish(&lab, 0).await;
    println!("{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_killed() {
    let Some(mut lab) = steady("a_follower_is_killed", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let follower = lab.followers().await[0];
    lab.controllers[follower].process.kill();
    let others: Vec<usize> = (0..3).filter(|index| *index != follower).collect();
    for index in &others {
        lab.launch(*index, &json!({ "id": format!("/more{index}"), "cmd": "sleep 1000", "cpus": 0.01, "mem": 16 })).await;
    }
    // Whoever is asked knows what was written through another.
    for index in &others {
        lab.running(others[0], &format!("/more{index}"), 1).await;
        lab.running(others[1], &format!("/more{index}"), 1).await;
    }
    lab.controllers[follower].restart_ready();
    lab.running(follower, "/steady", 6).await;
    unharmed(&lab, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_through_one_is_read_through_another() {
    let Some(lab) = Lab::start("what_was_written_through_one_is_read_through_another", LabOptions::default()).await else {
        return;
    };
    for round in 0..30 {
        let (writer, id) = (round % 3, format!("/mine/{round}"));
        lab.launch(writer, &json!({ "id": id, "cmd": "true", "instances": 0 })).await;
        let (status, app) = lab.send(writer, "GET", &format!("/v2/apps{id}"), &json!(null)).await.expect("an answer");
        assert_eq!(status, 200, "read after write through controller {writer}: {app}");
    }
    // Through another one with the generation that the change was answered with.
    for round in 0..30 {
        let (writer, reader, id) = (round % 3, (round + 1) % 3, format!("/theirs/{round}"));
        let app = json!({ "id": id, "cmd": "true", "instances": 0 });
        let token = format!("token={}", lab.token());
        let put = lab.http.put(format!("{}/v2/apps{id}", lab.url(writer))).header("authorization", &token);
        let put = put.header("content-type", "application/json").body(app.to_string()).send().await.expect("an answer");
        let generation = put.headers()["orrery-generation"].clone();
        let read = |generation: &[u8]| {
            let get = lab.http.get(format!("{}/v2/apps{id}", lab.url(reader))).header("authorization", &token);
            get.header("orrery-generation", generation).send()
        };
        assert_eq!(read(generation.as_bytes()).await.expect("an answer").status(), 200, "{writer} wrote, {reader} was asked");
        assert_eq!(read(b"soon").await.expect("an answer").status(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_paused() {
    let Some(lab) = steady("the_leader_is_paused", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    let pauses: &[u64] = if chaos("long pauses of the leader") { &[1, 5, 20, 60] } else { &[1, 5] };
    for seconds in pauses {
        warm(&load, WARM).await;
        let leader = lab.leader().await;
        lab.controllers[leader].process.signal("STOP");
        // The length of the pause is the fault itself.
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        lab.controllers[leader].process.signal("CONT");
        warm(&load, WARM).await;
        unharmed(&lab, &before).await;
    }
    let report = load.finish(&lab, 0).await;
    println!("{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_cut_off_from_the_store() {
    let Some(lab) = steady("the_leader_is_cut_off_from_the_store", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    for way in [Cut::Both, Cut::Inbound] {
        warm(&load, WARM).await;
        let leader = lab.leader().await;
        for member in &lab.etcd.hosts {
            lab.controllers[leader].host.cut(member, way);
        }
        eventually("another controller leads", async || {
            let now = lab.leader().await;
            if now == leader { Err("still the one that is cut off".into()) } else { Ok(()) }
        })
        .await;
        warm(&load, WARM).await;
        lab.controllers[leader].host.heal();
        warm(&load, WARM).await;
        unharmed(&lab, &before).await;
    }
    let report = load.finish(&lab, 0).await;
    println!("{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_hands_over_at_once() {
    let Some(mut lab) = steady("a_stopped_leader_hands_over_at_once", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    warm(&load, WARM).await;
    // A rolling restart, as an upgrade does it.
    for index in 0..3 {
        lab.controllers[index].process.signal("TERM");
        let (good, log) = lab.controllers[index].process.ends(orrery_e2e::PATIENCE);
        assert!(good, "{log}");
        warm(&load, WARM).await;
        lab.controllers[index].restart_ready();
        warm(&load, WARM).await;
    }
    unharmed(&lab, &before).await;
    let report = load.finish(&lab, 0).await;
    println!("{report:?}");
}
