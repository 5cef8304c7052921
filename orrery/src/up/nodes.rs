//! The nodes that `orrery up` makes of one machine.

use super::attributes::{self, Source};
use crate::arguments::{AGENTS_MAX, UpOptions};
use orrery_core::Scalar;
use orrery_core::node::{
    CPUS_MAX, CUSTOM_MAX, GPUS_MAX, MIB_MAX, NodeFacts, NodeId, PortRanges, RESERVATIONS_MAX, Resources, TEXT_BYTES_MAX,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The id of node `index`: the first of its numbers that is not taken, by a decommissioned node or by a machine
/// that joined with a token.
pub(crate) fn node_id(cluster_id: &str, index: u16, is_taken: impl Fn(&NodeId) -> bool) -> anyhow::Result<NodeId> {
    let mut number = u64::from(index);
    loop {
        let id = NodeId::parse(&format!("{cluster_id}-S{number}"))?;
        if !is_taken(&id) {
            return Ok(id);
        }
        number += u64::from(AGENTS_MAX);
    }
}

/// Facts of node `index` of `options.agents`, which share `detected`; for options without [`faults`].
pub(crate) fn facts(options: &UpOptions, index: u16, id: NodeId, detected: &Resources) -> NodeFacts {
    // All of 127.0.0.0/8 is this machine, so that every node has an address and a name of its own.
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + index as u8));
    let mut resources = share(detected, index, options.agents);
    // Faults of both flags were refused before anything began.
    override_resources(&mut resources, options.resources.as_deref().unwrap_or_default(), index, options.agents);
    NodeFacts {
        port: 5051,
        resources,
        attributes: attributes_of(options, index),
        version: env!("CARGO_PKG_VERSION").into(),
        ..NodeFacts::new(id, address.to_string(), address)
    }
}

/// An equal share of everything; ports are split, since all nodes share one network.
fn share(detected: &Resources, index: u16, count: u16) -> Resources {
    let part = |all: Scalar| Scalar::from_thousandths(all.thousandths() / i64::from(count));
    Resources {
        cpus: part(detected.cpus),
        mem: part(detected.mem),
        disk: part(detected.disk),
        gpus: if index == 0 { detected.gpus } else { 0 },
        ports: split(&detected.ports, index, count),
        custom: detected.custom.clone(),
        reserved: detected.reserved.clone(),
    }
}

fn split(ports: &PortRanges, index: u16, count: u16) -> PortRanges {
    let each = ports.len() / u32::from(count);
    let mine = ports.iter().skip((u32::from(index) * each) as usize).take(each as usize);
    PortRanges::new(mine.map(|port| (port, port)))
}

/// Everything in `--attributes` and `--resources` that the nodes would not have as it is written.
pub(crate) fn faults(options: &UpOptions) -> Vec<String> {
    let mut faults = Vec::new();
    let (given, nodes) = (options.attributes.len(), usize::from(options.agents));
    if given > 1 && given != nodes {
        faults.push(format!("--attributes is there {given} times for {nodes} nodes; give it once for all, or once for each"));
    }
    let told = options.attributes.iter().flat_map(|text| attributes::read(text, Source::Up).1);
    faults.extend(told.map(|fault| format!("--attributes: {fault}")));
    let wrong =
        override_resources(&mut Resources::default(), options.resources.as_deref().unwrap_or_default(), 0, options.agents);
    faults.extend(wrong.into_iter().map(|fault| format!("--resources: {}", fault.message)));
    faults
}

/// The attributes of node `index`.
fn attributes_of(options: &UpOptions, index: u16) -> BTreeMap<String, String> {
    let text = options
        .attributes
        .get(usize::from(index))
        .or_else(|| options.attributes.first().filter(|_| options.attributes.len() == 1));
    attributes::read(text.map_or("", String::as_str), Source::Up).0
}

/// Names that are no resource of the operator's own but one of ours, misspelt.
const TYPING_ERRORS: [&str; 12] =
    ["cpu", "CPU", "CPUS", "core", "cores", "memory", "ram", "MEM", "disks", "storage", "gpu", "port"];

