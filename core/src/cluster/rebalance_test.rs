//! Proposals are carried out, within budgets, and leave everything running.

use super::*;
use crate::AppId;
use crate::app::App;
use crate::assignment::{Down, FailureReason, TaskReport};
use crate::cluster::{AppEdit, Draft, EditError, Entropy};
use crate::instance::Condition;
use crate::node::{NodeFacts, PortRanges, Resources};
use crate::{Scalar, TaskId, Timestamp};

struct World {
    cluster: Cluster,
    seed: u64,
    orders: Vec<(NodeId, Down)>,
    least: usize,
}

fn facts(number: u32) -> NodeFacts {
    NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(10),
            mem: Scalar::from_units(10_000),
            ports: PortRanges::new([(31_000, 31_100)]),
            ..Resources::default()
        },
        executors: vec!["process".into()],
        ..NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), format!("h{number}"), "127.0.0.1".parse().unwrap())
    }
}

impl World {
    fn new(nodes: u32) -> Self {
        let mut world = Self { cluster: Cluster::default(), seed: 0, orders: Vec::new(), least: usize::MAX };
        world.step(|draft| (0..nodes).for_each(|number| draft.register(facts(number), Vec::new())));
        world
    }

    fn step<T>(&mut self, act: impl FnOnce(&mut Draft) -> T) -> T {
        self.seed += 1;
        let mut draft = Draft::new(&self.cluster, Timestamp::from_millis(1_000_000), 1, Entropy::new(self.seed));
        let result = act(&mut draft);
        let step = draft.settle();
        self.cluster = step.cluster;
        self.orders.extend(step.orders);
        let serving = self.cluster.instances.values().filter(|instance| instance.is_serving()).count();
        self.least = self.least.min(serving);
        result
    }

    fn run(&mut self) {
        while !self.orders.is_empty() {
            for (node, order) in std::mem::take(&mut self.orders) {
                let told: Vec<(TaskId, Condition)> = match order {
                    Down::Launch { launch, .. } => launch.tasks().map(|task| (task, Condition::Running)).collect(),
                    Down::Stop { task, .. } => vec![(task, Condition::Killed)],
                    _ => continue,
                };
                for (task, condition) in told {
                    let report = report(task, condition);
                    self.step(|draft| draft.observe(&node, report));
                }
            }
        }
    }

    fn create(&mut self, id: &str, instances: u32, keep: i64) {
        self.create_with(id, instances, keep, &[]);
    }

    fn create_with(&mut self, id: &str, instances: u32, keep: i64, constraints: &[[&str; 2]]) {
        let mut app = App::new(AppId::parse(id).unwrap());
        app.cmd = Some("sleep 1".into());
        app.instances = instances;
        app.constraints = serde_json::from_value(serde_json::json!(constraints)).unwrap();
        app.upgrade_strategy.minimum_health_capacity = Scalar::from_thousandths(keep);
        self.step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "")).unwrap();
        self.run();
    }

    fn loads(&self) -> Vec<usize> {
        self.cluster.nodes.keys().map(|node| self.cluster.tasks_on(node).count()).collect()
    }
}

fn report(task: TaskId, condition: Condition) -> TaskReport {
    TaskReport {
        task,
        condition,
        at: Timestamp::from_millis(1_000_000),
        started_at: None,
        reason: condition.is_terminal().then_some(FailureReason::Stopped),
        exit: None,
        message: None,
        health: Vec::new(),
        ready: true,
        addresses: Vec::new(),
        container: None,
        sandbox: None,
    }
}

#[test]
fn packing_empties_nodes_without_a_gap() {
    let mut world = World::new(4);
    world.create("/web", 12, 1000);
    assert_eq!(world.loads(), [3, 3, 3, 3]);
    let proposal = world.cluster.rebalance(Goal::Pack, 100);
    assert_eq!((proposal.before.nodes_in_use, proposal.after.nodes_in_use, proposal.emptied.len()), (4, 2, 2));
    assert_eq!(world.cluster.rebalance(Goal::Pack, 5).moves.len(), 3, "a node is emptied wholly or not at all");
    world.least = usize::MAX;
    world.step(|draft| draft.begin_moves(&proposal.moves)).unwrap();
    world.run();
    let mut loads = world.loads();
    loads.sort_unstable();
    assert_eq!((loads, world.least), (vec![0, 0, 3, 9], 12), "each has its replacement first");
    assert!(world.cluster.moving.is_empty());
    let stale = world.step(|draft| draft.begin_moves(&proposal.moves));
    assert!(matches!(stale, Err(EditError::Claim(_))), "{stale:?}");
}

#[test]
fn packing_keeps_what_constraints_ask_of_all_nodes() {
    for (constraints, instances, emptied) in
        [(&[["hostname", "GROUP_BY"]][..], 9, 0), (&[["hostname", "UNIQUE"]], 3, 0), (&[], 9, 2)]
    {
        let mut world = World::new(3);
        world.create_with("/web", instances, 1000, constraints);
        let proposal = world.cluster.rebalance(Goal::Pack, 100);
        assert_eq!((proposal.moves.len(), proposal.emptied.len()), (emptied * 3, emptied), "{constraints:?}");
    }
}

