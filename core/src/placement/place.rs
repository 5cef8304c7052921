//! Choosing seats for new instances of one app: slow and obviously right, to judge the engine by.

use super::constraint::Constraints;
use super::{NODE_TASKS_MAX, NodeLoad, Reason, Refusals, Strategy};
use crate::Scalar;
use crate::app::{App, ContainerKind};
use crate::instance::Seat;
use crate::node::{Node, NodeId};
use std::collections::BTreeMap;

/// A node with its load.
#[derive(Clone)]
pub(crate) struct Candidate<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// What is taken there; updated while placing.
    pub(crate) load: NodeLoad,
    /// Instances of the app that are already there.
    pub(crate) same_app: u32,
}

/// Finds up to `count` seats for `app`.
///
/// `placed` are the nodes of instances of the same configuration, in order of their ids. Equal
/// tasks are placed in one go; the first refusal ends it, since what refused one refuses the rest.
/// By [`Strategy::Spread`] the node with the fewest instances of the app wins, then the least loaded,
/// then the lowest id; by [`Strategy::Binpack`] the most loaded, then the highest id.
pub(crate) fn place(
    app: &App,
    count: usize,
    mut candidates: Vec<Candidate<'_>>,
    placed: &[&Node],
    strategy: Strategy,
    salt: u64,
) -> (Vec<Seat>, Option<Refusals>) {
    let usable: Vec<&Node> = candidates.iter().map(|candidate| candidate.node).filter(|node| node.accepts_tasks()).collect();
    let mut constraints = Constraints::new(app, placed, &usable);
    let mut seats = Vec::new();
    let before: Vec<u32> = candidates.iter().map(|candidate| candidate.same_app).collect();
    while seats.len() < count {
        let mut refusals = Refusals { nodes: candidates.len() as u64, ..Refusals::default() };
        let mut shortest: BTreeMap<&'static str, (Scalar, &NodeId)> = BTreeMap::new();
        let mut best: Option<(Score, usize, Vec<u16>)> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            let tasks = candidate.load.instances.len() + (candidate.same_app - before[index]) as usize;
            let fits = fit(app, candidate, &constraints, salt.wrapping_add(seats.len() as u64));
            let many = Refusal::new(Reason::TooManyTasks);
            match fits.and_then(|host_ports| if tasks < NODE_TASKS_MAX { Ok(host_ports) } else { Err(many) }) {
                Ok(host_ports) => {
                    let share = candidate.load.share(&candidate.node.facts.resources);
                    let score = match strategy {
                        Strategy::Spread => (candidate.same_app, share, index as i128),
                        Strategy::Binpack => (0, -share, -(index as i128)),
                    };
                    if best.as_ref().is_none_or(|(best, ..)| score < *best) {
                        best = Some((score, index, host_ports));
                    }
                }
                Err(refusal) => {
                    if let Some((resource, lack)) = refusal.lack {
                        let entry = shortest.entry(resource).or_insert((lack, &candidate.node.facts.id));
                        if lack < entry.0 {
                            *entry = (lack, &candidate.node.facts.id);
                        }
                    }
                    refusals.count(refusal.reason, refusal.detail);
                }
            }
        }
        let Some((_, index, host_ports)) = best else {
            refusals.hint = shortest
                .into_iter()
                .min_by_key(|(_, (lack, _))| *lack)
                .map(|(resource, (lack, node))| format!("it would fit with {lack} more {resource} on node {node}"));
            return (seats, Some(refusals));
        };
        let candidate = &mut candidates[index];
        let seat = Seat { node: candidate.node.facts.id.clone(), host_ports: host_ports.into() };
        // The id only has to differ from others within this call; the cluster takes the real one.
        candidate.load.cpus += app.cpus;
        candidate.load.mem += app.mem;
        candidate.load.disk += app.disk;
        candidate.load.gpus = candidate.load.gpus.saturating_add(app.gpus);
        candidate.load.ports.extend(seat.host_ports.iter().copied().filter(|port| *port != 0));
        candidate.same_app += 1;
        constraints.note(candidate.node);
        seats.push(seat);
    }
    (seats, None)
}

/// Lower is better.
type Score = (u32, i64, i128);

