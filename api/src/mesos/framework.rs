//! The one framework: Marathon (platform.md 2.2, framework object).

use super::resources::{Amounts, nothing};
use super::task::{completed, living, task, unreachable};
use super::{ANY_ROLE, MasterFacts};
use orrery_core::cluster::Cluster;
use orrery_core::dns::MARATHON;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What the framework can do, in the words of Mesos.
pub(super) const CAPABILITIES: [&str; 5] =
    ["TASK_KILLING_STATE", "PARTITION_AWARE", "MULTI_ROLE", "REGION_AWARE", "GPU_RESOURCES"];

/// User that tasks run as unless the app names one. A task of an agent without root's powers runs as
/// that agent's user instead.
pub(super) const USER: &str = "root";

/// How long tasks outlive their scheduler, seconds: DC/OS gave Marathon a week.
pub(super) const FAILOVER_TIMEOUT: f64 = 604_800.0;

/// The id of the framework; a part of sandbox paths.
pub fn framework_id(cluster_id: &str) -> String {
    format!("{cluster_id}-0001")
}

/// `GET /frameworks`; empty when asked for another framework.
pub fn frameworks(facts: &MasterFacts, cluster: &Cluster, wanted: Option<&str>) -> Value {
    let is_wanted = wanted.is_none_or(|wanted| wanted == framework_id(&cluster.id));
    let frameworks: Vec<Value> = is_wanted.then(|| framework(facts, cluster)).into_iter().collect();
    json!({ "frameworks": frameworks, "completed_frameworks": [], "unregistered_frameworks": [] })
}

/// What all tasks take together.
pub(super) fn used(cluster: &Cluster) -> Amounts {
    let mut used = Amounts::default();
    for instance in living(cluster) {
        used.add_task(instance);
    }
    used
}

/// Roles of all apps, and the default one.
pub(super) fn roles(cluster: &Cluster) -> BTreeSet<&str> {
    let apps = cluster.apps.values().map(|record| cluster.role_of(&record.app));
    let tasks = cluster.instances.values().map(|instance| cluster.role_of(&instance.app));
    apps.chain(tasks).chain([ANY_ROLE]).collect()
}

/// `scheduler-<id>@<ip>:<port>`; Mesos-DNS takes the address from it.
fn pid(facts: &MasterFacts) -> String {
    format!("scheduler-{}@{}", facts.cluster_id, facts.address)
}

/// Where Marathon's interface is.
pub(super) fn webui_url(facts: &MasterFacts) -> String {
    format!("http://{}", facts.address)
}

/// The part that `/state-summary` shows too.
pub(super) fn summary(facts: &MasterFacts, cluster: &Cluster) -> Map<String, Value> {
    let mut framework = Map::new();
    let mut put = |key: &str, value: Value| framework.insert(key.to_owned(), value);
    put("id", json!(framework_id(&cluster.id)));
    put("name", json!(MARATHON));
    put("pid", json!(pid(facts)));
    put("used_resources", used(cluster).map());
    put("offered_resources", nothing());
    put("capabilities", json!(CAPABILITIES));
    put("hostname", json!(facts.address.ip().to_string()));
    put("webui_url", json!(webui_url(facts)));
    put("active", json!(true));
    put("connected", json!(true));
    put("recovered", json!(false));
    framework
}

/// The whole object with all tasks.
pub(super) fn framework(facts: &MasterFacts, cluster: &Cluster) -> Value {
    let id = framework_id(&cluster.id);
    let mut framework = summary(facts, cluster);
    let resources = framework.get("used_resources").cloned().unwrap_or_default();
    let mut put = |key: &str, value: Value| framework.insert(key.to_owned(), value);
    put("user", json!(USER));
    put("failover_timeout", json!(FAILOVER_TIMEOUT));
    put("checkpoint", json!(true));
    put("registered_time", json!(facts.started_at.as_secs_f64()));
    put("unregistered_time", json!(0.0));
    put("resources", resources);
    put("roles", json!(roles(cluster)));
    put("tasks", living(cluster).map(|instance| task(cluster, &id, instance)).collect());
    put("unreachable_tasks", unreachable(cluster).map(|instance| task(cluster, &id, instance)).collect());
    put("completed_tasks", completed(cluster).map(|instance| task(cluster, &id, instance)).collect());
    put("offers", json!([]));
    put("executors", json!([]));
    put("offer_constraints", json!({}));
    Value::Object(framework)
}
