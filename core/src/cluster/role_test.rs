//! Quotas and fair shares in a cluster under way.

use super::{AppEdit, Cluster, Draft, EditError, Entropy, QuotaEdit};
use crate::app::App;
use crate::assignment::{FailureReason, TaskReport};
use crate::instance::{Condition, Goal};
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
        world.join("c-S0", cpus);
        world
    }

    /// A node with so many cpus joins.
    fn join(&mut self, id: &str, cpus: i64) {
        let facts = NodeFacts {
            resources: Resources {
                cpus: Scalar::from_units(cpus),
                mem: Scalar::from_units(1_000_000),
                disk: Scalar::from_units(1000),
                ports: PortRanges::new([(31_000, 32_000)]),
                ..Resources::default()
            },
            executors: vec!["process".into()],
            ..NodeFacts::new(NodeId::parse(id).unwrap(), format!("host-of-{id}"), "127.0.0.1".parse().unwrap())
        };
        self.step(|draft| draft.register(facts, Vec::new()));
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

fn quota(role: &str, limits: BTreeMap<String, Scalar>) -> QuotaEdit {
    QuotaEdit { role: role.into(), limits, guarantees: BTreeMap::new() }
}

#[test]
fn a_quota_holds_and_says_so_until_it_is_raised() {
    let mut world = World::new(100);
    world.step(|draft| draft.update_quota(vec![quota("dev", cpus(3))], false)).unwrap();
    world.create(vec![app("/dev/web", None, 5), app("/web", None, 5)]);
    assert_eq!((world.seated("/dev/web"), world.seated("/web")), (3, 5));
    let refusals = world.cluster.pending[&AppId::parse("/dev/web").unwrap()].refusals.clone().unwrap();
    assert_eq!(refusals.by_reason, BTreeMap::from([(Reason::QuotaReached, 1)]));
    assert_eq!(refusals.hint.unwrap(), "it would fit with 1 more cpus in the quota of role dev");
    let refused = world.step(|draft| draft.update_quota(vec![quota("x", cpus(1)), quota("dev", cpus(2))], false));
    assert!(matches!(refused, Err(EditError::Role(_))), "{refused:?}");
    assert_eq!(world.cluster.roles.len(), 1, "all or nothing");
    world.step(|draft| draft.update_quota(vec![quota("dev", cpus(4))], false)).unwrap();
    assert_eq!(world.seated("/dev/web"), 4);
    let entries = world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    let (loaded, faults) = Cluster::load(entries, Timestamp::from_millis(world.now));
    assert_eq!((loaded.roles, faults), (world.cluster.roles.clone(), Vec::new()));
    world.step(|draft| draft.update_quota(vec![quota("dev", BTreeMap::new())], true)).unwrap();
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
fn weights_count_however_few_tasks_there_is_room_for() {
    let mut world = World::new(16);
    world.step(|draft| draft.update_weights(vec![("b".into(), Scalar::from_units(3))])).unwrap();
    world.create(vec![app("/one", Some("a"), 20), app("/three", Some("b"), 20)]);
    assert_eq!((world.seated("/one"), world.seated("/three")), (4, 12));
}

#[test]
fn roles_below_one_share_what_it_gets() {
    let mut world = World::new(48);
    let below = ["b/1", "b/2", "b/3"].map(|role| app(&format!("/in-{}", &role[2..]), Some(role), 48));
    world.create([app("/alone", Some("a"), 48)].into_iter().chain(below).collect());
    let seated = ["/alone", "/in-1", "/in-2", "/in-3"].map(|id| world.seated(id));
    assert_eq!(seated, [24, 8, 8, 8]);
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

/// An app of a priority whose instances may stop down to a share.
fn ranked(id: &str, priority: i32, instances: u32, cpus: i64, keep: i64) -> App {
    let mut app = app(id, None, instances);
    app.placement.priority = priority;
    app.cpus = Scalar::from_units(cpus);
    app.upgrade_strategy.minimum_health_capacity = Scalar::from_thousandths(keep);
    app
}

impl World {
    /// All agents do what they were told.
    fn obey(&mut self) {
        for _ in 0..20 {
            let busy = |instance: &&std::sync::Arc<crate::Instance>| {
                instance.seat.is_some() && (instance.condition != Condition::Running || instance.goal != Goal::Running)
            };
            let Some(instance) = self.cluster.instances.values().find(busy).cloned() else { return };
            let (condition, reason) = match instance.goal {
                Goal::Running => (Condition::Running, None),
                _ => (Condition::Killed, Some(FailureReason::Stopped)),
            };
            let report = TaskReport {
                task: instance.task_id(),
                condition,
                at: Timestamp::from_millis(self.now),
                started_at: None,
                reason,
                exit: None,
                message: None,
                health: Vec::new(),
                ready: true,
                addresses: Vec::new(),
                container: None,
                sandbox: None,
            };
            let node = instance.node().cloned().unwrap();
            self.step(|draft| draft.observe(&node, report));
        }
    }

    fn stopping(&self) -> usize {
        self.cluster.instances.values().filter(|instance| instance.goal != Goal::Running).count()
    }
}

#[test]
fn the_important_take_the_place_of_the_unimportant_within_their_budgets() {
    let mut world = World::new(10);
    world.create(vec![ranked("/batch", -10, 6, 1, 500), ranked("/web", 0, 4, 1, 1000)]);
    world.obey();
    world.create(vec![ranked("/urgent", 10, 2, 2, 1000)]);
    assert_eq!((world.stopping(), world.cluster.promises.len()), (2, 1), "one node, one promise at a time");
    let pending = world.cluster.pending[&AppId::parse("/urgent").unwrap()].clone();
    let hint = pending.refusals.as_ref().and_then(|refusals| refusals.hint.clone()).unwrap();
    assert!(hint.starts_with("room for 1 is being made on c-S0"), "{hint}");
    world.step(Draft::wake_all);
    assert_eq!(world.stopping(), 2, "nothing more is stopped for the same");
    world.obey();
    assert_eq!((world.seated("/urgent"), world.seated("/batch"), world.seated("/web")), (1, 4, 4));
    // Three of six must serve: one may still go, which is not enough for two cpus; web keeps all four.
    world.step(Draft::wake_all);
    world.obey();
    assert_eq!((world.seated("/urgent"), world.seated("/batch"), world.seated("/web")), (1, 4, 4));
    assert_eq!(world.cluster.promises.len(), 0);
    // The stopped ones come back when there is room, and stop nobody.
    world.step(|draft| draft.edit(vec![AppEdit::Remove(AppId::parse("/urgent").unwrap())], true, "")).unwrap();
    world.obey();
    assert_eq!((world.seated("/batch"), world.seated("/web"), world.stopping()), (6, 4, 0));
}

#[test]
fn room_that_is_being_made_is_kept_and_given_up_with_its_app() {
    let mut world = World::new(4);
    world.create(vec![ranked("/batch", -10, 4, 1, 0)]);
    world.obey();
    world.create(vec![ranked("/urgent", 10, 1, 3, 1000)]);
    assert_eq!((world.stopping(), world.cluster.promises.len()), (3, 1));
    // Somebody else of a high priority, but not higher than that, gets none of it.
    world.create(vec![ranked("/quick", 5, 3, 1, 1000)]);
    assert_eq!((world.stopping(), world.seated("/quick")), (3, 0));
    world.step(|draft| draft.edit(vec![AppEdit::Remove(AppId::parse("/urgent").unwrap())], true, "")).unwrap();
    assert_eq!(world.cluster.promises.values().filter(|promise| promise.app.as_str() == "/urgent").count(), 0);
    world.obey();
    assert_eq!((world.seated("/quick"), world.seated("/batch")), (3, 1));
}

/// An app of a priority that needs certain ports and amounts of `licences`.
fn particular(id: &str, priority: i32, ports: &[u16], licences: i64) -> App {
    let mut app = ranked(id, priority, 1, 1, 0);
    app.require_ports = true;
    app.port_definitions =
        ports.iter().map(|port| crate::app::PortDefinition { port: *port, ..crate::app::PortDefinition::default() }).collect();
    if licences > 0 {
        app.resources.insert("licences".into(), Scalar::from_units(licences));
    }
    app
}

#[test]
fn ports_and_named_resources_that_are_being_freed_are_kept_too() {
    for (ports, licences) in [([31_110, 31_111], 0), ([31_112, 31_113], 1)] {
        let mut world = World::new(10);
        let id = NodeId::parse("c-S0").unwrap();
        let mut facts = world.cluster.nodes[&id].facts.clone();
        facts.resources.custom.insert("licences".into(), Scalar::from_units(2));
        world.step(|draft| draft.register(facts, Vec::new()));
        world.create(vec![particular("/one", 0, &ports[..1], licences), particular("/two", 0, &ports[1..], licences)]);
        world.obey();
        world.create(vec![particular("/urgent", 10, if licences > 0 { &[] } else { &ports }, 2 * licences)]);
        assert_eq!((world.stopping(), world.cluster.promises.len()), (2, 1));
        world.obey();
        assert_eq!((world.seated("/urgent"), world.seated("/one"), world.seated("/two")), (1, 0, 0), "{ports:?}");
        let launches = world.cluster.instances.values().map(|instance| instance.incarnation).max();
        assert_eq!(launches, Some(1), "nobody started again on what was to be free");
    }
}

#[test]
fn who_needs_what_no_stopping_gives_stops_nobody_and_is_promised_nothing() {
    for ports in [vec![9_999], (0..1_100).map(|_| 0).collect()] {
        let mut world = World::new(4);
        world.create(vec![ranked("/low", 0, 2, 1, 0)]);
        world.obey();
        let mut urgent = particular("/urgent", 10, &ports, 0);
        urgent.cpus = Scalar::from_units(3);
        world.create(vec![urgent]);
        assert_eq!((world.stopping(), world.cluster.promises.len()), (0, 0));
        world.create(vec![ranked("/plain", 0, 2, 1, 0)]);
        assert_eq!(world.seated("/plain"), 2, "what is free is for everybody");
    }
}

#[test]
fn a_guarantee_is_held_back_until_its_role_takes_it() {
    let mut world = World::new(10);
    let guarantee = QuotaEdit { guarantees: cpus(4), ..quota("gold", cpus(6)) };
    let above = QuotaEdit { guarantees: cpus(7), ..quota("gold", cpus(6)) };
    assert!(world.step(|draft| draft.update_quota(vec![above], false)).is_err());
    world.step(|draft| draft.update_quota(vec![guarantee], false)).unwrap();
    world.create(vec![app("/web", None, 9)]);
    assert_eq!(world.seated("/web"), 6);
    let pending = world.cluster.pending[&AppId::parse("/web").unwrap()].clone();
    let details = pending.refusals.as_ref().unwrap().details.clone();
    assert!(details.contains_key("guarantees of gold: 4 cpus held back"), "{details:?}");
    world.create(vec![app("/shop", Some("gold"), 3)]);
    assert_eq!((world.seated("/web"), world.seated("/shop")), (6, 3));
    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/shop").unwrap(), 5)], true, "")).unwrap();
    assert_eq!((world.seated("/web"), world.seated("/shop")), (6, 4), "the cluster is full");
}

#[test]
fn no_more_is_guaranteed_than_nodes_have_unless_by_force() {
    let mut world = World::new(10);
    let guarantee = |role: &str, units| QuotaEdit { guarantees: cpus(units), ..quota(role, BTreeMap::new()) };
    let mut set = |quotas: Vec<QuotaEdit>, force| world.step(|draft| draft.update_quota(quotas, force));
    let refused = set(vec![guarantee("a", 6), guarantee("b", 5)], false);
    let Err(EditError::Role(message)) = refused else { panic!("{refused:?}") };
    assert!(message.starts_with("11 cpus would be guaranteed to roles in all, but nodes have 10"), "{message}");
    set(vec![guarantee("a", 6), guarantee("b", 4)], false).unwrap();
    // What is guaranteed below a role is a part of what it is guaranteed itself.
    set(vec![guarantee("a/x", 6)], false).unwrap();
    assert!(set(vec![guarantee("a/y", 1)], false).is_err());
    // Who sets something else is not told of it.
    set(vec![guarantee("a/y", 1)], true).unwrap();
    set(vec![quota("c", cpus(1))], false).unwrap();
    set(vec![guarantee("a/y", 0)], false).unwrap();
}

#[test]
fn a_group_enforces_its_role() {
    let mut world = World::new(10);
    assert!(world.step(|draft| draft.enforce_role("/dev/team", true)).is_err());
    world.create(vec![app("/dev/old", None, 1)]);
    world.step(|draft| draft.enforce_role("/dev", true)).unwrap();
    world.create(vec![app("/dev/web", None, 1)]);
    assert_eq!(world.cluster.app(&AppId::parse("/dev/web").unwrap()).unwrap().role.as_deref(), Some("dev"));
    assert_eq!(world.cluster.role_of(world.cluster.app(&AppId::parse("/dev/old").unwrap()).unwrap()), "dev");
    let refused = world.step(|draft| draft.edit(vec![AppEdit::Create(app("/dev/x", Some("ops"), 1))], false, ""));
    assert!(matches!(&refused, Err(EditError::Invalid(faults)) if faults[0].path == "/role"), "{refused:?}");
    world.step(|draft| draft.enforce_role("/dev", false)).unwrap();
    assert!(world.cluster.roles.is_empty());
}

#[test]
fn who_leaves_a_node_is_replaced_beyond_the_quota_and_nobody_else_is() {
    for (limits, guarantees, role, fit) in [(cpus(2), BTreeMap::new(), "dev", 2), (BTreeMap::new(), cpus(14), "others", 2)] {
        let mut world = World::new(4);
        for id in ["c-S1", "c-S2", "c-S3"] {
            world.join(id, 4);
        }
        world.step(|draft| draft.update_quota(vec![QuotaEdit { role: role.into(), limits, guarantees }], false)).unwrap();
        world.create(vec![app("/dev/web", None, 8)]);
        world.obey();
        assert_eq!(world.seated("/dev/web"), fit);
        let node = world.cluster.instances.values().find_map(|instance| instance.node().cloned()).unwrap();
        world.step(|draft| draft.drain_node(&node, None, crate::node::AfterDrain::Deactivate)).unwrap();
        assert_eq!(world.seated("/dev/web"), fit + 1, "one begins in the place of the one that leaves");
        for _ in 0..3 {
            world.step(Draft::wake_all);
            assert!(world.seated("/dev/web") <= fit + 1, "{role}");
            world.obey();
        }
        assert_eq!(world.seated("/dev/web"), fit, "{role}");
        assert!(world.cluster.instances.values().all(|instance| instance.node() != Some(&node)), "it has left, few as they are");
        assert!(world.cluster.successors.is_empty());
    }
}

#[test]
fn what_waited_for_its_seat_has_it_for_a_while() {
    let mut world = World::new(1);
    world.create(vec![ranked("/first", 0, 1, 1, 0), ranked("/patient", 0, 1, 1, 0)]);
    world.obey();
    world.now += 3 * 60_000;
    world.create(vec![ranked("/never", -1, 1, 1, 0)]);
    world.step(|draft| draft.edit(vec![AppEdit::Remove(AppId::parse("/first").unwrap())], true, "")).unwrap();
    world.obey();
    assert_eq!((world.seated("/patient"), world.stopping()), (1, 0));
    world.create(vec![ranked("/fresh", 1, 1, 1, 0)]);
    assert_eq!((world.seated("/patient"), world.stopping()), (1, 0), "three minutes are worth more than a priority of one");
    let looked_at = world.cluster.alarms.next();
    assert_eq!(looked_at, Some(Timestamp::from_millis(world.now + 60_000)), "it looks again when that is worth less");
    // After one minute of waiting it is two against two, after another one three against one.
    world.now += 60_000;
    world.step(Draft::wake_all);
    assert_eq!(world.stopping(), 0);
    world.now += 60_000;
    world.step(Draft::wake_all);
    assert_eq!(world.stopping(), 1);
    world.obey();
    assert_eq!((world.seated("/fresh"), world.seated("/patient")), (1, 0));
    assert!(world.cluster.waited_for.len() <= 1);
}

#[test]
fn room_that_comes_by_itself_is_for_whose_turn_is_first() {
    let mut world = World::new(3);
    world.create(vec![ranked("/low", 0, 1, 1, 1000), ranked("/done", 0, 2, 1, 0), ranked("/patient", 0, 1, 1, 0)]);
    world.obey();
    world.now += 3 * 60_000;
    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/done").unwrap(), 1)], true, "")).unwrap();
    assert_eq!(world.stopping(), 1);
    world.create(vec![ranked("/fresh", 1, 1, 1, 0)]);
    let promised = |world: &World| world.cluster.promises.values().map(|promise| promise.app.to_string()).collect::<Vec<_>>();
    assert_eq!(promised(&world), Vec::<String>::new());
    let hint = world.cluster.pending[&AppId::parse("/fresh").unwrap()].refusals.clone().unwrap().hint.unwrap();
    assert!(hint.starts_with("tasks are stopping on c-S0: whose turn is first gets their room"), "{hint}");
    world.obey();
    assert_eq!((world.seated("/patient"), world.seated("/fresh")), (1, 1), "the other one was stopped for the more important");
    assert_eq!(world.seated("/done"), 0);
}

#[test]
fn room_that_an_app_may_not_take_any_more_is_given_up() {
    for limits in [cpus(0), cpus(1)] {
        let mut world = World::new(2);
        world.join("c-S1", 2);
        world.create(vec![ranked("/low", 0, 4, 1, 0)]);
        world.obey();
        let mut urgent = ranked("/urgent", 5, 2, 1, 0);
        urgent.role = Some("dev".into());
        world.create(vec![urgent]);
        assert_eq!(world.stopping(), 2);
        let most = limits["cpus"].thousandths() as usize / 1000;
        world.step(|draft| draft.update_quota(vec![quota("dev", limits)], false)).unwrap();
        let promised: u32 = world.cluster.promises.values().map(|promise| promise.count).sum();
        assert_eq!(promised as usize, most);
        world.obey();
        world.obey();
        assert_eq!((world.seated("/urgent"), world.seated("/low")), (most, 4 - most));
    }
}

#[test]
fn who_is_over_its_quota_hears_what_nodes_would_refuse_as_well() {
    let mut world = World::new(4);
    world.step(|draft| draft.update_quota(vec![quota("dev", cpus(1))], false)).unwrap();
    world.create(vec![ranked("/dev/large", 0, 1, 6, 0), ranked("/dev/small", 0, 1, 2, 0)]);
    let hint = |id: &str| world.cluster.pending[&AppId::parse(id).unwrap()].refusals.clone().unwrap().hint.unwrap();
    let large = "it would fit with 5 more cpus in the quota of role dev and with 2 more cpus on node c-S0";
    assert_eq!([hint("/dev/large"), hint("/dev/small")], [large, "it would fit with 1 more cpus in the quota of role dev"]);
}
