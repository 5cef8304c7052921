//! Roles, quotas and weights.

use super::ANY_ROLE;
use super::amount;
use super::framework::{framework_id, roles as framework_roles};
use super::resources::{Amounts, nothing};
use super::task::living;
use orrery_core::Scalar;
use orrery_core::cluster::{Cluster, QuotaEdit};
use orrery_core::role::{ROLES_MAX, Role};
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
    let reserving = cluster.nodes.values().flat_map(|node| node.claims.reservations.keys()).map(AsRef::as_ref);
    let of_nodes = of_nodes.chain(reserving);
    let names: BTreeSet<&str> = of_framework.iter().copied().chain(of_nodes).chain(of_groups).chain(decided).collect();
    let mut allocated: BTreeMap<&str, Amounts> = BTreeMap::new();
    for instance in living(cluster) {
        allocated.entry(cluster.role_of(&instance.app)).or_default().add_task(instance);
    }
    let mut reserved: BTreeMap<&str, Amounts> = BTreeMap::new();
    for node in cluster.nodes.values() {
        if node.facts.role != ANY_ROLE {
            reserved.entry(&node.facts.role).or_default().add(&Amounts::of_node(&node.facts.resources));
        }
        for (role, reservation) in &node.claims.reservations {
            reserved.entry(role).or_default().add(&Amounts::of_bundle(&reservation.total()));
        }
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
    let usage = cluster.usage();
    let role = |role: &RoleUse<'_>| {
        let consumed = role.allocated.map();
        let decided = cluster.roles.get(role.name);
        let limit = decided.map_or_else(|| json!({}), |decided| limits(&decided.limits));
        let guarantee = decided.map_or_else(|| json!({}), |decided| limits(&decided.guarantees));
        // What limits are compared with: data count whether their tasks run or not.
        let charged = Amounts::of_sum(&usage.of_role(role.name, &cluster.roles));
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        put("name", json!(role.name));
        put("weight", json!(decided.map_or(1.0, |decided| decided.weight.to_f64())));
        put("quota", json!({ "role": role.name, "guarantee": guarantee, "limit": limit, "consumed": charged.map() }));
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

/// `GET /quota`, and the status in the answer to GET_QUOTA; `infos` tell of guarantees, as before Mesos 1.9.
pub fn quota(cluster: &Cluster) -> Value {
    let config = |role: &Role| {
        let amounts = |amounts: &BTreeMap<String, Scalar>| {
            amounts.iter().map(|(name, limit)| (name.clone(), json!({ "value": limit.to_f64() }))).collect::<Map<_, _>>()
        };
        json!({ "role": role.name, "guarantees": amounts(&role.guarantees), "limits": amounts(&role.limits) })
    };
    let info = |role: &Role| {
        let scalar = |(name, amount): (&String, &Scalar)| json!({ "name": name, "type": "SCALAR", "scalar": { "value": amount.to_f64() } });
        json!({ "role": role.name, "guarantee": role.guarantees.iter().map(scalar).collect::<Vec<_>>() })
    };
    let with_quota = || cluster.roles.values().filter(|role| role.has_quota());
    let guaranteed = with_quota().filter(|role| !role.guarantees.is_empty());
    json!({
        "infos": guaranteed.map(|role| info(role)).collect::<Vec<_>>(),
        "configs": with_quota().map(|role| config(role)).collect::<Vec<_>>(),
    })
}

/// `GET /weights`: roles whose weight is not 1.
pub fn weights(cluster: &Cluster) -> Value {
    let roles = cluster.roles.values().filter(|role| role.weight != Scalar::ONE);
    roles.map(|role| json!({ "role": role.name, "weight": role.weight.to_f64() })).collect::<Vec<_>>().into()
}

/// Reads the arguments of UPDATE_QUOTA: limits and guarantees by role, and whether to force them. Mesos
/// gave guarantees up in 1.9; here they are what is held back.
///
/// # Errors
/// One sentence when they are none.
pub fn read_quota(arguments: &Value) -> Result<(Vec<QuotaEdit>, bool), String> {
    let configs = arguments.get("quota_configs").and_then(Value::as_array);
    let configs = configs.filter(|configs| !configs.is_empty()).ok_or("update_quota.quota_configs names no role")?;
    check_count(configs.len())?;
    let (mut roles, mut named) = (Vec::new(), BTreeSet::new());
    for config in configs {
        let role = config.get("role").and_then(Value::as_str).ok_or("an entry of quota_configs has no role")?;
        if !named.insert(role) {
            return Err(format!("quota_configs has role {role} twice; keep one of the two"));
        }
        let known = ["role", "limits", "guarantees"];
        if let Some(other) = config.as_object().into_iter().flat_map(Map::keys).find(|field| !known.contains(&field.as_str())) {
            return Err(format!("role {role}: there is no field {other}; there are {}", known.join(", ")));
        }
        let read = |field: &str, word: &str| {
            let mut amounts = BTreeMap::new();
            let given = config.get(field).filter(|given| !given.is_null());
            let given = match given.map(|given| given.as_object().ok_or(given)) {
                Some(Err(given)) => {
                    return Err(format!(
                        "role {role}: {field} must be an object of resources (given: {})",
                        amount::written(given)
                    ));
                }
                Some(Ok(given)) => Some(given),
                None => None,
            };
            for (name, amount) in given.into_iter().flatten() {
                let value = amount.get("value").unwrap_or(amount);
                let amount =
                    amount::none_or_some(value).ok_or_else(|| no_amount(&format!("role {role}: the {word} of {name}"), value))?;
                if name == "ports" {
                    return Err(format!("role {role}: there is no quota of ports"));
                }
                amounts.insert(name.clone(), amount);
            }
            Ok(amounts)
        };
        let (limits, guarantees) = (read("limits", "limit")?, read("guarantees", "guarantee")?);
        roles.push(QuotaEdit { role: role.to_owned(), limits, guarantees });
    }
    Ok((roles, arguments.get("force").and_then(Value::as_bool).unwrap_or(false)))
}

/// Reads the body of `POST /quota`, `{"role", "guarantee": [scalars], "force"}`: the role may take as much as it is
/// guaranteed (platform.md 2.9: set that way, a guarantee is a limit too).
///
/// # Errors
/// One sentence when it is none.
pub fn read_guarantee(body: &Value) -> Result<(QuotaEdit, bool), String> {
    let role = body.get("role").and_then(Value::as_str).ok_or("the body names no role")?;
    let scalars = body.get("guarantee").and_then(Value::as_array).filter(|scalars| !scalars.is_empty());
    let mut amounts = BTreeMap::new();
    for scalar in scalars.ok_or_else(|| format!("role {role}: guarantee is no list of resources"))? {
        let name = scalar.get("name").and_then(Value::as_str).ok_or_else(|| format!("role {role}: a resource has no name"))?;
        let value = scalar.pointer("/scalar/value").unwrap_or(&Value::Null);
        let amount =
            amount::none_or_some(value).ok_or_else(|| no_amount(&format!("role {role}: the guarantee of {name}"), value))?;
        if amounts.insert(name.to_owned(), amount).is_some() {
            return Err(format!("role {role}: the guarantee has {name} twice; keep one of the two"));
        }
    }
    let force = body.get("force").and_then(Value::as_bool).unwrap_or(false);
    Ok((QuotaEdit { role: role.to_owned(), limits: amounts.clone(), guarantees: amounts }, force))
}

/// Reads a list of `{"role", "weight"}`.
///
/// # Errors
/// One sentence when it is none.
pub fn read_weights(list: &Value) -> Result<Vec<(String, Scalar)>, String> {
    let list = list.as_array().ok_or("send a list of {\"role\": …, \"weight\": …}")?;
    check_count(list.len())?;
    let mut named = BTreeSet::new();
    let mut read = |entry: &'_ Value| {
        let role = entry.get("role").and_then(Value::as_str).ok_or("an entry has no role")?;
        if !named.insert(role.to_owned()) {
            return Err(format!("role {role} has two weights; keep one of the two"));
        }
        let value = entry.get("weight").unwrap_or(&Value::Null);
        let weight = amount::some(value).ok_or_else(|| {
            format!("the weight of role {role} must be a number {} (given: {})", amount::SOME, amount::written(value))
        })?;
        Ok((role.to_owned(), weight))
    };
    list.iter().map(&mut read).collect()
}

