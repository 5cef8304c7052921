//! Instances with data: where they start again, and what becomes of their data.

use super::*;
use crate::InstanceId;
use crate::app::{Container, UnreachableStrategy, UpgradeStrategy, Volume};
use crate::node::{Bundle, Marks};

impl World {
    /// Holds, their index and what is stored of them agree; data are where their task is.
    pub(super) fn check_holds(&self) {
        let mut holds: imbl::OrdMap<InstanceId, NodeId> = imbl::OrdMap::new();
        for (node, record) in &self.cluster.nodes {
            for id in record.claims.holds.keys() {
                assert_eq!(holds.insert(id.clone(), node.clone()), None, "{id} has data on two nodes");
                assert!(!record.claims.doomed.contains(id));
            }
        }
        assert_eq!(holds, self.cluster.holds);
        for instance in self.cluster.instances.values().filter(|instance| instance.app.is_resident()) {
            if let Some(node) = instance.node() {
                assert_eq!(holds.get(&instance.id), Some(node), "{} runs without its data", instance.id);
            }
        }
        for id in holds.keys().filter(|id| !self.cluster.apps.contains_key(id.app())) {
            assert!(self.cluster.instances.contains_key(id), "the data of {id} outlive its app");
        }
    }

    fn data(&self) -> Vec<(InstanceId, NodeId)> {
        self.cluster.holds.iter().map(|(id, node)| (id.clone(), node.clone())).collect()
    }

    fn tasks(&self) -> Vec<TaskId> {
        self.cluster.instances.values().map(|instance| instance.task_id()).collect()
    }

    fn kill(&mut self, wipe: bool, scale: bool) {
        let tasks = self.tasks();
        self.step(|draft| draft.kill(&KillRequest { tasks, scale, wipe, force: true })).unwrap();
        self.run();
    }

    fn put(&mut self, app: App) -> Result<(), EditError> {
        self.step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "")).map(drop)
    }

    fn scale(&mut self, instances: u32) {
        self.step(|draft| draft.edit(vec![AppEdit::Scale(id(), instances)], true, "")).unwrap();
        self.run();
    }

    fn doomed(&self) -> usize {
        self.cluster.nodes.values().map(|node| node.claims.doomed.len()).sum()
    }
}

fn id() -> AppId {
    AppId::parse("/db").unwrap()
}

fn database(instances: u32) -> App {
    let mut app = app("/db", instances, 500);
    let persistent = serde_json::from_str(r#"{"size":100}"#).unwrap();
    let volume = Volume { container_path: "data".into(), persistent: Some(persistent), ..Volume::default() };
    app.container = Some(Container { volumes: vec![volume], ..Container::default() });
    app.unreachable_strategy = UnreachableStrategy::Disabled;
    let (half, none) = (Scalar::from_thousandths(500), Scalar::ZERO);
    app.upgrade_strategy = UpgradeStrategy { minimum_health_capacity: half, maximum_over_capacity: none };
    app
}

#[test]
fn an_instance_starts_again_where_its_data_are() {
    let mut world = world_with(3, database(3));
    let before = world.data();
    assert_eq!(before.len(), 3);
    let ledger = world.draft().with_ledger(None).ledger_for(&database(3)).free_on(&before[0].1);
    assert_eq!((ledger.cpus, ledger.disk), (Scalar::from_thousandths(3500), Scalar::from_units(3996)));
    world.fail(0);
    world.now += 100_000;
    world.run();
    assert_eq!((world.running("/db"), world.data()), (3, before.clone()));
    world.kill(false, false);
    assert_eq!((world.running("/db"), world.data()), (3, before.clone()));
    // A new configuration takes the data over, incarnations go on counting.
    let mut next = database(3);
    next.cmd = Some("sleep 7".into());
    world.put(next).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.data()), (3, before));
    assert!(world.tasks().iter().all(|task| task.incarnation() >= 3), "{:?}", world.tasks());
    assert!(world.cluster.deployments.is_empty());
}

