//! Members of the store that die.

use crate::{steady, steady_tasks};
use orrery_e2e::{LabOptions, Load, eventually};
use serde_json::json;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn one_member_is_killed() {
    let Some(mut lab) = steady("one_member_is_killed", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    for member in 0..3 {
        lab.etcd.kill(member);
        let goal = load.acknowledged() + 20;
        eventually("writes go on", async || {
            let now = load.acknowledged();
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}; {}", load.last_failure())) }
        })
        .await;
        lab.etcd.restart(member);
    }
    assert_eq!(steady_tasks(&lab), before);
    let leader = lab.leader().await;
    let report = load.finish(&lab, leader).await;
    println!("{report:?}");
}

/// Writes that go on while a member stands still: more than half a minute of one that stopped them brought.
const WRITES_MEANWHILE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn one_member_stands_still() {
    let Some(lab) = steady("one_member_stands_still", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    let load = Load::start(&lab);
    for member in 0..3 {
        lab.etcd.signal(member, "STOP");
        let (began, goal) = (Instant::now(), load.acknowledged() + WRITES_MEANWHILE);
        eventually("writes go on", async || {
            let now = load.acknowledged();
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}; {}", load.last_failure())) }
        })
        .await;
        println!("{WRITES_MEANWHILE} writes within {:?} while member {member} stands still", began.elapsed());
        lab.etcd.signal(member, "CONT");
        lab.etcd.caught_up(member).await;
    }
    assert_eq!(steady_tasks(&lab), before);
    let leader = lab.leader().await;
    println!("{:?}", load.finish(&lab, leader).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_are_killed() {
    let Some(mut lab) = steady("two_members_are_killed", LabOptions::default()).await else { return };
    let before = steady_tasks(&lab);
    lab.launch(0, &json!({ "id": "/kept", "cmd": "true", "instances": 0 })).await;
    lab.etcd.kill(0);
    lab.etcd.kill(1);
    // Reads go on, marked as stale once nobody leads any more.
    let marked = eventually("reads are answered and marked", async || {
        let request = lab.http.get(format!("{}/v2/apps/kept", lab.url(1)));
        let answer = request.header("authorization", format!("token={}", lab.token())).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        assert_eq!(answer.status(), 200, "a read while the store has no quorum");
        let stale = answer.headers().get("orrery-stale").map(|value| value.to_str().unwrap_or_default().to_owned());
        stale.ok_or_else(|| "not marked yet".to_owned())
    })
    .await;
    assert!(marked.parse::<u64>().is_ok(), "{marked}");
    // Writes are refused with a sentence that names the cause, not lost in silence.
    eventually("writes are refused", async || {
        match lab.send(1, "POST", "/v2/apps", &json!({ "id": "/refused", "cmd": "true", "instances": 0 })).await {
            Ok((503, answer))
                if answer["message"].as_str().is_some_and(|text| text.contains("the store has not answered since")) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(steady_tasks(&lab), before, "tasks run on without a store");
    let back = Instant::now();
    lab.etcd.restart(0);
    lab.etcd.restart(1);
    eventually("writes are taken again", async || {
        match lab.send(2, "POST", "/v2/apps", &json!({ "id": "/after", "cmd": "true", "instances": 0 })).await {
            Ok((201 | 409, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    println!("quorum back, writes taken after {:?}", back.elapsed());
    lab.running(0, "/steady", 6).await;
    assert_eq!(steady_tasks(&lab), before);
}
