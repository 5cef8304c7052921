use super::*;
use crate::instance::{Condition, Observed, Seat};
use crate::{App, NodeId};

fn instance(app: &Arc<App>, number: u128, goal: Goal, ports: Vec<u16>) -> Arc<Instance> {
    let at = Timestamp::from_millis(1_767_225_600_123);
    Arc::new(Instance {
        id: InstanceId::new(&app.id, Uuid::from_u128(number)),
        app: Arc::clone(app),
        incarnation: number as u32,
        goal,
        seat: Some(Seat { node: NodeId::parse("n-S0").unwrap(), host_ports: ports.into() }),
        condition: Condition::Running,
        since: at,
        staged_at: at,
        unreachable_since: None,
        inactive: false,
        free_relaunch_at: None,
        excused: false,
        observed: Observed::default(),
    })
}

#[test]
fn documents_read_as_they_were_written() {
    let app = |id: &str, version| {
        let version = Timestamp::from_millis(version);
        Arc::new(App { version, ..App::new(AppId::parse(id).unwrap()) })
    };
    let (web, newer, other) = (app("/shop/web", 1_000), app("/shop/web", 2_000), app("/b", 3_000));
    let unseated = Arc::new(Instance { seat: None, ..(*instance(&web, 9, Goal::Running, vec![])).clone() });
    let cases: [&[Arc<Instance>]; 5] = [
        &[instance(&web, 1, Goal::Running, vec![31_005])],
        &[instance(&web, 1, Goal::Running, vec![]), instance(&web, 2, Goal::Restarted, vec![1, 2, 3, 4])],
        &[instance(&web, 1, Goal::Running, vec![]), instance(&newer, 2, Goal::Decommissioned, vec![0, 7])],
        &[instance(&other, 1, Goal::Running, vec![]), Arc::clone(&unseated), instance(&web, 2, Goal::Running, vec![5])],
        &[
            instance(&web, 1, Goal::Running, vec![]),
            instance(&other, 2, Goal::Running, vec![]),
            instance(&web, 3, Goal::Running, vec![]),
        ],
    ];
    for instances in cases {
        let text = encode(instances).unwrap();
        let read: AssignedInstances = serde_json::from_slice(&text).unwrap();
        let wanted: Vec<_> = instances.iter().filter_map(|instance| AssignedInstance::of(instance)).collect();
        assert_eq!(read.0, wanted, "{}", String::from_utf8_lossy(&text));
    }
    assert_eq!(encode(&[]), None);
    assert_eq!(encode(&[unseated]), None);
}

#[test]
fn the_earlier_form_is_read_and_nonsense_is_not() {
    let id = InstanceId::new(&AppId::parse("/a").unwrap(), Uuid::nil());
    let text =
        format!(r#"[{{"i":"{id}","a":"/a","v":"2026-01-01T00:00:00.000Z","n":2,"p":[31000],"s":"2026-01-01T00:00:00.123Z"}}]"#);
    let read: AssignedInstances = serde_json::from_str(&text).unwrap();
    let line = &read.0[0];
    assert_eq!((&line.instance, line.incarnation, line.goal, &*line.ports), (&id, 2, Goal::Running, &[31_000][..]));
    let uuid = Uuid::nil();
    for text in [
        "1".to_owned(),
        r#"{"apps":1}"#.to_owned(),
        r#"{"apps":[["/a",1]]}"#.to_owned(),
        format!(r#"{{"apps":[["/a",1,[["{uuid}",1,1,[],3]]]]}}"#),
        format!(r#"{{"apps":[["/a",1,[["{uuid}",1,1,[70000],0]]]]}}"#),
    ] {
        assert!(serde_json::from_str::<AssignedInstances>(&text).is_err(), "{text}");
    }
}