#[test]
fn data_stay_when_scaled_down_and_are_taken_up_first() {
    let mut world = world_with(3, database(3));
    let before = world.data();
    world.scale(0);
    assert_eq!((world.running("/db"), world.data(), world.doomed()), (0, before.clone(), 0));
    world.scale(2);
    assert_eq!((world.running("/db"), world.data()), (2, before.clone()));
    world.scale(4);
    assert_eq!((world.running("/db"), world.data().len()), (4, 4));
    assert!(before.iter().all(|kept| world.data().contains(kept)));
    // A wipe makes new instances with new data.
    world.kill(true, false);
    assert_eq!((world.running("/db"), world.data().len(), world.doomed()), (4, 4, 0));
    assert!(before.iter().all(|(old, _)| world.cluster.holds.get(old).is_none()));
    world.step(|draft| draft.edit(vec![AppEdit::Remove(id())], true, "")).unwrap();
    world.put(database(1)).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.data().len(), world.doomed()), (1, 1, 0), "nothing of the old app is left");
}

#[test]
fn a_new_version_takes_up_the_data_of_those_that_ran() {
    for wanted in 1..3 {
        let mut world = world_with(3, database(3));
        world.scale(wanted);
        let before: Vec<InstanceId> = world.tasks().iter().map(|task| task.instance().clone()).collect();
        let mut next = database(wanted);
        next.cmd = Some("sleep 7".into());
        world.put(next).unwrap();
        world.run();
        let after: Vec<InstanceId> = world.tasks().iter().map(|task| task.instance().clone()).collect();
        assert_eq!((world.running("/db"), after), (wanted as usize, before), "the others stay parked");
        world.scale(3);
        assert_eq!((world.running("/db"), world.data().len()), (3, 3));
    }
}

#[test]
fn data_outlive_controllers_and_wait_for_their_node() {
    let mut world = world_with(2, database(1));
    let (instance, node) = world.data().remove(0);
    world.step(|draft| draft.deactivate_node(&node)).unwrap();
    world.fail(0);
    world.now += 100_000;
    world.step(Draft::wake_paused);
    let pending = world.cluster.pending[&id()].clone();
    let hint = pending.refusals.as_ref().and_then(|refusals| refusals.hint.clone()).unwrap();
    assert!(hint.contains(node.as_str()) && hint.contains("back and open"), "{hint}");
    // Nobody stored the waiting instance; its data tell of it.
    world.cluster = Cluster::load(world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice())), world.now()).0;
    world.replica = world.cluster.clone();
    world.ledger = None;
    (0..2).for_each(|number| world.come_back(number));
    world.step(Draft::wake_all);
    assert_eq!((world.tasks().len(), world.running("/db")), (1, 0));
    world.step(|draft| draft.reactivate_node(&node)).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.data()), (1, vec![(instance, node)]));
    assert_eq!(world.tasks()[0].incarnation(), 2);
}

#[test]
fn a_lost_node_keeps_its_data_until_it_is_declared_gone() {
    let mut world = world_with(2, database(1));
    let (instance, node) = world.data().remove(0);
    world.step(|draft| draft.lose_node(&node));
    world.now += 3_600_000;
    world.run();
    assert_eq!((world.running("/db"), world.data().len()), (0, 1), "it is not replaced");
    world.agents.get_mut(&node).unwrap().clear();
    world.step(|draft| draft.decommission_node(&node, Decommission { gone: true, force: false })).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.data().len()), (1, 1));
    assert!(world.data().iter().all(|(id, _)| *id != instance));
}

