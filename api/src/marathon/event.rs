//! Events as `/v2/events` streams them (marathon.md 1.12).

use super::app::write_app;
use super::deployment::steps_json;
use super::task::address_json;
use orrery_core::cluster::{Cluster, Event};
use orrery_core::deployment::Deployment;
use orrery_core::instance::Condition;
use orrery_core::{Instance, Timestamp};
use serde_json::{Value, json};

/// An event with its type.
#[derive(Debug, Clone, PartialEq)]
pub struct WireEvent {
    /// Word that clients filter by.
    pub kind: &'static str,
    /// Body with `eventType` and `timestamp`.
    pub data: Value,
}

fn wire(kind: &'static str, now: Timestamp, mut data: Value) -> WireEvent {
    data["eventType"] = json!(kind);
    data["timestamp"] = json!(now);
    WireEvent { kind, data }
}

/// The frame of a server-sent event. Some clients split at CR LF and look for `data: `.
pub fn event_frame(event: &WireEvent) -> String {
    format!("event: {}\r\ndata: {}\r\n\r\n", event.kind, event.data)
}

/// First event of a stream.
pub fn attached_event(remote: &str, now: Timestamp) -> WireEvent {
    wire("event_stream_attached", now, json!({"remoteAddress": remote}))
}

/// A stream has ended.
pub fn detached_event(remote: &str, now: Timestamp) -> WireEvent {
    wire("event_stream_detached", now, json!({"remoteAddress": remote}))
}

/// A request changed an app.
pub fn api_post_event(client: &str, uri: &str, app: &orrery_core::App, now: Timestamp) -> WireEvent {
    wire("api_post_event", now, json!({"clientIp": client, "uri": uri, "appDefinition": write_app(app)}))
}

/// The events of Marathon that tell what `event` says, in the order Marathon sends them.
pub fn wire_events(cluster: &Cluster, event: &Event, now: Timestamp) -> Vec<WireEvent> {
    match event {
        Event::AppChanged { app, uri } => vec![api_post_event("", uri, app, now)],
        Event::GroupChanged { version } => {
            vec![wire("group_change_success", now, json!({"groupId": "/", "version": version}))]
        }
        Event::TaskChanged { instance, message } => task_changed(cluster, instance, message, now),
        Event::HealthChanged { instance, alive } => health_changed(instance, *alive, now),
        Event::UnhealthyKilled { instance, reason } => {
            let body = json!({
                "appId": instance.app.id, "taskId": instance.task_id(), "instanceId": instance.id,
                "version": instance.app.version, "reason": reason, "host": host_of(cluster, instance), "slaveId": instance.node(),
            });
            vec![wire("unhealthy_instance_kill_event", now, body)]
        }
        Event::AppTerminated { app } => vec![wire("app_terminated_event", now, json!({"appId": app}))],
        Event::DeploymentStarted { deployment } => {
            let body = json!({"plan": plan_json(deployment), "currentStep": step_json(deployment, 0)});
            vec![wire("deployment_info", now, body)]
        }
        Event::DeploymentStepFinished { deployment, step } => {
            let body = json!({"plan": plan_json(deployment), "currentStep": step_json(deployment, *step)});
            vec![wire("deployment_step_success", now, body)]
        }
        // Ours: Marathon knows nothing of nodes.
        Event::NodeChanged { node, message } => {
            let body = json!({"nodeId": node.facts.id, "host": node.facts.hostname, "state": node.state(), "message": message});
            vec![wire("node_changed_event", now, body)]
        }
        Event::NodeRetired { node } => {
            let body = json!({"nodeId": node.id, "host": node.hostname, "state": "decommissioned", "message": node.sentence()});
            vec![wire("node_changed_event", now, body)]
        }
        Event::BrakeEngaged { held } => {
            vec![wire("mass_loss_brake_event", now, json!({"engaged": true, "nodes": held.missing, "message": held.sentence()}))]
        }
        Event::BrakeReleased { held } => {
            let body = json!({"engaged": false, "nodes": held.missing, "message": "replacements go on"});
            vec![wire("mass_loss_brake_event", now, body)]
        }
        Event::DeploymentFinished { deployment, success } => {
            let kind = if *success { "deployment_success" } else { "deployment_failed" };
            vec![wire(kind, now, json!({"id": deployment.id, "plan": plan_json(deployment)}))]
        }
    }
}

fn plan_json(deployment: &Deployment) -> Value {
    // The groups before and after are not told (the light form), but Python clients want the places.
    let steps = steps_json(&deployment.steps);
    json!({"id": deployment.id, "original": {}, "target": {}, "version": deployment.version, "steps": steps})
}

fn step_json(deployment: &Deployment, step: usize) -> Value {
    let actions = deployment.steps.get(step).map(std::slice::from_ref).map(steps_json);
    actions.and_then(|steps| steps.get(0).cloned()).unwrap_or_else(|| json!({"actions": []}))
}

fn host_of<'a>(cluster: &'a Cluster, instance: &Instance) -> &'a str {
    instance.node().and_then(|id| cluster.nodes.get(id)).map_or("", |node| node.facts.hostname.as_str())
}

fn task_changed(cluster: &Cluster, instance: &Instance, message: &str, now: Timestamp) -> Vec<WireEvent> {
    let host = host_of(cluster, instance);
    let changed = wire(
        "instance_changed_event",
        now,
        json!({
            "instanceId": instance.id, "condition": format!("{:?}", instance.condition), "runSpecId": instance.app.id,
            "agentId": instance.node(), "host": host, "runSpecVersion": instance.app.version,
        }),
    );
    if instance.condition == Condition::Scheduled {
        return vec![changed];
    }
    let ports: Vec<u16> =
        instance.seat.iter().flat_map(|seat| seat.host_ports.iter().copied()).filter(|port| *port != 0).collect();
    let addresses: Vec<Value> = instance.observed.addresses().iter().map(address_json).collect();
    let status = json!({
        "slaveId": instance.node(), "taskId": instance.task_id(), "taskStatus": instance.condition.task_state(),
        "message": message, "appId": instance.app.id, "host": host, "ipAddresses": addresses, "ports": ports,
        "version": instance.app.version,
    });
    vec![wire("status_update_event", now, status), changed]
}

fn health_changed(instance: &Instance, alive: bool, now: Timestamp) -> Vec<WireEvent> {
    let (app, version) = (&instance.app.id, instance.app.version);
    vec![
        wire(
            "health_status_changed_event",
            now,
            json!({"appId": app, "instanceId": instance.id, "version": version, "alive": alive}),
        ),
        wire(
            "instance_health_changed_event",
            now,
            json!({"instanceId": instance.id, "runSpecId": app, "healthy": alive, "runSpecVersion": version}),
        ),
    ]
}
