//! A small cluster for tests: a node, an app with one running and one waiting instance, another
//! app without instances.

use crate::marathon::app::{ReadContext, read_app};
use orrery_core::cluster::{AppRecord, Cluster, LastFailure, Pending};
use orrery_core::deployment::{Action, ActionKind, Deployment};
use orrery_core::health::Health;
use orrery_core::instance::{Condition, Observed, Seat};
use orrery_core::node::{Node, NodeFacts, PortRanges, Resources};
use orrery_core::placement::{Reason, Refusals};
use orrery_core::{App, Instance, InstanceId, NodeId, Scalar, TaskId, Timestamp};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(2_000_000);

pub(crate) fn app(value: &serde_json::Value) -> Arc<App> {
    let mut app = read_app(value, ReadContext::default()).unwrap();
    app.version = Timestamp::from_millis(1_000_000);
    Arc::new(app)
}

pub(crate) fn cluster() -> Cluster {
    let mut cluster = Cluster { id: "c1".into(), ..Cluster::default() };
    let node = NodeId::parse("c1-S0").unwrap();
    let facts = NodeFacts {
        port: 5051,
        resources: Resources {
            cpus: Scalar::from_units(4),
            mem: Scalar::from_units(8000),
            disk: Scalar::from_units(9000),
            ports: PortRanges::new([(31_000, 32_000)]),
            ..Resources::default()
        },
        attributes: [("rack".to_owned(), "r1".to_owned()), ("weight".to_owned(), "3".to_owned())].into(),
        region: Some("eu".into()),
        zone: Some("eu-1".into()),
        executors: vec!["process".into()],
        version: "0.1.0".into(),
        ..NodeFacts::new(node.clone(), "node1".into(), "10.0.0.1".parse().unwrap())
    };
    let since = Timestamp::from_millis(500_000);
    let entry = Node::joined(facts, since);
    cluster.nodes.insert(node.clone(), Arc::new(entry));
    let web = app(&json!({
        "id": "/shop/web", "cmd": "serve", "instances": 2, "cpus": 0.5, "labels": {"tier": "front"},
        "portDefinitions": [{"port": 10_001, "name": "http", "labels": {"VIP_0": "/web:80"}}],
        "healthChecks": [{"path": "/"}],
    }));
    for app in [&web, &app(&json!({"id": "/db", "cmd": "run", "instances": 0}))] {
        let record = AppRecord { app: app.clone(), versions: [app.clone()].into_iter().collect() };
        cluster.apps.insert(app.id.clone(), record);
    }
    for (number, running) in [(1, true), (2, false)] {
        let id = InstanceId::new(&web.id, Uuid::from_u128(number));
        let health = Health { last_success: Some(NOW), ..Health::default() };
        let instance = Instance {
            incarnation: u32::from(running),
            seat: running.then(|| Seat { node: node.clone(), host_ports: vec![31_005].into() }),
            condition: if running { Condition::Running } else { Condition::Scheduled },
            observed: Observed::new(running.then_some(Timestamp::from_millis(1_500_000)), false)
                .at(&TaskId::new(&id, 1), running.then(|| "run-1".into()), running.then(|| "/var/orrery/run-1".into()), None)
                .with(vec![], if running { vec![health] } else { vec![] }, None),
            ..Instance::scheduled(id.clone(), web.clone(), since)
        };
        cluster.instances.insert(Arc::new(instance));
    }
    let action = Action { action: ActionKind::ScaleApplication, app: web.id.clone() };
    let deployment = Deployment {
        id: "d1".into(),
        version: web.version,
        steps: vec![vec![action]],
        previous: vec![],
        pending: [web.id.clone()].into(),
    };
    cluster.deployments.insert("d1".into(), Arc::new(deployment));
    let refusals = Refusals {
        nodes: 3,
        by_reason: [(Reason::UnfulfilledConstraint, 2), (Reason::InsufficientCpus, 1)].into(),
        ..Refusals::default()
    };
    let pending = Pending { since, count: 1, refusals: Some(refusals), attempts: 1 };
    cluster.pending.insert(web.id.clone(), Arc::new(pending));
    let failure = LastFailure {
        app_id: web.id.clone(),
        task_id: TaskId::new(&InstanceId::new(&web.id, Uuid::from_u128(1)), 1),
        host: "node1".into(),
        node: node.to_string(),
        condition: Condition::Failed,
        reason: None,
        message: "exit 1".into(),
        timestamp: since,
        version: web.version,
    };
    cluster.failures.insert(web.id.clone(), Arc::new(failure));
    cluster
}
