//! Records of one task: what [`super::ClusterZone`] derives must be what this says.

use super::cluster::{address, service};
use super::domain::Domain;
use super::exposure::Exposure;
use super::forms::{Forms, canonical_suffix, underscore, with_suffix};
use super::{Record, RecordData, framework_fragment, is_name, task_hash};
use crate::Instance;
use crate::node::NodeFacts;
use std::net::IpAddr;
use std::sync::Arc;

/// The records of a running task; none in any other state (platform.md 3.1).
///
/// Whether a task is healthy does not matter here, as in Mesos-DNS: a name whose tasks are all
/// unhealthy should refuse connections, not vanish.
///
/// Names that DNS cannot carry (a label above 63 bytes, a name above 253) are left out.
pub fn records_of_task(instance: &Instance, node: &NodeFacts, framework: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let Some(exposure) = Exposure::of(instance, node) else { return records };
    let framework = framework_fragment(framework);
    let forms = Forms::of(instance.app_id());
    if framework.is_empty() || forms.label().is_empty() {
        return records;
    }
    let suffix = canonical_suffix(&task_hash(&instance.task_id().to_string()), &node.id);
    let [mesos, slave] = [Domain::Mesos, Domain::Slave].map(|domain| domain.of(&framework));
    for form in forms.iter() {
        let unique = with_suffix(form, &suffix);
        let canonical: Arc<str> = format!("{unique}.{mesos}").into();
        let canonical_slave: Arc<str> = format!("{unique}.{slave}").into();
        for name in [format!("{form}.{mesos}").into(), canonical.clone()] {
            push_addresses(&mut records, &name, exposure.addresses(Domain::Mesos));
        }
        for name in [format!("{form}.{slave}").into(), canonical_slave.clone()] {
            push_addresses(&mut records, &name, exposure.addresses(Domain::Slave));
        }
        let underscored = underscore(form);
        for number in exposure.host_ports() {
            for protocol in ["tcp", "udp"] {
                records.push(service(format!("{underscored}._{protocol}.{slave}"), &canonical_slave, number));
            }
        }
        for port in exposure.discovered() {
            let port_label = port.label();
            for protocol in port.protocols {
                let name = format!("{underscored}._{protocol}.{mesos}");
                if !port_label.is_empty() {
                    records.push(service(format!("_{port_label}.{name}"), &canonical, port.number));
                }
                records.push(service(name, &canonical, port.number));
            }
        }
    }
    for domain in Domain::DIRECTORY {
        let name = format!("{}.{}", forms.label(), domain.of(&framework));
        push_addresses(&mut records, &name.into(), exposure.addresses(domain));
    }
    records.retain(|record| is_name(&record.name) && has_valid_target(record));
    records
}

fn push_addresses(records: &mut Vec<Record>, name: &Arc<str>, addresses: &[IpAddr]) {
    records.extend(addresses.iter().map(|ip| address(name.clone(), *ip)));
}

fn has_valid_target(record: &Record) -> bool {
    match &record.data {
        RecordData::Srv(service) => is_name(&service.target),
        RecordData::A(_) | RecordData::Aaaa(_) => true,
    }
}
