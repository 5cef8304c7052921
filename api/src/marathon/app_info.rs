//! Apps with what is known of them at run time.

use super::task::{count_tasks, lifetime_seconds, task_json};
use super::{Embed, Selector};
use crate::marathon::app::write_app;
use orrery_core::cluster::{Cluster, LastFailure};
use orrery_core::{App, AppId, Instance, Timestamp};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The app and what `embed` asks for.
pub fn app_info(cluster: &Cluster, app: &App, embed: Embed, now: Timestamp) -> Value {
    let Value::Object(mut info) = write_app(app) else { return Value::Null };
    let instances: Vec<&Instance> = cluster.instances_of(&app.id).map(AsRef::as_ref).collect();
    if embed.counts {
        let counts = count_tasks(instances.iter().copied());
        info.insert("tasksStaged".to_owned(), json!(counts.staged));
        info.insert("tasksRunning".to_owned(), json!(counts.running));
        info.insert("tasksHealthy".to_owned(), json!(counts.healthy));
        info.insert("tasksUnhealthy".to_owned(), json!(counts.unhealthy));
    }
    if embed.deployments {
        info.insert("deployments".to_owned(), deployment_ids(cluster, &app.id));
    }
    if embed.tasks {
        let tasks = instances.iter().filter_map(|instance| task_json(cluster, instance)).collect();
        info.insert("tasks".to_owned(), tasks);
    }
    if embed.readiness {
        info.insert("readinessCheckResults".to_owned(), readiness_results(&instances));
    }
    if embed.last_task_failure
        && let Some(failure) = cluster.failures.get(&app.id)
    {
        info.insert("lastTaskFailure".to_owned(), last_task_failure(failure));
    }
    if embed.task_stats {
        info.insert("taskStats".to_owned(), task_stats(app, &instances, now));
    }
    Value::Object(info)
}

/// `{"apps": […]}`.
pub fn app_list<'a>(cluster: &Cluster, apps: impl IntoIterator<Item = &'a Arc<App>>, embed: Embed, now: Timestamp) -> Value {
    let apps: Vec<Value> = apps.into_iter().map(|app| app_info(cluster, app, embed, now)).collect();
    json!({"apps": apps})
}

/// Fields of an app that Marathon before 1.5 wrote as `null` when absent and dcoscli 0.4 reads unasked.
const ONCE_NULL: [&str; 3] = ["cmd", "args", "container"];

/// Names absent fields in an [`app_list`], for dcoscli 0.4. Only lists without `embed` get this: others
/// are read by newer clients, to whom a `null` container is as bad as none is to this one (marathon-lb).
pub fn name_absent_fields(list: &mut Value) {
    for app in list["apps"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for field in ONCE_NULL {
            app.entry(field).or_insert(Value::Null);
        }
    }
}

/// The apps that fulfil the filters of `GET /v2/apps`: substrings of command and id, in any case,
/// and a label selector.
pub fn find_apps<'a>(
    cluster: &'a Cluster,
    cmd: Option<&str>,
    id: Option<&str>,
    selector: Option<&Selector>,
) -> Vec<&'a Arc<App>> {
    let contains = |text: &str, part: Option<&str>| part.is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()));
    cluster
        .apps
        .values()
        .map(|record| &record.app)
        .filter(|app| cmd.is_none() || app.cmd.as_ref().is_some_and(|text| contains(text, cmd)))
        .filter(|app| contains(app.id.as_str(), id))
        .filter(|app| selector.is_none_or(|selector| selector.matches(&app.labels)))
        .collect()
}

pub(super) fn deployment_ids(cluster: &Cluster, app: &AppId) -> Value {
    cluster.deployments_of(app).map(|deployment| json!({"id": deployment.id})).collect()
}

/// The last failure of an app in Marathon's words.
pub(super) fn last_task_failure(failure: &LastFailure) -> Value {
    json!({
        "appId": failure.app_id,
        "host": failure.host,
        "message": failure.message,
        "state": failure.condition.task_state(),
        "taskId": failure.task_id,
        "timestamp": failure.timestamp,
        "version": failure.version,
        "slaveId": failure.node,
    })
}

/// Readiness of running tasks; the answers themselves stay with the agents.
pub(super) fn readiness_results(instances: &[&Instance]) -> Value {
    instances
        .iter()
        .filter(|instance| instance.observed.started_at.is_some())
        .flat_map(|instance| {
            instance
                .app
                .readiness_checks
                .iter()
                .map(|check| json!({"name": check.name, "taskId": instance.task_id(), "ready": instance.observed.ready}))
        })
        .collect()
}

fn task_stats(app: &App, instances: &[&Instance], now: Timestamp) -> Value {
    let config = app.version_info.last_config_change_at;
    let scaling = app.version_info.last_scaling_at;
    let mut stats = Map::new();
    let mut add = |name: &str, keep: &dyn Fn(&Instance) -> bool| {
        let kept: Vec<&Instance> =
            instances.iter().copied().filter(|instance| instance.seat.is_some() && keep(instance)).collect();
        if kept.is_empty() {
            return;
        }
        let counts = count_tasks(kept.iter().copied());
        let mut summary = json!({"counts": {
            "staged": counts.staged, "running": counts.running, "healthy": counts.healthy, "unhealthy": counts.unhealthy,
        }});
        let mut lifetimes: Vec<f64> = kept.iter().filter_map(|instance| lifetime_seconds(instance, now)).collect();
        lifetimes.sort_by(f64::total_cmp);
        if !lifetimes.is_empty() {
            let average = lifetimes.iter().sum::<f64>() / lifetimes.len() as f64;
            summary["lifeTime"] = json!({"averageSeconds": average, "medianSeconds": median(&lifetimes)});
        }
        stats.insert(name.to_owned(), json!({"stats": summary}));
    };
    add("startedAfterLastScaling", &|instance| instance.observed.started_at.is_some_and(|started| started >= scaling));
    add("withLatestConfig", &|instance| instance.app.version >= config);
    add("withOutdatedConfig", &|instance| instance.app.version < config);
    add("totalSummary", &|_| true);
    Value::Object(stats)
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}
