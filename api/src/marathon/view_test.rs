use super::*;
use crate::fixture::{NOW, cluster};
use orrery_core::cluster::Event;
use orrery_core::instance::Condition;
use orrery_core::placement::NodeLoad;
use orrery_core::role::Role;
use orrery_core::{AppId, Scalar};
use serde_json::{Value, json};

#[test]
fn apps_with_run_time_facts() {
    let cluster = cluster();
    let web = cluster.app(&AppId::parse("/shop/web").unwrap()).unwrap();
    let info = app_info(&cluster, web, Embed::SINGLE.with(["taskStats", "readiness"]), NOW);
    let count = |key: &str| info[key].as_u64().unwrap();
    assert_eq!((count("tasksRunning"), count("tasksHealthy"), count("tasksStaged"), count("tasksUnhealthy")), (1, 1, 0, 0));
    assert_eq!(info["deployments"], json!([{"id": "d1"}]));
    let task = &info["tasks"][0];
    assert_eq!(info["tasks"].as_array().unwrap().len(), 1, "an instance without a node has no task");
    assert_eq!(task["appId"], "/shop/web");
    assert_eq!(task["state"], "TASK_RUNNING");
    assert_eq!(task["ports"], json!([31_005]));
    assert_eq!(task["servicePorts"], json!([10_001]));
    assert_eq!(task["ipAddresses"], json!([{"ipAddress": "10.0.0.1", "protocol": "IPv4"}]));
    assert_eq!(task["healthCheckResults"][0]["alive"], true);
    assert_eq!(info["taskStats"]["totalSummary"]["stats"]["counts"]["running"], 1);
    assert_eq!(info["lastTaskFailure"]["state"], "TASK_FAILED");
    assert!(!serde_json::to_string(&info).unwrap().contains("null"));
    assert_eq!(find_apps(&cluster, Some("SERVE"), None, None).len(), 1);
    assert_eq!(find_apps(&cluster, None, Some("shop"), Some(&Selector::parse("tier==front").unwrap())).len(), 1);
    assert_eq!(find_apps(&cluster, None, None, None).len(), 2);
}

#[test]
fn deployments_and_queue() {
    let cluster = cluster();
    let deployments = deployments_json(&cluster);
    assert_eq!(
        deployments,
        json!([{
            "id": "d1", "version": "1970-01-01T00:16:40.000Z", "affectedApps": ["/shop/web"], "affectedPods": [],
            "steps": [{"actions": [{"action": "ScaleApplication", "app": "/shop/web"}]}],
            "currentActions": [{"action": "ScaleApplication", "app": "/shop/web", "readinessCheckResults": []}],
            "currentStep": 1, "totalSteps": 1,
        }])
    );
    let queue = queue_json(&cluster, NOW, false);
    let entry = &queue["queue"][0];
    assert_eq!((entry["app"]["id"].as_str(), entry["count"].as_u64()), (Some("/shop/web"), Some(1)));
    assert_eq!(entry["delay"], json!({"timeLeftSeconds": 0, "overdue": true}));
    let summary = &entry["processedOffersSummary"];
    assert_eq!(summary["processedOffersCount"], 3);
    let rows = summary["rejectSummaryLastOffers"].as_array().unwrap();
    let cpus = rows.iter().find(|row| row["reason"] == "InsufficientCpus").unwrap();
    assert_eq!((cpus["declined"].as_u64(), cpus["processed"].as_u64()), (Some(1), Some(1)));
    let ports = rows.iter().find(|row| row["reason"] == "InsufficientPorts").unwrap();
    assert_eq!(ports["processed"], 0);
}

#[test]
fn offers_show_ports_and_resources_with_names_of_their_own() {
    let mut cluster = cluster();
    let id = orrery_core::NodeId::parse("c1-S0").unwrap();
    let mut node = (*cluster.nodes[&id]).clone();
    node.facts.resources.custom =
        [("licences", 5), ("tapes", 1)].map(|(name, units)| (name.into(), Scalar::from_units(units))).into();
    cluster.nodes.insert(id.clone(), std::sync::Arc::new(node));
    let mut load = NodeLoad::default();
    load.ports = [31_005_u16].into_iter().collect();
    load.custom = [("licences", 2), ("tapes", 1)].map(|(name, units)| (name.into(), Scalar::from_units(units))).into();
    cluster.loads.insert(id, load);
    let large = crate::fixture::app(&json!({"id": "/large", "cmd": "x", "cpus": 99}));
    let offers = Offers::new(&cluster, NOW).unused(&large);
    assert_eq!(offers[0]["reason"], json!(["InsufficientCpus"]), "{offers}");
    let resources = offers[0]["offer"]["resources"].as_array().unwrap();
    let find = |name: &str| resources.iter().find(|resource| resource["name"] == name);
    assert_eq!(find("licences"), Some(&json!({"name": "licences", "role": "*", "scalar": 3.0, "ranges": [], "set": []})));
    assert_eq!(find("tapes"), None, "nothing of it is free");
    let ranges = json!([{"begin": 31_000, "end": 31_004}, {"begin": 31_006, "end": 32_000}]);
    assert_eq!(find("ports"), Some(&json!({"name": "ports", "role": "*", "ranges": ranges, "set": []})));
}

