//! A follower that applies deltas, and a mirror that applies stored entries, against the real thing.

use super::*;
use crate::instance::Goal;
use crate::{App, Timestamp};
use std::collections::BTreeSet;

/// Everything a reader can see is the same, and so is what is derived from it.
pub(super) fn assert_same(replica: &Cluster, leader: &Cluster) {
    assert_eq!((&replica.id, replica.generation), (&leader.id, leader.generation));
    assert_eq!(replica.apps, leader.apps);
    assert!(replica.instances.values().eq(leader.instances.values()));
    assert_eq!(replica.sandbox_bases, leader.sandbox_bases);
    assert_eq!(replica.nodes, leader.nodes);
    assert_eq!(replica.holds, leader.holds);
    assert_eq!((&replica.away, &replica.draining), (&leader.away, &leader.draining));
    assert_eq!((&replica.retired, &replica.brake_settings), (&leader.retired, &leader.brake_settings));
    assert_eq!((&replica.brake, &replica.stranded), (&leader.brake, &leader.stranded));
    assert_eq!(loads(replica), loads(leader));
    assert_eq!(replica.deployments, leader.deployments);
    assert_eq!(replica.removed, leader.removed);
    assert_eq!(replica.delays, leader.delays);
    assert_eq!(replica.pending, leader.pending);
    assert_eq!(replica.failures, leader.failures);
    assert_eq!(replica.packages, leader.packages);
    assert_eq!(replica.repositories, leader.repositories);
    assert_eq!(replica.service_ports, leader.service_ports);
    assert_eq!(format!("{:?}", replica.completed), format!("{:?}", leader.completed));
    assert_eq!(replica.ended, leader.ended);
    assert_eq!(replica.unsettled, leader.unsettled);
}

/// Nodes that run nothing may or may not have a load of nothing.
fn loads(cluster: &Cluster) -> Vec<(&NodeId, &NodeLoad)> {
    cluster.loads.iter().filter(|(_, load)| !load.instances.is_empty()).collect()
}

