//! Amounts of resources, as a map of floats (version 0) and as a list of typed resources (version 1).

use orrery_core::instance::Seat;
use orrery_core::node::{Bundle, PortRanges, Resources};
use orrery_core::placement::NodeLoad;
use orrery_core::{App, Instance, Scalar};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Amounts in the units of Mesos: CPUs, MiB, whole GPUs, ports.
#[derive(Debug, Clone, Default)]
pub(super) struct Amounts {
    pub(super) cpus: Scalar,
    pub(super) mem: Scalar,
    pub(super) disk: Scalar,
    pub(super) gpus: u32,
    pub(super) ports: PortRanges,
    /// Resources with names of their own.
    pub(super) custom: BTreeMap<String, Scalar>,
}

impl Amounts {
    /// What a node offers in total.
    pub(super) fn of_node(resources: &Resources) -> Self {
        let Resources { cpus, mem, disk, gpus, ports, custom, .. } = resources.clone();
        Self { cpus, mem, disk, gpus, ports, custom }
    }

    /// What is taken on a node.
    pub(super) fn of_load(load: &NodeLoad) -> Self {
        let ports = PortRanges::new(load.ports.iter().map(|port| (*port, *port)));
        Self { cpus: load.cpus, mem: load.mem, disk: load.disk, gpus: load.gpus, ports, custom: load.custom.clone() }
    }

    /// What is set aside.
    pub(super) fn of_bundle(bundle: &Bundle) -> Self {
        let Bundle { cpus, mem, disk, gpus, custom } = bundle.clone();
        Self { cpus, mem, disk, gpus, custom, ..Self::default() }
    }

    /// Such a sum; beyond what a scalar holds, the largest one.
    pub(super) fn of_sum(sum: &orrery_core::role::Amounts) -> Self {
        let scalar = |amount: i128| Scalar::from_thousandths(i64::try_from(amount).unwrap_or(i64::MAX));
        let [cpus, mem, disk] = ["cpus", "mem", "disk"].map(|name| scalar(sum.get(name)));
        let gpus = u32::try_from(sum.get("gpus") / 1000).unwrap_or(u32::MAX);
        let custom = sum.named().map(|(name, amount)| (name.to_owned(), scalar(amount))).collect();
        Self { cpus, mem, disk, gpus, custom, ..Self::default() }
    }

    /// What one task takes.
    pub(super) fn of_task(app: &App, seat: Option<&Seat>) -> Self {
        let host_ports = seat.map(|seat| &*seat.host_ports).unwrap_or_default();
        let ports = PortRanges::new(host_ports.iter().filter(|port| **port != 0).map(|port| (*port, *port)));
        Self { cpus: app.cpus, mem: app.mem, disk: app.disk_needed(), gpus: app.gpus, ports, custom: app.resources.clone() }
    }

    /// Adds what a task takes, without its ports: ports of different nodes have no sum.
    pub(super) fn add_task(&mut self, instance: &Instance) {
        let app = &instance.app;
        self.cpus += app.cpus;
        self.mem += app.mem;
        self.disk += app.disk_needed();
        self.gpus = self.gpus.saturating_add(app.gpus);
        self.add_custom(&app.resources);
    }

    /// Adds another amount, without its ports.
    pub(super) fn add(&mut self, other: &Self) {
        self.cpus += other.cpus;
        self.mem += other.mem;
        self.disk += other.disk;
        self.gpus = self.gpus.saturating_add(other.gpus);
        self.add_custom(&other.custom);
    }

    fn add_custom(&mut self, amounts: &BTreeMap<String, Scalar>) {
        for (name, amount) in amounts {
            *self.custom.entry(name.clone()).or_default() += *amount;
        }
    }

    /// `{"cpus": 1.0, "gpus": 0.0, "mem": …, "disk": …, "ports": "[31000-31000]"}`; always floats,
    /// `ports` only when there are any.
    pub(super) fn map(&self) -> Value {
        let mut map = Map::new();
        map.insert("cpus".into(), json!(self.cpus.to_f64()));
        map.insert("gpus".into(), json!(f64::from(self.gpus)));
        map.insert("mem".into(), json!(self.mem.to_f64()));
        map.insert("disk".into(), json!(self.disk.to_f64()));
        for (name, amount) in &self.custom {
            map.insert(name.clone(), json!(amount.to_f64()));
        }
        if !self.ports.is_empty() {
            map.insert("ports".into(), json!(self.ports));
        }
        Value::Object(map)
    }

    /// Typed resources; empty amounts are left out. `role` is who they are reserved for,
    /// `allocated_to` who uses them.
    pub(super) fn list(&self, role: &str, allocated_to: Option<&str>) -> Value {
        let entry = |name: &str, kind: &str, field: &str, value: Value| {
            let mut entry = Map::new();
            entry.insert("name".into(), json!(name));
            entry.insert("type".into(), json!(kind));
            entry.insert(field.into(), value);
            entry.insert("role".into(), json!(role));
            if let Some(allocated_to) = allocated_to {
                entry.insert("allocation_info".into(), json!({ "role": allocated_to }));
            }
            Value::Object(entry)
        };
        let scalars =
            [("cpus", self.cpus), ("gpus", Scalar::from_units(i64::from(self.gpus))), ("mem", self.mem), ("disk", self.disk)];
        let custom = self.custom.iter().map(|(name, amount)| (name.as_str(), *amount));
        let mut list: Vec<Value> = scalars
            .into_iter()
            .chain(custom)
            .filter(|(_, amount)| amount.is_positive())
            .map(|(name, amount)| entry(name, "SCALAR", "scalar", json!({ "value": amount.to_f64() })))
            .collect();
        if !self.ports.is_empty() {
            let ranges: Vec<Value> =
                self.ports.ranges().iter().map(|range| json!({ "begin": range.begin, "end": range.end })).collect();
            list.push(entry("ports", "RANGES", "ranges", json!({ "range": ranges })));
        }
        Value::Array(list)
    }
}

/// A resource map of nothing.
pub(super) fn nothing() -> Value {
    Amounts::default().map()
}
