//! Roles and quotas. There are no quotas yet: guarantees and limits are empty.

use super::framework::{framework_id, roles as framework_roles};
use super::resources::{Amounts, nothing};
use super::task::living;
use super::{ANY_ROLE, role_of};
use orrery_core::cluster::Cluster;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What tasks of each role take, and what is reserved for it.
pub(super) struct RoleUse<'a> {
    pub(super) name: &'a str,
    pub(super) allocated: Amounts,
    pub(super) reserved: Amounts,
    pub(super) has_framework: bool,
}

/// All roles of apps and nodes, sorted.
pub(super) fn role_uses(cluster: &Cluster) -> Vec<RoleUse<'_>> {
    let of_framework = framework_roles(cluster);
    let of_nodes = cluster.nodes.values().map(|node| node.facts.role.as_str());
    let names: BTreeSet<&str> = of_framework.iter().copied().chain(of_nodes).collect();
    let mut allocated: BTreeMap<&str, Amounts> = BTreeMap::new();
    for instance in living(cluster) {
        allocated.entry(role_of(instance)).or_default().add_task(instance);
    }
    let mut reserved: BTreeMap<&str, Amounts> = BTreeMap::new();
    for node in cluster.nodes.values().filter(|node| node.facts.role != ANY_ROLE) {
        reserved.entry(&node.facts.role).or_default().add(&Amounts::of_node(&node.facts.resources));
    }
    let names = names.into_iter();
    names
        .map(|name| RoleUse {
            name,
            allocated: allocated.remove(name).unwrap_or_default(),
            reserved: reserved.remove(name).unwrap_or_default(),
            has_framework: of_framework.contains(name),
        })
        .collect()
}

/// `GET /roles`.
pub fn roles(cluster: &Cluster) -> Value {
    let id = framework_id(&cluster.id);
    let role = |role: RoleUse<'_>| {
        let consumed = role.allocated.map();
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        put("name", json!(role.name));
        put("weight", json!(1.0));
        put("quota", json!({ "role": role.name, "guarantee": {}, "limit": {}, "consumed": consumed }));
        put("resources", consumed.clone());
        put("allocated", consumed);
        put("offered", nothing());
        put("reserved", role.reserved.map());
        put("frameworks", json!(role.has_framework.then_some(&id).into_iter().collect::<Vec<_>>()));
        Value::Object(entry)
    };
    json!({ "roles": role_uses(cluster).into_iter().map(role).collect::<Vec<_>>() })
}

/// `GET /quota`.
pub fn quota() -> Value {
    json!({ "infos": [] })
}
