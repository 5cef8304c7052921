//! Why an app is as it is, in words.

use orrery_core::cluster::{Cluster, PREEMPTED};
use orrery_core::deployment::plan;
use orrery_core::instance::Condition;
use orrery_core::{AppId, Instance, Timestamp};
use serde_json::{Value, json};

/// Everything known about what `id` waits for; `None` when there is no such app.
pub fn explain(cluster: &Cluster, id: &AppId, now: Timestamp) -> Option<Value> {
    let app = cluster.app(id)?;
    let instances: Vec<&Instance> = cluster.instances_of(id).map(AsRef::as_ref).collect();
    let plan = plan(Some(app), &instances, &cluster.around(id, now));
    let mut because = plan.because;
    let pending = cluster.pending.get(id);
    if let Some(pending) = pending {
        let sentence =
            pending.refusals.as_ref().map_or_else(|| "not tried yet".to_owned(), orrery_core::placement::Refusals::sentence);
        because.push(format!("{} instances wait for a node since {}: {sentence}", pending.count, pending.since));
    }
    let ended = cluster.completed.iter().rev().find(|task| task.instance.app_id() == id);
    let message = ended.and_then(|task| Some((task.instance.task_id(), task.instance.observed.message()?)));
    if let Some((task, message)) = message.filter(|(_, message)| message.contains(PREEMPTED)) {
        because.push(format!("{task} was stopped for a more important one: {message}"));
    }
    let delay = cluster.delays.get(id).filter(|delay| delay.until > now);
    if let Some(delay) = delay {
        because.push(format!("launches pause until {} because of failures", delay.until));
    }
    if let Some(refusals) = cluster.stranded.get(id) {
        let why = if app.is_resident() {
            "an instance of the previous version runs on, since the new one could not start where its data are"
        } else if instances.iter().any(|instance| cluster.moving.contains_key(&instance.id)) {
            "it is to move to balance the cluster and there is no room for it elsewhere"
        } else {
            "it has to leave a draining node and there is no room elsewhere"
        };
        because.push(format!("{why}: {}", refusals.sentence()));
    }
    let lost = |instance: &&Instance| instance.condition == Condition::Unreachable && !instance.inactive;
    if let Some(held) = cluster.brake.as_ref().filter(|_| instances.iter().copied().any(|instance| lost(&instance))) {
        because.push(held.sentence());
    }
    let failure = cluster.failures.get(id);
    if let Some(failure) = failure.filter(|_| !plan.done) {
        because.push(format!("the last failure was at {} on {}: {}", failure.timestamp, failure.host, failure.message));
    }
    Some(json!({
        "id": id,
        "version": app.version,
        "done": plan.done,
        "instances": {
            "wanted": app.instances,
            "present": instances.len(),
            "serving": instances.iter().filter(|instance| instance.is_serving()).count(),
        },
        "because": because,
        "deployments": cluster.deployments_of(id).map(|deployment| deployment.id.clone()).collect::<Vec<_>>(),
        "pending": pending.map(|pending| json!({
            "since": pending.since,
            "count": pending.count,
            "nodes": pending.refusals.as_ref().map(|refusals| refusals.nodes),
            "reasons": pending.refusals.as_ref().map(|refusals| &refusals.by_reason),
            "details": pending.refusals.as_ref().map(|refusals| &refusals.details),
            "hint": pending.refusals.as_ref().and_then(|refusals| refusals.hint.clone()),
        })),
        "delay": delay.map(|delay| json!({ "until": delay.until, "seconds": delay.until.millis_since(now) / 1000 })),
        "lastFailure": failure,
    }))
}
