//! What wakes those that wait, and how instances leave nodes in spite of rules, quotas and guarantees.

use super::*;
use crate::app::{Affinity, Constraint, Operator, Selector, SpreadRule, UpgradeStrategy};
use crate::cluster::QuotaEdit;

/// Nodes of 4 cpus, in these racks.
fn racks(names: &[&str]) -> World {
    let mut world = World::new(0);
    for (number, rack) in (0..).zip(names) {
        let mut facts = facts(number);
        facts.attributes.insert("rack".into(), (*rack).to_owned());
        world.agents.insert(facts.id.clone(), BTreeMap::new());
        world.step(|draft| draft.register(facts, Vec::new()));
    }
    world
}

fn constrained(mut app: App, field: &str, operator: Operator, value: Option<&str>) -> App {
    app.constraints.push(Constraint { field: field.into(), operator, value: value.map(Into::into) });
    app
}

fn near(mut app: App, other: &str, field: &str) -> App {
    let selector = Selector::App(AppId::parse(other).unwrap());
    app.placement.affinity.push(Affinity { selector, field: field.into(), weight: None });
    app
}

/// Instances stop down to a share before others start.
fn stop_first(mut app: App, keep: i64) -> App {
    app.upgrade_strategy =
        UpgradeStrategy { minimum_health_capacity: Scalar::from_thousandths(keep), maximum_over_capacity: Scalar::ZERO };
    app
}

fn create(world: &mut World, apps: Vec<App>) {
    world.step(|draft| draft.edit(apps.into_iter().map(AppEdit::Create).collect(), true, "")).unwrap();
    world.run();
}

fn quota(role: &str, limit: Option<i64>, guarantee: Option<i64>) -> QuotaEdit {
    let cpus = |units: Option<i64>| units.map(|units| ("cpus".to_owned(), Scalar::from_units(units))).into_iter().collect();
    QuotaEdit { role: role.into(), limits: cpus(limit), guarantees: cpus(guarantee) }
}

fn drain(world: &mut World, number: u32) {
    world.step(|draft| draft.drain_node(&node(number), None, AfterDrain::Deactivate)).unwrap();
    world.run();
}

#[test]
fn who_waits_for_company_starts_with_it() {
    for field in ["hostname", "rack"] {
        let mut world = racks(&["a", "b"]);
        create(&mut world, vec![near(app("/a", 2, 100), "/b", field), app("/b", 1, 100)]);
        assert_eq!((world.running("/a"), world.running("/b")), (2, 1), "in one step, by {field}");
        let mut world = racks(&["a", "b"]);
        create(&mut world, vec![near(app("/a", 2, 100), "/b", field)]);
        assert_eq!(world.running("/a"), 0);
        create(&mut world, vec![app("/b", 1, 100)]);
        assert_eq!(world.running("/a"), 2, "later, by {field}");
    }
}

#[test]
fn a_node_that_closes_frees_those_that_wait_for_its_rack() {
    let mut world = racks(&["a", "a", "b"]);
    create(&mut world, vec![constrained(app("/full", 1, 4000), "rack", Operator::Is, Some("b"))]);
    create(&mut world, vec![constrained(app("/even", 4, 100), "rack", Operator::GroupBy, None)]);
    assert_eq!(world.running("/even"), 1, "b comes next, and is full");
    world.step(|draft| draft.deactivate_node(&node(2))).unwrap();
    world.run();
    assert_eq!(world.running("/even"), 4);
}

#[test]
fn nobody_is_stopped_for_one_that_wants_to_be_near_it() {
    for field in ["hostname", "rack"] {
        let mut world = racks(&["a", "a"]);
        let low = stop_first(app("/low", 8, 1000), 0);
        create(&mut world, vec![low]);
        let mut high = near(app("/high", 1, 4000), "/low", field);
        high.placement.priority = 5;
        create(&mut world, vec![high]);
        let launches = world.cluster.instances.values().map(|instance| instance.incarnation).max();
        assert_eq!((world.running("/low"), world.running("/high"), launches), (8, 0, Some(1)), "by {field}");
    }
}

#[test]
fn what_is_kept_for_an_app_is_not_held_back_from_it() {
    let mut world = racks(&["a", "b", "c", "d"]);
    create(&mut world, vec![stop_first(app("/low", 12, 1000), 0)]);
    world.step(|draft| draft.update_quota(vec![quota("gold", None, Some(2))], false)).unwrap();
    let mut high = app("/high", 1, 2000);
    high.placement.priority = 5;
    create(&mut world, vec![high]);
    assert_eq!((world.running("/high"), world.cluster.promises.len()), (1, 0));
}

