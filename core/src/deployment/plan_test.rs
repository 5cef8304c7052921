use super::*;
use crate::app::{App, Constraint, HealthCheck, Operator, SINGLE_INSTANCE_LABEL, UpgradeStrategy};
use crate::cluster::Target;
use crate::instance::{Condition, Goal, Instance};
use crate::node::{AfterDrain, Drain, Node, NodeFacts, NodeId};
use crate::{AppId, InstanceId, Scalar, Timestamp};
use imbl::OrdMap;
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

fn app(instances: u32, version: i64, minimum: i64, over: i64) -> App {
    let mut app = App::new(AppId::parse("/a").unwrap());
    app.instances = instances;
    app.version = Timestamp::from_millis(version);
    app.version_info.last_config_change_at = app.version;
    app.upgrade_strategy = UpgradeStrategy {
        minimum_health_capacity: Scalar::from_thousandths(minimum),
        maximum_over_capacity: Scalar::from_thousandths(over),
    };
    app
}

fn instance(app: &App, number: u128, condition: Condition, goal: Goal) -> Instance {
    Instance {
        incarnation: 1,
        goal,
        condition,
        since: Timestamp::EPOCH,
        ..Instance::scheduled(
            InstanceId::new(&app.id, Uuid::from_u128(number)),
            Arc::new(app.clone()),
            Timestamp::from_millis(number as i64),
        )
    }
}

/// No deployment, no drain.
fn calm() -> Circumstances<'static> {
    static NONE: std::sync::LazyLock<OrdMap<NodeId, Drain>> = std::sync::LazyLock::new(OrdMap::new);
    static UNMOVED: std::sync::LazyLock<OrdMap<InstanceId, Target>> = std::sync::LazyLock::new(OrdMap::new);
    static NOBODY: std::sync::LazyLock<OrdMap<InstanceId, InstanceId>> = std::sync::LazyLock::new(OrdMap::new);
    static NOWHERE: std::sync::LazyLock<OrdMap<NodeId, Arc<Node>>> = std::sync::LazyLock::new(OrdMap::new);
    Circumstances {
        blocked: false,
        stuck: false,
        draining: &NONE,
        moving: &UNMOVED,
        successors: &NOBODY,
        nodes: &NOWHERE,
        now: Timestamp::EPOCH,
    }
}

/// Drives the plan to its end, every launched instance starting to serve one round later, and
/// checks the bounds in each round. Returns the number of rounds.
fn roll(target: &App, mut world: Vec<Instance>, minimum: usize, maximum: usize) -> usize {
    let mut next = 1000;
    let serving_at_start = world.iter().filter(|instance| instance.is_serving()).count();
    for round in 0..200 {
        let refs: Vec<&Instance> = world.iter().collect();
        let plan = plan(Some(target), &refs, &calm());
        if plan.done {
            return round;
        }
        // Who was told to stop in an earlier round has stopped by the end of this one.
        let stopping: Vec<InstanceId> =
            world.iter().filter(|instance| instance.goal == Goal::Decommissioned).map(|instance| instance.id.clone()).collect();
        for (id, _) in &plan.kill {
            world.iter_mut().find(|instance| &instance.id == id).unwrap().goal = Goal::Decommissioned;
        }
        for _ in 0..plan.launch {
            next += 1;
            world.push(instance(target, next, Condition::Staging, Goal::Running));
        }
        assert!(world.len() <= maximum.max(serving_at_start), "round {round}: {} > {maximum}", world.len());
        let serving = world.iter().filter(|instance| instance.is_serving()).count();
        assert!(serving >= minimum.min(serving_at_start), "round {round}: {serving} serving < {minimum}");
        world.retain(|instance| !stopping.contains(&instance.id));
        for instance in &mut world {
            let told = instance.goal == Goal::Decommissioned;
            instance.condition = if told { Condition::Killing } else { Condition::Running };
        }
    }
    panic!("never done");
}

#[test]
fn scales_up_and_down() {
    let target = app(3, 1, 1000, 1000);
    assert_eq!(plan(Some(&target), &[], &calm()).launch, 3);
    let running: Vec<Instance> = (0..5).map(|number| instance(&target, number, Condition::Running, Goal::Running)).collect();
    let plan = plan(Some(&target), &running.iter().collect::<Vec<_>>(), &calm());
    let killed: Vec<_> = plan.kill.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(killed, vec![running[4].id.clone(), running[3].id.clone()], "youngest first");
    assert!(!plan.done);
}