/// The mirror equals what loading gives.
pub(super) fn assert_mirrors(mirror: &Mirror, loaded: &Cluster) {
    // When a node was read is no part of what is stored.
    let plain = |cluster: &Cluster| Cluster { generation: 0, nodes: imbl::OrdMap::new(), ..cluster.clone() };
    assert_same(&plain(mirror.cluster()), &plain(loaded));
    let facts = |cluster: &Cluster| {
        cluster
            .nodes
            .values()
            .map(|node| (node.facts.clone(), node.administration, node.status, node.claims.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(facts(mirror.cluster()), facts(loaded));
}

/// What comes out at the other end of the wire.
pub(super) fn sent(delta: &Delta) -> Delta {
    serde_json::from_slice(&serde_json::to_vec(delta).unwrap()).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// `count` apps of one scheduled instance each.
fn crowd(count: usize) -> Cluster {
    let apps = (0..count).map(|number| {
        let mut app = App::new(AppId::parse(&format!("/app{number}")).unwrap());
        app.cmd = Some("true".into());
        AppEdit::Create(app)
    });
    let mut draft = Draft::new(&Cluster::default(), at(1), 1, Entropy::new(7));
    draft.edit(apps.collect(), false, "").unwrap();
    draft.settle().cluster
}

#[test]
fn a_snapshot_comes_in_parts_and_is_exact() {
    let cluster = crowd(SNAPSHOT_PART_MAX + 5);
    let parts: Vec<Delta> = Delta::snapshot(&cluster).collect();
    assert_eq!(parts.len(), 1 + 2 + 2 + 1);
    assert!(parts[..5].iter().all(|part| part.more) && !parts[5].more);
    let replica = parts.iter().fold(Cluster::default(), |replica, part| replica.with_delta(&sent(part)).unwrap().0);
    assert_same(&replica, &cluster);
}

#[test]
fn a_delta_of_another_state_is_refused() {
    let cluster = crowd(2);
    let later = Cluster { generation: cluster.generation + 1, ..cluster.clone() };
    let delta = Delta::between(&cluster, &later, &BTreeSet::new(), &[]);
    let fault = Cluster::default().with_delta(&delta).unwrap_err();
    assert_eq!(fault, ReplicaFault::Gap { wanted: cluster.generation, have: 0 });
}

#[test]
fn a_delta_is_as_large_as_the_change() {
    // Without the one deployment that creates them all.
    let cluster = Cluster { deployments: imbl::OrdMap::new(), ..crowd(1_000) };
    let mut draft = Draft::new(&cluster, at(2), 1, Entropy::new(8));
    let id = AppId::parse("/app500").unwrap();
    draft.edit(vec![AppEdit::Remove(id)], true, "").unwrap();
    let step = draft.settle();
    let delta = Delta::between(&cluster, &step.cluster, &step.touched, &step.events);
    let bytes = serde_json::to_vec(&delta).unwrap().len();
    assert!(bytes < 20_000, "one app of a thousand takes {bytes} bytes");
    assert_same(&cluster.with_delta(&delta).unwrap().0, &step.cluster);
}

/// The maps' own comparison must skip what both sides share, or a delta would cost the cluster.
#[test]
fn comparing_maps_costs_the_change() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COMPARED: AtomicUsize = AtomicUsize::new(0);
    #[derive(Clone, Debug)]
    struct Counted(#[expect(dead_code, reason = "only there to be different")] u64);
    impl PartialEq for Counted {
        fn eq(&self, _: &Self) -> bool {
            COMPARED.fetch_add(1, Ordering::Relaxed);
            false
        }
    }
    let before: imbl::OrdMap<u64, Counted> = (0..100_000).map(|key| (key, Counted(key))).collect();
    let mut after = before.clone();
    for key in [5, 50_000, 99_999] {
        after.insert(key, Counted(0));
    }
    after.remove(&70_000);
    after.insert(200_000, Counted(0));
    let _ = before.diff(&after).count();
    let compared = COMPARED.load(Ordering::Relaxed);
    assert!(compared < 2_000, "{compared} of 100,000 entries compared for 5 changes");
}

#[test]
fn observations_survive_a_reload_only_where_nothing_was_decided_anew() {
    let mut known = crowd(3);
    let ids: Vec<_> = known.instances.keys().cloned().collect();
    let node = NodeId::parse("n1").unwrap();
    let seat = Some(crate::instance::Seat { node, host_ports: crate::instance::HostPorts::default() });
    for id in &ids {
        let instance = crate::Instance { seat: seat.clone(), incarnation: 1, ..(**known.instances.get(id).unwrap()).clone() };
        known.replace_instance(id, Some(instance));
    }
    let mut stored = known.clone();
    // Observed meanwhile: the first runs; the second was launched anew; the third is asked to stop.
    let running = |cluster: &mut Cluster, id: &crate::InstanceId| {
        let instance =
            crate::Instance { condition: crate::instance::Condition::Running, ..(**cluster.instances.get(id).unwrap()).clone() };
        cluster.replace_instance(id, Some(instance));
    };
    for id in &ids {
        running(&mut known, id);
    }
    let again = crate::Instance { incarnation: 2, ..(**stored.instances.get(&ids[1]).unwrap()).clone() };
    stored.replace_instance(&ids[1], Some(again));
    let stopping = crate::Instance { goal: Goal::Decommissioned, ..(**stored.instances.get(&ids[2]).unwrap()).clone() };
    stored.replace_instance(&ids[2], Some(stopping));
    let merged = stored.with_observations_of(&known);
    let shown = |id| {
        let instance: &crate::Instance = merged.instances.get(id).unwrap();
        (instance.condition.task_state(), instance.incarnation, instance.goal)
    };
    assert_eq!(shown(&ids[0]), ("TASK_RUNNING", 1, Goal::Running));
    assert_eq!(shown(&ids[1]), ("TASK_STAGING", 2, Goal::Running));
    assert_eq!(shown(&ids[2]), ("TASK_RUNNING", 1, Goal::Decommissioned));
}
