//! Who waits knows why: also after others took the room, or nodes left.

use super::*;
use crate::cluster::retelling::{RETELL_PAUSE_MS, RETOLD_MAX};
use crate::node::{Bundle, Marks};
use crate::placement::{Reason, Refusals};

fn told(world: &World, id: &str) -> Refusals {
    world.cluster.pending[&AppId::parse(id).unwrap()].refusals.clone().unwrap()
}

fn hint(world: &World, id: &str) -> String {
    told(world, id).hint.unwrap()
}

fn put(world: &mut World, app: App) {
    world.step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "")).unwrap();
}

#[test]
fn who_waits_hears_of_room_that_others_take() {
    let mut world = World::new(2);
    put(&mut world, app("/large", 1, 5_000));
    world.run();
    assert_eq!(hint(&world, "/large"), "it would fit with 1 more cpus on node c-S0");
    put(&mut world, app("/small", 1, 2_000));
    assert_eq!(world.wake_at, Some(world.now().plus_millis(RETELL_PAUSE_MS)));
    world.run();
    assert_eq!(hint(&world, "/large"), "it would fit with 1 more cpus on node c-S1");
    put(&mut world, app("/other", 1, 2_000));
    world.run();
    assert_eq!(hint(&world, "/large"), "it would fit with 3 more cpus on node c-S0");
    // Nothing happens: nobody looks.
    assert_eq!(world.wake_at, None);
    let before = world.cluster.pending[&AppId::parse("/large").unwrap()].attempts;
    world.step(|_| ());
    assert_eq!((world.wake_at, world.cluster.pending[&AppId::parse("/large").unwrap()].attempts), (None, before));
}

#[test]
fn who_waits_hears_of_nodes_that_leave() {
    let mut world = World::new(2);
    put(&mut world, app("/large", 1, 5_000));
    world.run();
    let node = NodeId::parse("c-S1").unwrap();
    world.step(|draft| draft.deactivate_node(&node)).unwrap();
    let how = crate::cluster::Decommission { force: true, ..Default::default() };
    world.step(|draft| draft.decommission_node(&node, how)).unwrap();
    world.agents.remove(&node);
    world.run();
    assert!(!world.cluster.nodes.contains_key(&node));
    let told = told(&world, "/large");
    assert_eq!((told.nodes, told.by_reason), (1, BTreeMap::from([(Reason::InsufficientCpus, 1)])));
}

#[test]
fn who_waits_for_a_reservation_starts_when_it_is_made() {
    let mut world = World::new(2);
    let mut reserved = app("/r", 1, 1_000);
    reserved.mem = Scalar::from_units(64);
    reserved.role = Some("ops".into());
    reserved.accepted_resource_roles = vec!["ops".into()];
    put(&mut world, reserved);
    world.run();
    assert_eq!(told(&world, "/r").by_reason, BTreeMap::from([(Reason::UnfulfilledRole, 2)]));
    let node = NodeId::parse("c-S0").unwrap();
    let mut reserve = |cpus: i64, mem: i64| {
        let bundle = Bundle { cpus: Scalar::from_units(cpus), mem: Scalar::from_units(mem), ..Bundle::default() };
        let amounts = BTreeMap::from([(("ops".to_owned(), Marks::default()), bundle)]);
        world.step(|draft| draft.reserve(&node, &crate::cluster::ReservationEdit { amounts })).unwrap();
        world.run();
        (world.running("/r"), world.cluster.pending.get(&AppId::parse("/r").unwrap()).cloned())
    };
    let (running, waiting) = reserve(2, 48);
    let hint = waiting.unwrap().refusals.clone().unwrap().hint.unwrap();
    assert_eq!((running, &*hint), (0, "it would fit with 16 more MiB of memory reserved for role ops on node c-S0"));
    assert_eq!(reserve(1, 16), (1, None));
}

#[test]
fn many_are_told_by_turns() {
    let mut world = World::new(1);
    let count = RETOLD_MAX + 3;
    let apps = (0..count).map(|number| AppEdit::Put(app(&format!("/w{number:04}"), 1, 5_000)));
    let apps: Vec<AppEdit> = apps.collect();
    world.step(|draft| draft.edit(apps, true, "")).unwrap();
    world.run();
    put(&mut world, app("/small", 1, 1_000));
    let last = format!("/w{:04}", count - 1);
    world.now += RETELL_PAUSE_MS;
    world.step(|_| ());
    let hints = |world: &World| [hint(world, "/w0000"), hint(world, &last)].map(|hint| hint.contains("with 2 more cpus"));
    assert_eq!((hints(&world), world.wake_at), ([true, false], Some(world.now().plus_millis(RETELL_PAUSE_MS))));
    // What changes meanwhile reaches also those who were told before.
    put(&mut world, app("/other", 1, 1_000));
    world.run();
    let hints = [hint(&world, "/w0000"), hint(&world, &last)].map(|hint| hint.contains("with 3 more cpus"));
    assert_eq!((hints, world.wake_at), ([true, true], None));
}
