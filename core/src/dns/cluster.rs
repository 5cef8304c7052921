//! Records of masters and nodes.

use super::{CLUSTER_DOMAIN, MARATHON, MESOS_DOMAIN, Record, RecordData, Service};
use crate::node::NodeFacts;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Port of `_slave._tcp` for nodes that have no HTTP service of their own: that of a Mesos agent.
const AGENT_PORT: u16 = 5051;

/// Records of the masters (owner [`super::Owner::Masters`]): `leader`, `master`, `masterN`, `ns1`,
/// `marathon` and their SRV and `thisdcos.directory` forms. Without a leader the names that mean
/// the leader are absent.
pub fn master_records(masters: &[SocketAddr], leader: Option<SocketAddr>) -> Vec<Record> {
    let mut records = Vec::new();
    for (index, master) in masters.iter().enumerate() {
        for name in [
            format!("master.{MESOS_DOMAIN}"),
            format!("master{index}.{MESOS_DOMAIN}"),
            format!("ns1.{MESOS_DOMAIN}"),
            format!("master.{CLUSTER_DOMAIN}"),
        ] {
            records.push(address(name, master.ip()));
        }
    }
    let Some(leader) = leader else { return records };
    let leader_name: Arc<str> = format!("leader.{MESOS_DOMAIN}").into();
    let marathon_name: Arc<str> = format!("{MARATHON}.{MESOS_DOMAIN}").into();
    for name in [leader_name.clone(), marathon_name.clone(), format!("leader.{CLUSTER_DOMAIN}").into()] {
        records.push(address(name, leader.ip()));
    }
    for (name, target) in [
        (format!("_leader._tcp.{MESOS_DOMAIN}"), &leader_name),
        (format!("_leader._udp.{MESOS_DOMAIN}"), &leader_name),
        (format!("_framework._tcp.{MARATHON}.{MESOS_DOMAIN}"), &marathon_name),
    ] {
        records.push(service(name, target, leader.port()));
    }
    records
}

/// Records of one node (owner [`super::Owner::Node`]).
pub fn node_records(node: &NodeFacts) -> Vec<Record> {
    let slave: Arc<str> = format!("slave.{MESOS_DOMAIN}").into();
    let port = if node.port == 0 { AGENT_PORT } else { node.port };
    vec![address(slave.clone(), node.address), service(format!("_slave._tcp.{MESOS_DOMAIN}"), &slave, port)]
}

/// Everything [`master_records`] and [`node_records`] say, at once.
pub fn cluster_records<'a>(
    masters: &[SocketAddr],
    leader: Option<SocketAddr>,
    nodes: impl IntoIterator<Item = &'a NodeFacts>,
) -> Vec<Record> {
    let mut records = master_records(masters, leader);
    records.extend(nodes.into_iter().flat_map(node_records));
    records
}

pub(super) fn address(name: impl Into<Arc<str>>, address: IpAddr) -> Record {
    Record { name: name.into(), data: address.into() }
}

pub(super) fn service(name: impl Into<Arc<str>>, target: &Arc<str>, port: u16) -> Record {
    Record { name: name.into(), data: RecordData::Srv(Service { target: target.clone(), port }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_and_leader() {
        let masters: Vec<SocketAddr> = vec!["10.0.0.1:80".parse().unwrap(), "[fd00::2]:80".parse().unwrap()];
        let mut texts: Vec<String> = master_records(&masters, Some(masters[1]))
            .iter()
            .map(|record| match &record.data {
                RecordData::A(ip) => format!("{} A {ip}", record.name),
                RecordData::Aaaa(ip) => format!("{} AAAA {ip}", record.name),
                RecordData::Srv(service) => format!("{} SRV {}:{}", record.name, service.target, service.port),
            })
            .collect();
        texts.sort();
        assert_eq!(
            texts,
            [
                "_framework._tcp.marathon.mesos SRV marathon.mesos:80",
                "_leader._tcp.mesos SRV leader.mesos:80",
                "_leader._udp.mesos SRV leader.mesos:80",
                "leader.dcos.thisdcos.directory AAAA fd00::2",
                "leader.mesos AAAA fd00::2",
                "marathon.mesos AAAA fd00::2",
                "master.dcos.thisdcos.directory A 10.0.0.1",
                "master.dcos.thisdcos.directory AAAA fd00::2",
                "master.mesos A 10.0.0.1",
                "master.mesos AAAA fd00::2",
                "master0.mesos A 10.0.0.1",
                "master1.mesos AAAA fd00::2",
                "ns1.mesos A 10.0.0.1",
                "ns1.mesos AAAA fd00::2",
            ]
        );
        assert!(master_records(&masters, None).iter().all(|record| !record.name.starts_with("leader")));
    }
}
