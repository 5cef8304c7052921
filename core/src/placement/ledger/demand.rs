//! What one task of an app needs of a node, worked out once per batch.

use super::free::Free;
use crate::Scalar;
use crate::app::{App, ContainerKind};
use std::collections::BTreeMap;

/// A task's needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Resources; ports are dynamic and fixed ones together.
    pub(crate) need: Free,
    /// Host ports in order: none, any (0) or a certain one.
    pub(crate) requests: Vec<Option<u16>>,
    /// Certain ports, ascending, each once.
    pub(crate) fixed: Vec<u16>,
    /// Needs the Docker executor.
    pub(crate) docker: bool,
    /// Resources with names of their own; what is not positive is left out.
    pub(crate) custom: BTreeMap<String, Scalar>,
}

impl Demand {
    pub(crate) fn of(app: &App) -> Self {
        let requests: Vec<Option<u16>> = app.ports().iter().map(|request| request.host_port).collect();
        let mut fixed: Vec<u16> = requests.iter().flatten().copied().filter(|port| *port != 0).collect();
        fixed.sort_unstable();
        fixed.dedup();
        let dynamic = requests.iter().filter(|request| **request == Some(0)).count();
        let need = Free {
            cpus: app.cpus.thousandths(),
            mem: app.mem.thousandths(),
            disk: app.disk_needed().thousandths(),
            gpus: app.gpus,
            ports: (dynamic + fixed.len()) as u32,
            tasks: 1,
        };
        let custom = app.resources.iter().filter(|(_, amount)| amount.is_positive());
        let custom = custom.map(|(name, amount)| (name.clone(), *amount)).collect();
        Self { need, requests, fixed, docker: needs_docker(app), custom }
    }

    /// Whether it is about nothing but amounts that all nodes have.
    pub(crate) fn is_plain(&self) -> bool {
        self.custom.is_empty() && self.fixed.is_empty()
    }
}

/// Whether an app needs more than the plain process executor.
fn needs_docker(app: &App) -> bool {
    let Some(container) = &app.container else { return false };
    let image = container.docker.as_ref().is_some_and(|docker| !docker.image.is_empty());
    image || container.kind == ContainerKind::Docker
}
