//! Roles, quotas and weights. Quotas are limits; guarantees are empty.

use super::ANY_ROLE;
use super::framework::{framework_id, roles as framework_roles};
use super::resources::{Amounts, nothing};
use super::task::living;
use orrery_core::Scalar;
use orrery_core::cluster::Cluster;
use orrery_core::role::Role;
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
    let of_groups = cluster.apps.values().map(|record| cluster.role_of(&record.app));
    let decided = cluster.roles.keys().map(AsRef::as_ref);
    let of_nodes = cluster.nodes.values().map(|node| node.facts.role.as_str());
    let names: BTreeSet<&str> = of_framework.iter().copied().chain(of_nodes).chain(of_groups).chain(decided).collect();
    let mut allocated: BTreeMap<&str, Amounts> = BTreeMap::new();
    for instance in living(cluster) {
        allocated.entry(cluster.role_of(&instance.app)).or_default().add_task(instance);
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
    let uses = role_uses(cluster);
    let role = |role: &RoleUse<'_>| {
        let consumed = role.allocated.map();
        let decided = cluster.roles.get(role.name);
        let limit = decided.map_or_else(|| json!({}), |decided| limits(&decided.limits));
        let below = |name: &str| name == role.name || name.strip_prefix(role.name).is_some_and(|rest| rest.starts_with('/'));
        let mut charged = Amounts::default();
        uses.iter().filter(|other| below(other.name)).for_each(|other| charged.add(&other.allocated));
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        put("name", json!(role.name));
        put("weight", json!(decided.map_or(1.0, |decided| decided.weight.to_f64())));
        put("quota", json!({ "role": role.name, "guarantee": {}, "limit": limit, "consumed": charged.map() }));
        put("resources", consumed.clone());
        put("allocated", consumed);
        put("offered", nothing());
        put("reserved", role.reserved.map());
        put("frameworks", json!(role.has_framework.then_some(&id).into_iter().collect::<Vec<_>>()));
        Value::Object(entry)
    };
    json!({ "roles": uses.iter().map(role).collect::<Vec<_>>() })
}

fn limits(limits: &BTreeMap<String, Scalar>) -> Value {
    limits.iter().map(|(name, limit)| (name.clone(), json!(limit.to_f64()))).collect::<Map<_, _>>().into()
}

/// `GET /quota`, and the status in the answer to GET_QUOTA. Guarantees, which `infos` tell, are not given.
pub fn quota(cluster: &Cluster) -> Value {
    let config = |role: &Role| {
        let limits = role.limits.iter().map(|(name, limit)| (name.clone(), json!({ "value": limit.to_f64() })));
        json!({ "role": role.name, "guarantees": {}, "limits": limits.collect::<Map<_, _>>() })
    };
    let configs = cluster.roles.values().filter(|role| !role.limits.is_empty()).map(|role| config(role));
    json!({ "infos": [], "configs": configs.collect::<Vec<_>>() })
}

/// `GET /weights`: roles whose weight is not 1.
pub fn weights(cluster: &Cluster) -> Value {
    let roles = cluster.roles.values().filter(|role| role.weight != Scalar::ONE);
    roles.map(|role| json!({ "role": role.name, "weight": role.weight.to_f64() })).collect::<Vec<_>>().into()
}

/// Roles and the limits they are to have.
pub type Limits = Vec<(String, BTreeMap<String, Scalar>)>;

/// Reads the arguments of UPDATE_QUOTA: limits by role, and whether to force them.
///
/// # Errors
/// One sentence when they are none.
pub fn read_quota(arguments: &Value) -> Result<(Limits, bool), String> {
    let configs = arguments.get("quota_configs").and_then(Value::as_array);
    let configs = configs.filter(|configs| !configs.is_empty()).ok_or("update_quota.quota_configs names no role")?;
    let mut roles = Vec::new();
    for config in configs {
        let role = config.get("role").and_then(Value::as_str).ok_or("an entry of quota_configs has no role")?;
        let mut limits = BTreeMap::new();
        if config.get("guarantees").and_then(Value::as_object).is_some_and(|guarantees| !guarantees.is_empty()) {
            return Err(format!("role {role}: guarantees are not given, set limits only"));
        }
        for (name, limit) in config.get("limits").and_then(Value::as_object).into_iter().flatten() {
            let amount = limit.get("value").unwrap_or(limit).as_f64().and_then(Scalar::from_f64);
            let amount = amount.ok_or_else(|| format!("role {role}: the limit of {name} is not an amount"))?;
            if name == "ports" {
                return Err(format!("role {role}: there is no quota of ports"));
            }
            limits.insert(name.clone(), amount);
        }
        roles.push((role.to_owned(), limits));
    }
    Ok((roles, arguments.get("force").and_then(Value::as_bool).unwrap_or(false)))
}

/// Reads a list of `{"role", "weight"}`.
///
/// # Errors
/// One sentence when it is none.
pub fn read_weights(list: &Value) -> Result<Vec<(String, Scalar)>, String> {
    let list = list.as_array().ok_or("send a list of {\"role\": …, \"weight\": …}")?;
    let read = |entry: &Value| {
        let role = entry.get("role").and_then(Value::as_str).ok_or("an entry has no role")?;
        let weight = entry.get("weight").and_then(Value::as_f64).and_then(Scalar::from_f64);
        Ok((role.to_owned(), weight.ok_or_else(|| format!("the weight of role {role} is not a number"))?))
    };
    list.iter().map(read).collect()
}
