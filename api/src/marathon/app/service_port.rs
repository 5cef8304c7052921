//! Cluster-wide service ports.

use orrery_core::{App, Fault};

/// First service port given out (`--local_port_min`).
pub const SERVICE_PORT_FIRST: u16 = 10_000;
/// Last service port given out (`--local_port_max`).
pub const SERVICE_PORT_LAST: u16 = 20_000;

/// Gives every port of `app` that asks for service port 0 a free one. `previous` is the version
/// before, whose ports are kept index by index; `taken` tells whether another app has a port.
///
/// # Errors
/// A fault when all ports of the range are in use; `app` may then be half assigned.
pub fn assign_service_ports(app: &mut App, previous: Option<&App>, taken: &dyn Fn(u16) -> bool) -> Result<(), Fault> {
    let before: Vec<u16> =
        previous.map(|previous| previous.ports().iter().map(|port| port.service_port).collect()).unwrap_or_default();
    let mut ports: Vec<u16> = app.ports().iter().map(|port| port.service_port).collect();
    for (index, port) in before.iter().enumerate() {
        if ports.get(index) == Some(&0) && !ports.contains(port) {
            ports[index] = *port;
        }
    }
    let count = SERVICE_PORT_LAST - SERVICE_PORT_FIRST + 1;
    // Where to start looking depends on the id alone: spread out, yet the same on every controller.
    let start = app.id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let start = u16::try_from(start % u32::from(count)).unwrap_or(0);
    let mut candidates =
        (0..count).map(|step| SERVICE_PORT_FIRST + ((u32::from(start) + u32::from(step)) % u32::from(count)) as u16);
    for index in 0..ports.len() {
        if ports[index] == 0 {
            let free = candidates.find(|port| !taken(*port) && !ports.contains(port));
            ports[index] = free.ok_or_else(|| {
                let message = format!("All ports in the range [{SERVICE_PORT_FIRST}-{SERVICE_PORT_LAST}] are already in use");
                Fault::new("/portDefinitions", message)
            })?;
        }
    }
    if app.is_host_networked() {
        for (definition, port) in app.port_definitions.iter_mut().zip(ports) {
            definition.port = port;
        }
    } else if let Some(container) = &mut app.container {
        for (mapping, port) in container.port_mappings.iter_mut().zip(ports) {
            mapping.service_port = port;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marathon::app::{ReadContext, read_app};
    use serde_json::json;

    fn app(ports: &serde_json::Value) -> App {
        read_app(&json!({"id": "/a", "cmd": "x", "portDefinitions": ports}), ReadContext::default()).unwrap()
    }

    fn ports(app: &App) -> Vec<u16> {
        app.ports().iter().map(|port| port.service_port).collect()
    }

    #[test]
    fn assigns_keeps_and_exhausts() {
        let mut first = app(&json!([{"port": 0}, {"port": 80}, {"port": 0}]));
        assign_service_ports(&mut first, None, &|_| false).unwrap();
        let assigned = ports(&first);
        assert!(assigned[1] == 80 && assigned[0] != assigned[2]);
        assert!((SERVICE_PORT_FIRST..=SERVICE_PORT_LAST).contains(&assigned[0]));
        let mut second = app(&json!([{"port": 0}, {"port": 80}, {"port": 0}, {"port": 0}]));
        assign_service_ports(&mut second, Some(&first), &|port| port == 11_111).unwrap();
        assert_eq!(ports(&second)[..3], assigned[..]);
        let mut third = app(&json!([{"port": 0}]));
        assign_service_ports(&mut third, None, &|port| port != 12_345).unwrap();
        assert_eq!(ports(&third), [12_345]);
        assert!(assign_service_ports(&mut app(&json!([{"port": 0}])), None, &|_| true).is_err());
    }
}
