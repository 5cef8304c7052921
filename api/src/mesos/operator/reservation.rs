//! Resources in the arguments of calls: reservations and volumes.

use crate::mesos::{ANY_ROLE, amount};
use orrery_core::cluster::{ReservationEdit, VolumeName};
use orrery_core::node::Marks;
use orrery_core::role::name_fault;
use orrery_core::{NodeId, Scalar};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most resources in one call.
pub const RESOURCES_MAX: usize = 1_000;

/// What can be set aside.
const RESERVABLE: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// The node a call is about: `agent_id.value`.
///
/// # Errors
/// One sentence.
pub fn read_node(arguments: &Value) -> Result<NodeId, String> {
    let id = arguments.get("agent_id").and_then(|id| id.get("value")).and_then(Value::as_str);
    let id = id.ok_or("the call names no agent: agent_id.value is missing")?;
    NodeId::parse(id).map_err(|error| error.to_string())
}

fn listed(list: Option<&Value>, name: &str) -> Result<Vec<Value>, String> {
    let list = list.and_then(Value::as_array).ok_or_else(|| format!("{name} must be a list of resources"))?;
    if list.len() > RESOURCES_MAX {
        return Err(format!("{name} has {} entries, the most is {RESOURCES_MAX}", list.len()));
    }
    if list.is_empty() {
        return Err(format!("{name} must name at least one resource"));
    }
    Ok(list.clone())
}

