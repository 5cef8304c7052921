use super::*;
use crate::app::{Container, Network, NetworkMode, PortDefinition, PortMapping, Protocol};
use crate::instance::{Condition, Observed, Seat};
use crate::node::NodeFacts;
use crate::{App, AppId, Instance, InstanceId, NodeId, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

fn node() -> NodeFacts {
    NodeFacts::new(NodeId::parse("6f2c-S1").unwrap(), "n1".into(), "10.1.0.7".parse().unwrap())
}

fn app(id: &str) -> App {
    App::new(AppId::parse(id).unwrap())
}

fn instance(app: App, host_ports: &[u16], addresses: &[&str]) -> Instance {
    Instance {
        incarnation: 1,
        seat: Some(Seat { node: node().id, host_ports: host_ports.to_vec().into() }),
        condition: Condition::Running,
        observed: Observed::default().with(addresses.iter().map(|ip| ip.parse().unwrap()).collect(), vec![], None),
        ..Instance::scheduled(InstanceId::new(&app.id, Uuid::from_u128(7)), Arc::new(app), Timestamp::EPOCH)
    }
}

fn texts(instance: &Instance) -> Vec<String> {
    let hash = task_hash(&instance.task_id().to_string());
    let mut texts: Vec<String> = records_of_task(instance, &node(), "marathon")
        .iter()
        .map(|record| match &record.data {
            RecordData::A(ip) => format!("{} A {ip}", record.name),
            RecordData::Aaaa(ip) => format!("{} AAAA {ip}", record.name),
            RecordData::Srv(service) => format!("{} SRV {}:{}", record.name, service.target, service.port),
        })
        .map(|text| text.replace(&hash, "HASH"))
        .collect();
    texts.sort();
    texts
}

fn port(name: Option<&str>, protocol: Protocol) -> PortDefinition {
    PortDefinition { name: name.map(str::to_owned), protocol, ..PortDefinition::default() }
}

#[test]
fn a_host_task_of_a_top_level_app() {
    let mut app = app("/web");
    app.port_definitions = vec![port(Some("http"), Protocol::Tcp), port(None, Protocol::Both)];
    assert_eq!(
        texts(&instance(app, &[31000, 31001], &[])),
        [
            "_http._web._tcp.marathon.mesos SRV web-HASH-s1.marathon.mesos:31000",
            "_web._tcp.marathon.mesos SRV web-HASH-s1.marathon.mesos:31000",
            "_web._tcp.marathon.mesos SRV web-HASH-s1.marathon.mesos:31001",
            "_web._tcp.marathon.slave.mesos SRV web-HASH-s1.marathon.slave.mesos:31000",
            "_web._tcp.marathon.slave.mesos SRV web-HASH-s1.marathon.slave.mesos:31001",
            "_web._udp.marathon.mesos SRV web-HASH-s1.marathon.mesos:31001",
            "_web._udp.marathon.slave.mesos SRV web-HASH-s1.marathon.slave.mesos:31000",
            "_web._udp.marathon.slave.mesos SRV web-HASH-s1.marathon.slave.mesos:31001",
            "web-HASH-s1.marathon.mesos A 10.1.0.7",
            "web-HASH-s1.marathon.slave.mesos A 10.1.0.7",
            "web.marathon.agentip.dcos.thisdcos.directory A 10.1.0.7",
            "web.marathon.autoip.dcos.thisdcos.directory A 10.1.0.7",
            "web.marathon.containerip.dcos.thisdcos.directory A 10.1.0.7",
            "web.marathon.mesos A 10.1.0.7",
            "web.marathon.slave.mesos A 10.1.0.7",
        ]
    );
}

#[test]
fn apps_in_groups_have_a_dotted_and_a_mangled_name() {
    let mut app = app("/shop/eu/web");
    app.port_definitions = vec![port(None, Protocol::Tcp)];
    let texts = texts(&instance(app, &[31000], &[]));
    for want in [
        "web.eu.shop.marathon.mesos A 10.1.0.7",
        "web-eu-shop.marathon.mesos A 10.1.0.7",
        "web.eu.shop-HASH-s1.marathon.mesos A 10.1.0.7",
        "web-eu-shop-HASH-s1.marathon.mesos A 10.1.0.7",
        "web.eu.shop.marathon.slave.mesos A 10.1.0.7",
        "_web.eu.shop._tcp.marathon.mesos SRV web.eu.shop-HASH-s1.marathon.mesos:31000",
        "_web-eu-shop._tcp.marathon.mesos SRV web-eu-shop-HASH-s1.marathon.mesos:31000",
        "web-eu-shop.marathon.agentip.dcos.thisdcos.directory A 10.1.0.7",
    ] {
        assert!(texts.iter().any(|text| text == want), "{want} is not in {texts:#?}");
    }
    assert!(!texts.iter().any(|text| text.starts_with("web.eu.shop.marathon.agentip")));
}

#[test]
fn tasks_on_their_own_network() {
    let networked = |mode, host_port| {
        let mut app = app("/db");
        app.networks = vec![Network { mode, ..Network::default() }];
        let mapping = PortMapping { container_port: 5432, host_port, ..PortMapping::default() };
        app.container = Some(Container { port_mappings: vec![mapping], ..Container::default() });
        app
    };
    let bridged = texts(&instance(networked(NetworkMode::Bridge, Some(0)), &[31005], &["172.17.0.2"]));
    let mapped = texts(&instance(networked(NetworkMode::Container, Some(0)), &[31005], &["172.17.0.2"]));
    assert_eq!(bridged, mapped);
    for want in [
        "db.marathon.mesos A 10.1.0.7",
        "_db._tcp.marathon.mesos SRV db-HASH-s1.marathon.mesos:31005",
        "db.marathon.agentip.dcos.thisdcos.directory A 10.1.0.7",
        "db.marathon.autoip.dcos.thisdcos.directory A 10.1.0.7",
        "db.marathon.containerip.dcos.thisdcos.directory A 172.17.0.2",
    ] {
        assert!(bridged.iter().any(|text| text == want), "{want} is not in {bridged:#?}");
    }
    let unmapped = texts(&instance(networked(NetworkMode::Container, None), &[0], &["172.17.0.2", "fd01::2"]));
    for want in [
        "db.marathon.mesos A 172.17.0.2",
        "db.marathon.mesos AAAA fd01::2",
        "db.marathon.slave.mesos A 10.1.0.7",
        "_db._tcp.marathon.mesos SRV db-HASH-s1.marathon.mesos:5432",
        "db.marathon.agentip.dcos.thisdcos.directory A 10.1.0.7",
        "db.marathon.autoip.dcos.thisdcos.directory A 172.17.0.2",
        "db.marathon.autoip.dcos.thisdcos.directory AAAA fd01::2",
    ] {
        assert!(unmapped.iter().any(|text| text == want), "{want} is not in {unmapped:#?}");
    }
    assert!(!unmapped.iter().any(|text| text.contains("SRV") && text.contains("slave")));
}

#[test]
fn only_running_tasks_have_names() {
    for condition in [Condition::Staging, Condition::Starting, Condition::Killing, Condition::Unreachable, Condition::Failed] {
        let task = Instance { condition, ..instance(app("/web"), &[], &[]) };
        assert!(records_of_task(&task, &node(), "marathon").is_empty(), "{condition:?}");
    }
    let unplaced = Instance { seat: None, ..instance(app("/web"), &[], &[]) };
    assert!(records_of_task(&unplaced, &node(), "marathon").is_empty());
}

#[test]
fn names_that_do_not_fit_are_cut_or_left_out() {
    for id in
        [format!("/{}", "a".repeat(63)), format!("/{}", "a".repeat(200)), format!("/{}/{}", "a".repeat(120), "b".repeat(120))]
    {
        let mut app = app(&id);
        app.port_definitions = vec![port(Some(&"p".repeat(100)), Protocol::Both)];
        let records = records_of_task(&instance(app, &[31000], &[]), &node(), "marathon");
        assert!(records.iter().any(|record| matches!(record.data, RecordData::A(_))), "{id}");
        for record in &records {
            assert!(is_name(&record.name), "{}", record.name);
        }
    }
}

#[test]
fn other_frameworks_keep_the_dots_of_their_names() {
    let records = records_of_task(&instance(app("/web"), &[], &[]), &node(), "Jobs.User_1");
    assert!(records.iter().any(|record| &*record.name == "web.jobs.user-1.mesos"));
    assert!(records_of_task(&instance(app("/web"), &[], &[]), &node(), "...").is_empty());
}
