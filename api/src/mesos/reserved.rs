//! What is set aside on nodes: for the node's role, by reservations, and by instances with data.

use super::ANY_ROLE;
use super::resources::Amounts;
use orrery_core::node::{Bundle, Hold, Marks, Node, Reservation};
use orrery_core::{InstanceId, Scalar};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is reserved on a node, by role, and the rest.
pub(super) fn by_role(node: &Node) -> (BTreeMap<String, Amounts>, Amounts) {
    let total = Amounts::of_node(&node.facts.resources);
    if node.facts.role != ANY_ROLE {
        return (BTreeMap::from([(node.facts.role.clone(), total)]), Amounts::default());
    }
    let mut roles: BTreeMap<String, Bundle> = BTreeMap::new();
    for (role, reservation) in &node.claims.reservations {
        roles.insert(role.to_string(), reservation.total());
    }
    let mut rest = total;
    for bundle in roles.values() {
        rest.cpus = rest.cpus.minus_or_zero(bundle.cpus);
        rest.mem = rest.mem.minus_or_zero(bundle.mem);
        rest.disk = rest.disk.minus_or_zero(bundle.disk);
        rest.gpus = rest.gpus.saturating_sub(bundle.gpus);
    }
    (roles.into_iter().map(|(role, bundle)| (role, Amounts::of_bundle(&bundle))).collect(), rest)
}

/// All that a node has as typed resources, each part once: what is reserved, and the rest. The volumes of
/// instances are parts of these.
pub(super) fn total(node: &Node) -> Value {
    let role = node.facts.role.as_str();
    if role != ANY_ROLE {
        return Amounts::of_node(&node.facts.resources).list(role, None);
    }
    let mut list: Vec<Value> =
        node.claims.reservations.iter().flat_map(|(role, reservation)| of_reservation(role, reservation)).collect();
    if let Value::Array(rest) = by_role(node).1.list(role, None) {
        list.extend(rest);
    }
    Value::Array(list)
}

/// The same as typed resources, with who made a reservation, its labels, and the volumes of instances.
pub(super) fn full(node: &Node) -> Map<String, Value> {
    let mut full: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if node.facts.role != ANY_ROLE {
        let (roles, _) = by_role(node);
        let lists = roles.into_iter().map(|(role, amounts)| (role.clone(), amounts.list(&role, None)));
        full.extend(lists.map(|(role, list)| (role, list.as_array().cloned().unwrap_or_default())));
    }
    for (role, reservation) in &node.claims.reservations {
        full.entry(role.to_string()).or_default().extend(of_reservation(role, reservation));
    }
    for (id, hold) in &node.claims.holds {
        let role = hold.role.as_deref().unwrap_or(ANY_ROLE);
        full.entry(role.to_owned()).or_default().extend(volumes(id, hold, role));
    }
    full.into_iter().map(|(role, list)| (role, Value::Array(list))).collect()
}

/// What an agent's operator said without, what was reserved later with its details: so clients tell them apart.
fn of_reservation<'a>(role: &'a str, reservation: &'a Reservation) -> impl Iterator<Item = Value> + 'a {
    let fixed = reservation.fixed.amounts().map(move |(name, amount)| scalar(role, name, amount));
    let made = reservation.made.iter().flat_map(move |made| {
        made.resources.amounts().map(move |(name, amount)| {
            let mut entry = scalar(role, name, amount);
            entry["reservation"] = details(&made.marks);
            entry
        })
    });
    fixed.chain(made)
}

fn scalar(role: &str, name: &str, amount: Scalar) -> Value {
    json!({ "name": name, "type": "SCALAR", "scalar": { "value": amount.to_f64() }, "role": role })
}

fn details(marks: &Marks) -> Value {
    let mut details = json!({});
    if let Some(principal) = &marks.principal {
        details["principal"] = json!(principal);
    }
    if !marks.labels.is_empty() {
        let labels = marks.labels.iter().map(|(key, value)| json!({ "key": key, "value": value }));
        details["labels"] = json!({ "labels": labels.collect::<Vec<_>>() });
    }
    details
}

/// Persistent volumes, labelled as Marathon labels them.
fn volumes<'a>(id: &'a InstanceId, hold: &'a Hold, role: &'a str) -> impl Iterator<Item = Value> + 'a {
    hold.volumes.iter().map(move |(path, size)| {
        let mut entry = scalar(role, "disk", *size);
        entry["disk"] = json!({
            "persistence": { "id": format!("{id}#{path}"), "principal": "marathon" },
            "volume": { "container_path": path, "mode": "RW" },
        });
        entry["reservation"] = json!({
            "principal": "marathon",
            "labels": { "labels": [{ "key": "marathon_task_id", "value": id }] },
        });
        entry
    })
}