/// Amounts by role, of both forms in which Mesos writes who a resource is reserved for: the stack
/// `reservations`, whose last entry counts, and the older `role` with `reservation`. What no node could do is
/// told here; whether this node can, is the cluster's to say.
///
/// # Errors
/// One sentence that tells all that is wrong.
pub fn read_reservations(list: Option<&Value>) -> Result<ReservationEdit, String> {
    let (mut edit, mut faults) = (ReservationEdit::default(), Vec::new());
    for resource in listed(list, "resources")? {
        let last = resource.get("reservations").and_then(Value::as_array).and_then(|stack| stack.last());
        let details = last.or_else(|| resource.get("reservation"));
        if let Some(kind) = details.and_then(|details| details.get("type")).filter(|kind| **kind != "DYNAMIC") {
            let written = amount::written(kind);
            faults.push(format!("a reservation of type {written} cannot be made here, only DYNAMIC: agents say what is static"));
            continue;
        }
        let role = last.and_then(|last| last.get("role")).or_else(|| resource.get("role")).and_then(Value::as_str);
        let name = resource.get("name").and_then(Value::as_str);
        let value = resource.pointer("/scalar/value");
        if name == Some("ports") {
            faults.push(format!("ports cannot be reserved; {} can", RESERVABLE.join(", ")));
            continue;
        }
        let (Some(name), Some(role), Some(value)) = (name, role, value) else {
            let parts = [(name.is_none(), "name"), (role.is_none(), "role"), (value.is_none(), "scalar value")];
            let missing: Vec<&str> = parts.into_iter().filter_map(|(is_missing, part)| is_missing.then_some(part)).collect();
            faults.push(format!("\"{}\" has no {}", name.unwrap_or("?"), missing.join(" and no ")));
            continue;
        };
        let amount = match reserved_amount(name, role, value) {
            Ok(amount) => amount,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let principal = details.and_then(|details| details.get("principal")).and_then(Value::as_str).map(str::to_owned);
        let marks = Marks { labels: details.map(labels).unwrap_or_default(), principal };
        edit.amounts.entry((role.to_owned(), marks)).or_default().add(name, amount);
    }
    if faults.is_empty() { Ok(edit) } else { Err(faults.join("; ")) }
}

/// An amount for a role, or what is wrong with it whatever the node.
fn reserved_amount(name: &str, role: &str, value: &Value) -> Result<Scalar, String> {
    if role == ANY_ROLE {
        return Err(format!("{name} can be reserved for a role, and * is everyone"));
    }
    if !RESERVABLE.contains(&name) {
        return Err(format!("{name} cannot be reserved; {} can", RESERVABLE.join(", ")));
    }
    let amount = amount::some(value).ok_or_else(|| {
        let written = amount::written(value);
        format!("{written} is no amount of {name} for role {role}; it must be a number {}", amount::SOME)
    })?;
    if name == "gpus" && amount.thousandths() % 1_000 != 0 {
        return Err(format!("{amount} is no number of gpus for role {role}; they are reserved whole"));
    }
    name_fault(role).map_or(Ok(amount), Err)
}

fn labels(details: &Value) -> BTreeMap<String, String> {
    let list = details.get("labels").and_then(|labels| labels.get("labels")).and_then(Value::as_array);
    let text = |label: &Value, key: &str| label.get(key).and_then(Value::as_str).map(str::to_owned);
    list.into_iter().flatten().filter_map(|label| Some((text(label, "key")?, text(label, "value").unwrap_or_default()))).collect()
}

/// Volumes by their persistence ids.
///
/// # Errors
/// One sentence that tells all that is wrong.
pub fn read_volumes(list: Option<&Value>) -> Result<Vec<VolumeName>, String> {
    let (mut volumes, mut faults) = (Vec::new(), Vec::new());
    for resource in listed(list, "volumes")? {
        match read_volume(&resource) {
            Ok(volume) => volumes.push(volume),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(volumes) } else { Err(faults.join("; ")) }
}

/// The volume that a resource is: `disk.persistence.id`.
///
/// # Errors
/// One sentence.
pub fn read_volume(resource: &Value) -> Result<VolumeName, String> {
    let id = resource.pointer("/disk/persistence/id").and_then(Value::as_str).ok_or("a volume has no disk.persistence.id")?;
    VolumeName::parse(id).ok_or_else(|| format!("\"{}\" is no persistence id", id.chars().take(200).collect::<String>()))
}

/// By how much GROW_VOLUME and SHRINK_VOLUME change a volume, MiB, below 0 to shrink.
///
/// # Errors
/// One sentence.
pub fn read_resize(arguments: &Value) -> Result<Scalar, String> {
    let by = |name: &str, value: Option<&Value>| {
        let value = value.unwrap_or(&Value::Null);
        amount::some(value).ok_or_else(|| format!("{name} must be a number {} (given: {})", amount::SOME, amount::written(value)))
    };
    if let Some(addition) = arguments.get("addition") {
        return by("addition.scalar.value", addition.pointer("/scalar/value"));
    }
    let subtract = arguments.get("subtract").ok_or("give addition.scalar.value or subtract.value")?;
    Ok(Scalar::ZERO - by("subtract.value", subtract.get("value"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_reservations_are_read() {
        let resources = json!([
            {"type": "SCALAR", "name": "cpus", "scalar": {"value": 2.0},
             "reservations": [{"type": "DYNAMIC", "role": "eng", "principal": "ops", "labels": {"labels": [{"key": "for", "value": "db"}]}}]},
            {"type": "SCALAR", "name": "mem", "scalar": {"value": 64.0}, "role": "eng", "reservation": {"principal": "ops"}},
        ]);
        let edit = read_reservations(Some(&resources)).unwrap();
        let parts: Vec<_> = edit.amounts.iter().map(|((role, marks), bundle)| (role.as_str(), marks, bundle)).collect();
        let [("eng", plain, mem), ("eng", marked, cpus)] = parts[..] else { panic!("{parts:?}") };
        assert_eq!((cpus.cpus, mem.mem), (Scalar::from_units(2), Scalar::from_units(64)));
        assert_eq!((marked.labels["for"].as_str(), marked.principal.as_deref()), ("db", Some("ops")));
        assert!(plain.labels.is_empty() && plain.principal.as_deref() == Some("ops"));
        let of_agents = json!([{"name": "cpus", "scalar": {"value": 2}, "reservations": [{"type": "STATIC", "role": "eng"}]}]);
        let refused = read_reservations(Some(&of_agents)).unwrap_err();
        assert!(refused.contains("only DYNAMIC: agents say what is static"), "{refused}");
        for wrong in
            [json!(null), json!({}), json!([{"name": "cpus"}]), json!([{"name": "cpus", "role": "a", "scalar": {"value": "x"}}])]
        {
            assert!(read_reservations(Some(&wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_node_could_do_is_told() {
        let resource = |name: &str, role: &str, amount: f64| json!({"type": "SCALAR", "name": name, "role": role, "scalar": {"value": amount}});
        for (resource, words) in [
            (resource("cpus", "eng", -1.0), "-1.0 is no amount of cpus"),
            (resource("cpus", "eng", 0.0), "0.0 is no amount of cpus"),
            (
                resource("cpus", "eng", 1e-9),
                "1e-9 is no amount of cpus for role eng; it must be a number from 0.001 to 1000000000000",
            ),
            (resource("cpus", "eng", 1e308), "1e+308 is no amount of cpus for role eng; it must be a number from 0.001 to"),
            (json!({"name": "cpus", "role": "eng"}), "\"cpus\" has no scalar value"),
            (json!({"scalar": {"value": 1}}), "\"?\" has no name and no role"),
            (resource("cpus", "*", 1.0), "* is everyone"),
            (resource("cpus", "a/../b", 1.0), "no name of a role"),
            (resource("cpus", "", 1.0), "no name of a role"),
            (resource("tapes", "eng", 1.0), "tapes cannot be reserved"),
            (resource("gpus", "eng", 0.5), "reserved whole"),
            (json!({"name": "ports", "role": "eng", "ranges": {"range": []}}), "ports cannot be reserved"),
        ] {
            let fault = read_reservations(Some(&json!([resource]))).unwrap_err();
            assert!(fault.contains(words), "{words}: {fault}");
        }
        assert!(read_reservations(Some(&json!([]))).unwrap_err().contains("at least one"));
        assert!(read_volumes(Some(&json!([]))).unwrap_err().contains("at least one"));
    }

    #[test]
    fn volumes_are_named_by_their_persistence_ids() {
        let id = "shop_db.instance-00000000-0000-0000-0000-000000000007#data";
        let volume = json!({"disk": {"persistence": {"id": id}}});
        assert_eq!(read_volume(&volume).unwrap().path, "data");
        assert!(read_volume(&json!({"disk": {"persistence": {"id": "x"}}})).is_err());
        assert_eq!(read_resize(&json!({"addition": {"scalar": {"value": 5}}})).unwrap(), Scalar::from_units(5));
        assert_eq!(read_resize(&json!({"subtract": {"value": 5}})).unwrap(), Scalar::from_units(-5));
        for (arguments, message) in [
            (json!({"subtract": {"value": -5}}), "subtract.value must be a number from 0.001 to 1000000000000 (given: -5)"),
            (
                json!({"addition": {"scalar": {"value": 1e308}}}),
                "addition.scalar.value must be a number from 0.001 to 1000000000000 (given: 1e+308)",
            ),
            (json!({}), "give addition.scalar.value or subtract.value"),
        ] {
            assert_eq!(read_resize(&arguments).unwrap_err(), message);
        }
    }
}
