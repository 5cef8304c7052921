//! Shapes of the answers of version 0, field by field as clients read them.

use super::*;
use crate::fixture::{self, NOW};
use orrery_core::cluster::{Cluster, CompletedTask};
use orrery_core::health::Health;
use orrery_core::instance::Seat;
use orrery_core::node::{Node, NodeStatus};
use orrery_core::{App, InstanceId};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

pub(crate) const TASK: &str = "shop_web.instance-00000000-0000-0000-0000-000000000001._app.1";

pub(crate) fn facts() -> MasterFacts {
    MasterFacts {
        cluster_id: "c1".into(),
        cluster_name: "demo".into(),
        address: "10.0.0.9:8080".parse().unwrap(),
        started_at: Timestamp::from_millis(100_500),
        version: "0.1.0".into(),
    }
}

/// The fixture with the load of its task and one ended task.
pub(crate) fn cluster() -> Cluster {
    let mut cluster = fixture::cluster();
    let running = running(&cluster);
    let seat = running.seat.clone().unwrap();
    cluster.loads.entry(seat.node.clone()).or_default().take(&running.id, &running.app, &seat);
    let instance = Instance {
        id: InstanceId::new(&running.app.id, Uuid::from_u128(9)),
        condition: Condition::Failed,
        since: Timestamp::from_millis(1_900_000),
        ..(*running).clone()
    };
    cluster.completed.push_back(Arc::new(CompletedTask { instance: Arc::new(instance), exit: None, reason: None, at: NOW }));
    *cluster.ended.entry(Condition::Failed).or_default() += 1;
    cluster
}

fn running(cluster: &Cluster) -> Arc<Instance> {
    cluster.instances.values().find(|instance| instance.condition == Condition::Running).unwrap().clone()
}

fn change(cluster: &mut Cluster, change: impl FnOnce(&mut Instance)) {
    let mut instance = (*running(cluster)).clone();
    change(&mut instance);
    cluster.instances.insert(Arc::new(instance));
}

fn change_app(cluster: &mut Cluster, change_app: impl FnOnce(&mut App)) {
    change(cluster, |instance| {
        let mut app = (*instance.app).clone();
        change_app(&mut app);
        instance.app = Arc::new(app);
    });
}

