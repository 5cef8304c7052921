//! A workload placed on nodes that exist on paper, by the engine of the leader.

use super::{NodeUse, Shape};
use crate::cluster::Entropy;
use crate::instance::Seat;
use crate::node::{Administration, Bundle, Drain, Node, NodeId, NodeStatus};
use crate::placement::{Ledger, Refusals, SEATS_MAX, Strategy};
use crate::{App, AppId, InstanceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a node leaves the open ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It is being emptied: its tasks are still there.
    Draining,
    /// It was emptied: its tasks are placed elsewhere.
    Drained,
    /// It was lost: its tasks are replaced elsewhere.
    Lost,
}

/// What happens to the cluster.
#[derive(Debug, Clone)]
pub enum Event {
    /// An app starts with all its instances, placed as one batch.
    Start(Arc<App>),
    /// All its tasks end.
    End(AppId),
    /// Nodes close, at once.
    Close(Vec<(NodeId, Closing)>),
}

/// What became of an app.
#[derive(Debug, Clone)]
pub struct AppOutcome {
    /// The app.
    pub app: Arc<App>,
    /// Instances with a seat.
    pub placed: usize,
    /// Instances without.
    pub waiting: usize,
    /// Why the nodes refused the next one.
    pub refusals: Option<Refusals>,
}

/// What is where in the end.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Nodes in the order they were given.
    pub nodes: Vec<NodeUse>,
    /// Apps that have not ended, in the order they started.
    pub apps: Vec<AppOutcome>,
    /// The mix that was wanted, ended apps included.
    pub shapes: Vec<Shape>,
}

struct Started {
    app: Arc<App>,
    id: InstanceId,
    seats: Vec<Seat>,
    refusals: Option<Refusals>,
    ended: bool,
}

/// A cluster on paper.
pub struct Trial {
    ledger: Ledger,
    nodes: Vec<NodeUse>,
    numbers: BTreeMap<NodeId, usize>,
    apps: Vec<Started>,
    strategy: Strategy,
    entropy: Entropy,
}

impl Trial {
    /// A cluster without tasks. `strategy` is that of apps that name none; `seed` gives ports.
    pub fn new(nodes: Vec<Node>, strategy: Strategy, seed: u64) -> Self {
        let nodes: Vec<NodeUse> = nodes.into_iter().map(|node| NodeUse::empty(Arc::new(node))).collect();
        let mut ledger = Ledger::default();
        for node in &nodes {
            ledger.upsert_node(&node.node);
        }
        let numbers = nodes.iter().enumerate().map(|(number, node)| (node.node.facts.id.clone(), number)).collect();
        Self { ledger, nodes, numbers, apps: Vec::new(), strategy, entropy: Entropy::new(seed) }
    }

    /// Lets something happen. What names no app or node that is there does nothing.
    pub fn happen(&mut self, event: Event) {
        match event {
            Event::Start(app) => {
                let id = InstanceId::new(&app.id, self.entropy.next_uuid());
                self.apps.push(Started { app, id, seats: Vec::new(), refusals: None, ended: false });
                self.place(self.apps.len() - 1);
            }
            Event::End(id) => {
                for index in (0..self.apps.len()).filter(|index| self.apps[*index].app.id == id).collect::<Vec<_>>() {
                    let seats = std::mem::take(&mut self.apps[index].seats);
                    for seat in &seats {
                        self.book(index, seat, false);
                    }
                    self.apps[index].ended = true;
                }
            }
            Event::Close(closings) => self.close(&closings),
        }
    }

    /// Asks once more for what waits, in the order the apps started, and tells what is where.
    pub fn finish(mut self) -> Outcome {
        (0..self.apps.len()).for_each(|index| self.place(index));
        let shapes = Shape::of(self.apps.iter().map(|started| (&*started.app, u64::from(started.app.instances))));
        let apps = self.apps.into_iter().filter(|started| !started.ended).map(|started| AppOutcome {
            placed: started.seats.len(),
            waiting: (started.app.instances as usize).saturating_sub(started.seats.len()),
            refusals: started.refusals,
            app: started.app,
        });
        Outcome { nodes: self.nodes, apps: apps.collect(), shapes }
    }

    fn place(&mut self, index: usize) {
        let Started { app, seats, ended: false, .. } = &self.apps[index] else { return };
        let (app, mut left) = (Arc::clone(app), (app.instances as usize).saturating_sub(seats.len()));
        let strategy = app.placement.strategy.unwrap_or(self.strategy);
        self.apps[index].refusals = None;
        while left > 0 {
            let salt = self.entropy.next_number();
            let (seats, refusals) = self.ledger.place_batch(&app, left.min(SEATS_MAX), strategy, salt);
            for seat in &seats {
                self.book(index, seat, true);
            }
            left -= seats.len();
            let done = refusals.is_some() || seats.is_empty();
            self.apps[index].seats.extend(seats);
            self.apps[index].refusals = refusals;
            if done {
                break;
            }
        }
    }

