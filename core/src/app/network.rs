//! Networks and ports of an app (marathon.md 1.6).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the task is attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// The node's own network.
    #[default]
    #[serde(rename = "host")]
    Host,
    /// A private address behind the node's bridge.
    #[serde(rename = "container/bridge")]
    Bridge,
    /// An address on a named network.
    #[serde(rename = "container")]
    Container,
}

/// One network attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Kind.
    #[serde(default)]
    pub mode: NetworkMode,
    /// Name of a container network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels for the network provider.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Network {
    /// The default: the node's network.
    pub fn host_only() -> Vec<Self> {
        vec![Self::default()]
    }
}

/// Transport protocols of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(rename = "tcp")]
    Tcp,
    /// UDP.
    #[serde(rename = "udp")]
    Udp,
    /// Both.
    #[serde(rename = "udp,tcp", alias = "tcp,udp")]
    Both,
}

impl Protocol {
    /// The single protocols meant.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &["tcp"],
            Self::Udp => &["udp"],
            Self::Both => &["tcp", "udp"],
        }
    }
}

/// A port of a host-mode app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDefinition {
    /// Service port; the host port too when `requirePorts`. 0 = assigned by the cluster.
    #[serde(default)]
    pub port: u16,
    /// Transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// Name for discovery and `PORT_<NAME>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels such as `VIP_0`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A port of a bridge or container network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port inside; 0 = equal to the host port.
    #[serde(default)]
    pub container_port: u16,
    /// Port on the node; 0 = any free one, absent = none (container networks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Cluster-wide service port; 0 = assigned.
    #[serde(default)]
    pub service_port: u16,
    /// Transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Networks this mapping applies to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}