#[test]
fn a_drain_with_a_deadline_stops_it_and_it_waits_there_or_begins_anew() {
    for (then, kept) in [(AfterDrain::Deactivate, true), (AfterDrain::Decommission, false)] {
        let mut world = world_with(2, database(1));
        let (instance, node) = world.data().remove(0);
        let deadline = world.now().plus_millis(5_000);
        world.step(|draft| draft.drain_node(&node, Some(deadline), then)).unwrap();
        assert_eq!(world.running("/db"), 1);
        world.run();
        assert_eq!(world.running("/db"), usize::from(!kept), "{then:?}");
        if kept {
            world.step(|draft| draft.reactivate_node(&node)).unwrap();
            world.run();
        }
        assert_eq!((world.running("/db"), world.data().len()), (1, 1));
        assert_eq!(world.data()[0].0 == instance, kept);
    }
}

#[test]
fn volumes_may_grow_and_nothing_else_of_them_changes() {
    let mut world = world_with(1, database(1));
    let mut without = database(1);
    without.container = None;
    let refused = world.put(without).unwrap_err();
    assert!(matches!(&refused, EditError::Invalid(faults) if faults[0].message.contains("cannot be taken away")), "{refused:?}");
    let mut large = database(1);
    large.container.as_mut().unwrap().volumes[0].persistent.as_mut().unwrap().size = Scalar::from_units(4000);
    world.put(large.clone()).unwrap();
    world.run();
    assert_eq!(world.running("/db"), 1);
    large.container.as_mut().unwrap().volumes[0].persistent.as_mut().unwrap().size = Scalar::from_units(5000);
    world.put(large.clone()).unwrap();
    world.run();
    // What runs is not stopped for what cannot start.
    assert_eq!((world.running("/db"), world.cluster.deployments.len()), (1, 1));
    let hint = world.cluster.stranded[&id()].hint.clone().unwrap();
    assert!(hint.ends_with("with 904 more disk"), "{hint}");
    let task = world.tasks();
    large.container.as_mut().unwrap().volumes[0].persistent.as_mut().unwrap().size = Scalar::from_units(4096);
    world.put(large.clone()).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.cluster.deployments.len(), world.cluster.stranded.len()), (1, 0, 0));
    assert_ne!(world.tasks(), task);
    // On a node that takes nothing it runs on as it is, until that has to be left.
    let node = world.data()[0].1.clone();
    world.step(|draft| draft.deactivate_node(&node)).unwrap();
    large.cmd = Some("sleep 7".into());
    let task = world.tasks();
    world.put(large.clone()).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.tasks()), (1, task));
    world.step(|draft| draft.reactivate_node(&node)).unwrap();
    world.run();
    assert_eq!((world.running("/db"), world.cluster.deployments.len()), (1, 0));
    large.cmd = Some("sleep 8".into());
    world.step(|draft| draft.deactivate_node(&node)).unwrap();
    world.put(large).unwrap();
    let deadline = world.now().plus_millis(5_000);
    world.step(|draft| draft.drain_node(&node, Some(deadline), AfterDrain::Deactivate)).unwrap();
    assert_eq!(world.running("/db"), 1);
    world.run();
    assert_eq!(world.running("/db"), 0, "the deadline holds");
}

fn reservation(cpus: i64, label: Option<&str>) -> ReservationEdit {
    let marks = Marks { labels: label.into_iter().map(|label| ("for".to_owned(), label.to_owned())).collect(), principal: None };
    let bundle = Bundle { cpus: Scalar::from_units(cpus), ..Bundle::default() };
    ReservationEdit { amounts: BTreeMap::from([(("eng".to_owned(), marks), bundle)]) }
}

#[test]
fn reservations_with_other_labels_are_others() {
    let mut world = World::new(1);
    let node = node(0);
    for (cpus, label) in [(1, Some("x")), (1, Some("y")), (1, None), (1, Some("x"))] {
        world.step(|draft| draft.reserve(&node, &reservation(cpus, label))).unwrap();
    }
    let parts = |world: &World| world.cluster.nodes[&node].claims.reservations.get("eng").map_or(0, |eng| eng.made.len());
    assert_eq!(parts(&world), 3);
    for (cpus, label) in [(1, Some("z")), (2, Some("y")), (2, None)] {
        assert!(world.step(|draft| draft.unreserve(&node, &reservation(cpus, label))).is_err(), "{cpus} {label:?}");
    }
    world.step(|draft| draft.unreserve(&node, &reservation(2, Some("x")))).unwrap();
    assert_eq!(parts(&world), 2);
    for label in [None, Some("y")] {
        world.step(|draft| draft.unreserve(&node, &reservation(1, label))).unwrap();
    }
    assert_eq!(parts(&world), 0);
}

