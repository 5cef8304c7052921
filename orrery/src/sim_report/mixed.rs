//! A cluster as clusters are: it grew, it has been lived in, and some of its nodes are away.

use orrery_core::app::{Constraint, Operator, Packing, Placement, PortDefinition};
use orrery_core::cluster::Entropy;
use orrery_core::node::{Bundle, Node, NodeFacts, NodeId, PortRanges, Resources};
use orrery_core::report::{Closing, Event, Sums};
use orrery_core::{App, AppId, Scalar, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nodes of a rack.
const RACK_NODES: u32 = 20;
/// Largest zone share of racks; clusters have a few zones, however large they are.
const ZONES: u32 = 3;
/// Of a hundred apps of the first half, those that end before the second half starts.
const ENDED_PERCENT: u64 = 35;
/// Least number of tasks of an app, and the most beyond it.
const TASKS_MIN: u64 = 2;

/// What the cluster is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    /// Nodes.
    pub(crate) nodes: u32,
    /// Most tasks.
    pub(crate) tasks: u64,
    /// The same seed gives the same cluster.
    pub(crate) seed: u64,
    /// Share of the scarcer of cpus and memory of all open nodes that tasks want in the end.
    pub(crate) fill_percent: u32,
}

/// A size of machine: name, cpus, GiB of memory, GiB of disk, GPUs.
type Machine = (&'static str, i64, i64, i64, u32);

const MACHINES: [Machine; 5] = [
    ("standard", 32, 128, 800, 0),
    ("small", 16, 64, 400, 0),
    ("large", 64, 256, 1_600, 0),
    ("memory", 32, 384, 800, 0),
    ("gpu", 48, 384, 1_600, 8),
];

/// Which machines a rack has: one in five racks is of another kind than the standard one.
const RACKS: [usize; 12] = [0, 0, 2, 0, 1, 0, 3, 0, 2, 4, 0, 1];

/// A kind of app: group, role, thousandths of a cpu, MiB, GPUs, how common it is, how many instances it has.
struct Kind {
    group: &'static str,
    role: &'static str,
    cpus: i64,
    mem: i64,
    gpus: u32,
    weight: u64,
    instances: u64,
}

const fn kind(group: &'static str, role: &'static str, cpus: i64, mem: i64, gpus: u32, weight: u64, instances: u64) -> Kind {
    Kind { group, role, cpus, mem, gpus, weight, instances }
}

/// Many small tasks, few large ones, as traces of real clusters have them.
const KINDS: [Kind; 12] = [
    kind("web", "web", 250, 512, 0, 16, 48),
    kind("web", "web", 500, 1_024, 0, 20, 32),
    kind("web", "web", 1_000, 2_048, 0, 14, 24),
    kind("web", "web", 2_000, 4_096, 0, 8, 16),
    kind("data", "data", 1_000, 8_192, 0, 10, 16),
    kind("data", "data", 4_000, 32_768, 0, 6, 8),
    kind("data", "data", 8_000, 98_304, 0, 2, 4),
    kind("batch", "batch", 4_000, 4_096, 0, 10, 24),
    kind("batch", "batch", 8_000, 16_384, 0, 5, 12),
    kind("batch", "batch", 16_000, 24_576, 0, 2, 6),
    kind("ml", "ml", 4_000, 32_768, 1, 4, 6),
    kind("ml", "ml", 16_000, 131_072, 4, 1, 2),
];

fn machine(mix: &Mix, number: u32) -> (u32, &'static Machine) {
    // Small clusters have small racks, so that there is something to see of every kind of machine.
    let size = RACK_NODES.min((mix.nodes / 20).max(1));
    let rack = number / size;
    (rack, &MACHINES[RACKS[rack as usize % RACKS.len()]])
}

/// The nodes, none of them with a task.
pub(crate) fn nodes(mix: &Mix) -> Vec<Node> {
    (0..mix.nodes).filter_map(|number| node(mix, number)).collect()
}

fn node(mix: &Mix, number: u32) -> Option<Node> {
    let (rack, (kind, cpus, mem, disk, gpus)) = machine(mix, number);
    let zone = rack % ZONES;
    // The id is well-formed whatever the number.
    let id = NodeId::parse(&format!("{}-S{number}", uuid::Uuid::nil())).ok()?;
    let attributes = [("rack", format!("r{rack:03}")), ("machine", (*kind).to_owned())];
    let facts = NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(*cpus),
            mem: Scalar::from_units(mem * 1024),
            disk: Scalar::from_units(disk * 1024),
            gpus: *gpus,
            ports: PortRanges::new([(31_000, 32_499)]),
            ..Resources::default()
        },
        attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        region: Some("north".into()),
        zone: Some(format!("zone-{}", ["a", "b", "c"][zone as usize])),
        role: if *gpus > 0 { "gpu" } else { "*" }.into(),
        executors: vec!["process".into(), "docker".into()],
        ..NodeFacts::new(id, format!("node-{number:05}"), [10, (number >> 16) as u8, (number >> 8) as u8, number as u8].into())
    };
    Some(Node::joined(facts, Timestamp::EPOCH))
}

