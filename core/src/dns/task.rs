//! Records of one task.

use super::cluster::{address, service};
use super::label::mangle_to;
use super::{CLUSTER_DOMAIN, LABEL_MAX_BYTES, MESOS_DOMAIN, Record, framework_fragment, is_name, mangle, task_hash};
use crate::Instance;
use crate::instance::Condition;
use crate::node::NodeFacts;
use std::net::IpAddr;
use std::slice;
use std::sync::Arc;

/// A port as discovery shows it.
struct DiscoveredPort<'a> {
    name: Option<&'a str>,
    protocols: &'static [&'static str],
    number: u16,
}

/// The records of a running task; none in any other state (platform.md 3.1).
///
/// `.mesos` names stand for the node's address, as DC/OS sets Mesos-DNS up, because SRV records
/// carry the host ports there. The exception are tasks on their own network without any host
/// port: the node would not answer for them, so they are found by their own addresses.
/// Whether a task is healthy does not matter here, as in Mesos-DNS: a name whose tasks are all
/// unhealthy should refuse connections, not vanish.
///
/// Names that DNS cannot carry (a label above 63 bytes, a name above 253) are left out.
pub fn records_of_task(instance: &Instance, node: &NodeFacts, framework: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let (Condition::Running, Some(seat)) = (instance.condition, &instance.seat) else { return records };
    let framework = framework_fragment(framework);
    let app_name = instance.app_id().host_name();
    let label = mangle(&app_name);
    if framework.is_empty() || label.is_empty() {
        return records;
    }

    let node_address = slice::from_ref(&node.address);
    let own = instance.observed.addresses();
    let requests = instance.app.ports();
    let host_port = |index: usize| seat.host_ports.get(index).copied().filter(|port| *port != 0);
    let has_host_port = (0..requests.len()).any(|index| host_port(index).is_some());
    let uses_own_network = !instance.app.is_host_networked() && !own.is_empty();
    let reachable: &[IpAddr] = if uses_own_network && !has_host_port { own } else { node_address };

    let ports: Vec<DiscoveredPort<'_>> = requests
        .iter()
        .enumerate()
        .filter_map(|(index, request)| {
            let number = host_port(index).or(request.container_port.filter(|port| *port != 0))?;
            Some(DiscoveredPort { name: request.name, protocols: request.protocol.names(), number })
        })
        .collect();

    let suffix = format!("-{}-{}", task_hash(&instance.task_id().to_string()), node_tail(node.id.as_str()));
    let mut forms = vec![label.clone()];
    // The discovery name itself, dots kept, when it differs from the mangled one.
    if app_name != label {
        forms.push(app_name);
    }
    for form in &forms {
        let in_domain = |first: &str| format!("{first}.{framework}.{MESOS_DOMAIN}");
        let under_slave = |first: &str| format!("{first}.{framework}.slave.{MESOS_DOMAIN}");
        let unique = with_suffix(form, &suffix);
        let canonical: Arc<str> = in_domain(&unique).into();
        let canonical_slave: Arc<str> = under_slave(&unique).into();

        for name in [in_domain(form).into(), canonical.clone()] {
            push_addresses(&mut records, &name, reachable);
        }
        for name in [under_slave(form).into(), canonical_slave.clone()] {
            push_addresses(&mut records, &name, node_address);
        }
        let underscored = underscore(form);
        for index in 0..requests.len() {
            if let Some(number) = host_port(index) {
                for protocol in ["tcp", "udp"] {
                    let name = under_slave(&format!("{underscored}._{protocol}"));
                    records.push(service(name, &canonical_slave, number));
                }
            }
        }
        for port in &ports {
            let port_label = mangle_to(port.name.unwrap_or_default(), LABEL_MAX_BYTES - 1);
            for protocol in port.protocols {
                let name = in_domain(&format!("{underscored}._{protocol}"));
                if !port_label.is_empty() {
                    records.push(service(format!("_{port_label}.{name}"), &canonical, port.number));
                }
                records.push(service(name, &canonical, port.number));
            }
        }
    }

    let own_or_node = if own.is_empty() { node_address } else { own };
    for (kind, addresses) in [
        ("agentip", node_address),
        ("containerip", if instance.app.is_host_networked() { node_address } else { own_or_node }),
        ("autoip", reachable),
    ] {
        push_addresses(&mut records, &format!("{label}.{framework}.{kind}.{CLUSTER_DOMAIN}").into(), addresses);
    }
    records.retain(|record| is_name(&record.name) && has_valid_target(record));
    records
}

fn push_addresses(records: &mut Vec<Record>, name: &Arc<str>, addresses: &[IpAddr]) {
    records.extend(addresses.iter().map(|ip| address(name.clone(), *ip)));
}

fn has_valid_target(record: &Record) -> bool {
    match &record.data {
        super::RecordData::Srv(service) => is_name(&service.target),
        _ => true,
    }
}

/// The part of a node id that names the node: its last dash-separated field.
fn node_tail(node: &str) -> String {
    mangle(node.rsplit('-').next().unwrap_or_default())
}

/// Appends `suffix` to the last label of `form`, cutting that label so that it stays a label.
fn with_suffix(form: &str, suffix: &str) -> String {
    let start = form.rfind('.').map_or(0, |at| at + 1);
    let room = LABEL_MAX_BYTES.saturating_sub(suffix.len());
    let kept = form[start..].len().min(room);
    format!("{}{suffix}", form[..start + kept].trim_end_matches('-'))
}

/// Puts `_` before the first label of `form`, cutting that label so that it stays a label.
fn underscore(form: &str) -> String {
    let (first, rest) = form.split_at(form.find('.').unwrap_or(form.len()));
    format!("_{}{rest}", &first[..first.len().min(LABEL_MAX_BYTES - 1)])
}