/// A task that could as well run on what nobody has reserved keeps no reservation.
#[test]
fn what_was_reserved_a_moment_ago_can_be_given_back() {
    let mut world = World::new(1);
    let node = node(0);
    let mut ours = app("/job", 1, 1000);
    ours.role = Some("eng".into());
    world.put(ours).unwrap();
    world.run();
    world.step(|draft| draft.reserve(&node, &reservation(2, None))).unwrap();
    world.step(|draft| draft.unreserve(&node, &reservation(2, None))).unwrap();
    assert_eq!(world.running("/job"), 1);
}

#[test]
fn what_is_reserved_is_for_its_role_and_goes_back_when_unused() {
    let mut world = World::new(1);
    let node = node(0);
    let edit = |cpus: i64| reservation(cpus, None);
    assert!(matches!(world.step(|draft| draft.reserve(&node, &edit(5))), Err(EditError::Claim(_))), "there are four");
    world.step(|draft| draft.reserve(&node, &edit(3))).unwrap();
    assert!(matches!(world.step(|draft| draft.reserve(&node, &edit(2))), Err(EditError::Claim(_))), "one is left");
    let mut other = app("/web", 4, 1000);
    other.role = Some("web".into());
    let mut ours = app("/job", 4, 1000);
    ours.role = Some("eng/prod".into());
    world.put(other).unwrap();
    world.put(ours).unwrap();
    world.run();
    assert_eq!((world.running("/web"), world.running("/job")), (1, 3));
    assert!(matches!(world.step(|draft| draft.unreserve(&node, &edit(3))), Err(EditError::Claim(_))), "it is in use");
    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/job").unwrap(), 1)], true, "")).unwrap();
    world.run();
    assert_eq!(world.running("/web"), 1, "what is reserved waits for its role");
    world.step(|draft| draft.unreserve(&node, &edit(2))).unwrap();
    world.run();
    assert_eq!((world.running("/web"), world.running("/job")), (3, 1));
    assert!(matches!(world.step(|draft| draft.unreserve(&node, &edit(1))), Err(EditError::Claim(_))));
}

#[test]
fn operators_resize_volumes_and_destroy_those_of_stopped_instances() {
    let mut world = world_with(1, database(1));
    let (instance, node) = world.data().remove(0);
    let volume = VolumeName::parse(&format!("{instance}#data")).unwrap();
    let resize = |world: &mut World, by: i64| world.step(|draft| draft.resize_volume(&node, &volume, Scalar::from_units(by)));
    assert!(resize(&mut world, 4000).is_err() && resize(&mut world, -100).is_err());
    resize(&mut world, 900).unwrap();
    assert_eq!(world.cluster.nodes[&node].claims.holds[&instance].resources.disk, Scalar::from_units(1000));
    assert!(world.step(|draft| draft.destroy_volumes(&node, std::slice::from_ref(&volume))).is_err(), "it runs");
    world.kill(false, false);
    assert_eq!(world.cluster.nodes[&node].claims.holds[&instance].volumes["data"], Scalar::from_units(1000), "it stays large");
    world.scale(0);
    world.step(|draft| draft.destroy_volumes(&node, std::slice::from_ref(&volume))).unwrap();
    world.run();
    assert_eq!((world.data().len(), world.doomed()), (0, 0));
}