#[test]
fn what_waits_in_an_older_configuration_goes_at_once() {
    let (before, target) = (app(4, 1, 1000, 0), app(4, 2, 1000, 0));
    let mut waiting: Vec<Instance> =
        (0..4).map(|number| instance(&before, number, Condition::Scheduled, Goal::Running)).collect();
    waiting[0] = seated(instance(&before, 0, Condition::Running, Goal::Running), "n");
    let plan = plan(Some(&target), &waiting.iter().collect::<Vec<_>>(), &calm());
    let killed: Vec<u128> = plan.kill.iter().map(|(id, _)| id.uuid().as_u128()).collect();
    assert_eq!((killed, plan.launch), (vec![1, 2, 3], 4), "the one that serves stays until its successor does");
}

#[test]
fn scaling_down_keeps_the_spread() {
    let node = |name: &str| {
        let mut facts = NodeFacts::new(NodeId::parse(name).unwrap(), name.into(), "127.0.0.1".parse().unwrap());
        facts.attributes.insert("rack".into(), name[..1].into());
        (facts.id.clone(), Arc::new(Node::joined(facts, Timestamp::EPOCH)))
    };
    let nodes: OrdMap<NodeId, Arc<Node>> = ["a1", "a2", "b1"].into_iter().map(node).collect();
    for spread in [false, true] {
        let mut app = app(3, 1, 1000, 1000);
        if spread {
            app.placement.spread.push(crate::app::SpreadRule { field: "rack".into(), maximum_skew: 1, weight: None });
        } else {
            app.constraints.push(Constraint { field: "rack".into(), operator: Operator::GroupBy, value: None });
        }
        // The youngest are all in one rack.
        let on = ["a1", "a2", "a1", "b1", "b1", "b1"];
        let world: Vec<Instance> = (0..)
            .zip(on)
            .map(|(number, node)| seated(instance(&app, number, Condition::Running, Goal::Running), node))
            .chain([instance(&app, 9, Condition::Scheduled, Goal::Running)])
            .collect();
        let around = Circumstances { nodes: &nodes, ..calm() };
        let plan = plan(Some(&app), &world.iter().collect::<Vec<_>>(), &around);
        let killed: Vec<u128> = plan.kill.iter().map(|(id, _)| id.uuid().as_u128()).collect();
        assert_eq!(killed, [9, 5, 2, 4], "what waits, then by turns the youngest of the fuller rack");
    }
}

#[test]
fn removal_stops_everything_and_ends_when_all_are_gone() {
    let target = app(2, 1, 1000, 1000);
    let world =
        [instance(&target, 1, Condition::Running, Goal::Running), instance(&target, 2, Condition::Killing, Goal::Decommissioned)];
    let plan_with = plan(None, &world.iter().collect::<Vec<_>>(), &calm());
    assert_eq!(plan_with.kill.len(), 1);
    assert!(!plan_with.done);
    assert!(plan(None, &[], &calm()).done);
}

#[test]
fn unhealthy_instances_do_not_serve() {
    let mut target = app(1, 1, 1000, 1000);
    target.health_checks.push(HealthCheck::default());
    let world = [instance(&target, 1, Condition::Running, Goal::Running)];
    assert!(!plan(Some(&target), &[&world[0]], &calm()).done);
}

#[test]
fn a_single_instance_app_never_overlaps() {
    let mut old = app(1, 1, 1000, 1000);
    old.labels.insert(SINGLE_INSTANCE_LABEL.into(), "true".into());
    let mut new = old.clone();
    new.version_info.last_config_change_at = Timestamp::from_millis(2);
    let running = instance(&old, 1, Condition::Running, Goal::Running);
    let first = plan(Some(&new), &[&running], &calm());
    assert_eq!((first.kill.len(), first.launch), (1, 0));
    let dying = Instance { goal: Goal::Decommissioned, condition: Condition::Killing, ..running };
    assert_eq!(plan(Some(&new), &[&dying], &calm()).launch, 0);
    assert_eq!(plan(Some(&new), &[], &calm()).launch, 1);
}

proptest! {
    /// Any strategy gets from any number of old instances to the new version within its bounds.
    #[test]
    fn upgrades_stay_within_bounds_and_end(wanted in 1u32..12, before in 0usize..12, minimum in 0i64..=1000, over in 0i64..=1000) {
        let old = app(wanted, 1, minimum, over);
        let new = app(wanted, 2, minimum, over);
        let world = (0..before).map(|number| instance(&old, number as u128, Condition::Running, Goal::Running)).collect();
        let lowest = (i64::from(wanted) * minimum + 999) / 1000;
        let highest = i64::from(wanted) + i64::from(wanted) * over / 1000;
        let highest = if lowest >= highest { highest + 1 } else { highest };
        roll(&new, world, lowest as usize, highest as usize);
    }
}

