//! Reading of networks and ports, old forms included.

use crate::json::{Cursor, Reader};
use orrery_core::app::{Network, NetworkMode, PortDefinition, PortMapping, Protocol};

/// Name a container network gets when the spec gives none, as DC/OS configured its Marathon.
pub const DEFAULT_NETWORK_NAME: &str = "dcos";

/// Name of the port an app has when it declares none.
const DEFAULT_PORT_NAME: &str = "default";

/// The ports of a host-mode app that declares none.
pub(super) fn default_port_definitions() -> Vec<PortDefinition> {
    vec![PortDefinition { name: Some(DEFAULT_PORT_NAME.to_owned()), ..PortDefinition::default() }]
}

/// The ports of a bridge- or container-mode app that declares none.
pub(super) fn default_port_mappings() -> Vec<PortMapping> {
    vec![PortMapping { name: Some(DEFAULT_PORT_NAME.to_owned()), ..PortMapping::default() }]
}

const PROTOCOLS: [(&str, Protocol); 4] =
    [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("udp,tcp", Protocol::Both), ("tcp,udp", Protocol::Both)];

pub(super) fn read_network(reader: &mut Reader, at: &Cursor<'_>) -> Option<Network> {
    let object = reader.object(at)?;
    let modes = [("host", NetworkMode::Host), ("container/bridge", NetworkMode::Bridge), ("container", NetworkMode::Container)];
    let name = object.get("name").and_then(|cursor| reader.text(&cursor)).filter(|name| !name.is_empty());
    let mode = match object.get("mode") {
        Some(cursor) => reader.word(&cursor, &modes)?,
        None => NetworkMode::Container,
    };
    let labels = object.get("labels").and_then(|cursor| reader.texts(&cursor)).unwrap_or_default();
    let unnamed = mode == NetworkMode::Container && name.is_none();
    Some(Network { mode, name: if unnamed { Some(DEFAULT_NETWORK_NAME.to_owned()) } else { name }, labels })
}

pub(super) fn read_port_definition(reader: &mut Reader, at: &Cursor<'_>) -> Option<PortDefinition> {
    let object = reader.object(at)?;
    Some(PortDefinition {
        port: object.get("port").and_then(|cursor| reader.port(&cursor)).unwrap_or(0),
        protocol: object.get("protocol").and_then(|cursor| reader.word(&cursor, &PROTOCOLS)).unwrap_or_default(),
        name: object.get("name").and_then(|cursor| reader.text(&cursor)).filter(|name| !name.is_empty()),
        labels: object.get("labels").and_then(|cursor| reader.texts(&cursor)).unwrap_or_default(),
    })
}

/// Legacy `ports`: bare service ports.
pub(super) fn read_legacy_port(reader: &mut Reader, at: &Cursor<'_>) -> Option<PortDefinition> {
    Some(PortDefinition { port: reader.port(at)?, ..PortDefinition::default() })
}

pub(super) fn read_port_mapping(reader: &mut Reader, at: &Cursor<'_>) -> Option<PortMapping> {
    let object = reader.object(at)?;
    Some(PortMapping {
        container_port: object.get("containerPort").and_then(|cursor| reader.port(&cursor)).unwrap_or(0),
        host_port: object.get("hostPort").and_then(|cursor| reader.port(&cursor)),
        service_port: object.get("servicePort").and_then(|cursor| reader.port(&cursor)).unwrap_or(0),
        protocol: object.get("protocol").and_then(|cursor| reader.word(&cursor, &PROTOCOLS)).unwrap_or_default(),
        name: object.get("name").and_then(|cursor| reader.text(&cursor)).filter(|name| !name.is_empty()),
        labels: object.get("labels").and_then(|cursor| reader.texts(&cursor)).unwrap_or_default(),
        network_names: object.get("networkNames").and_then(|cursor| reader.list(&cursor, Reader::text)).unwrap_or_default(),
    })
}

/// What the legacy `ipAddress` says.
pub(super) struct IpAddress {
    pub(super) network: Network,
    /// Its `discovery.ports`, which publish nothing on the node.
    pub(super) port_mappings: Option<Vec<PortMapping>>,
}

pub(super) fn read_ip_address(reader: &mut Reader, at: &Cursor<'_>) -> Option<IpAddress> {
    let object = reader.object(at)?;
    let name = object.get("networkName").and_then(|cursor| reader.text(&cursor)).filter(|name| !name.is_empty());
    let labels = object.get("labels").and_then(|cursor| reader.texts(&cursor)).unwrap_or_default();
    let ports = object
        .get("discovery")
        .and_then(|cursor| reader.object(&cursor))
        .and_then(|discovery| discovery.get("ports"))
        .and_then(|cursor| reader.list(&cursor, read_discovery_port));
    let name = name.unwrap_or_else(|| DEFAULT_NETWORK_NAME.to_owned());
    Some(IpAddress {
        network: Network { mode: NetworkMode::Container, name: Some(name), labels },
        port_mappings: ports.filter(|ports| !ports.is_empty()),
    })
}

fn read_discovery_port(reader: &mut Reader, at: &Cursor<'_>) -> Option<PortMapping> {
    let object = reader.object(at)?;
    let Some(number) = object.get("number") else {
        reader.fault(format!("{}/number", at.path), "is missing; give the port inside the container");
        return None;
    };
    Some(PortMapping {
        container_port: reader.port(&number)?,
        protocol: object.get("protocol").and_then(|cursor| reader.word(&cursor, &PROTOCOLS)).unwrap_or_default(),
        name: object.get("name").and_then(|cursor| reader.text(&cursor)),
        labels: object.get("labels").and_then(|cursor| reader.texts(&cursor)).unwrap_or_default(),
        ..PortMapping::default()
    })
}

/// The networks that the legacy `container.docker.network` and `ipAddress` mean; `None` when
/// neither is given.
pub(super) fn legacy_networks(
    reader: &mut Reader,
    docker_network: Option<&Cursor<'_>>,
    ip_address: Option<&IpAddress>,
) -> Option<Vec<Network>> {
    let modes = [
        ("HOST", NetworkMode::Host),
        ("BRIDGE", NetworkMode::Bridge),
        ("USER", NetworkMode::Container),
        ("NONE", NetworkMode::Container),
    ];
    let mode = docker_network.and_then(|cursor| reader.word(cursor, &modes));
    let network = match (mode, ip_address) {
        (Some(NetworkMode::Container) | None, Some(ip_address)) => ip_address.network.clone(),
        (Some(NetworkMode::Container), None) => {
            Network { mode: NetworkMode::Container, name: Some(DEFAULT_NETWORK_NAME.to_owned()), ..Network::default() }
        }
        (Some(mode), _) => Network { mode, ..Network::default() },
        (None, None) => return None,
    };
    Some(vec![network])
}
