//! Cluster-wide service ports (marathon.md 1.6): assigned from a fixed range, kept across updates.

use super::Cluster;
use crate::app::App;
use crate::{AppId, Fault};

/// First port that is assigned.
pub const SERVICE_PORT_FIRST: u16 = 10_000;
/// Last port that is assigned.
pub const SERVICE_PORT_LAST: u16 = 20_000;

/// The service ports of an app, in order, for reading and filling in.
fn service_ports(app: &mut App) -> Vec<&mut u16> {
    if app.is_host_networked() {
        return app.port_definitions.iter_mut().map(|definition| &mut definition.port).collect();
    }
    app.container.iter_mut().flat_map(|container| &mut container.port_mappings).map(|mapping| &mut mapping.service_port).collect()
}

/// Fills in every service port that is 0: the port of the same index of the previous version, else
/// the lowest free one.
pub(super) fn assign(cluster: &Cluster, app: &mut App, previous: Option<&App>) -> Result<(), Fault> {
    if app.is_host_networked() && app.require_ports {
        // The declared port is the host port: zero means any, and nothing is assigned.
        return Ok(());
    }
    let id = app.id.clone();
    let mut before: Vec<u16> = previous
        .cloned()
        .map(|mut previous| service_ports(&mut previous).into_iter().map(|port| *port).collect())
        .unwrap_or_default();
    before.resize(app.ports().len().max(before.len()), 0);
    let mut mine: Vec<u16> = service_ports(app).into_iter().map(|port| *port).filter(|port| *port != 0).collect();
    let mut search = SERVICE_PORT_FIRST..=SERVICE_PORT_LAST;
    for (index, port) in service_ports(app).into_iter().enumerate().filter(|(_, port)| **port == 0) {
        let free =
            |port: u16, mine: &[u16]| !mine.contains(&port) && cluster.service_ports.get(&port).is_none_or(|owner| *owner == id);
        let kept = before.get(index).copied().filter(|port| *port != 0 && free(*port, &mine));
        let Some(found) = kept.or_else(|| search.find(|port| free(*port, &mine))) else {
            let message = format!(
                "All ports in the range [{SERVICE_PORT_FIRST}-{SERVICE_PORT_LAST}] are already in use; declare fewer ports or remove unused apps"
            );
            return Err(Fault::new(format!("/portDefinitions/{index}/port"), message));
        };
        *port = found;
        mine.push(found);
    }
    Ok(())
}

/// Records that `app` uses its service ports.
pub(super) fn hold(cluster: &mut Cluster, app: &App) {
    for port in service_ports(&mut app.clone()) {
        if *port != 0 && !cluster.service_ports.contains_key(port) {
            cluster.service_ports.insert(*port, app.id.clone());
        }
    }
}

/// Releases the service ports of `app`.
pub(super) fn release(cluster: &mut Cluster, id: &AppId, app: &App) {
    for port in service_ports(&mut app.clone()) {
        if cluster.service_ports.get(port) == Some(id) {
            cluster.service_ports.remove(port);
        }
    }
}