#[derive(Debug, Clone)]
enum Deed {
    Put(u32, bool),
    Remove,
    Scale(u32),
    Kill(bool, bool),
    Fail(usize),
    Run,
    Wait(i64),
    Lose(u32),
    Return(u32),
    Drain(u32, bool),
    Open(u32),
    Gone(u32),
    Lost(u32),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0u32..5, any::<bool>()).prop_map(|(instances, other)| Deed::Put(instances, other)),
        1 => Just(Deed::Remove),
        2 => (0u32..5).prop_map(Deed::Scale),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(wipe, scale)| Deed::Kill(wipe, scale)),
        2 => (0usize..20).prop_map(Deed::Fail),
        3 => Just(Deed::Run),
        2 => (1i64..100_000).prop_map(Deed::Wait),
        2 => (0u32..3).prop_map(Deed::Lose),
        2 => (0u32..3).prop_map(Deed::Return),
        2 => (0u32..3, any::<bool>()).prop_map(|(node, leave)| Deed::Drain(node, leave)),
        1 => (0u32..3).prop_map(Deed::Open),
        1 => (0u32..3).prop_map(Deed::Gone),
        1 => (0u32..5).prop_map(Deed::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens: one live holder at most, data where their tasks are, nothing left behind.
    #[test]
    fn data_are_kept_in_any_history(deeds in proptest::collection::vec(deed(), 1..30)) {
        let mut world = World::new(3);
        let place = |number: u32| facts(number).id;
        for deed in deeds {
            match deed {
                Deed::Put(instances, other) => {
                    let mut app = database(instances);
                    app.cmd = Some(if other { "sleep 1" } else { "sleep 2" }.into());
                    world.put(app).unwrap();
                }
                Deed::Remove => drop(world.step(|draft| draft.edit(vec![AppEdit::Remove(id())], true, ""))),
                Deed::Scale(instances) => drop(world.step(|draft| draft.edit(vec![AppEdit::Scale(id(), instances)], true, ""))),
                Deed::Kill(wipe, scale) => {
                    let tasks = world.tasks().into_iter().take(2).collect();
                    let scale = scale && !wipe;
                    drop(world.step(|draft| draft.kill(&KillRequest { tasks, scale, wipe, force: true })));
                }
                Deed::Fail(index) => world.fail(index),
                Deed::Run => world.run(),
                Deed::Wait(millis) => world.now += millis,
                Deed::Lose(number) => world.step(|draft| draft.lose_node(&place(number))),
                Deed::Return(number) => world.come_back(number),
                Deed::Drain(number, leave) => {
                    let then = if leave { AfterDrain::Decommission } else { AfterDrain::Deactivate };
                    let deadline = Some(world.now().plus_millis(1_000));
                    drop(world.step(|draft| draft.drain_node(&place(number), deadline, then)));
                }
                Deed::Open(number) => drop(world.step(|draft| draft.reactivate_node(&place(number)))),
                Deed::Gone(number) => {
                    let how = Decommission { gone: true, force: false };
                    if world.step(|draft| draft.decommission_node(&place(number), how)).is_ok() {
                        world.agents.get_mut(&place(number)).unwrap().clear();
                    }
                }
                Deed::Lost(instances) => world.lost_step(|draft| draft.edit(vec![AppEdit::Put(database(instances))], true, "").map(drop)),
            }
        }
        (0..3).for_each(|number| world.come_back(number));
        world.agents.insert(facts(3).id, BTreeMap::new());
        world.step(|draft| draft.register(facts(3), Vec::new()));
        (0..3).for_each(|number| drop(world.step(|draft| draft.reactivate_node(&place(number)))));
        world.step(Draft::wake_paused);
        world.run();
        world.now += 1_000_000;
        world.step(Draft::wake_paused);
        world.run();
        let wanted = world.cluster.app(&id()).map_or(0, |app| app.instances as usize);
        prop_assert_eq!(world.running("/db"), wanted);
        prop_assert!(world.data().len() >= wanted);
        prop_assert_eq!(world.doomed(), 0);
        prop_assert!(world.cluster.deployments.is_empty());
    }
}
