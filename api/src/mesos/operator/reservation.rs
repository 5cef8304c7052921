//! Resources in the arguments of calls: reservations and volumes.

use orrery_core::cluster::{ReservationEdit, VolumeName};
use orrery_core::{NodeId, Scalar};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most resources in one call.
pub const RESOURCES_MAX: usize = 1_000;

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
    Ok(list.clone())
}

/// Amounts by role, of both forms in which Mesos writes who a resource is reserved for: the stack
/// `reservations`, whose last entry counts, and the older `role` with `reservation`.
///
/// # Errors
/// One sentence that tells all that is wrong.
pub fn read_reservations(list: Option<&Value>) -> Result<ReservationEdit, String> {
    let (mut edit, mut faults) = (ReservationEdit::default(), Vec::new());
    for resource in listed(list, "resources")? {
        let last = resource.get("reservations").and_then(Value::as_array).and_then(|stack| stack.last());
        let details = last.or_else(|| resource.get("reservation"));
        let role = last.and_then(|last| last.get("role")).or_else(|| resource.get("role")).and_then(Value::as_str);
        let name = resource.get("name").and_then(Value::as_str);
        let amount = scalar(&resource);
        let (Some(name), Some(role), Some(amount)) = (name, role, amount) else {
            faults.push(format!("\"{}\" has no name, role or scalar value", name.unwrap_or("?")));
            continue;
        };
        edit.amounts.entry(role.to_owned()).or_default().add(name, amount);
        if let Some(principal) = details.and_then(|details| details.get("principal")).and_then(Value::as_str) {
            edit.principal = Some(principal.to_owned());
        }
        edit.labels.extend(details.map(labels).unwrap_or_default());
    }
    if faults.is_empty() { Ok(edit) } else { Err(faults.join("; ")) }
}

fn scalar(resource: &Value) -> Option<Scalar> {
    resource.get("scalar")?.get("value")?.as_f64().and_then(Scalar::from_f64)
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
    if let Some(addition) = arguments.get("addition") {
        return scalar(addition).filter(|by| by.is_positive()).ok_or_else(|| "addition has no scalar value above 0".to_owned());
    }
    let subtract = arguments.pointer("/subtract/value").and_then(Value::as_f64).and_then(Scalar::from_f64);
    let subtract = subtract.filter(|by| by.is_positive()).ok_or("give addition or subtract.value above 0")?;
    Ok(Scalar::ZERO - subtract)
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
        let eng = &edit.amounts["eng"];
        assert_eq!((eng.cpus, eng.mem), (Scalar::from_units(2), Scalar::from_units(64)));
        assert_eq!((edit.labels["for"].as_str(), edit.principal.as_deref()), ("db", Some("ops")));
        for wrong in
            [json!(null), json!({}), json!([{"name": "cpus"}]), json!([{"name": "cpus", "role": "a", "scalar": {"value": "x"}}])]
        {
            assert!(read_reservations(Some(&wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn volumes_are_named_by_their_persistence_ids() {
        let id = "shop_db.instance-00000000-0000-0000-0000-000000000007#data";
        let volume = json!({"disk": {"persistence": {"id": id}}});
        assert_eq!(read_volume(&volume).unwrap().path, "data");
        assert!(read_volume(&json!({"disk": {"persistence": {"id": "x"}}})).is_err());
        assert_eq!(read_resize(&json!({"addition": {"scalar": {"value": 5}}})).unwrap(), Scalar::from_units(5));
        assert_eq!(read_resize(&json!({"subtract": {"value": 5}})).unwrap(), Scalar::from_units(-5));
        assert!(read_resize(&json!({"subtract": {"value": -5}})).is_err());
    }
}