fn change_node(cluster: &mut Cluster, change: impl FnOnce(&mut Node)) {
    let mut node = cluster.nodes.values().next().unwrap().as_ref().clone();
    change(&mut node);
    cluster.nodes.insert(node.facts.id.clone(), Arc::new(node));
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn a_running_task() {
    let state = state(&facts(), &cluster());
    let expected = json!({
        "id": TASK,
        "name": "web.shop",
        "framework_id": "c1-0001",
        "executor_id": "",
        "slave_id": "c1-S0",
        "state": "TASK_RUNNING",
        "resources": {"cpus": 0.5, "gpus": 0.0, "mem": 128.0, "disk": 0.0, "ports": "[31005-31005]"},
        "role": "*",
        "statuses": [{
            "state": "TASK_RUNNING",
            "timestamp": 1500.0,
            "container_status": {
                "container_id": {"value": "run-1"},
                "network_infos": [{"ip_addresses": [{"ip_address": "10.0.0.1", "protocol": "IPv4"}]}],
            },
            "healthy": true,
        }],
        "labels": [{"key": "tier", "value": "front"}],
        "discovery": {"visibility": "FRAMEWORK", "name": "web.shop", "ports": {"ports": [{
            "number": 31_005, "name": "http", "protocol": "tcp",
            "labels": {"labels": [{"key": "VIP_0", "value": "/web:80"}]},
        }]}},
    });
    assert_eq!(at(&state, "/frameworks/0/tasks"), &json!([expected]));
    // Resource maps hold floats, whatever the amount.
    assert!(state.to_string().contains(r#""mem":128.0"#));
}

#[test]
fn state_has_what_clients_take_for_granted() {
    let state = state(&facts(), &cluster());
    for (pointer, value) in [
        ("/version", json!("1.11.0")),
        ("/pid", json!("master@10.0.0.9:8080")),
        ("/leader", json!("master@10.0.0.9:8080")),
        ("/hostname", json!("10.0.0.9")),
        ("/leader_info", json!({"id": "c1", "pid": "master@10.0.0.9:8080", "port": 8080, "hostname": "10.0.0.9"})),
        ("/cluster", json!("demo")),
        ("/start_time", json!(100.5)),
        ("/activated_slaves", json!(1)),
        ("/unreachable_slaves", json!(0)),
        ("/orphan_tasks", json!([])),
        ("/unregistered_frameworks", json!([])),
        ("/completed_frameworks", json!([])),
        ("/recovered_slaves", json!([])),
        ("/slaves/0/pid", json!("slave(1)@10.0.0.1:5051")),
        ("/slaves/0/attributes", json!({"rack": "r1", "weight": 3.0})),
        ("/slaves/0/domain/fault_domain", json!({"region": {"name": "eu"}, "zone": {"name": "eu-1"}})),
        ("/slaves/0/resources/ports", json!("[31000-32000]")),
        ("/slaves/0/used_resources", json!({"cpus": 0.5, "gpus": 0.0, "mem": 128.0, "disk": 0.0, "ports": "[31005-31005]"})),
        ("/slaves/0/reserved_resources", json!({})),
        ("/slaves/0/active", json!(true)),
        ("/frameworks/0/id", json!("c1-0001")),
        ("/frameworks/0/name", json!("marathon")),
        ("/frameworks/0/hostname", json!("10.0.0.9")),
        ("/frameworks/0/pid", json!("scheduler-c1@10.0.0.9:8080")),
        ("/frameworks/0/roles", json!(["*"])),
        ("/frameworks/0/used_resources", json!({"cpus": 0.5, "gpus": 0.0, "mem": 128.0, "disk": 0.0})),
        ("/frameworks/0/completed_tasks/0/state", json!("TASK_FAILED")),
        ("/frameworks/0/unreachable_tasks", json!([])),
    ] {
        assert_eq!(at(&state, pointer), &value, "{pointer}");
    }
    // What ended keeps its first status running, with the container that old clients look for.
    let statuses = at(&state, "/frameworks/0/completed_tasks/0/statuses");
    let states: Vec<&Value> = statuses.as_array().unwrap().iter().map(|status| &status["state"]).collect();
    assert_eq!(states, ["TASK_RUNNING", "TASK_FAILED"]);
    assert_eq!(at(statuses, "/0/container_status/container_id/value"), "run-1");
    assert_eq!(at(statuses, "/1/container_status/container_id/value"), "run-1");
}

#[test]
fn every_task_has_a_status_with_a_container() {
    let mut cluster = cluster();
    change(&mut cluster, |instance| {
        instance.condition = Condition::Staging;
        instance.observed = orrery_core::instance::Observed::default();
    });
    let state = state(&facts(), &cluster);
    let status = at(&state, "/frameworks/0/tasks/0/statuses/0");
    assert_eq!(at(status, "/state"), "TASK_STAGING");
    assert_eq!(at(status, "/container_status/container_id/value"), "");
    assert!(status.get("healthy").is_none());
}

#[test]
fn health_is_absent_without_checks_and_false_after_a_failure() {
    let mut cluster = cluster();
    change(&mut cluster, |instance| {
        let failing = Health { last_failure: Some(NOW), consecutive_failures: 1, ..Health::default() };
        instance.observed = instance.observed.clone().with(vec![], vec![failing], None);
    });
    assert_eq!(at(&state(&facts(), &cluster), "/frameworks/0/tasks/0/statuses/0/healthy"), false);
    change_app(&mut cluster, |app| app.health_checks.clear());
    assert!(state(&facts(), &cluster).pointer("/frameworks/0/tasks/0/statuses/0/healthy").is_none());
}

#[test]
fn waiting_instances_are_no_tasks() {
    let mut cluster = cluster();
    change(&mut cluster, |instance| {
        instance.condition = Condition::Scheduled;
        instance.seat = None;
    });
    assert_eq!(at(&state(&facts(), &cluster), "/frameworks/0/tasks"), &json!([]));
}

#[test]
fn lost_nodes_and_their_tasks() {
    let mut cluster = cluster();
    change(&mut cluster, |instance| instance.condition = Condition::Unreachable);
    change_node(&mut cluster, |node| node.status = NodeStatus::Unreachable);
    let state = state(&facts(), &cluster);
    assert_eq!(at(&state, "/unreachable_slaves"), 1);
    assert_eq!(at(&state, "/activated_slaves"), 0);
    assert_eq!(at(&state, "/slaves/0/active"), false);
    assert_eq!(at(&state, "/frameworks/0/tasks"), &json!([]));
    assert_eq!(at(&state, "/frameworks/0/unreachable_tasks/0/id"), TASK);
    let summary = state_summary(&facts(), &cluster);
    assert_eq!(at(&summary, "/slaves/0/TASK_UNREACHABLE"), 1);
    assert_eq!(metrics_snapshot(&facts(), &cluster, NOW)["master/slaves_unreachable"], json!(1.0));
}

#[test]
fn summary_counts_tasks() {
    let summary = state_summary(&facts(), &cluster());
    for (pointer, value) in [
        ("/hostname", json!("10.0.0.9")),
        ("/cluster", json!("demo")),
        ("/slaves/0/TASK_RUNNING", json!(1)),
        ("/slaves/0/TASK_FAILED", json!(1)),
        ("/slaves/0/TASK_LOST", json!(0)),
        ("/slaves/0/framework_ids", json!(["c1-0001"])),
        ("/slaves/0/pid", json!("slave(1)@10.0.0.1:5051")),
        ("/frameworks/0/TASK_RUNNING", json!(1)),
        ("/frameworks/0/slave_ids", json!(["c1-S0"])),
        ("/frameworks/0/webui_url", json!("http://10.0.0.9:8080")),
    ] {
        assert_eq!(at(&summary, pointer), &value, "{pointer}");
    }
    assert!(at(&summary, "/frameworks/0").get("tasks").is_none());
}

#[test]
fn slaves_show_typed_resources() {
    let (facts, mut cluster) = (facts(), cluster());
    let all = slaves(&facts, &cluster, None);
    assert_eq!(
        at(&all, "/slaves/0/used_resources_full"),
        &json!([
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}, "role": "*"},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 128.0}, "role": "*"},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31_005, "end": 31_005}]}, "role": "*"},
        ])
    );
    assert_eq!(at(&all, "/recovered_slaves"), &json!([]));
    assert_eq!(at(&slaves(&facts, &cluster, Some("c1-S0")), "/slaves/0/id"), "c1-S0");
    assert_eq!(at(&slaves(&facts, &cluster, Some("c1-S9")), "/slaves"), &json!([]));

    change_node(&mut cluster, |node| node.facts.role = "slave_public".into());
    let public = slaves(&facts, &cluster, None);
    assert_eq!(at(&public, "/slaves/0/reserved_resources/slave_public/cpus"), 4.0);
    assert_eq!(at(&public, "/slaves/0/unreserved_resources/cpus"), 0.0);
    assert_eq!(at(&public, "/slaves/0/reserved_resources_full/slave_public/0/role"), "slave_public");
}

