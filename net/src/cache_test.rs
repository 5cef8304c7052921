use crate::ZoneHandle;
use crate::cache::Cache;
use crate::cluster_sample::Sample;
use orrery_core::dns::ClusterZone;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NAME: &str = "web.marathon.mesos";

#[test]
fn an_entry_is_kept_until_its_app_changes() {
    let mut sample = Sample::of_nodes(2);
    let zone = ZoneHandle::new();
    sample.launch("/web", 0, 31_000);
    zone.publish(&sample.cluster, &std::mem::take(&mut sample.touched));
    let first = zone.snapshot().get(NAME).unwrap();
    sample.launch("/other", 0, 31_001);
    zone.publish(&sample.cluster, &std::mem::take(&mut sample.touched));
    let before = zone.snapshot();
    assert!(Arc::ptr_eq(&first, &before.get(NAME).unwrap()), "the same after another app has changed");
    sample.launch("/web", 1, 31_000);
    zone.publish(&sample.cluster, &std::mem::take(&mut sample.touched));
    let second = zone.snapshot().get(NAME).unwrap();
    assert_eq!((first.records.len(), second.records.len()), (1, 2));
    assert_eq!(before.get(NAME).unwrap().records.len(), 1, "whoever holds an older state has its answers");
    assert_eq!(zone.snapshot().get(NAME).unwrap().records.len(), 2);
    assert!(zone.snapshot().get("nothing.marathon.mesos").is_none());
}

#[test]
fn it_keeps_what_is_asked_for_and_stays_within_its_limit() {
    const LIMIT: usize = 200;
    let mut sample = Sample::of_nodes(1);
    for number in 0..100 {
        sample.launch(&format!("/app-{number}"), 0, 31_000 + number);
    }
    sample.launch("/web", 0, 30_000);
    let mut zone = ClusterZone::new();
    zone.publish(&sample.cluster, &sample.touched);
    let cache = Cache::with_limit(LIMIT);
    let first = cache.get(&zone, NAME).unwrap();
    for _ in 0..3 {
        for number in 0..100 {
            assert!(cache.get(&zone, &format!("app-{number}.marathon.mesos")).is_some());
            assert!(cache.get(&zone, &format!("none-{number}.marathon.mesos")).is_none());
            assert!(Arc::ptr_eq(&first, &cache.get(&zone, NAME).unwrap()));
            assert!(cache.records() <= LIMIT, "{}", cache.records());
        }
    }
}

#[test]
fn readers_see_every_change_at_once() {
    const READERS: usize = 3;
    const LAUNCHES: usize = 200;
    let zone = ZoneHandle::new();
    let published = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < LAUNCHES {
                    let least = published.load(Ordering::SeqCst);
                    seen = zone.snapshot().get("_web._tcp.marathon.mesos").map_or(0, |entry| entry.records.len());
                    assert!(seen >= least, "{seen} of {least}");
                }
            });
        }
        let mut sample = Sample::of_nodes(1);
        for number in 0..LAUNCHES {
            sample.launch("/web", 0, 31_000 + number as u16);
            zone.publish(&sample.cluster, &std::mem::take(&mut sample.touched));
            published.store(number + 1, Ordering::SeqCst);
        }
    });
}