#[test]
fn neither_quotas_nor_guarantees_hold_up_a_move() {
    for (stops_first, limit, guarantee) in
        [(true, None, Some(8)), (false, None, Some(8)), (true, Some(4), None), (false, Some(4), None), (true, Some(2), None)]
    {
        let mut world = racks(&["a", "b", "c"]);
        let plain = app("/dev/st", 4, 1000);
        create(&mut world, vec![if stops_first { stop_first(plain, 500) } else { plain }]);
        let role = if limit.is_some() { "dev" } else { "gold" };
        world.step(|draft| draft.update_quota(vec![quota(role, limit, guarantee)], true)).unwrap();
        let used = (0..3).find(|number| !world.agents[&node(*number)].is_empty()).unwrap();
        drain(&mut world, used);
        let state = world.cluster.nodes[&node(used)].state();
        assert_eq!((world.running("/dev/st"), state), (4, "drained"), "{stops_first} {limit:?} {guarantee:?}");
    }
}

#[test]
fn who_leaves_a_node_makes_place_for_its_own_successor() {
    let rules: [fn(App) -> App; 3] = [
        |app| constrained(app, "rack", Operator::Unique, None),
        |app| constrained(app, "rack", Operator::MaxPer, Some("1")),
        |mut app| {
            let selector = Selector::App(app.id.clone());
            app.placement.anti_affinity.push(Affinity { selector, field: "rack".into(), weight: None });
            app
        },
    ];
    for (number, rule) in rules.into_iter().enumerate() {
        for keep in [0, 500] {
            let mut world = racks(&["a", "a", "b", "c"]);
            create(&mut world, vec![rule(stop_first(app("/x", 3, 1000), keep))]);
            assert_eq!(world.running("/x"), 3);
            let used: Vec<u32> = (0..2).filter(|number| !world.agents[&node(*number)].is_empty()).collect();
            drain(&mut world, used[0]);
            assert_eq!((world.running("/x"), world.cluster.nodes[&node(used[0])].state()), (3, "drained"), "{number}, {keep}");
        }
    }
}

#[test]
fn values_that_are_out_of_reach_keep_nobody_waiting() {
    let group = |app| constrained(app, "rack", Operator::GroupBy, None);
    let skew = |mut app: App| {
        app.placement.spread.push(SpreadRule { field: "rack".into(), maximum_skew: 1, weight: None });
        app
    };
    let apps: [App; 5] = [
        group(constrained(app("/x", 6, 100), "rack", Operator::Like, Some("a|b"))),
        group(constrained(app("/x", 6, 100), "rack", Operator::Unlike, Some("c"))),
        group(constrained(app("/x", 6, 100), "hostname", Operator::Unlike, Some("h2"))),
        skew(constrained(app("/x", 6, 100), "rack", Operator::Like, Some("a|b"))),
        constrained(constrained(app("/x", 6, 100), "rack", Operator::Like, Some("a|b")), "hostname", Operator::GroupBy, None),
    ];
    for app in apps {
        let mut world = racks(&["a", "b", "c"]);
        let words = format!("{:?} {:?}", app.constraints, app.placement.spread);
        create(&mut world, vec![app]);
        assert_eq!(world.running("/x"), 6, "{words}");
    }
    // A node of another resource role, alone in its rack.
    for rule in [group, skew] {
        let mut world = racks(&["a", "b"]);
        let mut public = facts(2);
        (public.role, public.attributes) = ("slave_public".into(), BTreeMap::from([("rack".into(), "p".into())]));
        world.agents.insert(public.id.clone(), BTreeMap::new());
        world.step(|draft| draft.register(public, Vec::new()));
        create(&mut world, vec![rule(app("/x", 6, 100))]);
        assert_eq!(world.running("/x"), 6);
    }
}

#[test]
fn a_number_of_groups_is_kept_when_one_of_them_is_drained() {
    for stops_first in [true, false] {
        let mut world = racks(&["a", "b", "c"]);
        let plain = constrained(app("/x", 4, 100), "rack", Operator::GroupBy, Some("2"));
        create(&mut world, vec![if stops_first { stop_first(plain, 500) } else { plain }]);
        let counts = |world: &World| -> Vec<usize> { (0..3).map(|number| world.agents[&node(number)].len()).collect() };
        let used = counts(&world).iter().position(|count| *count == 2).unwrap() as u32;
        drain(&mut world, used);
        let mut left = counts(&world);
        left.sort_unstable();
        assert_eq!((world.running("/x"), left), (4, vec![0, 2, 2]), "{stops_first}");
    }
}