/// What a drain meets: how many instances find a seat off the draining nodes.
struct Elsewhere {
    room: usize,
}

const HERE: &str = "c-S0";

fn seated(mut instance: Instance, node: &str) -> Instance {
    instance.seat = Some(crate::instance::Seat { node: NodeId::parse(node).unwrap(), host_ports: Vec::new().into() });
    instance
}

/// Drains node `c-S0` (and `c-S1`) of `world`; what ends ends one round later, what starts serves one
/// round later. Checks the bounds after every round and returns what is left on the draining nodes
/// and the rounds it took.
fn drain(app: &App, mut world: Vec<Instance>, elsewhere: &Elsewhere, deadline: Option<usize>, nodes: &[&str]) -> (usize, usize) {
    let mut next = 1000;
    let minimum = ((i64::from(app.instances) * app.upgrade_strategy.minimum_health_capacity.thousandths() + 999) / 1000) as usize;
    let over = (i64::from(app.instances) * app.upgrade_strategy.maximum_over_capacity.thousandths() / 1000) as usize;
    let highest = (app.instances as usize + over).max(minimum + 1).max(world.len());
    let draining: OrdMap<NodeId, Drain> = nodes
        .iter()
        .map(|node| {
            let deadline = deadline.map(|round| Timestamp::from_millis(round as i64));
            (NodeId::parse(node).unwrap(), Drain { since: Timestamp::EPOCH, deadline, then: AfterDrain::Deactivate })
        })
        .collect();
    let leaving = |world: &[Instance]| {
        world.iter().filter(|instance| instance.node().is_some_and(|node| draining.contains_key(node))).count()
    };
    let serving = |world: &[Instance]| world.iter().filter(|instance| instance.is_serving()).count();
    let elsewhere_used =
        |world: &[Instance]| world.iter().filter(|instance| instance.node().is_some_and(|node| node.as_str() == "c-S9")).count();
    for round in 0..200 {
        let unmoved = OrdMap::new();
        let now = Timestamp::from_millis(round);
        let around = Circumstances { draining: &draining, moving: &unmoved, now, ..calm() };
        let overdue = deadline.is_some_and(|deadline| round >= deadline as i64);
        let refs: Vec<&Instance> = world.iter().collect();
        let before = (world.clone(), serving(&world));
        let plan = plan(Some(app), &refs, &around);
        let mut kill: Vec<InstanceId> = plan.kill.iter().map(|(id, _)| id.clone()).collect();
        for _ in 0..plan.launch {
            next += 1;
            world.push(instance(app, next, Condition::Scheduled, Goal::Running));
        }
        let mut used = elsewhere_used(&world);
        for instance in world.iter_mut().filter(|instance| instance.condition == Condition::Scheduled) {
            if used < elsewhere.room {
                *instance = seated(Instance { condition: Condition::Staging, ..instance.clone() }, "c-S9");
                used += 1;
            }
        }
        kill.extend(plan.kill_if_room.into_iter().take(elsewhere.room.saturating_sub(used)));
        for id in &kill {
            let instance = world.iter_mut().find(|instance| &instance.id == id).unwrap();
            (instance.goal, instance.condition) = (Goal::Decommissioned, Condition::Killing);
        }
        if !overdue {
            let now = serving(&world);
            assert!(now >= minimum.min(before.1) || app.is_exclusive(), "round {round}: {now} serving of {minimum}");
        }
        assert!(world.len() <= highest, "round {round}: {} are more than {highest}", world.len());
        if app.is_exclusive() {
            assert!(
                world.iter().filter(|instance| instance.seat.is_some()).count() <= app.instances as usize,
                "two live holders"
            );
        }
        if leaving(&world) == 0 && serving(&world) == app.instances as usize {
            return (0, round as usize);
        }
        let dying = world.iter().any(|instance| instance.goal == Goal::Decommissioned);
        let still = !dying && plan.launch == 0 && world == before.0 && deadline.is_none_or(|deadline| round > deadline as i64);
        if still {
            return (leaving(&world), round as usize);
        }
        world.retain(|instance| {
            instance.goal != Goal::Decommissioned || instance.condition != Condition::Killing || kill.contains(&instance.id)
        });
        for instance in world.iter_mut().filter(|instance| instance.condition == Condition::Staging) {
            instance.condition = Condition::Running;
        }
    }
    panic!("the drain never comes to rest");
}

