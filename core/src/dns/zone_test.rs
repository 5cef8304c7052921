use super::*;
use crate::NodeId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

fn owner(number: u8) -> Owner {
    Owner::Node(NodeId::parse(&format!("n-{number}")).unwrap())
}

fn a(name: &str, last: u8) -> Record {
    Record { name: name.into(), data: RecordData::A(Ipv4Addr::new(10, 0, 0, last)) }
}

fn content(zone: &Zone) -> BTreeMap<String, BTreeSet<RecordData>> {
    zone.names().map(|(name, records)| (name.to_owned(), records.iter().cloned().collect())).collect()
}

#[test]
fn records_are_shared_by_owners_and_leave_with_the_last() {
    let mut zone = Zone::new();
    assert!(zone.apply(owner(1), vec![a("w.m.mesos", 1), a("w.m.mesos", 1)]));
    assert!(zone.apply(owner(2), vec![a("w.m.mesos", 1), a("w.m.mesos", 2)]));
    assert!(!zone.apply(owner(2), vec![a("w.m.mesos", 2), a("w.m.mesos", 1)]), "nothing changed");
    assert_eq!(zone.revision(), 2);
    assert_eq!(zone.get("w.m.mesos").unwrap().records.len(), 2);
    assert!(zone.remove(&owner(2)));
    assert!(!zone.remove(&owner(2)));
    assert_eq!(zone.get("w.m.mesos").unwrap().records.len(), 1);
    assert!(zone.apply(owner(1), Vec::new()));
    assert!(zone.get("w.m.mesos").is_none());
    assert!(zone.get("m.mesos").is_none());
    assert_eq!((zone.owners().count(), zone.record_count()), (0, 0));
}

#[test]
fn names_above_records_exist() {
    let mut zone = Zone::new();
    zone.apply(owner(1), vec![a("a.b.c.mesos", 1)]);
    assert!(zone.get("b.c.mesos").is_some_and(|entry| entry.records.is_empty()));
    assert!(zone.get("c.mesos").is_some());
    zone.apply(owner(2), vec![a("b.c.mesos", 1)]);
    zone.remove(&owner(1));
    assert!(zone.get("a.b.c.mesos").is_none());
    assert!(zone.get("b.c.mesos").is_some());
    zone.remove(&owner(2));
    assert!(zone.get("c.mesos").is_none());
}

#[test]
fn snapshots_do_not_change() {
    let mut zone = Zone::new();
    zone.apply(owner(1), vec![a("w.mesos", 1)]);
    let before = zone.clone();
    zone.apply(owner(1), vec![a("w.mesos", 2)]);
    assert_eq!(content(&before)["w.mesos"], BTreeSet::from([RecordData::A(Ipv4Addr::new(10, 0, 0, 1))]));
    assert_eq!(content(&zone)["w.mesos"], BTreeSet::from([RecordData::A(Ipv4Addr::new(10, 0, 0, 2))]));
}

#[test]
fn every_record_of_a_name_comes_first_sooner_or_later() {
    for count in [1_u8, 2, 3, 64, 65, 200] {
        let mut zone = Zone::new();
        for last in 0..count {
            zone.apply(owner(last), vec![a("w.mesos", last)]);
        }
        let records = &zone.get("w.mesos").unwrap().records;
        let mut first: BTreeSet<RecordData> = BTreeSet::new();
        for step in 0..4000_u64 {
            let turn: Vec<&RecordData> = records.rotated(RecordKind::A, step.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            assert_eq!(turn.len(), usize::from(count));
            assert_eq!(turn.iter().collect::<BTreeSet<_>>().len(), usize::from(count), "each once");
            first.insert(turn[0].clone());
        }
        assert_eq!(first.len(), usize::from(count));
        assert_eq!(records.rotated(RecordKind::Aaaa, 5).count(), 0);
        assert_eq!(records.rotated(RecordKind::Srv, 5).count(), 0);
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let name = prop::sample::select(vec![
        "a.mesos",
        "b.a.mesos",
        "c.b.a.mesos",
        "x.y.mesos",
        "y.mesos",
        "z.dcos.thisdcos.directory",
        "other.example",
    ]);
    let data = prop_oneof![
        // Enough to pass from the small form of a set to the large one and back.
        4 => (0..150_u8).prop_map(|last| RecordData::A(Ipv4Addr::new(10, 0, 0, last))),
        1 => (0..3_u16).prop_map(|last| RecordData::Aaaa(std::net::Ipv6Addr::new(1, 0, 0, 0, 0, 0, 0, last))),
        1 => (0..5_u16).prop_map(|port| RecordData::Srv(Service { target: "a.mesos".into(), port })),
    ];
    (name, data).prop_map(|(name, data)| Record { name: name.into(), data })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn changing_equals_rebuilding(changes in prop::collection::vec((0..6_u8, prop::collection::vec(any_record(), 0..90)), 1..25)) {
        let mut zone = Zone::new();
        let mut held: BTreeMap<u8, Vec<Record>> = BTreeMap::new();
        for (number, records) in changes {
            if records.len() % 3 == 0 {
                zone.remove(&owner(number));
                held.remove(&number);
            } else {
                zone.apply(owner(number), records.clone());
                held.insert(number, records);
            }
            let mut rebuilt = Zone::new();
            for (number, records) in &held {
                rebuilt.apply(owner(*number), records.clone());
            }
            prop_assert_eq!(content(&zone), content(&rebuilt));
            for name in ["a.mesos", "b.a.mesos", "y.mesos", "dcos.thisdcos.directory", "example"] {
                prop_assert_eq!(zone.get(name).is_some(), rebuilt.get(name).is_some(), "{}", name);
            }
        }
        for number in 0..6 {
            zone.remove(&owner(number));
        }
        prop_assert_eq!(zone.record_count(), 0);
        prop_assert!(zone.get("a.mesos").is_none() && zone.get("dcos.thisdcos.directory").is_none());
    }
}