/// What a proposal says comes true, whichever way the apps change: with replacements first, half of them, or none.
#[test]
fn moves_end_where_they_were_meant_to() {
    for (keep, over) in [(1000, 1000), (500, 500), (500, 0), (0, 0)] {
        let mut world = World::new(10);
        for number in 0..10 {
            let mut facts = facts(number);
            facts.resources.cpus = Scalar::from_units(4);
            facts.resources.mem = Scalar::from_units(4_096);
            facts.attributes.insert("rack".into(), format!("r{}", number % 4));
            world.step(|draft| draft.register(facts, Vec::new()));
        }
        world.run();
        let mut create = |id: &str, cpus: i64, instances: u32, constraints: &[[&str; 2]]| {
            let mut app = App::new(AppId::parse(id).unwrap());
            app.cmd = Some("sleep 1".into());
            (app.instances, app.cpus, app.mem) = (instances, Scalar::from_thousandths(cpus), Scalar::from_units(100));
            app.constraints = serde_json::from_value(serde_json::json!(constraints)).unwrap();
            app.upgrade_strategy.minimum_health_capacity = Scalar::from_thousandths(keep);
            app.upgrade_strategy.maximum_over_capacity = Scalar::from_thousandths(over);
            world.step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "")).unwrap();
            world.run();
        };
        create("/a", 500, 12, &[]);
        create("/b", 500, 8, &[["rack", "GROUP_BY"]]);
        create("/c", 200, 4, &[["hostname", "UNIQUE"]]);
        let proposal = world.cluster.rebalance(Goal::Pack, 100);
        world.step(|draft| draft.begin_moves(&proposal.moves)).unwrap();
        world.run();
        assert!(world.cluster.moving.is_empty() && world.cluster.promises.is_empty(), "{keep} {over}");
        let used = world.loads().iter().filter(|load| **load > 0).count();
        assert_eq!((proposal.before.nodes_in_use, used), (10, proposal.after.nodes_in_use), "{keep} {over}");
        for step in &proposal.moves {
            let left = world.cluster.tasks_on(&step.from).any(|task| task.id == step.instance);
            assert!(!left, "{step:?} {keep} {over}");
        }
        assert_eq!(world.cluster.instances.len(), 24);
    }
}

/// Nothing is left of a move that cannot end: no instance too many, and nobody who waits.
#[test]
fn moves_whose_target_is_full_by_now_are_given_up() {
    for (keep, over) in [(1000, 1000), (0, 0)] {
        let mut world = World::new(2);
        world.create("/web", 2, 1000);
        let id = AppId::parse("/web").unwrap();
        let mut app = App::clone(world.cluster.app(&id).unwrap());
        app.upgrade_strategy.minimum_health_capacity = Scalar::from_thousandths(keep);
        app.upgrade_strategy.maximum_over_capacity = Scalar::from_thousandths(over);
        world.step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "")).unwrap();
        world.run();
        let proposal = world.cluster.rebalance(Goal::Pack, 100);
        assert_eq!(proposal.moves.len(), 1);
        let mut full = facts(0);
        full.id = proposal.moves[0].to.clone();
        (full.resources.cpus, full.hostname) = (Scalar::from_units(1), world.cluster.nodes[&full.id].facts.hostname.clone());
        let running = world.cluster.tasks_on(&full.id).map(|task| report(task.task_id(), Condition::Running)).collect();
        world.step(|draft| draft.register(full, running));
        let before: Vec<InstanceId> = world.cluster.instances.keys().cloned().collect();
        world.step(|draft| draft.begin_moves(&proposal.moves)).unwrap();
        world.run();
        world.step(|_| ());
        let after: Vec<InstanceId> = world.cluster.instances.keys().cloned().collect();
        assert_eq!((before, after.len()), (after.clone(), 2), "{keep} {over}");
        let left = (&world.cluster.moving, &world.cluster.stranded, &world.cluster.pending);
        assert!(left.0.is_empty() && left.1.is_empty() && left.2.is_empty(), "{keep} {over}: {left:?}");
    }
}

#[test]
fn spreading_evens_loads_out_and_ends() {
    let mut world = World::new(1);
    world.create("/web", 8, 500);
    world.step(|draft| (1..4).for_each(|number| draft.register(facts(number), Vec::new())));
    let proposal = world.cluster.rebalance(Goal::Spread, 100);
    assert_eq!((proposal.before.fullest, proposal.after.fullest, proposal.after.emptiest), (800, 200, 200));
    world.step(|draft| draft.begin_moves(&proposal.moves)).unwrap();
    world.run();
    assert_eq!(world.loads(), [2, 2, 2, 2]);
    assert_eq!(world.cluster.rebalance(Goal::Spread, 100).moves, []);
    assert_eq!(world.cluster.rebalance(Goal::Pack, 100).moves.len(), 6);
}
