//! What the agent tells about itself and its containers, in Mesos' words (platform.md 2.6).

use crate::cgroup::Usage;
use crate::state::{Entry, Shared, now};
use axum::Json;
use axum::extract::{Query, State};
use orrery_core::TaskId;
use orrery_core::assignment::{ContainerSpec, ExecutorKind};
use orrery_core::instance::Condition;
use orrery_core::node::Resources;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of Mesos that DC/OS 2.2 carried; clients look at it for features.
const MESOS_VERSION: &str = "1.11.0";

fn resources(found: &Resources) -> Value {
    json!({
        "cpus": found.cpus.to_f64(), "mem": found.mem.to_f64(), "disk": found.disk.to_f64(),
        "gpus": f64::from(found.gpus), "ports": found.ports.to_string(),
    })
}

fn spec(entry: &Entry) -> Option<&ContainerSpec> {
    entry.assignment.as_ref()?.containers.first()
}

fn task_resources(spec: Option<&ContainerSpec>) -> Value {
    let zero = orrery_core::Scalar::ZERO;
    json!({
        "cpus": spec.map_or(zero, |spec| spec.cpus).to_f64(),
        "mem": spec.and_then(|spec| spec.mem_limit).unwrap_or(zero).to_f64(),
        "disk": spec.map_or(zero, |spec| spec.disk).to_f64(),
        "gpus": spec.map_or(0.0, |spec| f64::from(spec.gpus)),
    })
}

fn executor(shared: &Shared, task: &TaskId, entry: &Entry) -> Value {
    let name = entry.assignment.as_ref().map(|assignment| assignment.run_spec.host_name()).unwrap_or_default();
    let report = &entry.report;
    let container = report.container.clone().unwrap_or_default();
    let one = json!({
        "id": task, "name": name, "executor_id": "", "slave_id": shared.config.facts.id,
        "framework_id": shared.config.framework_id, "state": report.condition.task_state(),
        "resources": task_resources(spec(entry)),
        "statuses": [{
            "state": report.condition.task_state(), "timestamp": report.at.as_secs_f64(),
            "container_status": {"container_id": {"value": container}},
        }],
    });
    let (tasks, completed) = if report.condition.is_terminal() { (json!([]), json!([one])) } else { (json!([one]), json!([])) };
    json!({
        "id": task, "name": name, "source": task, "container": container,
        "directory": report.sandbox.clone().unwrap_or_default(),
        "resources": task_resources(spec(entry)),
        "tasks": tasks, "queued_tasks": [], "completed_tasks": completed,
    })
}

/// `/state`.
pub(super) async fn state(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let facts = &shared.config.facts;
    let (mut executors, mut completed) = (Vec::new(), Vec::new());
    for (task, entry) in &shared.board().tasks {
        let list = if entry.report.condition.is_terminal() { &mut completed } else { &mut executors };
        list.push(executor(&shared, task, entry));
    }
    let all = resources(&facts.resources);
    Json(json!({
        "version": MESOS_VERSION, "id": facts.id, "pid": format!("slave(1)@{}:{}", facts.address, facts.port),
        "hostname": facts.hostname, "resources": all, "unreserved_resources": all, "reserved_resources": {},
        "attributes": facts.attributes, "capabilities": [], "flags": {},
        "frameworks": [{
            "id": shared.config.framework_id, "name": "marathon", "executors": executors, "completed_executors": completed,
        }],
        "completed_frameworks": [],
    }))
}

#[derive(Debug, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are Mesos' query parameters")]
pub(super) struct Asked {
    container_id: Option<String>,
    executor_id: Option<String>,
    framework_id: Option<String>,
}

fn statistics(spec: Option<&ContainerSpec>, usage: &Usage) -> Value {
    let limit = spec.and_then(|spec| spec.mem_limit).map_or(0, |limit| limit.thousandths().saturating_mul(1 << 20) / 1000);
    let cpus = spec.map_or(0.0, |spec| spec.cpus_limit.unwrap_or(spec.cpus).to_f64());
    json!({
        "timestamp": now().as_secs_f64(),
        "cpus_limit": cpus,
        "cpus_soft_limit": spec.map_or(0.0, |spec| spec.cpus.to_f64()),
        "cpus_user_time_secs": usage.cpu_user_seconds,
        "cpus_system_time_secs": usage.cpu_system_seconds,
        "cpus_nr_periods": usage.periods,
        "cpus_nr_throttled": usage.throttled,
        "cpus_throttled_time_secs": usage.throttled_seconds,
        "mem_limit_bytes": limit,
        "mem_soft_limit_bytes": limit,
        "mem_rss_bytes": usage.rss_bytes,
        "mem_anon_bytes": usage.rss_bytes,
        "mem_total_bytes": usage.memory_bytes,
        "mem_cache_bytes": usage.cache_bytes,
        "mem_file_bytes": usage.cache_bytes,
        "mem_mapped_file_bytes": usage.mapped_bytes,
        "disk_limit_bytes": spec.map_or(0, |spec| spec.disk.thousandths().saturating_mul(1 << 20) / 1000),
        "processes": usage.processes,
    })
}

