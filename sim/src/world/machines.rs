//! Machines, their agents, and the connections between agents and controllers.

use super::World;
use crate::chance::Chance;
use crate::machine::{AgentSettings, Dial, Link, Machine, Nature, run_agent};
use crate::network::Place;
use crate::planted::Planted;
use crate::process::Process;
use orrery_controller::AgentLink;
use orrery_controller::surroundings::{enter, spawn_within};
use orrery_core::assignment::{Down, Launched, Up};
use orrery_core::node::{NodeFacts, PortRanges, Resources};
use orrery_core::{NodeId, Scalar};
use std::collections::BTreeMap;
use std::sync::Arc;
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

/// An agent that hears nothing for this long turns to another controller (ADR 4).
const SILENCE: Duration = Duration::from_secs(3);

struct Dialer {
    world: World,
    number: usize,
    next: usize,
    chance: Chance,
}

impl Dial for Dialer {
    async fn dial(&mut self) -> Option<Link> {
        let asked = self.next % self.world.plan.controllers;
        self.next += 1;
        let here = Place::Machine(self.number);
        let mut path = vec![here, Place::Controller(asked)];
        tokio::time::sleep(self.chance.millis(1, 5)).await;
        let (leader, handle) = self.world.leader_through(asked)?;
        if leader != asked {
            path.push(Place::Controller(leader));
        }
        if !self.world.is_open(&path) {
            // The connection cannot be set up; the agent waits for it in vain.
            tokio::time::sleep(self.chance.millis(500, 1_500)).await;
            return None;
        }
        let (relay, office) = {
            let controllers = self.world.controllers();
            let of = |number: usize| controllers[number].process.as_ref().map(Process::surroundings);
            (of(asked)?, of(leader)?)
        };
        let (to_leader, up) = mpsc::channel(LINK_CAPACITY);
        let (to_agent, down) = mpsc::channel(LINK_CAPACITY);
        let chance = self.chance.split(&format!("link {}", self.next));
        let planted = self.world.plan.planted;
        let (mut uplink, mut downlink) = (chance.split("up"), chance.split("down"));
        let network = &self.world.network;
        let last = [path[path.len() - 2], path[path.len() - 1]];
        let reset = network.connect(last[0], last[1]);
        let mut up_sender = network.pipe((last[0], last[1]), LINK_CAPACITY, to_leader, reset.clone(), move |message| {
            spoil_up(planted, &mut uplink, message)
        });
        let spoil = move |message| spoil_down(planted, &mut downlink, message);
        let down_sender = if path.len() == 3 {
            // A follower passes on what comes, for as long as it runs.
            let first = network.connect(here, path[1]);
            let (at_follower, from_leader) = mpsc::channel(LINK_CAPACITY);
            let onward = network.pipe((path[1], here), LINK_CAPACITY, to_agent, first.clone(), |message| vec![message]);
            let (to_follower, from_agent) = mpsc::channel(LINK_CAPACITY);
            let toward_leader = up_sender;
            up_sender = network.pipe((here, path[1]), LINK_CAPACITY, to_follower, first, |message| vec![message]);
            spawn_within(&relay, pass_on(from_leader, onward, from_agent, toward_leader));
            network.pipe((last[1], last[0]), LINK_CAPACITY, at_follower, reset, spoil)
        } else {
            network.pipe((last[1], last[0]), LINK_CAPACITY, to_agent, reset, spoil)
        };
        enter(&office, || handle.attach(AgentLink { down: down_sender, up, signs: Arc::default() }));
        let world = self.world.clone();
        Some(Link { down, up: up_sender, heard: Box::new(move || world.is_heard(&path)) })
    }
}

/// Carries both directions until either ends.
async fn pass_on(
    mut from_leader: mpsc::Receiver<Down>,
    to_agent: mpsc::Sender<Down>,
    mut from_agent: mpsc::Receiver<Up>,
    to_leader: mpsc::Sender<Up>,
) {
    let down = async {
        while let Some(message) = from_leader.recv().await {
            if to_agent.send(message).await.is_err() {
                return;
            }
        }
    };
    let up = async {
        while let Some(message) = from_agent.recv().await {
            if to_leader.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = down => {}
        () = up => {}
        () = to_agent.closed() => {}
        () = to_leader.closed() => {}
    }
}

impl World {
    /// Whether messages pass a path both ways.
    fn is_open(&self, path: &[Place]) -> bool {
        path.windows(2).all(|hop| !self.network.is_blocked(hop[0], hop[1]) && !self.network.is_blocked(hop[1], hop[0]))
    }

    /// Whether signs of life come down a path: it is open, and all who pass them on run.
    fn is_heard(&self, path: &[Place]) -> bool {
        let controllers = self.controllers();
        let runs = |place: &Place| match place {
            Place::Controller(number) => controllers[*number].is_running(),
            Place::Machine(_) => true,
        };
        path.iter().all(runs) && path.windows(2).all(|hop| !self.network.is_blocked(hop[1], hop[0]))
    }
}

/// The planted bugs of links.
fn spoil_down(planted: Planted, chance: &mut Chance, message: Down) -> Vec<Down> {
    match (planted, message) {
        (Planted::LostOrder, Down::Launch { .. } | Down::Stop { .. }) if chance.hits(150) => Vec::new(),
        (Planted::IncompleteSnapshot, Down::Snapshot { epoch, mut launches, assignments, stopping }) => {
            if chance.hits(300)
                && let Some(last) = launches.last_mut()
            {
                last.instances.pop();
            }
            vec![Down::Snapshot { epoch, launches, assignments, stopping }]
        }
        (Planted::LaunchedTwice, Down::Launch { epoch, mut launch }) if chance.hits(100) => {
            let twins: Vec<Launched> =
                launch.instances.iter().map(|one| Launched { incarnation: one.incarnation + 1, ..one.clone() }).collect();
            launch.instances.extend(twins);
            vec![Down::Launch { epoch, launch }]
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
            ports: PortRanges::new([(31_000, 31_020)]),
            ..Resources::default()
        },
        attributes: BTreeMap::new(),
        region: None,
        zone: None,
        role: "*".into(),
        executors: vec!["process".into()],
        version: String::new(),
        leaving: false,
    }
}