/// What is wrong with a part of `NAME:AMOUNT;…`.
#[derive(Debug)]
pub(crate) struct ResourceFault {
    /// The part.
    pub(crate) part: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// `cpus(role):4`: for one role only (Mesos' static reservations). It comes on top of what is `given`
/// for everyone, and is a part of what was detected otherwise.
fn reserve(resources: &mut Resources, name: &str, role: &str, amount: Scalar, given: bool) -> anyhow::Result<()> {
    if role == "*" {
        anyhow::bail!("{name}({role}) is for everyone; write {name}");
    }
    if let Some(fault) = orrery_core::role::name_fault(role) {
        anyhow::bail!("{fault}");
    }
    let total = match name {
        "cpus" => &mut resources.cpus,
        "mem" => &mut resources.mem,
        "disk" => &mut resources.disk,
        _ => anyhow::bail!("\"{name}({role})\" cannot be reserved; use cpus, mem and disk"),
    };
    let known = resources.reserved.contains_key(role);
    anyhow::ensure!(
        known || resources.reserved.len() < RESERVATIONS_MAX,
        "\"{role}\" is one role too many; a node reserves for at most {RESERVATIONS_MAX}"
    );
    let sum = if given { *total + amount } else { (*total).max(amount) };
    let most = Scalar::from_units(if name == "cpus" { CPUS_MAX } else { MIB_MAX });
    anyhow::ensure!(sum <= most, "with {name}({role}):{amount} there are more {name} than a node may have; the most is {most}");
    *total = sum;
    resources.reserved.entry(role.to_owned()).or_default().add(name, amount);
    Ok(())
}

/// `cpus:4`: for everyone.
fn offer(resources: &mut Resources, name: &str, value: &str, index: u16, count: u16) -> anyhow::Result<()> {
    if name == "ports" {
        resources.ports = split(&value.parse().map_err(|error| anyhow::anyhow!("{error}"))?, index, count);
        return Ok(());
    }
    let amount = amount_of(name, value)?;
    match name {
        "cpus" => resources.cpus = amount,
        "mem" => resources.mem = amount,
        "disk" => resources.disk = amount,
        "gpus" if amount.thousandths() % 1000 != 0 => anyhow::bail!("\"{value}\" is no number of gpus; they are counted whole"),
        "gpus" => resources.gpus = (amount.thousandths() / 1000) as u32,
        name if TYPING_ERRORS.contains(&name) || name.is_empty() => {
            anyhow::bail!("\"{name}\" is unknown; use cpus, mem (MiB), disk (MiB), gpus, ports, or a name of your own")
        }
        name if name.len() > TEXT_BYTES_MAX => anyhow::bail!("a name of {} bytes; the most is {TEXT_BYTES_MAX}", name.len()),
        // Of what there is nothing there is no resource.
        _ if amount == Scalar::ZERO => {}
        name if resources.custom.len() >= CUSTOM_MAX => {
            anyhow::bail!("\"{name}\" is one too many; a node has at most {CUSTOM_MAX} resources with names of its own")
        }
        name => drop(resources.custom.insert(name.to_owned(), amount)),
    }
    Ok(())
}

fn amount_of(name: &str, value: &str) -> anyhow::Result<Scalar> {
    let amount = value.parse().ok().and_then(Scalar::from_f64).filter(|amount| *amount >= Scalar::ZERO);
    let amount = amount.ok_or_else(|| anyhow::anyhow!("\"{value}\" is no amount of {name}"))?;
    let most = match name {
        "cpus" => CPUS_MAX,
        "gpus" => i64::from(GPUS_MAX),
        _ => MIB_MAX,
    };
    anyhow::ensure!(amount <= Scalar::from_units(most), "\"{value}\" is more {name} than a node may have; the most is {most}");
    Ok(amount)
}

/// Takes over what `text` says of resources, as far as it can; `cpus:8;cpus(eng):4` are 12 cpus, 4 of them for eng;
/// ports are those of node `index` of `count`. Returns all that is wrong.
pub(crate) fn override_resources(resources: &mut Resources, text: &str, index: u16, count: u16) -> Vec<ResourceFault> {
    let (mut reserved, mut given, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let taken = (|| {
            let (name, value) = part.split_once(':').ok_or_else(|| anyhow::anyhow!("\"{part}\" is not NAME:VALUE"))?;
            let (name, value) = (name.trim(), value.trim());
            if let Some((name, role)) = name.strip_suffix(')').and_then(|name| name.split_once('(')) {
                reserved.push((part, name.trim(), role.trim(), amount_of(name, value)?));
                return Ok(());
            }
            // Which of the two was meant nobody knows.
            anyhow::ensure!(!given.contains(&name), "\"{name}\" is there twice");
            given.push(name);
            offer(resources, name, value, index, count)
        })();
        faults.extend(taken.err().map(|error| ResourceFault { part: part.to_owned(), message: error.to_string() }));
    }
    // What is for everyone may stand behind it.
    for (part, name, role, amount) in reserved {
        let taken = reserve(resources, name, role, amount, given.contains(&name));
        faults.extend(taken.err().map(|error| ResourceFault { part: part.to_owned(), message: error.to_string() }));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_node_is_not_used() {
        let taken = ["c-S1", "c-S65"];
        let id = |index| node_id("c", index, |id| taken.contains(&id.as_str())).unwrap().to_string();
        assert_eq!([id(0), id(1), id(2)], ["c-S0", "c-S129", "c-S2"]);
    }

    #[test]
    fn ports_are_split_without_overlap() {
        let ports = PortRanges::new([(31000, 31010)]);
        let parts: Vec<String> = (0..3).map(|index| split(&ports, index, 3).to_string()).collect();
        assert_eq!(parts, ["[31000-31002]", "[31003-31005]", "[31006-31008]"]);
    }

    #[test]
    fn resources_are_overridden_or_refused() {
        let mut resources = Resources::default();
        let mut told = |text: &str| -> Vec<String> {
            override_resources(&mut resources, text, 0, 1).into_iter().map(|fault| fault.message).collect()
        };
        assert_eq!(told("cpus:4;mem:2048.5;ports:[1000-1003]"), [""; 0]);
        assert_eq!(told("cpus(eng):3; cpus:8 ;mem(eng):64;tapes:2"), [""; 0]);
        for (text, fault) in [
            ("cpus:-1", "\"-1\" is no amount of cpus"),
            ("cpus:nan", "\"nan\" is no amount of cpus"),
            ("cpu:1", "\"cpu\" is unknown"),
            ("cpus", "\"cpus\" is not NAME:VALUE"),
            ("ports:[9-1]", "9-1"),
            ("cpus(*):1", "cpus(*) is for everyone; write cpus"),
            ("cpus(a b):1", "a b"),
            ("ports(eng):1", "\"ports(eng)\" cannot be reserved"),
            ("cpus:8;cpus(eng):1;cpus:8", "\"cpus\" is there twice"),
            ("tapes:2;tapes:2", "\"tapes\" is there twice"),
            ("ports:[1-2];ports:[3-4]", "\"ports\" is there twice"),
            ("ports:[0-4]", "with ports 1–65535"),
            ("gpus:1.5", "\"1.5\" is no number of gpus; they are counted whole"),
            ("gpus:1025", "\"1025\" is more gpus than a node may have; the most is 1024"),
            ("cpus:100001", "\"100001\" is more cpus than a node may have; the most is 100000"),
            ("mem:1e11", "\"1e11\" is more mem than a node may have; the most is 68719476736"),
            ("tapes:1e11", "\"1e11\" is more tapes than"),
            ("cpus:99999;cpus(eng):2", "with cpus(eng):2 there are more cpus than a node may have; the most is 100000"),
        ] {
            let faults = told(text);
            assert!(faults.len() == 1 && faults[0].contains(fault), "{text}: {faults:?}");
        }
        assert_eq!(told("cpus:-1;memory:3;x").len(), 3);
        assert_eq!(told(&format!("{}:1", "x".repeat(TEXT_BYTES_MAX + 1))).len(), 1);
        let many = |count: usize| (0..count).map(|number| format!("own{number}:1;none{number}:0")).collect::<Vec<_>>().join(";");
        let mut resources = Resources::default();
        assert!(override_resources(&mut resources, &many(CUSTOM_MAX), 0, 1).is_empty());
        assert_eq!(resources.custom.len(), CUSTOM_MAX, "of what there is nothing there is no resource");
        assert_eq!(override_resources(&mut Resources::default(), &many(CUSTOM_MAX + 1), 0, 1).len(), 1);
        let roles: Vec<String> = (0..=RESERVATIONS_MAX).map(|number| format!("cpus(r{number}):0.1")).collect();
        assert!(override_resources(&mut Resources::default(), &roles.join(";"), 0, 1)[0].message.contains("one role too many"));
    }

    #[test]
    fn what_is_reserved_comes_on_top_of_what_is_given() {
        let units = Scalar::from_units;
        // With 16 cpus detected.
        for (text, total, eng) in [
            ("cpus:8;cpus(eng):4", units(12), units(4)),
            ("cpus(eng):4;cpus:8", units(12), units(4)),
            ("cpus(eng):4", units(16), units(4)),
            ("cpus(eng):20", units(20), units(20)),
            ("cpus(eng):4;cpus(eng):1;cpus:8", units(13), units(5)),
        ] {
            let mut resources = Resources { cpus: units(16), ..Resources::default() };
            assert!(override_resources(&mut resources, text, 0, 1).is_empty(), "{text}");
            assert_eq!((resources.cpus, resources.reserved["eng"].cpus), (total, eng), "{text}");
        }
    }
}