#[test]
fn groups_that_enforce_their_roles_are_there_without_apps() {
    let mut cluster = cluster();
    for (name, enforced) in [("ops", true), ("shop", true), ("weighty", false)] {
        let role = Role { enforced, weight: Scalar::from_units(2), ..Role::new(name.into()) };
        cluster.roles.insert(name.into(), std::sync::Arc::new(role));
    }
    assert!(group_exists(&cluster, "/ops") && !group_exists(&cluster, "/weighty") && !group_exists(&cluster, "/ops/inner"));
    assert_eq!(enforcing_groups(&cluster, "/"), ["/ops", "/shop"]);
    assert_eq!((enforcing_groups(&cluster, "/ops"), enforcing_groups(&cluster, "/weighty")), (vec!["/ops".into()], vec![]));
    let root = group_info(&cluster, "/", GroupEmbed::parse([]), NOW);
    let groups: Vec<&str> = root["groups"].as_array().unwrap().iter().map(|group| group["id"].as_str().unwrap()).collect();
    assert_eq!(groups, ["/shop", "/ops"], "each of them once");
    let ops = group_info(&cluster, "/ops", GroupEmbed::parse([]), NOW);
    assert_eq!((&ops["enforceRole"], &ops["apps"], &ops["groups"]), (&json!(true), &json!([]), &json!([])));
    assert_eq!(ops, root["groups"][1]);
}

#[test]
fn groups_nest() {
    let cluster = cluster();
    let root = group_info(&cluster, "/", GroupEmbed::parse([]), NOW);
    assert_eq!(root["apps"][0]["id"], "/db");
    assert_eq!(root["groups"][0]["id"], "/shop");
    assert_eq!(root["groups"][0]["apps"][0]["id"], "/shop/web");
    assert_eq!(root["groups"][0]["groups"], json!([]));
    let bare = group_info(&cluster, "/shop", GroupEmbed::parse(["group.groups"]), NOW);
    assert!(bare.get("apps").is_none());
    assert!(group_exists(&cluster, "/shop") && !group_exists(&cluster, "/shop/web") && group_exists(&cluster, "/"));
}

fn apps() -> Vec<std::sync::Arc<orrery_core::App>> {
    cluster().apps.values().map(|record| record.app.clone()).collect()
}

fn edit(update: &Value, group: &str) -> Result<GroupEdit, Vec<String>> {
    let apps = apps();
    let apps: Vec<_> = apps.iter().collect();
    read_group(update, group, &apps).map_err(|faults| faults.into_iter().map(|fault| fault.path).collect())
}

#[test]
fn group_updates_flatten() {
    let change = |update: &Value, group: &str| match edit(update, group).unwrap() {
        GroupEdit::Change(put, remove) => (
            put.iter().map(|app| app.id.to_string()).collect::<Vec<_>>(),
            remove.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ),
        other => panic!("{other:?}"),
    };
    let x = json!({"id": "x", "cmd": "c"});
    let (put, remove) = change(&json!({"id": "shop", "apps": [x]}), "/");
    assert_eq!((put, remove), (vec!["/shop/x".to_owned()], vec!["/shop/web".to_owned()]));
    let (put, remove) = change(&json!({"groups": [{"id": "new", "apps": [x], "groups": [{"id": "deep", "apps": [x]}]}]}), "/");
    assert_eq!(put, ["/new/x", "/new/deep/x"]);
    assert_eq!(remove, ["/shop/web"]);
    assert_eq!(change(&json!({"groups": [{"id": "/shop"}]}), "/"), (vec![], vec![]));
    assert_eq!(change(&json!({"apps": []}), "/").1, ["/db"]);
    let scaled = edit(&json!({"scaleBy": 1.5}), "/shop").unwrap();
    assert_eq!(scaled, GroupEdit::Scale(vec![(AppId::parse("/shop/web").unwrap(), 3)]));
    assert!(matches!(edit(&json!({"version": "2020-01-01T00:00:00.000Z"}), "/"), Ok(GroupEdit::Rollback(_))));
    let wrong = json!({"groups": [{"id": "g", "apps": [{"id": "a", "cmd": "x", "cpus": -1}, {"id": "/b", "cmd": "x"}]}]});
    assert_eq!(edit(&wrong, "/").unwrap_err(), ["/groups(0)/apps(0)/cpus", "/groups(0)/apps(1)/id"]);
    assert_eq!(edit(&json!({"scaleBy": 2, "apps": []}), "/").unwrap_err(), ["/scaleBy"]);
    assert_eq!(edit(&json!({"groups": [{"apps": []}]}), "/").unwrap_err(), ["/groups(0)/id"]);
}

#[test]
fn events_speak_marathon() {
    let cluster = cluster();
    let instance = cluster.instances.values().find(|instance| instance.condition == Condition::Running).unwrap().clone();
    let events = wire_events(&cluster, &Event::TaskChanged { instance: instance.clone(), message: "m".into() }, NOW);
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), ["status_update_event", "instance_changed_event"]);
    assert_eq!(events[0].data["taskStatus"], "TASK_RUNNING");
    assert_eq!(events[0].data["eventType"], "status_update_event");
    assert_eq!(events[1].data["condition"], "Running");
    let frame = event_frame(&events[0]);
    assert!(frame.starts_with("event: status_update_event\r\ndata: {") && frame.ends_with("}\r\n\r\n"));
    let deployment = cluster.deployments.values().next().unwrap().clone();
    let started = wire_events(&cluster, &Event::DeploymentStarted { deployment: deployment.clone() }, NOW);
    assert_eq!(started[0].data["currentStep"]["actions"][0]["app"], "/shop/web");
    let done = wire_events(&cluster, &Event::DeploymentFinished { deployment, success: true }, NOW);
    assert_eq!((done[0].kind, &done[0].data["id"]), ("deployment_success", &json!("d1")));
    let health = wire_events(&cluster, &Event::HealthChanged { instance, alive: true }, NOW);
    assert_eq!(health.len(), 2);
}