struct Refusal {
    reason: Reason,
    detail: Option<String>,
    /// Resource and the amount missing.
    lack: Option<(&'static str, Scalar)>,
}

impl Refusal {
    fn new(reason: Reason) -> Self {
        Self { reason, detail: None, lack: None }
    }
}

/// Host ports for one more instance on the candidate, or the first reason against it.
fn fit(app: &App, candidate: &Candidate<'_>, constraints: &Constraints<'_>, salt: u64) -> Result<Vec<u16>, Refusal> {
    let (node, load) = (candidate.node, &candidate.load);
    let accepted: &[String] = &app.accepted_resource_roles;
    let role = node.facts.role.as_str();
    let fits_role = if accepted.is_empty() { role == "*" } else { accepted.iter().any(|accepted| accepted == role) };
    if !fits_role {
        return Err(Refusal::new(Reason::UnfulfilledRole));
    }
    if let Some(constraint) = constraints.refusing(node) {
        return Err(Refusal { detail: Some(format!("constraint {constraint}")), ..Refusal::new(Reason::UnfulfilledConstraint) });
    }
    if !node.accepts_tasks() {
        return Err(Refusal::new(Reason::AgentMaintenance));
    }
    if let Some(executor) = executor(app).filter(|name| !node.facts.executors.iter().any(|have| have == name)) {
        return Err(Refusal { detail: Some(format!("missing executor {executor}")), ..Refusal::new(Reason::MissingExecutor) });
    }
    let total = &node.facts.resources;
    for (reason, name, all, used, need) in [
        (Reason::InsufficientCpus, "cpus", total.cpus, load.cpus, app.cpus),
        (Reason::InsufficientMemory, "MiB of memory", total.mem, load.mem, app.mem),
        (Reason::InsufficientDisk, "MiB of disk", total.disk, load.disk, app.disk),
    ] {
        let free = all.minus_or_zero(used);
        if need > free {
            return Err(Refusal { lack: Some((name, need - free)), ..Refusal::new(reason) });
        }
    }
    if app.gpus > total.gpus.saturating_sub(load.gpus) {
        return Err(Refusal::new(Reason::InsufficientGpus));
    }
    host_ports(app, candidate, salt)
}

/// Executor the app needs beyond plain processes.
fn executor(app: &App) -> Option<&'static str> {
    let container = app.container.as_ref()?;
    let image = container.docker.as_ref().is_some_and(|docker| !docker.image.is_empty());
    (image || container.kind == ContainerKind::Docker).then_some("docker")
}

fn host_ports(app: &App, candidate: &Candidate<'_>, salt: u64) -> Result<Vec<u16>, Refusal> {
    let offered = &candidate.node.facts.resources.ports;
    let mut taken: Vec<u16> = Vec::new();
    let requests = app.ports();
    let fixed: Vec<u16> = requests.iter().filter_map(|request| request.host_port).filter(|port| *port != 0).collect();
    let mut dynamic = Dynamic::new(candidate, salt);
    let mut ports = Vec::with_capacity(requests.len());
    for request in &requests {
        let port = match request.host_port {
            None => 0,
            Some(0) => dynamic
                .find(|port| !taken.contains(port) && !fixed.contains(port))
                .ok_or_else(|| Refusal { detail: Some("no free host port".into()), ..Refusal::new(Reason::InsufficientPorts) })?,
            Some(port) if offered.contains(port) && !candidate.load.ports.contains(&port) => port,
            Some(port) => {
                return Err(Refusal { detail: Some(format!("required port {port}")), ..Refusal::new(Reason::InsufficientPorts) });
            }
        };
        if port != 0 {
            taken.push(port);
        }
        ports.push(port);
    }
    Ok(ports)
}

/// Free dynamic ports of a node, starting at a place that depends on the salt, so that a port that
/// was just given back is not handed out again at once.
struct Dynamic<'a> {
    ports: Box<dyn Iterator<Item = u16> + 'a>,
}

impl<'a> Dynamic<'a> {
    fn new(candidate: &'a Candidate<'_>, salt: u64) -> Self {
        let offered = &candidate.node.facts.resources.ports;
        let count = offered.len().max(1);
        let start = (salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as u32 % count;
        let free = offered.iter().skip(start as usize).chain(offered.iter().take(start as usize));
        Self { ports: Box::new(free.filter(|port| !candidate.load.ports.contains(port))) }
    }

    fn find(&mut self, accept: impl Fn(&u16) -> bool) -> Option<u16> {
        self.ports.find(accept)
    }
}