    /// Takes a seat, or gives it back.
    fn book(&mut self, index: usize, seat: &Seat, more: bool) {
        let started = &self.apps[index];
        self.ledger.seat(&started.id, &started.app, seat, true, more);
        let Some(number) = self.numbers.get(&seat.node) else { return };
        let (node, need) = (&mut self.nodes[*number], Bundle::of(&started.app).columns());
        for (taken, amount) in node.taken.iter_mut().zip(need) {
            *taken = if more { taken.saturating_add(amount) } else { taken.saturating_sub(amount) };
        }
        node.tasks = if more { node.tasks.saturating_add(1) } else { node.tasks.saturating_sub(1) };
    }

    fn close(&mut self, closings: &[(NodeId, Closing)]) {
        let mut emptied = BTreeSet::new();
        for (id, closing) in closings {
            let Some(number) = self.numbers.get(id) else { continue };
            let node = Arc::make_mut(&mut self.nodes[*number].node);
            match closing {
                Closing::Draining => {
                    let drain = Drain { since: Timestamp::EPOCH, deadline: None, then: crate::node::AfterDrain::default() };
                    node.administration = Administration::Draining(drain);
                }
                Closing::Drained => {
                    node.administration = Administration::Deactivated { since: Timestamp::EPOCH, drained: true };
                }
                Closing::Lost => node.status = NodeStatus::Unreachable,
            }
            self.ledger.upsert_node(&self.nodes[*number].node);
            if *closing != Closing::Draining {
                emptied.insert(id.clone());
            }
        }
        for index in 0..self.apps.len() {
            let seats = std::mem::take(&mut self.apps[index].seats);
            let (gone, kept): (Vec<Seat>, Vec<Seat>) = seats.into_iter().partition(|seat| emptied.contains(&seat.node));
            for seat in &gone {
                self.book(index, seat, false);
            }
            self.apps[index].seats = kept;
            if !gone.is_empty() {
                self.place(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Report, Standing};
    use super::*;
    use crate::Scalar;
    use crate::node::{NodeFacts, Resources};

    fn nodes(count: u32) -> Vec<Node> {
        let node = |number: u32| {
            let resources = Resources { cpus: Scalar::from_units(4), mem: Scalar::from_units(1024), ..Resources::default() };
            let id = NodeId::parse(&format!("c-S{number}")).unwrap();
            let facts = NodeFacts {
                resources,
                executors: vec!["process".into()],
                ..NodeFacts::new(id, format!("n{number}"), "10.0.0.1".parse().unwrap())
            };
            Node::joined(facts, Timestamp::EPOCH)
        };
        (0..count).map(node).collect()
    }

    fn app(id: &str, instances: u32, cpus: i64) -> Arc<App> {
        Arc::new(App {
            instances,
            cpus: Scalar::from_units(cpus),
            mem: Scalar::from_units(64),
            ..App::new(AppId::parse(id).unwrap())
        })
    }

    #[test]
    fn tasks_are_placed_moved_and_ended() {
        let mut trial = Trial::new(nodes(4), Strategy::Spread, 1);
        trial.happen(Event::Start(app("/a", 6, 1)));
        trial.happen(Event::Start(app("/b", 3, 2)));
        let lost = NodeId::parse("c-S0").unwrap();
        trial.happen(Event::Close(vec![(lost, Closing::Lost), (NodeId::parse("c-S1").unwrap(), Closing::Draining)]));
        trial.happen(Event::End(AppId::parse("/b").unwrap()));
        let outcome = trial.finish();
        assert_eq!(outcome.apps.len(), 1);
        assert_eq!((outcome.apps[0].placed, outcome.apps[0].waiting), (6, 0));
        let report = Report::of(&outcome.nodes, &outcome.shapes);
        assert_eq!((report.tasks, report.taken[0]), (6, 6000));
        assert_eq!(report.nodes[0].standing, Standing::Lost);
        assert_eq!((outcome.nodes[0].tasks, outcome.nodes[0].taken), (0, [0; 4]));
        assert_eq!(report.nodes[1].standing, Standing::Draining);
        assert_eq!(outcome.shapes.len(), 2, "ended apps are part of the mix");
    }

    #[test]
    fn what_does_not_fit_waits_with_its_reasons() {
        let mut trial = Trial::new(nodes(2), Strategy::Binpack, 1);
        trial.happen(Event::Start(app("/a", 9, 1)));
        let outcome = trial.finish();
        let waiting = &outcome.apps[0];
        assert_eq!((waiting.placed, waiting.waiting), (8, 1));
        let refusals = waiting.refusals.as_ref().unwrap();
        assert_eq!(refusals.nodes, 2);
        let report = Report::of(&outcome.nodes, &outcome.shapes);
        assert_eq!((report.used, report.lower_bound, report.deciding, report.packed), (2, 2, 0, 1000));
        assert_eq!(report.roles(&outcome.apps)[0].tasks, 8);
        assert_eq!(report.roles(&outcome.apps)[0].dominant, 1000);
    }
}
