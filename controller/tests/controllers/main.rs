//! Several controllers on one store: elections, fencing, followers that show the same.

mod faulty;
mod world;

use faulty::Fault;
use orrery_controller::ControlError;
use orrery_core::cluster::{Cluster, EPOCH_KEY, LEADER_KEY};
use orrery_store::Store as _;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use world::{World, create, soon};

fn shown(cluster: &Cluster) -> String {
    let mut text =
        format!("{} {} {:?} {:?} {:?}", cluster.id, cluster.generation, cluster.apps, cluster.instances, cluster.nodes);
    let _ = write!(text, "{:?} {:?} {:?}", cluster.deployments, cluster.pending, cluster.service_ports);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_others_show_the_same() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.start(id).await;
    }
    let leader = world.leader().await;
    for number in 0..50 {
        create(&world.handle(&leader), &format!("/app{number}")).await.unwrap();
    }
    let generation = world.handle(&leader).cluster().generation;
    for id in ["a", "b", "c"] {
        world.reaches(id, generation).await;
        assert_eq!(shown(&world.handle(id).cluster()), shown(&world.handle(&leader).cluster()), "{id}");
        assert_eq!(world.handle(id).leader().unwrap().controller.id, leader);
        assert_eq!(world.handle(id).leads(), id == leader);
    }
    let follower = ["a", "b", "c"].into_iter().find(|id| *id != leader).unwrap();
    assert!(matches!(create(&world.handle(follower), "/no").await, Err(ControlError::NotLeading)));
    assert_eq!(world.handle(follower).stale_for(), None);
    let epoch = world.store.get(EPOCH_KEY).await.unwrap().unwrap();
    assert_eq!(epoch.value, "1", "one election");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_makes_room_at_once() {
    let mut world = World::new();
    world.start("a").await;
    create(&world.handle("a"), "/before").await.unwrap();
    world.start("b").await;
    world.stop("a").await;
    assert_eq!(world.leader().await, "b");
    let handle = world.handle("b");
    assert!(handle.cluster().apps.len() == 1);
    create(&handle, "/after").await.unwrap();
    assert_eq!(world.store.get(EPOCH_KEY).await.unwrap().unwrap().value, "2");
    world.stop("b").await;
    assert_eq!(world.store.get(LEADER_KEY).await.unwrap(), None, "it has given the lease back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_can_neither_write_nor_answer() {
    let mut world = World::new();
    world.start("a").await;
    create(&world.handle("a"), "/before").await.unwrap();
    world.start("b").await;
    let paused = world.handle("a");
    // Cut off from the store with a change on its way.
    world.gate("a").close();
    let change = tokio::spawn({
        let paused = paused.clone();
        async move { create(&paused, "/lost").await }
    });
    assert_eq!(soon(world.leader_but("a")).await, "b");
    assert!(!paused.leads(), "its own clock told it");
    create(&world.handle("b"), "/after").await.unwrap();
    world.gate("a").open();
    let answer = change.await.unwrap();
    assert!(matches!(answer, Err(ControlError::Unknown(_) | ControlError::NotLeading)), "{answer:?}");
    assert!(matches!(create(&paused, "/late").await, Err(ControlError::NotLeading)));
    let generation = world.handle("b").cluster().generation;
    world.reaches("a", generation).await;
    let names: Vec<String> = world.handle("a").cluster().apps.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["/after", "/before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_change_is_lost_across_takeovers() {
    const TAKEOVERS: usize = 20;
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.start(id).await;
    }
    let writer = world.write_until_told();
    for round in 0..TAKEOVERS {
        let leader = world.leader().await;
        let done = writer.acknowledged();
        soon(writer.acknowledges(done + 3)).await;
        if round % 4 == 3 {
            // Not heard of any more: the lease has to end.
            world.gate(&leader).close();
            soon(world.leader_but(&leader)).await;
            world.gate(&leader).open();
        } else {
            world.stop(&leader).await;
            world.start(&leader).await;
        }
    }
    let acknowledged: BTreeSet<String> = writer.finish().await;
    let leader = world.leader().await;
    let generation = world.handle(&leader).cluster().generation;
    for id in ["a", "b", "c"] {
        world.reaches(id, generation).await;
        let cluster = world.handle(id).cluster();
        let apps: BTreeSet<String> = cluster.apps.keys().map(ToString::to_string).collect();
        assert!(acknowledged.is_subset(&apps), "{id} has lost {:?}", acknowledged.difference(&apps).collect::<Vec<_>>());
    }
    let epoch = world.store.get(EPOCH_KEY).await.unwrap().unwrap();
    let epoch: usize = String::from_utf8_lossy(&epoch.value).parse().unwrap();
    assert!(epoch > TAKEOVERS, "{epoch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unconfirmed_changes_are_looked_up_not_assumed() {
    let mut world = World::new();
    world.start("a").await;
    let handle = world.handle("a");
    let gate = world.gate("a");
    for number in 0..30 {
        let fault = [Fault::AnswerLost, Fault::RequestLost, Fault::AnswerLate][number % 3];
        gate.next_transaction(fault);
        create(&handle, &format!("/app{number}")).await.unwrap();
    }
    assert_eq!(gate.faults.load(Ordering::SeqCst), 30);
    assert_eq!(handle.cluster().apps.len(), 30);
    assert_eq!(handle.cluster().instances.len(), 30, "no instance is made twice");
    let stored = orrery_store::list(&*world.store, "/orrery/v1/apps/").await.unwrap();
    assert_eq!(stored.entries.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_store_is_refused() {
    let mut world = World::new();
    world.start("a").await;
    let mut empty = World::new();
    let error = empty.try_start("a", Some("elsewhere")).await.unwrap_err().to_string();
    assert!(error.starts_with("this store is empty, but this data directory belongs to cluster elsewhere"), "{error}");
    let error = world.try_start("b", Some("elsewhere")).await.unwrap_err();
    let id = world.handle("a").cluster().id.to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "this store belongs to cluster {id}, but this data directory to cluster elsewhere; check --store, or choose another \
             --data-dir"
        )
    );
    world.try_start("c", Some(&id)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_controller_gives_way_and_deposes_nobody() {
    let mut world = World::new();
    for id in ["a", "b"] {
        world.start(id).await;
    }
    let leader = world.leader().await;
    for (number, original) in ["a", "b"].into_iter().enumerate() {
        let name = format!("copy{number}");
        let ended = match world.try_start_as(&name, original, None).await {
            Ok(()) => world.end(&name).await.unwrap_err(),
            Err(ended) => ended,
        };
        let told = ended.to_string();
        assert!(told.contains(&format!("local://{original}:")) && told.contains("remove the file controller-id"), "{told}");
    }
    assert!(world.handle(&leader).leads());
    create(&world.handle(&leader), "/after").await.unwrap();
    assert_eq!(world.store.get(EPOCH_KEY).await.unwrap().unwrap().value, "1", "nobody was deposed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_was_killed_takes_over_its_own_leadership() {
    let mut world = World::new();
    world.start("a").await;
    for (name, epoch) in [("a", "2"), ("elsewhere", "3")] {
        world.kill("a").await;
        world.try_start_as(name, "a", None).await.unwrap();
        assert_eq!(world.leader().await, name);
        assert_eq!(world.store.get(EPOCH_KEY).await.unwrap().unwrap().value, epoch);
    }
}
