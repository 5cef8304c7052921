//! What is taken on a node.

use crate::Scalar;
use crate::app::App;
use crate::instance::{InstanceId, Seat};
use crate::node::Resources;
use imbl::OrdSet;
use std::collections::BTreeMap;

/// Sums of what the tasks of one node take. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeLoad {
    /// CPUs.
    pub cpus: Scalar,
    /// MiB.
    pub mem: Scalar,
    /// MiB.
    pub disk: Scalar,
    /// Whole GPUs.
    pub gpus: u32,
    /// Resources with names of their own.
    pub custom: BTreeMap<String, Scalar>,
    /// Host ports.
    pub ports: OrdSet<u16>,
    /// Ports that more than one instance holds, once for each beyond the first: a crash between the
    /// transactions of one large step can leave that behind.
    contended: Vec<u16>,
    /// Instances with a seat here.
    pub instances: OrdSet<InstanceId>,
}

impl NodeLoad {
    /// Takes what `app` needs for `instance` at `seat`. Of an app with data these are the ports: the
    /// rest is in the node's claims, whether a task runs or not.
    pub fn take(&mut self, id: &InstanceId, app: &App, seat: &Seat) {
        if self.instances.insert(id.clone()).is_some() {
            return;
        }
        for port in seat.host_ports.iter().copied().filter(|port| *port != 0) {
            if self.ports.insert(port).is_some() {
                self.contended.push(port);
            }
        }
        if app.is_resident() {
            return;
        }
        self.cpus += app.cpus;
        self.mem += app.mem;
        self.disk += app.disk;
        self.gpus = self.gpus.saturating_add(app.gpus);
        for (name, amount) in &app.resources {
            *self.custom.entry(name.clone()).or_default() += *amount;
        }
    }

    /// Gives it back; tells whether all its ports are free now.
    pub fn give_back(&mut self, id: &InstanceId, app: &App, seat: &Seat) -> bool {
        if self.instances.remove(id).is_none() {
            return true;
        }
        let mut free = true;
        for port in &seat.host_ports {
            if let Some(at) = self.contended.iter().position(|held| held == port) {
                self.contended.swap_remove(at);
                free = false;
            } else {
                self.ports.remove(port);
            }
        }
        if app.is_resident() {
            return free;
        }
        self.cpus -= app.cpus;
        self.mem -= app.mem;
        self.disk -= app.disk;
        self.gpus = self.gpus.saturating_sub(app.gpus);
        for (name, amount) in &app.resources {
            *self.custom.entry(name.clone()).or_default() -= *amount;
        }
        self.custom.retain(|_, amount| *amount != Scalar::ZERO);
        free
    }

    /// Ports that more than one instance holds.
    pub fn contended(&self) -> &[u16] {
        &self.contended
    }

    /// Share of the scarcer of CPUs and memory that is taken, in thousandths.
    pub fn share(&self, total: &Resources) -> i64 {
        let part = |used: Scalar, all: Scalar| {
            if all.is_positive() { i128::from(used.thousandths()) * 1000 / i128::from(all.thousandths()) } else { 0 }
        };
        part(self.cpus, total.cpus).max(part(self.mem, total.mem)).clamp(0, 1_000_000) as i64
    }
}
