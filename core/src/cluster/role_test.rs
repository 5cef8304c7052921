//! Quotas and fair shares in a cluster under way.

use super::{AppEdit, Cluster, Draft, EditError, Entropy};
use crate::app::App;
use crate::node::{NodeFacts, NodeId, PortRanges, Resources};
use crate::placement::Reason;
use crate::{AppId, Scalar, Timestamp};
use std::collections::BTreeMap;

struct World {
    cluster: Cluster,
    store: BTreeMap<String, Vec<u8>>,
    seed: u64,
    now: i64,
}

impl World {
    /// One node with so many cpus.
    fn new(cpus: i64) -> Self {
        let mut world = Self { cluster: Cluster::default(), store: BTreeMap::new(), seed: 0, now: 1_000_000 };
        let facts = NodeFacts {
            id: NodeId::parse("c-S0").unwrap(),
            hostname: "h0".into(),
            address: "127.0.0.1".parse().unwrap(),
            port: 0,
            resources: Resources {
                cpus: Scalar::from_units(cpus),
                mem: Scalar::from_units(1_000_000),
                disk: Scalar::from_units(1000),
                gpus: 0,
                ports: PortRanges::new([(31_000, 32_000)]),
                custom: BTreeMap::new(),
            },
            attributes: BTreeMap::new(),
            region: None,
            zone: None,
            role: "*".into(),
            executors: vec!["process".into()],
            version: String::new(),
        };
        world.step(|draft| draft.register(facts, Vec::new()));
        world
    }

    fn step<T>(&mut self, act: impl FnOnce(&mut Draft) -> T) -> T {
        self.seed += 1;
        let mut draft = Draft::new(&self.cluster, Timestamp::from_millis(self.now), 1, Entropy::new(self.seed));
        let result = act(&mut draft);
        let step = draft.settle();
        for (key, value) in step.writes {
            match value {
                Some(value) => drop(self.store.insert(key, value)),
                None => drop(self.store.remove(&key)),
            }
        }
        self.cluster = step.cluster;
        result
    }

    fn create(&mut self, apps: Vec<App>) {
        let edits = apps.into_iter().map(AppEdit::Create).collect();
        self.step(|draft| draft.edit(edits, false, "")).unwrap();
    }

    fn seated(&self, id: &str) -> usize {
        let id = AppId::parse(id).unwrap();
        self.cluster.instances_of(&id).filter(|instance| instance.seat.is_some()).count()
    }
}

fn app(id: &str, role: Option<&str>, instances: u32) -> App {
    let mut app = App::new(AppId::parse(id).unwrap());
    app.cmd = Some("sleep 1".into());
    app.instances = instances;
    app.role = role.map(Into::into);
    app
}

fn cpus(units: i64) -> BTreeMap<String, Scalar> {
    BTreeMap::from([("cpus".to_owned(), Scalar::from_units(units))])
}

#[test]
fn a_quota_holds_and_says_so_until_it_is_raised() {
    let mut world = World::new(100);
    world.step(|draft| draft.update_quota(vec![("dev".into(), cpus(3))], false)).unwrap();
    world.create(vec![app("/dev/web", None, 5), app("/web", None, 5)]);
    assert_eq!((world.seated("/dev/web"), world.seated("/web")), (3, 5));
    let refusals = world.cluster.pending[&AppId::parse("/dev/web").unwrap()].refusals.clone().unwrap();
    assert_eq!(refusals.by_reason, BTreeMap::from([(Reason::QuotaReached, 1)]));
    assert_eq!(refusals.hint.unwrap(), "it would fit with 1 more cpus in the quota of role dev");
    let refused = world.step(|draft| draft.update_quota(vec![("x".into(), cpus(1)), ("dev".into(), cpus(2))], false));
    assert!(matches!(refused, Err(EditError::Role(_))), "{refused:?}");
    assert_eq!(world.cluster.roles.len(), 1, "all or nothing");
    world.step(|draft| draft.update_quota(vec![("dev".into(), cpus(4))], false)).unwrap();
    assert_eq!(world.seated("/dev/web"), 4);
    let entries = world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    let (loaded, faults) = Cluster::load(entries, Timestamp::from_millis(world.now));
    assert_eq!((loaded.roles, faults), (world.cluster.roles.clone(), Vec::new()));
    world.step(|draft| draft.update_quota(vec![("dev".into(), BTreeMap::new())], true)).unwrap();
    assert_eq!((world.seated("/dev/web"), world.cluster.roles.len()), (5, 0));
    assert!(!world.store.keys().any(|key| key.contains("/roles/")));
}

#[test]
fn roles_share_by_weight_what_is_not_enough_for_all() {
    let mut world = World::new(1000);
    world.step(|draft| draft.update_weights(vec![("b".into(), Scalar::from_units(3))])).unwrap();
    world.create(vec![app("/one", Some("a"), 1000), app("/two", Some("b"), 1000)]);
    let (one, two) = (world.seated("/one"), world.seated("/two"));
    assert_eq!(one + two, 1000);
    assert!(one.abs_diff(250) <= super::draft_roles::TURN_SEATS, "{one} and {two}");
}

#[test]
fn higher_priority_goes_first_and_waiting_raises_it() {
    let mut world = World::new(2);
    let mut urgent = app("/z", None, 2);
    urgent.placement.priority = 5;
    world.create(vec![app("/a", None, 2), urgent]);
    assert_eq!((world.seated("/a"), world.seated("/z")), (0, 2));
    // After more minutes than steps of priority the one that waits is first.
    world.now += 6 * 60_000;
    let mut later = app("/b", None, 2);
    later.placement.priority = 5;
    world.step(|draft| draft.edit(vec![AppEdit::Create(later), AppEdit::Remove(AppId::parse("/z").unwrap())], true, "")).unwrap();
    let tasks: Vec<_> = world.cluster.instances.values().filter(|instance| instance.seat.is_some()).cloned().collect();
    for task in tasks {
        world.step(|draft| draft.remove_instance(&task.id));
    }
    assert_eq!((world.seated("/a"), world.seated("/b")), (2, 0));
}
