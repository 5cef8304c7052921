//! Deployments as `/v2/deployments` shows them.

use super::app_info::readiness_results;
use orrery_core::cluster::Cluster;
use orrery_core::deployment::{Action, Deployment};
use orrery_core::{Instance, Timestamp};
use serde_json::{Value, json};

/// One deployment. `currentStep` counts from 1, as Marathon does.
pub fn deployment_json(cluster: &Cluster, deployment: &Deployment) -> Value {
    let current = deployment.current_step();
    let actions = deployment.steps.get(current).map(Vec::as_slice).unwrap_or_default();
    let current_actions: Vec<Value> = actions
        .iter()
        .map(|action| {
            let instances: Vec<&Instance> = cluster.instances_of(&action.app).map(AsRef::as_ref).collect();
            let mut value = action_json(action);
            value["readinessCheckResults"] = readiness_results(&instances);
            value
        })
        .collect();
    let mut affected: Vec<&orrery_core::AppId> = deployment.affected().collect();
    affected.sort();
    affected.dedup();
    json!({
        "id": deployment.id,
        "version": deployment.version,
        "affectedApps": affected,
        "affectedPods": [],
        "steps": steps_json(&deployment.steps),
        "currentActions": current_actions,
        "currentStep": (current + 1).min(deployment.steps.len()),
        "totalSteps": deployment.steps.len(),
    })
}

/// All deployments, as a bare array.
pub fn deployments_json(cluster: &Cluster) -> Value {
    cluster.deployments.values().map(|deployment| deployment_json(cluster, deployment)).collect()
}

/// The body of an accepted write: `{"version", "deploymentId"}`.
pub fn deployment_result(version: Timestamp, id: &str) -> Value {
    json!({"version": version, "deploymentId": id})
}

/// The body of a dry run: `{"steps": […]}`.
pub fn dry_run_json(steps: &[Vec<Action>]) -> Value {
    json!({"steps": steps_json(steps)})
}

pub(super) fn steps_json(steps: &[Vec<Action>]) -> Value {
    steps.iter().map(|step| json!({"actions": step.iter().map(action_json).collect::<Vec<_>>()})).collect()
}

fn action_json(action: &Action) -> Value {
    json!({"action": action.action, "app": action.app})
}
