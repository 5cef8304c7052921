//! Whatever happens to a cluster, its derived names are those of a zone made of all records.

use super::cluster_zone_world::{Change, World, address, app_ids};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Existence and records.
type Content = Option<BTreeSet<RecordData>>;

fn content(entry: Option<&Entry>) -> Content {
    entry.map(|entry| {
        let records: BTreeSet<RecordData> = entry.records.iter().cloned().collect();
        assert_eq!(records.len(), entry.records.len(), "each record once");
        records
    })
}

/// The name, everything above it, and what is like it.
fn around(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned(), format!("x.{name}"), format!("_x.{name}"), format!("_.{name}"), format!("x{name}")];
    let mut rest = name;
    while let Some((first, above)) = rest.split_once('.') {
        names.extend([above.to_owned(), format!("_tcp.{above}"), format!("_udp.{above}"), format!("web.{above}")]);
        let shorter = first.get(..first.len().saturating_sub(1)).unwrap_or_default();
        names.extend([
            format!("{shorter}.{above}"),
            format!("{first}-.{above}"),
            format!("{first}a.{above}"),
            format!("_{first}.{above}"),
        ]);
        if let Some(bare) = first.strip_prefix('_') {
            names.push(format!("{bare}.{above}"));
        }
        names.push(format!("{first}-ybndr-s1.{above}"));
        rest = above;
    }
    names.extend([
        name.replace("_tcp", "_udp"),
        name.replace(".slave.", "."),
        name.replace("-s1.", "-s0."),
        name.replace('-', "."),
    ]);
    let in_slave: Vec<String> = names.iter().map(|name| name.replace(".marathon.mesos", ".marathon.slave.mesos")).collect();
    names.extend(in_slave);
    names
}

fn others() -> Vec<String> {
    let mut names: Vec<String> =
        ["", ".", "mesos", "directory", "thisdcos.directory", "marathon", "é.marathon.mesos", "..marathon.mesos"]
            .map(str::to_owned)
            .to_vec();
    for domain in domain::Domain::ALL {
        let mut above = domain.of_marathon();
        while let Some((_, rest)) = above.split_once('.') {
            names.extend([above.to_owned(), format!("x{above}"), format!(".{above}"), format!("-abcde-s1.{above}")]);
            above = rest;
        }
    }
    names
}

/// Applies batches of changes, asking for everything after each of them.
fn check(batches: &[Vec<Change>]) {
    let masters: Vec<SocketAddr> = vec!["10.9.0.1:80".parse().unwrap(), "[fd00::2]:80".parse().unwrap()];
    let mut masters = [master_records(&masters, Some(masters[0])), master_records(&masters, None)];
    let mut world = World::default();
    let mut derived = ClusterZone::new();
    let mut kept: BTreeMap<String, (Content, Basis)> = BTreeMap::new();
    let mut asked: BTreeSet<String> = others().into_iter().collect();
    for (number, batch) in batches.iter().enumerate() {
        for change in batch {
            world.change(*change);
        }
        let touched = std::mem::take(&mut world.touched);
        masters.swap(0, 1);
        derived.apply(Owner::Masters, masters[0].clone());
        if number % 7 == 6 {
            derived.publish_anew(&world.cluster);
        } else {
            derived.publish(&world.cluster, &touched);
        }
        let zone = world.zone(&masters[0]);
        asked.extend(zone.names().flat_map(|(name, _)| around(name)));
        for name in &asked {
            let want = content(zone.get(name));
            if let Some((then, basis)) = kept.get(name)
                && derived.holds(name, basis)
            {
                assert_eq!(then, &want, "{name} was kept and counts as unchanged");
            }
            let found = derived.resolve(name);
            assert_eq!(content(found.entry.as_deref()), want, "{name}");
            if let Some(basis) = found.basis {
                assert!(derived.holds(name, &basis), "{name}");
                kept.insert(name.clone(), (want, basis));
            } else {
                kept.remove(name);
            }
        }
        let owned: BTreeMap<Owner, Vec<Record>> = zone
            .owners()
            .filter(|(owner, _)| matches!(owner, Owner::Task { .. }))
            .map(|(owner, records)| (owner.clone(), records.to_vec()))
            .collect();
        let tasks: BTreeMap<Owner, Vec<Record>> =
            derived.tasks().map(|(id, records)| (Owner::Task { id, framework: MARATHON.into() }, records)).collect();
        assert_eq!(tasks, owned);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn derived_names_are_those_of_all_records(
        batches in prop::collection::vec(prop::collection::vec(any::<Change>(), 1..8), 1..9),
    ) {
        check(&batches);
    }
}

/// Every app on one node, every shape, then on another.
#[test]
fn all_apps_at_once() {
    let nodes = (0..7).map(|number| (5, number, number + 1, 0));
    let launches = |node: u16| (0..app_ids().len() as u16).map(move |app| (0, app, app + node, 7 * 8 + node));
    check(&[nodes.collect(), launches(1).collect(), launches(2).collect(), launches(5).collect(), vec![(7, 1, 0, 0)]]);
}

#[test]
fn a_step_costs_the_apps_it_touches() {
    let mut world = World::default();
    world.change((5, 1, 1, 0));
    let mut zone = ClusterZone::new();
    zone.publish(&world.cluster, &BTreeSet::new());
    for _ in 0..500 {
        world.change((0, 0, 1, 8));
    }
    world.change((0, 1, 1, 8));
    assert_eq!(world.touched.len(), 501);
    assert_eq!(zone.publish(&world.cluster, &std::mem::take(&mut world.touched)), 2);
    assert_eq!(zone.get("web.marathon.mesos").unwrap().records.len(), 1, "all on one node");
    assert_eq!(zone.get("_web._tcp.marathon.slave.mesos").unwrap().records.len(), 500 * 2);
    // A node that is only heard of costs nothing, one with another address its apps.
    world.change((5, 1, 1, 1));
    assert_eq!(zone.publish(&world.cluster, &BTreeSet::new()), 0);
    world.change((5, 1, 2, 1));
    assert_eq!(zone.publish(&world.cluster, &BTreeSet::new()), 2);
    assert_eq!(content(zone.get("web.marathon.mesos").as_deref()), Some(BTreeSet::from([address(2).into()])));
}

#[test]
fn what_is_kept_lasts_until_its_app_changes() {
    let mut world = World::default();
    world.change((5, 1, 1, 0));
    world.change((0, 0, 1, 8));
    world.change((0, 1, 1, 8));
    let mut zone = ClusterZone::new();
    zone.publish(&world.cluster, &std::mem::take(&mut world.touched));
    let basis = zone.resolve("web.marathon.mesos").basis.unwrap();
    world.change((0, 1, 1, 8));
    world.change((0, 2, 1, 8));
    zone.publish(&world.cluster, &std::mem::take(&mut world.touched));
    assert!(zone.holds("web.marathon.mesos", &basis), "another app has changed, a third has come");
    world.change((0, 0, 1, 8));
    zone.publish(&world.cluster, &std::mem::take(&mut world.touched));
    assert!(!zone.holds("web.marathon.mesos", &basis));
}