fn spread(app: &App, nodes: &[&str]) -> Vec<Instance> {
    nodes
        .iter()
        .enumerate()
        .map(|(number, node)| seated(instance(app, number as u128, Condition::Running, Goal::Running), node))
        .collect()
}

#[test]
fn a_drain_replaces_first_and_goes_at_the_deadline() {
    let roomy = Elsewhere { room: 100 };
    let full = Elsewhere { room: 0 };
    let one_at_a_time = app(3, 1, 1000, 0);
    let generous = app(3, 1, 1000, 1000);
    let shrinking = app(4, 1, 500, 0);
    for (target, on, room, deadline, left) in [
        (&generous, vec![HERE, "c-S1", "c-S2"], &roomy, None, 0),
        (&one_at_a_time, vec![HERE, HERE, "c-S2"], &roomy, None, 0),
        (&shrinking, vec![HERE, HERE, HERE, "c-S2"], &roomy, None, 0),
        (&shrinking, vec![HERE, HERE, HERE, "c-S2"], &full, None, 3),
        (&generous, vec![HERE, "c-S1", "c-S2"], &full, None, 1),
        (&generous, vec![HERE, HERE, "c-S2"], &full, Some(5), 0),
    ] {
        assert_eq!(drain(target, spread(target, &on), room, deadline, &[HERE]).0, left, "{on:?} {:?}", target.upgrade_strategy);
    }
}

#[test]
fn a_single_instance_app_stops_before_it_starts_elsewhere_and_only_if_there_is_room() {
    let mut single = app(1, 1, 1000, 1000);
    single.labels.insert(SINGLE_INSTANCE_LABEL.into(), "true".into());
    assert_eq!(drain(&single, spread(&single, &[HERE]), &Elsewhere { room: 1 }, None, &[HERE]).0, 0);
    assert_eq!(drain(&single, spread(&single, &[HERE]), &Elsewhere { room: 0 }, None, &[HERE]).0, 1);
}

