use super::*;
use std::collections::BTreeSet;

fn instance(app: &Arc<App>, number: u128, goal: Goal, node: &str, ports: Vec<u16>) -> Arc<Instance> {
    let at = Timestamp::from_millis(1_767_225_600_123 + number as i64);
    Arc::new(Instance {
        incarnation: number as u32,
        goal,
        seat: Some(Seat { node: NodeId::parse(node).unwrap(), host_ports: ports.into() }),
        condition: Condition::Running,
        ..Instance::scheduled(InstanceId::new(&app.id, Uuid::from_u128(number << 32 | 5)), Arc::clone(app), at)
    })
}

fn app(version: i64) -> Arc<App> {
    let version = Timestamp::from_millis(version);
    Arc::new(App { version, ..App::new(AppId::parse("/shop/web").unwrap()) })
}

#[test]
fn pages_read_as_they_were_written() {
    let (web, newer) = (app(1_000), app(2_000));
    let unseated = Arc::new(Instance { seat: None, ..(*instance(&web, 9, Goal::Running, "n", vec![])).clone() });
    let cases: [&[Arc<Instance>]; 5] = [
        &[instance(&web, 1, Goal::Running, "c-S17", vec![31_005])],
        &[instance(&web, 1, Goal::Running, "c-S1", vec![]), instance(&web, 2, Goal::Restarted, "c-S12", vec![1, 2, 3, 4])],
        &[instance(&web, 1, Goal::Running, "c-S1", vec![]), instance(&newer, 2, Goal::Decommissioned, "d", vec![0, 7])],
        &[
            instance(&web, 7, Goal::Running, "c-S1", vec![]),
            Arc::clone(&unseated),
            instance(&web, 2, Goal::Running, "c", vec![5]),
        ],
        &[
            instance(&web, 1, Goal::Running, "c-S1", vec![]),
            instance(&newer, 2, Goal::Running, "c-S1", vec![]),
            instance(&web, 3, Goal::Running, "c-S1", vec![]),
        ],
    ];
    let known = NodeId::parse("c-S1").unwrap();
    for instances in cases {
        let text = encode(&instances.iter()).unwrap();
        let find = |text: &str| (text == known.as_str()).then(|| known.clone());
        let read = decode(&text, &web.id, 5, find).unwrap();
        let wanted: Vec<_> = instances.iter().filter_map(|instance| Line::of(instance)).collect();
        assert_eq!(read, wanted, "{}", String::from_utf8_lossy(&text));
    }
    assert_eq!(encode(&[].iter()), None);
    assert_eq!(encode(&[unseated].iter()), None);
}

#[test]
fn nonsense_is_refused() {
    let rest = "00000000-0000-0000-0000-0000";
    let good = format!(r#"{{"nodes":"c-S","at":1,"versions":[[1,[["{rest}",1,1,"1",[],0]]]]}}"#);
    let read = |text: &str| decode(text.as_bytes(), &app(1).id, 5, |_| None);
    assert_eq!(read(&good).unwrap().len(), 1);
    for (from, to) in [("[],0", "[],3"), ("[],0", "[70000],0"), ("c-S", "c/S"), (rest, "0"), ("\"at\":1,", ""), ("[[1,", "[1,")] {
        let text = good.replacen(from, to, 1);
        assert!(read(&text).is_err(), "{text}");
    }
}

#[test]
fn new_instances_fill_the_last_page_first() {
    let (app, mut instances, mut entropy) = (app(1), Instances::default(), Entropy::new(1));
    for _ in 0..3 {
        let mut ids = NewIds::of(&instances, &app.id);
        for _ in 0..PAGE_INSTANCES_MAX / 2 {
            let id = ids.next(&instances, &app.id, &mut entropy);
            instances.insert(Arc::new(Instance { id, ..(*instance(&app, 1, Goal::Running, "n", vec![])).clone() }));
        }
    }
    let pages: Vec<u32> = instances.of(&app.id).map(|instance| page_of(instance.id.uuid())).collect();
    assert_eq!(pages, [[0; PAGE_INSTANCES_MAX].as_slice(), &[1; PAGE_INSTANCES_MAX / 2]].concat());
    let distinct: BTreeSet<Uuid> = instances.keys().map(InstanceId::uuid).collect();
    assert_eq!(distinct.len(), pages.len());
    assert!(distinct.iter().all(|uuid| uuid.get_version_num() == 4));
    // Behind the last number the first page with room follows.
    let last = InstanceId::new(&app.id, Uuid::from_u128(u128::MAX));
    instances.insert(Arc::new(Instance { id: last, ..(*instance(&app, 1, Goal::Running, "n", vec![])).clone() }));
    let mut ids = NewIds { page: u32::MAX, taken: PAGE_INSTANCES_MAX };
    assert_eq!(page_of(ids.next(&instances, &app.id, &mut entropy).uuid()), 1);
}
