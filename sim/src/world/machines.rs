//! Machines, their agents, and the connections between agents and controllers.

use super::World;
use crate::chance::Chance;
use crate::machine::{AgentSettings, Dial, Link, Machine, Nature, run_agent};
use crate::network::Place;
use crate::planted::Planted;
use orrery_controller::AgentLink;
use orrery_controller::surroundings::enter;
use orrery_core::assignment::{Down, Up};
use orrery_core::node::{NodeFacts, PortRanges, Resources};
use orrery_core::{NodeId, Scalar};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Messages a connection holds at either end.
const LINK_CAPACITY: usize = 64;

/// A machine and its agent, if that lives.
pub(crate) struct Slot {
    pub(crate) machine: Machine,
    agent: Option<AbortHandle>,
    lives: u64,
}

impl World {
    /// Sets up machine `number` and starts its agent.
    pub(crate) fn start_machine(&self, number: usize) {
        let chance = self.chance.split(&format!("machine-{number}"));
        let nature = Nature { crashes: self.plan.crashes, sickens: self.plan.sickens };
        let machine =
            Machine::start(facts(number), self.wall(), nature, chance, self.judge.clone(), self.trace.clone(), self.plan.planted);
        self.machines().push(Slot { machine, agent: None, lives: 0 });
        self.start_agent(number);
    }

    /// Starts the agent of machine `number`.
    pub(crate) fn start_agent(&self, number: usize) {
        let mut machines = self.machines();
        let slot = &mut machines[number];
        if slot.agent.is_some() {
            return;
        }
        slot.lives += 1;
        let chance = self.chance.split(&format!("agent-{number}/{}", slot.lives));
        let dialer = Dialer { world: self.clone(), number, next: number, chance };
        let settings = AgentSettings { silence: SILENCE };
        slot.agent = Some(tokio::spawn(run_agent(slot.machine.clone(), settings, dialer)).abort_handle());
    }

    /// Kills the agent of machine `number`; its processes live on.
    pub(crate) fn kill_agent(&self, number: usize) {
        self.trace.note(&format!("c-S{number}"), format_args!("agent is killed"));
        if let Some(agent) = self.machines()[number].agent.take() {
            agent.abort();
        }
        self.network.reset_all(Place::Machine(number));
    }
}

/// An agent that hears nothing for this long turns to another controller.
const SILENCE: Duration = Duration::from_secs(3600);

struct Dialer {
    world: World,
    number: usize,
    next: usize,
    chance: Chance,
}

impl Dial for Dialer {
    async fn dial(&mut self) -> Option<Link> {
        let controller = self.next % self.world.plan.controllers;
        self.next += 1;
        let (here, there) = (Place::Machine(self.number), Place::Controller(controller));
        let network = &self.world.network;
        if network.is_blocked(here, there) || network.is_blocked(there, here) {
            // The connection cannot be set up; the agent waits for it in vain.
            tokio::time::sleep(self.chance.millis(500, 1_500)).await;
            return None;
        }
        tokio::time::sleep(self.chance.millis(1, 5)).await;
        let (handle, surroundings) = {
            let controllers = self.world.controllers();
            let slot = &controllers[controller];
            (slot.handle()?, slot.process.as_ref()?.surroundings())
        };
        let reset = network.connect(here, there);
        let (to_leader, up) = mpsc::channel(LINK_CAPACITY);
        let (to_agent, down) = mpsc::channel(LINK_CAPACITY);
        let mut chance = self.chance.split(&format!("link {}", self.next));
        let planted = self.world.plan.planted;
        let mut uplink = chance.split("up");
        let up_sender = network
            .pipe((here, there), LINK_CAPACITY, to_leader, reset.clone(), move |message| spoil_up(planted, &mut uplink, message));
        let down_sender =
            network.pipe((there, here), LINK_CAPACITY, to_agent, reset, move |message| spoil_down(planted, &mut chance, message));
        enter(&surroundings, || handle.attach(AgentLink { down: down_sender, up }));
        Some(Link { down, up: up_sender })
    }
}

/// The planted bugs of links.
fn spoil_down(planted: Planted, chance: &mut Chance, message: Down) -> Vec<Down> {
    match (planted, message) {
        (Planted::LostOrder, Down::Run { .. } | Down::Stop { .. }) if chance.hits(150) => Vec::new(),
        (Planted::IncompleteSnapshot, Down::Snapshot { epoch, mut assignments, stopping }) => {
            if chance.hits(300) {
                assignments.pop();
            }
            vec![Down::Snapshot { epoch, assignments, stopping }]
        }
        (Planted::LaunchedTwice, Down::Run { epoch, assignment }) if chance.hits(100) => {
            let mut twin = assignment.clone();
            twin.incarnation += 1;
            vec![Down::Run { epoch, assignment }, Down::Run { epoch, assignment: twin }]
        }
        (_, message) => vec![message],
    }
}

fn spoil_up(planted: Planted, chance: &mut Chance, message: Up) -> Vec<Up> {
    match (planted, &message) {
        (Planted::LostReport, Up::Reports { .. }) if chance.hits(150) => Vec::new(),
        _ => vec![message],
    }
}

/// What machine `number` says of itself.
pub(crate) fn facts(number: usize) -> NodeFacts {
    NodeFacts {
        // Letters and digits only, which are always an id.
        id: NodeId::parse(&format!("c-S{number}")).unwrap_or_else(|error| unreachable!("{error}")),
        hostname: format!("h{number}"),
        address: [10, 0, 0, number as u8].into(),
        port: 0,
        resources: Resources {
            cpus: Scalar::from_units(4),
            mem: Scalar::from_units(4096),
            disk: Scalar::from_units(4096),
            gpus: 0,
            ports: PortRanges::new([(31_000, 31_020)]),
            custom: std::collections::BTreeMap::new(),
        },
        attributes: BTreeMap::new(),
        region: None,
        zone: None,
        role: "*".into(),
        executors: vec!["process".into()],
        version: String::new(),
    }
}