/// What is wrong with `what`, for which `value` was given.
fn no_amount(what: &str, value: &Value) -> String {
    format!("{what} must be a number {} (given: {})", amount::NONE_OR_SOME, amount::written(value))
}

/// A call that names more roles than there may be is not looked at.
fn check_count(count: usize) -> Result<(), String> {
    if count > ROLES_MAX {
        return Err(format!("{count} roles in one call are more than the {ROLES_MAX} there may be"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_quota_is_refused_before_it_removes_one() {
        let read = |config: Value| read_quota(&json!({ "quota_configs": [config] }));
        for (config, message) in [
            (json!({ "role": "w", "limits": [] }), "role w: limits must be an object of resources (given: [])"),
            (json!({ "role": "w", "limits": "x" }), "role w: limits must be an object of resources (given: \"x\")"),
            (json!({ "role": "w", "garantees": {} }), "role w: there is no field garantees; there are role, limits, guarantees"),
        ] {
            assert_eq!(read(config).unwrap_err(), message);
        }
        let (edits, _) = read(json!({ "role": "w", "limits": { "cpus": { "value": 2 } }, "guarantees": null })).unwrap();
        assert_eq!((edits[0].limits["cpus"], edits[0].guarantees.len()), (Scalar::from_units(2), 0));
    }

    #[test]
    fn a_guarantee_of_old_is_a_limit_too() {
        let scalar = |name: &str, value: Value| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
        let body = json!({ "role": "dev", "guarantee": [scalar("cpus", json!(2.5)), scalar("mem", json!(64))], "force": true });
        let (edit, force) = read_guarantee(&body).unwrap();
        assert_eq!((edit.role.as_str(), force, edit.guarantees["cpus"]), ("dev", true, Scalar::from_thousandths(2_500)));
        assert_eq!(edit.limits, edit.guarantees);
        for (body, message) in [
            (json!({}), "the body names no role"),
            (json!({ "role": "dev" }), "role dev: guarantee is no list of resources"),
            (json!({ "role": "dev", "guarantee": [{}] }), "role dev: a resource has no name"),
            (
                json!({ "role": "dev", "guarantee": [scalar("cpus", json!("2"))] }),
                "role dev: the guarantee of cpus must be a number from 0 to 1000000000000 (given: \"2\")",
            ),
            (
                json!({ "role": "dev", "guarantee": [scalar("cpus", json!(1)), scalar("cpus", json!(2))] }),
                "role dev: the guarantee has cpus twice; keep one of the two",
            ),
        ] {
            assert_eq!(read_guarantee(&body).unwrap_err(), message);
        }
    }

    #[test]
    fn a_role_is_decided_about_once() {
        let config = |role: &str| json!({"role": role, "limits": {"cpus": {"value": 1}}});
        assert_eq!(read_quota(&json!({"quota_configs": [config("a"), config("b")]})).unwrap().0.len(), 2);
        let twice = read_quota(&json!({"quota_configs": [config("a"), config("b"), config("a")]}));
        assert!(twice.unwrap_err().contains("role a twice"));
        let weight = |role: &str| json!({"role": role, "weight": 2});
        assert_eq!(read_weights(&json!([weight("a"), weight("b")])).unwrap().len(), 2);
        assert!(read_weights(&json!([weight("a"), weight("a")])).unwrap_err().contains("two weights"));
    }

    #[test]
    fn limits_of_numbers_are_told_as_they_are() {
        let message = "the weight of role a must be a number from 0.001 to 1000000000000";
        for (weight, given) in [
            (json!(1e-9), "1e-9"),
            (json!(1e308), "1e+308"),
            (json!(0), "0"),
            (json!(-2), "-2"),
            (json!("2"), "\"2\""),
            (json!(null), "null"),
        ] {
            let fault = read_weights(&json!([{"role": "a", "weight": weight}])).unwrap_err();
            assert_eq!(fault, format!("{message} (given: {given})"));
        }
        assert_eq!(read_weights(&json!([{"role": "a", "weight": 0.001}])).unwrap()[0].1, Scalar::from_thousandths(1));
        for (field, word) in [("limits", "limit"), ("guarantees", "guarantee")] {
            let config = json!({"quota_configs": [{"role": "a", field: {"cpus": {"value": 1e308}}}]});
            let message = format!("role a: the {word} of cpus must be a number from 0 to 1000000000000 (given: 1e+308)");
            assert_eq!(read_quota(&config).unwrap_err(), message);
        }
    }

    #[test]
    fn more_roles_than_there_may_be_are_refused_unread() {
        let many: Vec<Value> = (0..=ROLES_MAX).map(|number| json!({"role": format!("r{number}"), "weight": 2})).collect();
        assert!(read_quota(&json!({"quota_configs": many})).unwrap_err().contains("10001 roles"));
        assert!(read_weights(&json!(many)).unwrap_err().contains("10001 roles"));
    }
}