/// What happens to these nodes: apps start until half of the load is there, some of them end, some nodes
/// close, and apps start until the cluster is as full as it is to be.
pub(crate) fn events(mix: &Mix, nodes: &[Node]) -> Vec<Event> {
    let mut draw = Draw { entropy: Entropy::new(mix.seed), apps: 0, left: mix.tasks };
    let (closings, open) = draw.closings(nodes);
    let goal = |percent: u32| open.map(|all| all * i128::from(percent) / 100);
    let mut events = Vec::new();
    let mut taken: Sums = [0; 4];
    // So much that what ends is made up for.
    let half = goal(mix.fill_percent.min(90));
    while let Some(app) = draw.app(&taken, &half) {
        book(&mut taken, &app, 1);
        events.push(Event::Start(app));
    }
    let started: Vec<Arc<App>> =
        events.iter().filter_map(|event| if let Event::Start(app) = event { Some(Arc::clone(app)) } else { None }).collect();
    for app in started {
        if draw.entropy.next_number() % 100 < ENDED_PERCENT {
            book(&mut taken, &app, -1);
            draw.left += u64::from(app.instances);
            events.push(Event::End(app.id.clone()));
        }
    }
    events.push(Event::Close(closings));
    let whole = goal(mix.fill_percent);
    while let Some(app) = draw.app(&taken, &whole) {
        book(&mut taken, &app, 1);
        events.push(Event::Start(app));
    }
    events
}

fn book(taken: &mut Sums, app: &App, sign: i128) {
    for (sum, amount) in taken.iter_mut().zip(Bundle::of(app).columns()) {
        *sum += i128::from(amount) * i128::from(app.instances) * sign;
    }
}

/// Draws what chance decides.
struct Draw {
    entropy: Entropy,
    apps: u32,
    left: u64,
}

impl Draw {
    fn below(&mut self, most: u64) -> u64 {
        self.entropy.next_number() % most.max(1)
    }

    /// Which nodes close, and what the others offer in all.
    fn closings(&mut self, nodes: &[Node]) -> (Vec<(NodeId, Closing)>, Sums) {
        let (mut closings, mut open) = (Vec::new(), [0; 4]);
        for node in nodes {
            let closing = match self.below(100) {
                0 => Closing::Draining,
                1 => Closing::Drained,
                2 => Closing::Lost,
                _ => {
                    let resources = &node.facts.resources;
                    let amounts = [resources.cpus, resources.mem, resources.disk].map(|amount| i128::from(amount.thousandths()));
                    for (sum, amount) in open.iter_mut().zip(amounts.into_iter().chain([i128::from(resources.gpus)])) {
                        *sum += amount;
                    }
                    continue;
                }
            };
            closings.push((node.facts.id.clone(), closing));
        }
        (closings, open)
    }

    /// The next app; `None` when cpus or memory have reached the goal, or there are tasks enough.
    fn app(&mut self, taken: &Sums, goal: &Sums) -> Option<Arc<App>> {
        if self.left == 0 || taken[0] >= goal[0] || taken[1] >= goal[1] {
            return None;
        }
        // Without GPUs, or with all of them promised, nobody asks for more.
        let usable = |kind: &&Kind| kind.gpus == 0 || taken[3] < goal[3];
        let total: u64 = KINDS.iter().filter(usable).map(|kind| kind.weight).sum();
        let mut at = self.below(total);
        let kind = KINDS.iter().filter(usable).find(|kind| {
            let here = at < kind.weight;
            at = at.saturating_sub(kind.weight);
            here
        })?;
        let number = self.apps;
        self.apps += 1;
        let instances = (TASKS_MIN + self.below(kind.instances * 2)).min(self.left);
        self.left -= instances;
        let id = AppId::parse(&format!("/{}/app{number}", kind.group)).ok()?;
        Some(Arc::new(App {
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
            cpus: Scalar::from_thousandths(kind.cpus),
            mem: Scalar::from_units(kind.mem),
            disk: Scalar::from_units(1_024),
            gpus: kind.gpus,
            role: Some(kind.role.to_owned()),
            accepted_resource_roles: if kind.gpus > 0 { vec!["gpu".into()] } else { Vec::new() },
            constraints: self.constraints(kind),
            // Work that comes and goes is packed, so that large tasks find room elsewhere.
            placement: Placement { strategy: (kind.group == "batch").then_some(Packing::Binpack), ..Placement::default() },
            port_definitions: if kind.group == "web" { vec![PortDefinition::default()] } else { Vec::new() },
            labels: BTreeMap::from([("group".to_owned(), kind.group.to_owned())]),
            ..App::new(id)
        }))
    }

    /// Three apps in ten say where they want to be.
    fn constraints(&mut self, kind: &Kind) -> Vec<Constraint> {
        let constraint = |field: &str, operator, value: Option<&str>| {
            vec![Constraint { field: field.into(), operator, value: value.map(str::to_owned) }]
        };
        match (kind.group, self.below(10)) {
            ("web", 0) => constraint("hostname", Operator::MaxPer, Some("2")),
            ("web", 1) => constraint("@zone", Operator::GroupBy, None),
            ("data", 0) => constraint("rack", Operator::MaxPer, Some("4")),
            ("data", 1 | 2) => constraint("machine", Operator::Is, Some("memory")),
            ("batch", 0 | 1) => constraint("@zone", Operator::Cluster, None),
            ("batch", 2) => constraint("machine", Operator::Unlike, Some("memory")),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_cluster_and_limits_hold() {
        let mix = Mix { nodes: 60, tasks: 500, seed: 7, fill_percent: 80 };
        let made = nodes(&mix);
        assert_eq!(made, nodes(&mix));
        assert_eq!(made.len(), 60);
        let text = |mix: &Mix| format!("{:?}", events(mix, &made));
        assert_eq!(text(&mix), text(&mix));
        assert_ne!(text(&mix), text(&Mix { seed: 8, ..mix }));
        let started: u64 = events(&mix, &made)
            .iter()
            .map(|event| match event {
                Event::Start(app) => i64::from(app.instances),
                _ => 0,
            })
            .sum::<i64>()
            .unsigned_abs();
        assert!((1..=1_000).contains(&started), "{started}");
        assert!(events(&Mix { nodes: 0, ..mix }, &[]).iter().all(|event| !matches!(event, Event::Start(_))));
    }
}
