//! `/metrics/snapshot` of the master: the metrics of platform.md 2.8 that mean something here.
//!
//! There are no offers, no messages between master and schedulers and no replicated log, hence no
//! metrics of them, save for those that are truly zero.

use super::MasterFacts;
use super::counters::count;
use super::resources::Amounts;
use orrery_core::cluster::Cluster;
use orrery_core::instance::Condition;
use orrery_core::node::NodeStatus;
use orrery_core::{Scalar, Timestamp};
use serde_json::{Map, Value, json};

/// All metrics as one flat object of floats.
pub fn metrics_snapshot(facts: &MasterFacts, cluster: &Cluster, now: Timestamp) -> Value {
    let metrics = metrics(facts, cluster, now).into_iter();
    Value::Object(metrics.map(|(name, value)| (name, json!(value))).collect::<Map<_, _>>())
}

/// Names and values.
pub(super) fn metrics(facts: &MasterFacts, cluster: &Cluster, now: Timestamp) -> Vec<(String, f64)> {
    let mut metrics: Vec<(String, f64)> = Vec::new();
    let mut put = |name: &str, value: f64| metrics.push((format!("master/{name}"), value));
    put("elected", 1.0);
    put("uptime_secs", now.millis_since(facts.started_at).max(0) as f64 / 1000.0);

    let number_of =
        |is_counted: &dyn Fn(&orrery_core::Node) -> bool| cluster.nodes.values().filter(|node| is_counted(node)).count() as f64;
    let connected = number_of(&|node| node.status == NodeStatus::Active);
    let active = number_of(&|node| node.accepts_tasks());
    put("slaves_active", active);
    put("slaves_connected", connected);
    put("slaves_disconnected", 0.0);
    put("slaves_inactive", connected - active);
    put("slaves_unreachable", number_of(&|node| node.status != NodeStatus::Active));

    put("frameworks_active", 1.0);
    put("frameworks_connected", 1.0);
    put("frameworks_disconnected", 0.0);
    put("frameworks_inactive", 0.0);
    put("outstanding_offers", 0.0);

    let (now, _) = count(cluster);
    for (name, state) in [
        ("tasks_staging", "TASK_STAGING"),
        ("tasks_starting", "TASK_STARTING"),
        ("tasks_running", "TASK_RUNNING"),
        ("tasks_killing", "TASK_KILLING"),
    ] {
        put(name, now.of(state) as f64);
    }
    let unreachable = cluster.instances.values().filter(|instance| instance.condition == Condition::Unreachable).count();
    put("tasks_unreachable", unreachable as f64);
    let ended =
        |conditions: &[Condition]| conditions.iter().filter_map(|condition| cluster.ended.get(condition)).sum::<u64>() as f64;
    put("tasks_finished", ended(&[Condition::Finished]));
    put("tasks_failed", ended(&[Condition::Failed]));
    put("tasks_killed", ended(&[Condition::Killed]));
    put("tasks_error", ended(&[Condition::Error]));
    put("tasks_gone", ended(&[Condition::Gone]));
    put("tasks_dropped", ended(&[Condition::Dropped]));
    // Lost: nobody knows how they ended.
    put("tasks_lost", ended(&[Condition::Unreachable, Condition::Unknown]));

    let (total, used) = capacity(cluster);
    for (name, total, used) in [
        ("cpus", total.cpus, used.cpus),
        ("mem", total.mem, used.mem),
        ("disk", total.disk, used.disk),
        ("gpus", gpus(&total), gpus(&used)),
    ] {
        put(&format!("{name}_total"), total.to_f64());
        put(&format!("{name}_used"), used.to_f64());
        put(&format!("{name}_percent"), if total.is_positive() { used.to_f64() / total.to_f64() } else { 0.0 });
        for kind in ["total", "used", "percent"] {
            put(&format!("{name}_revocable_{kind}"), 0.0);
        }
    }
    metrics
}

fn gpus(amounts: &Amounts) -> Scalar {
    Scalar::from_units(i64::from(amounts.gpus))
}

/// What reachable nodes offer, and what is taken on them.
fn capacity(cluster: &Cluster) -> (Amounts, Amounts) {
    let (mut total, mut used) = (Amounts::default(), Amounts::default());
    for node in cluster.nodes.values().filter(|node| node.status == NodeStatus::Active) {
        total.add(&Amounts::of_node(&node.facts.resources));
        used.add(&super::slave::used(cluster, node));
    }
    (total, used)
}
