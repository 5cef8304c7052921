//! How a running task can be reached.

use super::domain::Domain;
use super::forms::UNDERSCORED_BYTES;
use super::label::mangle_to;
use crate::Instance;
use crate::app::PortRequest;
use crate::instance::Condition;
use crate::node::NodeFacts;
use std::net::IpAddr;
use std::slice;

/// Addresses and ports of a running task.
#[derive(Debug, Clone)]
pub(super) struct Exposure<'a> {
    node: &'a [IpAddr],
    /// Of its own network.
    own: &'a [IpAddr],
    is_host_networked: bool,
    host_ports: &'a [u16],
    requests: Vec<PortRequest<'a>>,
}

/// A port as discovery shows it.
pub(super) struct DiscoveredPort<'a> {
    name: Option<&'a str>,
    pub(super) protocols: &'static [&'static str],
    pub(super) number: u16,
}

impl DiscoveredPort<'_> {
    /// Its name as a label, with room for an underscore; empty when it has none.
    pub(super) fn label(&self) -> String {
        mangle_to(self.name.unwrap_or_default(), UNDERSCORED_BYTES)
    }
}

impl<'a> Exposure<'a> {
    /// That of `instance` on `node`; `None` in any state but running.
    pub(super) fn of(instance: &'a Instance, node: &'a NodeFacts) -> Option<Self> {
        let seat = instance.seat.as_ref().filter(|_| instance.condition == Condition::Running)?;
        Some(Self {
            node: slice::from_ref(&node.address),
            own: instance.observed.addresses(),
            is_host_networked: instance.app.is_host_networked(),
            host_ports: &seat.host_ports,
            requests: instance.app.ports(),
        })
    }

    /// What the names of the task in `domain` stand for.
    ///
    /// `.mesos` names stand for the node's address, as DC/OS sets Mesos-DNS up, because SRV records
    /// carry the host ports there. The exception are tasks on their own network without any host
    /// port: the node would not answer for them, so they are found by their own addresses.
    pub(super) fn addresses(&self, domain: Domain) -> &'a [IpAddr] {
        let uses_own_network = !self.is_host_networked && !self.own.is_empty();
        match domain {
            Domain::ContainerIp if uses_own_network => self.own,
            Domain::Mesos | Domain::AutoIp if uses_own_network && self.host_ports().next().is_none() => self.own,
            _ => self.node,
        }
    }

    /// Ports on the node.
    pub(super) fn host_ports(&self) -> impl Iterator<Item = u16> {
        (0..self.requests.len()).filter_map(|index| self.host_port(index))
    }

    /// Ports for discovery: on the node where there is one, else in the container.
    pub(super) fn discovered(&self) -> impl Iterator<Item = DiscoveredPort<'a>> {
        self.requests.iter().enumerate().filter_map(|(index, request)| {
            let number = self.host_port(index).or(request.container_port.filter(|port| *port != 0))?;
            Some(DiscoveredPort { name: request.name, protocols: request.protocol.names(), number })
        })
    }

    fn host_port(&self, index: usize) -> Option<u16> {
        self.host_ports.get(index).copied().filter(|port| *port != 0)
    }
}