#[test]
fn ports_of_other_networks() {
    let mut cluster = cluster();
    change_app(&mut cluster, |app| {
        *app = (*fixture::app(&json!({
            "id": "/shop/web",
            "networks": [{"mode": "container", "name": "dcos"}],
            "container": {"type": "DOCKER", "docker": {"image": "web:1", "parameters": [{"key": "a", "value": "b"}]},
                "volumes": [{"containerPath": "/d", "hostPath": "/data", "mode": "RO"}],
                "portMappings": [
                    {"containerPort": 80, "hostPort": 0, "name": "http", "protocol": "udp,tcp"},
                    {"containerPort": 90},
                ]},
        })))
        .clone();
    });
    change(&mut cluster, |instance| {
        instance.seat = instance.seat.take().map(|seat| Seat { host_ports: vec![31_005, 0].into(), ..seat });
        let addresses = vec!["9.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        instance.observed = instance.observed.clone().with(addresses, instance.observed.health().to_vec(), None);
    });
    let state = state(&facts(), &cluster);
    let task = at(&state, "/frameworks/0/tasks/0");
    let scope = |scope: &str| json!({"key": "network-scope", "value": scope});
    assert_eq!(
        at(task, "/discovery/ports/ports"),
        &json!([
            {"number": 31_005, "name": "http", "protocol": "tcp", "labels": {"labels": [scope("host")]}},
            {"number": 31_005, "name": "http", "protocol": "udp", "labels": {"labels": [scope("host")]}},
            {"number": 90, "protocol": "tcp",
                "labels": {"labels": [scope("container"), {"key": "network-name", "value": "dcos"}]}},
        ])
    );
    assert_eq!(
        at(task, "/statuses/0/container_status/network_infos"),
        &json!([{
            "ip_addresses": [
                {"ip_address": "9.0.0.2", "protocol": "IPv4"},
                {"ip_address": "fd00::2", "protocol": "IPv6"},
            ],
            "name": "dcos",
        }])
    );
    assert_eq!(
        at(task, "/container"),
        &json!({
            "type": "DOCKER",
            "docker": {
                "image": "web:1", "network": "USER",
                "port_mappings": [
                    {"host_port": 31_005, "container_port": 80, "protocol": "tcp"},
                    {"host_port": 31_005, "container_port": 80, "protocol": "udp"},
                ],
                "privileged": false, "parameters": [{"key": "a", "value": "b"}], "force_pull_image": false,
            },
            "volumes": [{"mode": "RO", "container_path": "/d", "host_path": "/data"}],
            "network_infos": [{"name": "dcos", "labels": {"labels": []}}],
        })
    );
    assert_eq!(at(task, "/resources/ports"), "[31005-31005]");
}

#[test]
fn pages_of_tasks() {
    let cluster = cluster();
    let ids = |query: &TaskQuery| -> Vec<String> {
        let answer = tasks(&cluster, query);
        answer["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&TaskQuery::default());
    assert_eq!(all.len(), 2);
    let ascending = ids(&TaskQuery { order: TaskOrder::Ascending, ..TaskQuery::default() });
    assert_eq!(ascending.iter().rev().collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    assert_eq!(ids(&TaskQuery { limit: 1, offset: 1, ..TaskQuery::default() }), all[1..]);
    assert_eq!(ids(&TaskQuery { task_id: Some(TASK.into()), ..TaskQuery::default() }), [TASK]);
    assert!(ids(&TaskQuery { framework_id: Some("other".into()), ..TaskQuery::default() }).is_empty());
    assert_eq!(ids(&TaskQuery { framework_id: Some("c1-0001".into()), ..TaskQuery::default() }).len(), 2);
}

#[test]
fn frameworks_and_roles() {
    let mut cluster = cluster();
    assert_eq!(at(&frameworks(&facts(), &cluster, None), "/frameworks/0/tasks/0/id"), TASK);
    let none = json!({"frameworks": [], "completed_frameworks": [], "unregistered_frameworks": []});
    assert_eq!(frameworks(&facts(), &cluster, Some("other")), none);
    change_app(&mut cluster, |app| app.role = Some("eng".into()));
    let roles = roles(&cluster);
    let names: Vec<&Value> = roles["roles"].as_array().unwrap().iter().map(|role| &role["name"]).collect();
    assert_eq!(names, ["*", "eng"]);
    assert_eq!(at(&roles, "/roles/1/quota/consumed/cpus"), 0.5);
    assert_eq!(at(&roles, "/roles/1/quota/limit"), &json!({}));
    assert_eq!(at(&roles, "/roles/1/frameworks"), &json!(["c1-0001"]));
    assert_eq!(at(&roles, "/roles/0/allocated/cpus"), 0.0);
    assert_eq!(quota(&Cluster::default()), json!({"infos": [], "configs": []}));
}

#[test]
fn metrics_are_flat_floats() {
    let metrics = metrics_snapshot(&facts(), &cluster(), NOW);
    for (name, value) in [
        ("master/elected", 1.0),
        ("master/uptime_secs", 1899.5),
        ("master/slaves_active", 1.0),
        ("master/slaves_connected", 1.0),
        ("master/frameworks_active", 1.0),
        ("master/outstanding_offers", 0.0),
        ("master/tasks_running", 1.0),
        ("master/tasks_failed", 1.0),
        ("master/tasks_finished", 0.0),
        ("master/cpus_total", 4.0),
        ("master/cpus_used", 0.5),
        ("master/cpus_percent", 0.125),
        ("master/mem_percent", 0.016),
        ("master/gpus_percent", 0.0),
    ] {
        assert_eq!(metrics[name], json!(value), "{name}");
    }
    assert!(metrics.as_object().unwrap().values().all(Value::is_f64));
}

#[test]
fn addresses_of_version_six_keep_their_brackets() {
    let mut cluster = cluster();
    change_node(&mut cluster, |node| {
        node.facts.address = "fd00::1".parse().unwrap();
        node.facts.port = 0;
    });
    assert_eq!(at(&slaves(&facts(), &cluster, None), "/slaves/0/pid"), "slave(1)@[fd00::1]:5051");
}