#[test]
fn an_app_with_data_on_its_node_stays_until_the_deadline() {
    let mut resident = app(1, 1, 1000, 0);
    let volume = crate::app::Volume {
        persistent: Some(serde_json::from_str(r#"{"size":1}"#).unwrap()),
        ..crate::app::Volume::host("d", "/d", crate::app::VolumeMode::ReadWrite)
    };
    resident.container = Some(crate::app::Container { volumes: vec![volume], ..crate::app::Container::default() });
    assert!(resident.is_resident());
    assert_eq!(drain(&resident, spread(&resident, &[HERE]), &Elsewhere { room: 9 }, None, &[HERE]).0, 1);
    assert_eq!(drain(&resident, spread(&resident, &[HERE]), &Elsewhere { room: 9 }, Some(4), &[HERE]).0, 0);
}

#[test]
fn a_lost_exclusive_instance_is_never_replaced_by_any_change() {
    let mut single = app(1, 1, 1000, 1000);
    single.labels.insert(SINGLE_INSTANCE_LABEL.into(), "true".into());
    let lost =
        Instance { condition: Condition::Unreachable, ..seated(instance(&single, 1, Condition::Running, Goal::Running), HERE) };
    assert_eq!(plan(Some(&single), &[&lost], &calm()).launch, 0);
    let mut new = single.clone();
    new.version_info.last_config_change_at = Timestamp::from_millis(2);
    let changed = plan(Some(&new), &[&lost], &calm());
    assert_eq!((changed.kill.len(), changed.launch), (1, 0));
    let dying = Instance { goal: Goal::Decommissioned, ..lost };
    let waits = plan(Some(&new), &[&dying], &calm());
    assert_eq!((waits.launch, waits.done), (0, false));
    assert!(waits.because.iter().any(|because| because.ends_with("dcos node decommission --gone c-S0")), "{:?}", waits.because);
    let many: Vec<Instance> = (0..5).map(|number| seated(dying.clone(), &format!("c-S{number}"))).collect();
    let waits = plan(Some(&new), &many.iter().collect::<Vec<_>>(), &calm());
    let named = |because: &String| because.contains("--gone c-S2, and 2 more, see");
    assert!(waits.because.iter().any(named), "{:?}", waits.because);
    assert!(plan(None, &[&dying], &calm()).done, "the removal does not hang");
}

proptest! {
    /// Any drain of one node or two within any bounds keeps the minimum serving, never exceeds the
    /// maximum, and ends when there is room for all.
    #[test]
    fn drains_stay_within_bounds_and_end(
        wanted in 1u32..10, minimum in 0i64..=1000, over in 0i64..=1000,
        nodes in proptest::collection::vec(0usize..4, 10), two: bool, room in 0usize..20, single: bool,
    ) {
        let mut target = app(if single { 1 } else { wanted }, 1, minimum, over);
        if single {
            target.labels.insert(SINGLE_INSTANCE_LABEL.into(), "true".into());
        }
        let names = [HERE, "c-S1", "c-S2", "c-S3"];
        let on: Vec<&str> = nodes.iter().take(target.instances as usize).map(|number| names[*number]).collect();
        let draining: &[&str] = if two { &[HERE, "c-S1"] } else { &[HERE] };
        let world = spread(&target, &on);
        let (left, _) = drain(&target, world.clone(), &Elsewhere { room }, None, draining);
        if room >= 2 * target.instances as usize {
            prop_assert_eq!(left, 0);
        }
        let (left, _) = drain(&target, world, &Elsewhere { room }, Some(7), draining);
        prop_assert_eq!(left, 0, "the deadline is kept");
    }

    /// All nodes drained at once: nothing is stopped and nothing breaks.
    #[test]
    fn draining_every_node_stops_nothing(wanted in 1u32..10, minimum in 0i64..=1000, over in 0i64..=1000) {
        let target = app(wanted, 1, minimum, over);
        let on: Vec<&str> = (0..wanted).map(|number| if number % 2 == 0 { HERE } else { "c-S1" }).collect();
        let (left, _) = drain(&target, spread(&target, &on), &Elsewhere { room: 0 }, None, &[HERE, "c-S1"]);
        prop_assert_eq!(left, wanted as usize);
    }

    /// A drain that is cancelled in the middle stops no original instance: what goes is what came.
    #[test]
    fn cancelling_stops_only_what_came_in_place(wanted in 1u32..10, replaced in 0u32..10, serving: bool) {
        let target = app(wanted, 1, 1000, 1000);
        let on: Vec<&str> = (0..wanted).map(|_| HERE).collect();
        let mut world = spread(&target, &on);
        for number in 0..replaced.min(wanted) {
            let condition = if serving { Condition::Running } else { Condition::Staging };
            world.push(seated(instance(&target, 100 + u128::from(number), condition, Goal::Running), "c-S9"));
        }
        let plan = plan(Some(&target), &world.iter().collect::<Vec<_>>(), &calm());
        prop_assert_eq!(plan.kill.len(), replaced.min(wanted) as usize);
        for (id, _) in &plan.kill {
            prop_assert!(world[wanted as usize..].iter().any(|instance| &instance.id == id));
        }
    }
}

/// The last of the previous version are stopping and count until they have: no more than the upper
/// bound run at one time.
#[test]
fn the_upper_bound_holds_until_the_last_of_the_old_has_stopped() {
    let (old, new) = (app(4, 1, 750, 250), app(4, 2, 750, 250));
    let mut world: Vec<Instance> = (0..3).map(|number| instance(&new, number, Condition::Running, Goal::Running)).collect();
    for number in 10..12 {
        world.push(instance(&old, number, Condition::Killing, Goal::Decommissioned));
    }
    let launches = |world: &[Instance]| plan(Some(&new), &world.iter().collect::<Vec<_>>(), &calm()).launch;
    assert_eq!(launches(&world), 0, "five are there");
    world.pop();
    assert_eq!(launches(&world), 1);
}

#[test]
fn deadlines_hold_for_older_versions_and_behind_other_steps_too() {
    let (old, new, node) = (app(2, 1, 1000, 0), app(2, 5, 1000, 0), NodeId::parse("c-S1").unwrap());
    let world: Vec<Instance> = ["c-S1", "c-S2"]
        .into_iter()
        .zip(1..)
        .map(|(at, number)| seated(instance(&old, number, Condition::Running, Goal::Running), at))
        .collect();
    let world: Vec<&Instance> = world.iter().collect();
    let drain = |deadline: i64| Drain {
        since: Timestamp::EPOCH,
        deadline: Some(Timestamp::from_millis(deadline)),
        then: AfterDrain::Deactivate,
    };
    for blocked in [false, true] {
        for (deadline, expected) in [(10, 1), (11, 0)] {
            let draining = OrdMap::unit(node.clone(), drain(deadline));
            let around = Circumstances { blocked, draining: &draining, now: Timestamp::from_millis(10), ..calm() };
            let overdue = plan(Some(&new), &world, &around).kill.into_iter().filter(|(_, reason)| *reason == KillReason::Overdue);
            assert_eq!(overdue.count(), expected, "{blocked} {deadline}");
        }
    }
}