/// Containers that run, with their usage read off the event loop.
async fn running(shared: Arc<Shared>, asked: Asked) -> Vec<Value> {
    if asked.framework_id.is_some_and(|framework| framework != shared.config.framework_id) {
        return Vec::new();
    }
    let listed: Vec<_> = {
        let board = shared.board();
        let alive =
            board.tasks.iter().filter(|(_, entry)| matches!(entry.report.condition, Condition::Running | Condition::Killing));
        alive
            .map(|(task, entry)| {
                let name = entry.assignment.as_ref().map(|assignment| assignment.run_spec.host_name()).unwrap_or_default();
                let assignment = entry.assignment.clone();
                (
                    task.clone(),
                    name,
                    assignment,
                    entry.report.container.clone().unwrap_or_default(),
                    entry.report.addresses.clone(),
                )
            })
            .filter(|(task, _, _, container, _)| {
                asked.executor_id.as_ref().is_none_or(|wanted| *wanted == task.to_string())
                    && asked.container_id.as_ref().is_none_or(|wanted| wanted == container)
            })
            .collect()
    };
    let read = tokio::task::spawn_blocking(move || {
        let describe = |(task, name, assignment, container, addresses): (
            TaskId,
            String,
            Option<Arc<orrery_core::assignment::Assignment>>,
            String,
            Vec<std::net::IpAddr>,
        )| {
            let spec = assignment.as_ref().and_then(|assignment| assignment.containers.first());
            let own = spec.is_some_and(|spec| spec.executor == ExecutorKind::Process);
            let usage = if own { shared.process.cgroups.usage(&container) } else { Usage::default() };
            let addresses: Vec<Value> = addresses.iter().map(|address| json!({"ip_address": address})).collect();
            json!({
                "framework_id": shared.config.framework_id, "executor_id": task, "executor_name": name, "source": task,
                "container_id": container, "statistics": statistics(spec, &usage),
                "status": {"container_id": {"value": container}, "network_infos": [{"ip_addresses": addresses}]},
            })
        };
        listed.into_iter().map(describe).collect()
    });
    read.await.unwrap_or_default()
}

/// `/containers`.
pub(super) async fn containers(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Json<Vec<Value>> {
    Json(running(shared, asked).await)
}

/// `/monitor/statistics`: the same without what identifies the container.
pub(super) async fn monitor(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Json<Vec<Value>> {
    let mut all = running(shared, asked).await;
    for one in all.iter_mut().filter_map(Value::as_object_mut) {
        one.shift_remove("container_id");
        one.shift_remove("status");
    }
    Json(all)
}

/// `/metrics/snapshot`.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let facts = &shared.config.facts;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut cpus, mut mem) = (orrery_core::Scalar::ZERO, orrery_core::Scalar::ZERO);
    for entry in shared.board().tasks.values() {
        let key = match entry.report.condition {
            Condition::Staging | Condition::Scheduled => "slave/tasks_staging",
            Condition::Starting => "slave/tasks_starting",
            Condition::Running => "slave/tasks_running",
            Condition::Killing => "slave/tasks_killing",
            Condition::Finished => "slave/tasks_finished",
            Condition::Killed => "slave/tasks_killed",
            _ => "slave/tasks_failed",
        };
        *counts.entry(key).or_default() += 1;
        if let (Some(spec), true) = (spec(entry), entry.report.condition.is_active()) {
            cpus += spec.cpus;
            mem += spec.mem_limit.unwrap_or_default();
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<f64> = load.split(' ').take(3).filter_map(|text| text.parse().ok()).collect();
    let at = |index: usize| load.get(index).copied().unwrap_or(0.0);
    let mut all = json!({
        "slave/cpus_total": facts.resources.cpus.to_f64(), "slave/cpus_used": cpus.to_f64(),
        "slave/mem_total": facts.resources.mem.to_f64(), "slave/mem_used": mem.to_f64(),
        "slave/disk_total": facts.resources.disk.to_f64(), "slave/registered": 1,
        "system/load_1min": at(0), "system/load_5min": at(1), "system/load_15min": at(2),
    });
    for key in ["staging", "starting", "running", "killing", "finished", "killed", "failed"] {
        let key = format!("slave/tasks_{key}");
        all[&key] = counts.get(key.as_str()).copied().unwrap_or(0).into();
    }
    Json(all)
}

/// `/version`.
pub(super) async fn version() -> Json<Value> {
    Json(json!({"version": MESOS_VERSION, "orrery": env!("CARGO_PKG_VERSION")}))
}
