//! Drives the cluster with a model of agents and store, and checks what must always hold.

use super::*;
use crate::assignment::{Down, Exit, FailureReason, Launch, TaskReport};
use crate::instance::{Condition, Goal};
use crate::node::{AfterDrain, NodeFacts, NodeStatus, PortRanges, Resources};
use crate::placement::Ledger;
use crate::{App, Scalar, TaskId, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[path = "draft_holds_test.rs"]
mod holds;
#[path = "draft_moves_test.rs"]
mod moves;
#[path = "retelling_test.rs"]
mod retelling_test;

/// A cluster with perfect agents and a perfect store.
struct World {
    cluster: Cluster,
    store: BTreeMap<String, Vec<u8>>,
    agents: BTreeMap<NodeId, BTreeMap<TaskId, Condition>>,
    now: i64,
    seed: u64,
    wake_at: Option<Timestamp>,
    ledger: Option<Ledger>,
    /// A follower's copy, and what it reads from the store.
    replica: Cluster,
    mirror: Mirror,
    /// Data that agents have deleted and not yet said so.
    destroyed: Vec<(NodeId, crate::InstanceId)>,
}

impl World {
    fn new(nodes: u32) -> Self {
        let mut world = Self {
            cluster: Cluster::default(),
            store: BTreeMap::new(),
            agents: BTreeMap::new(),
            now: 1_000_000,
            seed: 1,
            wake_at: None,
            ledger: None,
            replica: Cluster::default(),
            mirror: Mirror::default(),
            destroyed: Vec::new(),
        };
        world.step(Draft::name_cluster);
        for number in 0..nodes {
            let facts = facts(number);
            world.agents.insert(facts.id.clone(), BTreeMap::new());
            world.step(|draft| draft.register(facts, Vec::new()));
        }
        world
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn step<T>(&mut self, act: impl FnOnce(&mut Draft) -> T) -> T {
        self.seed += 1;
        let mut draft = self.draft();
        let result = act(&mut draft);
        let mut step = draft.settle();
        self.ledger = step.ledger.take();
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(step.cluster.generation);
        }
        let delta = Delta::between(&self.cluster, &step.cluster, &step.touched, &step.events);
        let (replica, events) = std::mem::take(&mut self.replica).with_delta(&super::replica_test::sent(&delta)).unwrap();
        assert_eq!(format!("{events:?}"), format!("{:?}", step.events));
        self.replica = replica;
        let writes = step.writes.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
        self.mirror.apply(writes, Timestamp::from_millis(self.now));
        for (key, value) in step.writes {
            match value {
                Some(value) => self.store.insert(key, value),
                None => self.store.remove(&key),
            };
        }
        self.cluster = step.cluster;
        self.wake_at = step.wake_at;
        for (node, order) in step.orders {
            // What is sent to a node that is away is lost.
            if !self.hears(&node) {
                continue;
            }
            let tasks = self.agents.get_mut(&node).unwrap();
            match order {
                Down::Launch { launch, .. } => tasks.extend(launch.tasks().map(|task| (task, Condition::Staging))),
                Down::Run { assignment, .. } => drop(tasks.insert(assignment.task_id(), Condition::Staging)),
                Down::Stop { task, .. } => {
                    tasks.entry(task).and_modify(|condition| *condition = Condition::Killing).or_insert(Condition::Killed);
                }
                Down::Forget { tasks: forgotten, .. } => forgotten.iter().for_each(|task| {
                    tasks.remove(task);
                }),
                Down::Snapshot { launches, stopping, .. } => {
                    let assigned: BTreeSet<TaskId> = launches.iter().flat_map(Launch::tasks).collect();
                    for (task, condition) in tasks.iter_mut() {
                        if (!assigned.contains(task) || stopping.contains(task)) && !condition.is_terminal() {
                            *condition = Condition::Killing;
                        }
                    }
                    for task in assigned {
                        let condition = if stopping.contains(&task) { Condition::Killed } else { Condition::Staging };
                        tasks.entry(task).or_insert(condition);
                    }
                }
                Down::Destroy { instances, .. } => {
                    for id in instances {
                        let live = tasks.iter().any(|(task, state)| *task.instance() == id && !state.is_terminal());
                        assert!(!live, "the data of {id} are deleted under its task");
                        self.destroyed.push((node.clone(), id));
                    }
                }
                Down::Dismiss { .. } => tasks.clear(),
                Down::Controllers { .. } => unreachable!("a step knows no controllers"),
            }
        }
        self.check();
        result
    }

    fn draft(&mut self) -> Draft {
        Draft::new(&self.cluster, self.now(), 1, Entropy::new(self.seed)).with_ledger(self.ledger.take())
    }

    /// A step that could not be stored.
    fn lost_step<T>(&mut self, act: impl FnOnce(&mut Draft) -> T) {
        self.seed += 1;
        let mut draft = self.draft();
        act(&mut draft);
        self.ledger = draft.settle().ledger;
        if let Some(ledger) = &mut self.ledger {
            ledger.rollback();
        }
        self.check();
    }

    /// Whether a node is connected; one that was dismissed is, as long as it has tasks.
    fn hears(&self, node: &NodeId) -> bool {
        self.cluster.nodes.get(node).map_or(self.cluster.retired.contains_key(node), |node| node.status == NodeStatus::Active)
    }

    fn report(&mut self, node: &NodeId, task: &TaskId, condition: Condition, reason: Option<FailureReason>) {
        let report = self.tell(task, condition, reason);
        self.agents.get_mut(node).unwrap().insert(task.clone(), condition);
        self.step(|draft| draft.observe(node, report));
    }

    /// Lets the agents do what they were told until nothing moves.
    fn run(&mut self) {
        for _ in 0..1000 {
            for (node, id) in std::mem::take(&mut self.destroyed) {
                self.step(|draft| draft.note_destroyed(&node, &[id]));
            }
            let next = self
                .agents
                .iter()
                .flat_map(|(node, tasks)| tasks.iter().map(move |(task, condition)| (node.clone(), task.clone(), *condition)))
                .find(|(node, _, condition)| *condition != Condition::Running && self.hears(node));
            match next {
                Some((node, task, Condition::Staging)) => self.report(&node, &task, Condition::Running, None),
                Some((node, task, _)) => self.report(&node, &task, Condition::Killed, Some(FailureReason::Stopped)),
                None => match self.wake_at.filter(|at| *at > self.now()) {
                    Some(at) => {
                        self.now = at.as_millis();
                        self.step(Draft::wake_paused);
                    }
                    None => return,
                },
            }
        }
        panic!("the world never comes to rest");
    }

    /// A node registers with all it runs.
    fn come_back(&mut self, number: u32) {
        let facts = facts(number);
        let running = self.agents[&facts.id].iter().filter(|(_, condition)| !condition.is_terminal());
        let reports: Vec<TaskReport> = running.map(|(task, condition)| self.tell(task, *condition, None)).collect();
        self.step(|draft| draft.register(facts, reports));
    }

    /// A controller leads that knows only what is stored.
    fn lead_anew(&mut self) {
        self.cluster = Cluster::load(self.store.iter().map(|(key, value)| (key.as_str(), value.as_slice())), self.now()).0;
        self.replica = self.cluster.clone();
        self.ledger = None;
    }

    fn tell(&self, task: &TaskId, condition: Condition, reason: Option<FailureReason>) -> TaskReport {
        let started = Timestamp::from_millis(self.now - 10_000);
        TaskReport {
            task: task.clone(),
            condition,
            at: self.now(),
            started_at: (condition == Condition::Running || condition.is_terminal()).then_some(started),
            reason,
            exit: reason.map(|_| Exit::Code(1)),
            message: None,
            health: Vec::new(),
            ready: true,
            addresses: Vec::new(),
            container: None,
            sandbox: None,
        }
    }

    fn fail(&mut self, index: usize) {
        let all: Vec<_> = self
            .agents
            .iter()
            .filter(|(node, _)| self.hears(node))
            .flat_map(|(node, tasks)| tasks.keys().map(move |task| (node.clone(), task.clone())))
            .collect();
        if let Some((node, task)) = all.get(index % all.len().max(1)).cloned() {
            self.report(&node, &task, Condition::Failed, Some(FailureReason::CommandExited));
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        if let Some(ledger) = self.ledger.as_ref().filter(|ledger| ledger.generation == self.cluster.generation) {
            assert_eq!(ledger.fingerprint(), Ledger::of(&self.cluster).fingerprint(), "the ledger equals a rebuild");
            assert_eq!(*ledger.usage(), self.cluster.usage(), "what is shown as consumed is what limits are compared with");
        }
        for (id, load) in &self.cluster.loads {
            let offered = &self.cluster.nodes[id].facts.resources;
            let held = self.cluster.nodes[id].claims.held();
            let (cpus, mem, disk) = (load.cpus + held.cpus, load.mem + held.mem, load.disk + held.disk);
            let fits = cpus <= offered.cpus && mem <= offered.mem && disk <= offered.disk;
            assert!(fits, "{id} is overcommitted: {load:?} and {held:?}");
            let mut fresh = crate::placement::NodeLoad::default();
            for instance in self.cluster.instances.values().filter(|instance| instance.node() == Some(id)) {
                let seat = instance.seat.as_ref().unwrap();
                assert!(seat.host_ports.iter().all(|port| !fresh.ports.contains(port)), "port given twice");
                fresh.take(&instance.id, &instance.app, seat);
            }
            assert_eq!(&fresh, load, "the load of {id} equals a rebuild");
        }
        for record in self.cluster.apps.values().filter(|record| record.app.is_exclusive()) {
            let of_app = |task: &&TaskId| task.to_string().starts_with(&format!("{}.instance-", record.app.id.safe_path()));
            let tasks = self.agents.values().flatten().filter(|(_, condition)| !condition.is_terminal());
            let mut holders: BTreeMap<String, usize> = BTreeMap::new();
            for (task, _) in tasks.filter(|(task, _)| of_app(task)) {
                // A promise of one instance, or one of one task with the same data.
                let of = if record.app.is_single_instance() { String::new() } else { task.instance().to_string() };
                *holders.entry(of).or_default() += 1;
            }
            assert!(holders.values().all(|count| *count <= 1), "live holders of {}: {holders:?}", record.app.id);
        }
        for (id, node) in &self.cluster.nodes {
            assert_eq!(self.cluster.away.contains(id), node.status != NodeStatus::Active);
            assert_eq!(self.cluster.draining.get(id).copied(), node.administration.drain());
            assert!(!self.cluster.retired.contains_key(id), "a retired node is back");
        }
        self.check_holds();
        assert!(self.cluster.draining.keys().all(|id| self.cluster.nodes.contains_key(id)));
        let (loaded, faults) = Cluster::load(self.store.iter().map(|(key, value)| (key.as_str(), value.as_slice())), self.now());
        assert_eq!(faults, []);
        assert_eq!(self.mirror.faults(), []);
        super::replica_test::assert_mirrors(&self.mirror, &loaded);
        super::replica_test::assert_same(&self.replica, &self.cluster);
        assert_eq!(
            loaded.loads.iter().filter(|(_, load)| !load.instances.is_empty()).count(),
            self.cluster.loads.iter().filter(|(_, load)| !load.instances.is_empty()).count()
        );
        let seated = |cluster: &Cluster| -> Vec<_> {
            let seated = cluster.instances.values().filter(|instance| instance.seat.is_some());
            seated
                .map(|instance| {
                    (instance.id.clone(), instance.incarnation, instance.seat.clone(), Arc::clone(&instance.app), instance.goal)
                })
                .collect()
        };
        assert_eq!(seated(&loaded), seated(&self.cluster), "what is stored is what runs");
        let apps = |cluster: &Cluster| -> Vec<_> { cluster.apps.values().map(|record| Arc::clone(&record.app)).collect() };
        assert_eq!(apps(&loaded), apps(&self.cluster));
        assert_eq!(loaded.deployments.keys().collect::<Vec<_>>(), self.cluster.deployments.keys().collect::<Vec<_>>());
        assert_eq!(loaded.service_ports, self.cluster.service_ports);
    }

    fn running(&self, app: &str) -> usize {
        self.cluster
            .instances_of(&AppId::parse(app).unwrap())
            .filter(|instance| instance.condition == Condition::Running && instance.goal == Goal::Running)
            .count()
    }
}

fn facts(number: u32) -> NodeFacts {
    NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(4),
            mem: Scalar::from_units(4096),
            disk: Scalar::from_units(4096),
            ports: PortRanges::new([(31000, 31020)]),
            ..Resources::default()
        },
        executors: vec!["process".into()],
        ..NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), format!("h{number}"), "127.0.0.1".parse().unwrap())
    }
}

fn app(id: &str, instances: u32, cpus_thousandths: i64) -> App {
    let mut app = App::new(AppId::parse(id).unwrap());
    app.cmd = Some("sleep 1000".into());
    app.instances = instances;
    app.cpus = Scalar::from_thousandths(cpus_thousandths);
    app.port_definitions = vec![crate::app::PortDefinition::default()];
    app
}

#[test]
fn an_app_is_created_scaled_changed_and_removed() {
    let mut world = World::new(2);
    let deployment =
        world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 100))], false, "/v2/apps")).unwrap().unwrap();
    assert!(world.cluster.deployments.contains_key(deployment.id.as_str()));
    world.run();
    assert_eq!((world.running("/a"), world.cluster.deployments.len()), (2, 0));
    assert_eq!(world.cluster.app(&AppId::parse("/a").unwrap()).unwrap().port_definitions[0].port, SERVICE_PORT_FIRST);
    let nodes: std::collections::BTreeSet<_> =
        world.cluster.instances.values().map(|instance| instance.node().cloned()).collect();
    assert_eq!(nodes.len(), 2, "spread over the nodes");

    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/a").unwrap(), 5)], false, "")).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 5);
    let before: Vec<_> = world.cluster.instances.keys().cloned().collect();

    let mut changed = app("/a", 5, 200);
    changed.port_definitions[0].port = 0;
    world.step(|draft| draft.edit(vec![AppEdit::Put(changed.clone())], false, "")).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 5);
    assert!(before.iter().all(|id| !world.cluster.instances.contains_key(id)), "every instance was replaced");

    let unchanged = (*world.cluster.app(&changed.id).unwrap().clone()).clone();
    assert_eq!(
        world.step(|draft| draft.edit(vec![AppEdit::Put(unchanged)], false, "")).unwrap(),
        None,
        "no change, no deployment"
    );

    world.step(|draft| draft.edit(vec![AppEdit::Remove(changed.id.clone())], false, "")).unwrap();
    world.run();
    assert!(world.cluster.instances.is_empty() && world.cluster.deployments.is_empty());
    let left: Vec<_> = world.store.keys().filter(|key| !key.contains("/nodes/") && !key.contains("/cluster/")).collect();
    assert!(left.is_empty(), "nothing is left in the store: {left:?}");
}

#[test]
fn a_second_change_is_locked_unless_forced() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100))], false, "")).unwrap();
    let locked = world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/a").unwrap(), 2)], false, ""));
    assert!(matches!(locked, Err(EditError::Locked(ids)) if ids.len() == 1));
    let again = world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100))], false, ""));
    assert!(matches!(again, Err(EditError::Exists(_))), "forcing would not help: {again:?}");
    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/a").unwrap(), 2)], true, "")).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 2);
}

#[test]
fn more_instances_than_any_cluster_runs_cost_no_more_than_those_that_wait() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1_000_000, 100))], false, "")).unwrap();
    world.run();
    let (id, running) = (AppId::parse("/a").unwrap(), world.running("/a"));
    assert!(running > 0);
    let waiting = super::draft_settle::SCHEDULED_MAX as usize;
    assert_eq!(world.cluster.instances_of(&id).count(), running + waiting);
    assert_eq!(world.cluster.pending[&id].count as usize, 1_000_000 - running, "all that are missing are told");
    world.step(|draft| draft.edit(vec![AppEdit::Scale(id.clone(), 2)], true, "")).unwrap();
    world.run();
    assert_eq!((world.running("/a"), world.cluster.instances_of(&id).count()), (2, 2));
}

#[test]
fn what_no_store_would_take_is_refused_before_it_is_tried() {
    let mut world = World::new(1);
    let mut large = app("/large", 1, 100);
    large.cmd = Some("x".repeat(1 << 20));
    let refused = world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100)), AppEdit::Create(large)], false, ""));
    assert!(matches!(&refused, Err(EditError::Invalid(faults)) if faults[0].message.contains("/large")), "{refused:?}");
    let portless = |number| App { port_definitions: Vec::new(), ..app(&format!("/many/app-{number}"), 0, 100) };
    let many = (0..10_000).map(|number| AppEdit::Create(portless(number))).collect();
    let refused = world.step(|draft| draft.edit(many, false, ""));
    assert!(matches!(refused, Err(EditError::Invalid(_))), "{refused:?}");
    assert!(world.cluster.apps.is_empty());
}

/// A node with a full disk never has anything to do, and would be the first choice for ever.
#[test]
fn who_cannot_be_started_on_a_node_goes_to_another_one_and_returns_when_there_is_none() {
    let mut world = World::new(3);
    let starts = |world: &mut World, on: &dyn Fn(&NodeId) -> bool| {
        let all: Vec<(NodeId, TaskId)> =
            world.agents.iter().flat_map(|(node, tasks)| tasks.keys().map(move |task| (node.clone(), task.clone()))).collect();
        for (node, task) in all {
            let staging = world.agents[&node].get(&task) == Some(&Condition::Staging);
            let (condition, reason) =
                if on(&node) { (Condition::Running, None) } else { (Condition::Failed, Some(FailureReason::LaunchFailed)) };
            if staging {
                world.report(&node, &task, condition, reason);
            }
        }
    };
    let pass = |world: &mut World| {
        world.now += 20_000;
        world.step(Draft::wake_paused);
    };
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 6, 100))], false, "")).unwrap();
    for _ in 0..3 {
        starts(&mut world, &|id| *id != node(1));
        pass(&mut world);
    }
    assert_eq!((world.running("/a"), world.agents[&node(1)].len()), (6, 0));
    // Other apps learn it for themselves, and where no node is left the best one is tried again.
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/b", 3, 100))], false, "")).unwrap();
    for _ in 0..4 {
        starts(&mut world, &|_| false);
        pass(&mut world);
    }
    assert_eq!(world.running("/b"), 0);
    starts(&mut world, &|_| true);
    pass(&mut world);
    starts(&mut world, &|_| true);
    assert_eq!(world.running("/b"), 3);
}

#[test]
fn failures_pause_and_grow_but_a_stable_instance_returns_at_once() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100))], false, "")).unwrap();
    world.run();
    let id = AppId::parse("/a").unwrap();
    let at = world.now;
    world.fail(0);
    let instance = world.cluster.instances_of(&id).next().unwrap().clone();
    assert_eq!((instance.condition, instance.incarnation), (Condition::Staging, 2), "relaunched at once");
    world.run();
    assert_eq!(world.now, at);
    world.fail(0);
    assert_eq!(world.cluster.delays[&id].pause_ms, 1000);
    assert_eq!(world.cluster.pending[&id].count, 1);
    world.run();
    world.fail(0);
    assert_eq!(world.cluster.delays[&id].pause_ms, 1150);
    assert_eq!(world.cluster.failures[&id].condition, Condition::Failed);
    world.run();
    assert_eq!(world.running("/a"), 1);
    assert_eq!(world.cluster.instances_of(&id).next().unwrap().id, instance.id, "the instance id is stable");
}

#[test]
fn what_does_not_fit_waits_and_is_seated_when_room_appears() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/big", 1, 3000))], false, "")).unwrap();
    world.run();
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/late", 1, 2000))], false, "")).unwrap();
    world.run();
    let late = AppId::parse("/late").unwrap();
    let refusals = world.cluster.pending[&late].refusals.clone().unwrap();
    assert!(refusals.sentence().contains("InsufficientCpus on 1"), "{}", refusals.sentence());
    world.step(|draft| draft.edit(vec![AppEdit::Remove(AppId::parse("/big").unwrap())], false, "")).unwrap();
    world.run();
    assert_eq!(world.running("/late"), 1);
    assert!(world.cluster.pending.is_empty());
}

#[test]
fn rollback_restores_the_previous_version_and_spares_its_instances() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100))], false, "")).unwrap();
    world.run();
    let good: Vec<_> = world.cluster.instances.keys().cloned().collect();
    let stuck = world.step(|draft| draft.edit(vec![AppEdit::Put(app("/a", 1, 900_000))], false, "")).unwrap().unwrap();
    world.run();
    assert_eq!(world.running("/a"), 1, "the old instance serves on");
    world.step(|draft| draft.roll_back(&stuck.id)).unwrap();
    world.run();
    assert_eq!(world.cluster.instances.keys().cloned().collect::<Vec<_>>(), good);
    assert!(world.cluster.deployments.is_empty() && world.cluster.pending.is_empty());
}

#[test]
fn circles_of_dependencies_are_refused() {
    let mut world = World::new(1);
    let needing = |id: &str, needs: &str| {
        let mut app = app(id, 1, 100);
        app.dependencies = vec![AppId::parse(needs).unwrap()];
        app
    };
    world.step(|draft| draft.edit(vec![AppEdit::Create(needing("/g/a", "/b"))], false, "")).unwrap();
    let refused = world.step(|draft| draft.edit(vec![AppEdit::Create(needing("/b", "/g"))], false, ""));
    let refused = refused.unwrap_err();
    assert!(matches!(&refused, EditError::Invalid(faults) if faults[0].message.contains("/b → /g/a → /b")));
    assert!(refused.to_string().contains("/dependencies: has cyclic"), "who sees only the sentence is told too: {refused}");
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/b", 1, 100))], false, "")).unwrap();
    world.run();
    assert_eq!((world.running("/g/a"), world.running("/b")), (1, 1));
}

#[test]
fn a_damaged_app_document_is_told_and_its_newest_version_stands_in() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 100))], false, "")).unwrap();
    world.run();
    let key = world.store.keys().find(|key| key.ends_with("/apps/a")).unwrap().clone();
    world.store.insert(key.clone(), b"{ damaged".to_vec());
    let (loaded, faults) = Cluster::load(world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice())), world.now());
    assert_eq!(faults.iter().map(|fault| &fault.key).collect::<Vec<_>>(), [&key]);
    assert_eq!(loaded.app(&AppId::parse("/a").unwrap()), world.cluster.app(&AppId::parse("/a").unwrap()));
}

#[test]
fn killed_tasks_come_back_unless_scaled_away() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 3, 100))], false, "")).unwrap();
    world.run();
    let task = |world: &World| world.cluster.instances.values().next().unwrap().task_id();
    let request = |tasks, scale| KillRequest { tasks, scale, wipe: false, force: false };
    let first = task(&world);
    world.step(|draft| draft.kill(&request(vec![first.clone()], false))).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 3);
    assert_eq!(world.step(|draft| draft.kill(&request(vec![first.clone()], false))), Err(EditError::NoTask(first.to_string())));
    let second = task(&world);
    world.step(|draft| draft.kill(&request(vec![second], true))).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 2);
}

#[test]
fn an_app_made_anew_at_once_has_a_version_of_its_own() {
    let mut world = World::new(1);
    let id = AppId::parse("/a").unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Put(app("/a", 1, 100))], true, "")).unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Remove(id.clone())], true, "")).unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Put(app("/a", 0, 100))], true, "")).unwrap();
    let old = world.cluster.instances_of(&id).next().unwrap().app.version;
    assert_ne!(world.cluster.app(&id).unwrap().version, old);
    world.run();
    assert_eq!(world.running("/a"), 0);
}

#[test]
fn dependencies_start_first() {
    let mut world = World::new(1);
    let mut web = app("/web", 1, 100);
    web.dependencies = vec![AppId::parse("/db").unwrap()];
    world.step(|draft| draft.edit(vec![AppEdit::Create(web), AppEdit::Create(app("/db", 1, 100))], false, "")).unwrap();
    assert_eq!(world.cluster.instances_of(&AppId::parse("/web").unwrap()).count(), 0);
    world.run();
    assert_eq!((world.running("/web"), world.running("/db")), (1, 1));
}

#[test]
fn a_lost_node_is_replaced_and_its_return_kills_the_duplicate() {
    let mut world = World::new(2);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 100))], false, "")).unwrap();
    world.run();
    let node = NodeId::parse("c-S0").unwrap();
    world.step(|draft| draft.lose_node(&node));
    world.run();
    assert_eq!(world.running("/a"), 2);
    assert!(world.cluster.instances.values().all(|instance| instance.node() != Some(&node)));
    let orphans = world.agents[&node].clone();
    assert_eq!(orphans.len(), 1);
    let reports = orphans.keys().map(|task| world.tell(task, Condition::Running, None)).collect();
    world.step(|draft| draft.register(facts(0), reports));
    world.run();
    assert!(world.agents[&node].is_empty(), "the duplicate was stopped");
    assert_eq!(world.running("/a"), 2);
}

#[test]
fn a_node_that_stops_its_tasks_gets_no_new_ones() {
    let mut world = World::new(2);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 4, 100))], false, "")).unwrap();
    world.run();
    let mut leaving = facts(0);
    leaving.leaving = true;
    let id = leaving.id.clone();
    let ended: Vec<_> = world.agents[&id].keys().cloned().collect();
    assert!(!ended.is_empty());
    let reports = ended.iter().map(|task| world.tell(task, Condition::Killed, Some(FailureReason::Stopped))).collect();
    world.agents.get_mut(&id).unwrap().clear();
    world.step(|draft| draft.register(leaving, reports));
    world.run();
    assert!(!world.cluster.nodes[&id].accepts_tasks());
    assert_eq!(world.running("/a"), 4);
    assert!(world.cluster.instances.values().all(|instance| instance.node() != Some(&id)));
    world.come_back(0);
    assert!(world.cluster.nodes[&id].accepts_tasks(), "the next start of its agent opens it");
}

#[test]
fn a_deployment_whose_removed_app_is_gone_ends_after_a_restart() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100))], false, "")).unwrap();
    world.run();
    let edits = vec![AppEdit::Remove(AppId::parse("/a").unwrap()), AppEdit::Create(app("/c", 1, 900_000))];
    world.step(|draft| draft.edit(edits, false, "")).unwrap();
    world.run();
    let pending = |world: &World| world.cluster.deployments.values().next().unwrap().pending.iter().cloned().collect::<Vec<_>>();
    let waiting = vec![AppId::parse("/c").unwrap()];
    assert_eq!(pending(&world), waiting);
    world.cluster = Cluster::load(world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice())), world.now()).0;
    world.replica = world.cluster.clone();
    world.step(Draft::wake_all);
    assert_eq!(pending(&world), waiting, "the app that is gone is not waited for again");
    assert_eq!(world.cluster.instances_of(&waiting[0]).count(), 1);
}

#[test]
fn going_back_brings_a_removed_app_and_its_package_back() {
    let mut world = World::new(1);
    let id = AppId::parse("/a").unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 100))], false, "")).unwrap();
    world.run();
    let removal = world.step(|draft| draft.edit(vec![AppEdit::Remove(id.clone())], false, "")).unwrap().unwrap();
    assert_eq!(world.cluster.removed.len(), 1);
    world.step(|draft| draft.roll_back(&removal.id)).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 2);
    assert!(world.cluster.deployments.is_empty() && world.cluster.removed.is_empty());
}

#[test]
fn what_is_not_wanted_any_more_does_not_wait_for_a_lost_node() {
    let mut world = World::new(1);
    let mut patient = app("/a", 1, 100);
    patient.unreachable_strategy = crate::app::UnreachableStrategy::Disabled;
    world.step(|draft| draft.edit(vec![AppEdit::Create(patient)], false, "")).unwrap();
    world.run();
    world.step(|draft| draft.lose_node(&NodeId::parse("c-S0").unwrap()));
    assert_eq!(world.cluster.instances.len(), 1);
    world.step(|draft| draft.edit(vec![AppEdit::Remove(AppId::parse("/a").unwrap())], false, "")).unwrap();
    assert!(world.cluster.instances.is_empty() && world.cluster.deployments.is_empty());
}

#[test]
fn a_task_named_twice_is_scaled_away_once_and_an_app_named_twice_is_refused() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 3, 100))], false, "")).unwrap();
    world.run();
    let task = world.cluster.instances.values().next().unwrap().task_id();
    let request = KillRequest { tasks: vec![task.clone(), task], scale: true, wipe: false, force: true };
    world.step(|draft| draft.kill(&request)).unwrap();
    // Once more while it is stopping.
    world.step(|draft| draft.kill(&request)).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 2);
    let twice = vec![AppEdit::Put(app("/b", 1, 100)), AppEdit::Put(app("/b", 2, 100))];
    assert!(matches!(world.step(|draft| draft.edit(twice, false, "")), Err(EditError::Invalid(_))));
}

#[test]
fn definitions_nobody_needs_leave_the_store() {
    let mut world = World::new(1);
    let id = AppId::parse("/a").unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 1, 100))], false, "")).unwrap();
    world.run();
    for count in 0..2 * VERSIONS_MAX as u32 {
        world.now += 1_000;
        world.step(|draft| draft.edit(vec![AppEdit::Scale(id.clone(), 1 + (count + 1) % 2)], true, "")).unwrap();
        world.run();
    }
    let stored = |world: &World| world.store.keys().filter(|key| key.contains("/versions/")).count();
    let oldest = world.cluster.instances_of(&id).map(|instance| instance.task_id()).next().unwrap();
    world.step(|draft| draft.kill(&KillRequest { tasks: vec![oldest], scale: false, wipe: false, force: false })).unwrap();
    world.run();
    assert_eq!(stored(&world), VERSIONS_MAX);
}

/// `nodes` nodes, one of them with room for everything, and the app `/a`.
fn world_with(nodes: u32, app: App) -> World {
    let mut world = World::new(nodes);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app)], false, "")).unwrap();
    world.run();
    world
}

fn patient(id: &str, instances: u32, inactive: u32, expunge: u32) -> App {
    let mut app = app(id, instances, 100);
    app.unreachable_strategy =
        crate::app::UnreachableStrategy::Replace { inactive_after_seconds: inactive, expunge_after_seconds: expunge };
    app
}

fn single(id: &str) -> App {
    let mut app = app(id, 1, 100);
    app.labels.insert(crate::app::SINGLE_INSTANCE_LABEL.into(), "true".into());
    app
}

fn node(number: u32) -> NodeId {
    facts(number).id
}

/// The node that runs the first instance of `/a`.
fn host_of(world: &World) -> u32 {
    let id = AppId::parse("/a").unwrap();
    let node = world.cluster.instances_of(&id).find_map(|instance| instance.node().cloned()).unwrap();
    (0..9).find(|number| facts(*number).id == node).unwrap()
}

#[test]
fn a_node_that_lost_its_connection_keeps_its_tasks_and_gets_no_new_ones() {
    let mut world = world_with(2, app("/a", 2, 100));
    world.step(|draft| draft.disconnect_node(&node(0)));
    assert_eq!((world.running("/a"), world.cluster.nodes[&node(0)].state()), (2, "unreachable"));
    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/a").unwrap(), 6)], false, "")).unwrap();
    world.run();
    let there = world.cluster.instances.values().filter(|instance| instance.node() == Some(&node(0))).count();
    assert_eq!((world.running("/a"), there), (6, 1));
    world.come_back(0);
    assert_eq!((world.running("/a"), world.cluster.nodes[&node(0)].state()), (6, "active"));
}

#[test]
fn a_lost_instance_is_replaced_after_inactive_and_forgotten_after_expunge() {
    let mut world = world_with(2, patient("/a", 1, 10, 60));
    let (host, id) = (host_of(&world), AppId::parse("/a").unwrap());
    let lost_at = world.now;
    world.step(|draft| draft.lose_node(&node(host)));
    assert_eq!(world.wake_at, Some(Timestamp::from_millis(lost_at + 10_000)), "the alarm is set");
    world.now = lost_at + 9_999;
    world.step(|_| ());
    assert_eq!(world.cluster.instances_of(&id).count(), 1);
    world.now = lost_at + 10_000;
    world.step(|_| ());
    assert_eq!(world.cluster.instances_of(&id).count(), 2, "the replacement beside the lost one");
    world.run();
    assert_eq!((world.running("/a"), world.now), (1, lost_at + 60_000));
    assert_eq!(world.cluster.instances_of(&id).count(), 1, "the lost one is forgotten");
}

#[test]
fn a_node_that_returns_keeps_nothing_that_was_replaced() {
    let mut world = world_with(2, patient("/a", 1, 10, 60));
    let (host, id) = (host_of(&world), AppId::parse("/a").unwrap());
    world.step(|draft| draft.lose_node(&node(host)));
    world.now += 10_000;
    world.step(|_| ());
    let original = world.agents[&node(host)].keys().next().unwrap().clone();
    world.come_back(host);
    world.run();
    let left: Vec<_> = world.cluster.instances_of(&id).map(|instance| instance.task_id()).collect();
    assert_eq!((left.len(), world.running("/a")), (1, 1));
    assert_ne!(left[0], original, "the replacement stays");
    assert!(world.agents[&node(host)].is_empty(), "the duplicate was stopped");
}

#[test]
fn a_node_that_returns_before_anything_was_replaced_gives_its_tasks_back() {
    // There is no other node: with the strategy "at once" a replacement waits for room.
    let mut world = world_with(1, app("/a", 2, 100));
    let before: Vec<TaskId> = world.agents[&node(0)].keys().cloned().collect();
    world.step(|draft| draft.lose_node(&node(0)));
    assert_eq!(world.cluster.pending[&AppId::parse("/a").unwrap()].count, 2);
    world.come_back(0);
    world.run();
    assert_eq!(world.agents[&node(0)].keys().cloned().collect::<Vec<_>>(), before, "no task was touched");
    assert!(world.cluster.pending.is_empty());
}

#[test]
fn a_single_instance_app_waits_for_its_node_until_that_is_declared_gone() {
    let mut world = world_with(2, single("/a"));
    let host = host_of(&world);
    world.step(|draft| draft.lose_node(&node(host)));
    world.run();
    assert_eq!(world.running("/a"), 0);
    // Neither a restart nor making it anew starts a second holder.
    world.step(|draft| draft.edit(vec![AppEdit::Restart(AppId::parse("/a").unwrap())], true, "")).unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Remove(AppId::parse("/a").unwrap())], true, "")).unwrap();
    assert!(world.cluster.deployments.is_empty(), "the removal does not wait for a lost node");
    world.step(|draft| draft.edit(vec![AppEdit::Create(single("/a"))], true, "")).unwrap();
    world.run();
    assert_eq!(world.running("/a"), 0);
    world.agents.get_mut(&node(host)).unwrap().clear();
    world.step(|draft| draft.decommission_node(&node(host), Decommission { gone: true, force: false })).unwrap();
    world.run();
    assert_eq!((world.running("/a"), host_of(&world)), (1, 1 - host));
}

#[test]
fn the_brake_holds_replacements_until_it_is_released() {
    let mut world = world_with(5, app("/a", 5, 100));
    world.step(|draft| (0..3).for_each(|number| draft.disconnect_node(&node(number))));
    world.step(|draft| draft.lose_node(&node(0)));
    let held = world.cluster.brake.clone().unwrap();
    assert_eq!((held.missing.len(), held.of), (3, 5));
    world.step(|draft| (1..3).for_each(|number| draft.lose_node(&node(number))));
    world.now += 3_600_000;
    world.run();
    assert_eq!(world.running("/a"), 2, "nothing is replaced");
    // A new leader neither forgets the loss nor counts it again.
    world.step(Draft::release_brake);
    world.run();
    assert_eq!((world.running("/a"), world.cluster.brake.is_some()), (5, false));
    (0..3).for_each(|number| world.come_back(number));
    world.run();
    assert_eq!((world.running("/a"), world.cluster.brake_settings.released.len()), (5, 0));
}

#[test]
fn the_brake_ends_when_enough_nodes_return_and_gives_their_tasks_back() {
    let mut world = world_with(4, app("/a", 4, 100));
    let before = world.agents.clone();
    world.step(|draft| (0..3).for_each(|number| draft.lose_node(&node(number))));
    assert!(world.cluster.brake.is_some());
    world.come_back(0);
    let ends = world.cluster.brake.as_ref().and_then(|held| held.ends());
    assert!(ends.is_some() && world.wake_at <= ends, "two of four are no more than half: the rest has some time to follow");
    world.come_back(1);
    world.come_back(2);
    assert!(world.cluster.brake.is_none(), "all are back");
    world.run();
    assert_eq!(world.running("/a"), 4);
    let kept = before[&node(0)].keys().all(|task| world.agents[&node(0)].contains_key(task));
    assert!(kept, "the first that returned kept its task");
}

#[test]
fn the_brake_holds_when_all_controllers_start_anew() {
    for pause in [3_000, 3_600_000] {
        let mut world = world_with(4, app("/a", 8, 100));
        let before = world.agents.clone();
        world.step(|draft| (0..4).for_each(|number| draft.disconnect_node(&node(number))));
        world.step(|draft| (0..4).for_each(|number| draft.lose_node(&node(number))));
        assert!(world.cluster.brake.is_some());
        world.now += pause;
        world.lead_anew();
        world.step(Draft::wake_all);
        assert_eq!(world.cluster.brake.as_ref().map(|held| held.missing.len()), Some(4));
        for number in 0..4 {
            world.come_back(number);
            world.now += 500;
        }
        world.run();
        assert_eq!((world.running("/a"), world.cluster.brake.is_some()), (8, false));
        assert_eq!(world.cluster.brake_settings.holding, None, "nothing of it stays in the store");
        assert_eq!(world.agents, before, "no task was started or stopped");
    }
}

#[test]
fn a_drain_empties_a_node_and_survives_a_new_leader() {
    let mut world = world_with(3, app("/a", 6, 100));
    world.step(|draft| draft.drain_node(&node(0), None, AfterDrain::Deactivate)).unwrap();
    world.lead_anew();
    (0..3).for_each(|number| world.come_back(number));
    world.step(Draft::wake_all);
    world.run();
    assert_eq!((world.running("/a"), world.cluster.nodes[&node(0)].state()), (6, "drained"));
    assert!(world.agents[&node(0)].is_empty());
    world.step(|draft| draft.reactivate_node(&node(0))).unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Scale(AppId::parse("/a").unwrap(), 9)], false, "")).unwrap();
    world.run();
    assert!(!world.agents[&node(0)].is_empty(), "it is used again");
}

#[test]
fn a_drain_without_room_waits_and_says_why_until_its_deadline() {
    let mut world = world_with(2, app("/a", 2, 3000));
    let deadline = world.now().plus_millis(60_000);
    world.step(|draft| draft.drain_node(&node(0), Some(deadline), AfterDrain::Deactivate)).unwrap();
    assert_eq!(world.running("/a"), 2, "nothing is stopped");
    let waiting = world.cluster.drain_progress(&node(0), world.now());
    assert!(waiting[0].reason.contains("InsufficientCpus") && waiting[0].instances == 1, "{waiting:?}");
    // Who waits is told once more what the drain itself has changed.
    world.now += super::retelling::RETELL_PAUSE_MS;
    assert_eq!(world.wake_at, Some(world.now()));
    world.step(|_| ());
    assert_eq!(world.wake_at, Some(deadline));
    world.run();
    assert_eq!((world.running("/a"), world.cluster.nodes[&node(0)].state()), (1, "drained"));
}

#[test]
fn a_drain_stops_nothing_for_a_seat_that_another_app_is_to_have() {
    let mut world = World::new(2);
    world.step(|draft| draft.deactivate_node(&node(1))).unwrap();
    let exclusive = |id| {
        let mut app = app(id, 1, 1500);
        app.upgrade_strategy.minimum_health_capacity = Scalar::ZERO;
        app.upgrade_strategy.maximum_over_capacity = Scalar::ZERO;
        app
    };
    let apps = ["/a", "/b"].map(|id| AppEdit::Create(exclusive(id)));
    world.step(|draft| draft.edit(apps.into(), false, "")).unwrap();
    world.run();
    world.step(|draft| draft.reactivate_node(&node(1))).unwrap();
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/filler", 1, 2000))], false, "")).unwrap();
    world.run();
    world.step(|draft| draft.drain_node(&node(0), None, AfterDrain::Deactivate)).unwrap();
    let stopping = world.cluster.instances.values().filter(|instance| instance.goal != Goal::Running).count();
    assert_eq!(stopping, 1, "there is room for one of them");
    // Nobody else takes the room before its successor comes.
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/late", 1, 1500))], false, "")).unwrap();
    world.run();
    assert_eq!((world.running("/a") + world.running("/b"), world.running("/late")), (2, 0));
    assert!(world.cluster.promises.is_empty());
}

#[test]
fn a_cancelled_drain_leaves_every_task_where_it_is() {
    let mut world = world_with(2, app("/a", 4, 100));
    let before = world.agents[&node(0)].clone();
    world.step(|draft| draft.drain_node(&node(0), None, AfterDrain::Decommission)).unwrap();
    world.step(|draft| draft.reactivate_node(&node(0))).unwrap();
    world.run();
    assert_eq!((world.running("/a"), &world.agents[&node(0)]), (4, &before));
}

#[test]
fn a_decommissioned_node_leaves_for_ever() {
    let mut world = world_with(2, app("/a", 2, 100));
    let alive = world.step(|draft| draft.decommission_node(&node(0), Decommission { gone: true, force: false }));
    assert!(matches!(alive, Err(EditError::NodeAlive(_))), "{alive:?}");
    world.step(|draft| draft.decommission_node(&node(0), Decommission::default())).unwrap();
    world.run();
    assert_eq!((world.running("/a"), world.cluster.nodes.len(), world.cluster.retired.len()), (2, 1, 1));
    world
        .agents
        .get_mut(&node(0))
        .unwrap()
        .insert(TaskId::parse("a.instance-00000000-0000-0000-0000-000000000001._app.1").unwrap(), Condition::Running);
    world.come_back(0);
    assert_eq!((world.cluster.nodes.len(), world.agents[&node(0)].len()), (1, 0), "it was told to leave");
    let again = world.step(|draft| draft.drain_node(&node(0), None, AfterDrain::Deactivate));
    assert!(matches!(again, Err(EditError::NodeRetired(_))), "{again:?}");
    assert!(matches!(world.step(|draft| draft.deactivate_node(&node(7))), Err(EditError::NoNode(_))));
}

#[test]
fn a_node_that_shrinks_under_its_tasks_keeps_them_and_gets_no_more() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 1000))], false, "")).unwrap();
    world.run();
    let reports: Vec<TaskReport> = world.agents[&node(0)].keys().map(|task| world.tell(task, Condition::Running, None)).collect();
    let mut small = facts(0);
    small.resources.cpus = Scalar::from_units(-1);
    let mut draft = world.draft();
    draft.register(small, reports);
    draft.edit(vec![AppEdit::Scale(AppId::parse("/a").unwrap(), 3)], false, "").unwrap();
    let step = draft.settle();
    let shown = &step.cluster.nodes[&node(0)];
    assert_eq!((shown.facts.resources.cpus, shown.faults.len()), (Scalar::ZERO, 1));
    let running = step.cluster.instances.values().filter(|instance| instance.condition == Condition::Running).count();
    assert_eq!((running, step.cluster.pending[&AppId::parse("/a").unwrap()].count), (2, 1));
}

/// Two tasks that end in one step may each get the port that the other had.
#[test]
fn a_definition_that_arrives_late_takes_its_place() {
    let mut world = World::new(1);
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 100))], false, "")).unwrap();
    world.run();
    let mut next = app("/a", 2, 100);
    next.cmd = Some("other".into());
    world.now += 1_000;
    world.step(|draft| draft.edit(vec![AppEdit::Put(next)], false, "")).unwrap();
    // The old instances run on while the new ones start.
    let (late, rest): (Vec<_>, Vec<_>) = {
        let first = world.store.keys().find(|key| key.contains("/versions/a!")).cloned().unwrap();
        world.store.iter().map(|(key, value)| (key.as_str(), Some(value.as_slice()))).partition(|(key, _)| *key == first)
    };
    let mut mirror = Mirror::default();
    mirror.apply(rest, world.now());
    assert_eq!(mirror.faults(), [], "the present definition stands in");
    mirror.apply(late, world.now());
    let stored = world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    super::replica_test::assert_mirrors(&mirror, &Cluster::load(stored, world.now()).0);
}

#[test]
fn rivals_for_a_port_are_parted_by_a_new_leader() {
    let mut world = World::new(1);
    for id in ["/first", "/later"] {
        let mut app = app(id, 1, 100);
        app.port_definitions = vec![crate::app::PortDefinition::default()];
        world.now += 1_000;
        world.step(|draft| draft.edit(vec![AppEdit::Create(app)], false, "")).unwrap();
        world.run();
    }
    let port = |world: &World, id: &str| {
        let app = AppId::parse(id).unwrap();
        world.cluster.instances_of(&app).next().unwrap().seat.as_ref().unwrap().host_ports[0]
    };
    let (first, later) = (port(&world, "/first"), port(&world, "/later"));
    let (_, page) = world.store.iter_mut().find(|(key, _)| key.contains("instances/later")).unwrap();
    *page = String::from_utf8(page.clone()).unwrap().replace(&format!("[{later}]"), &format!("[{first}]")).into_bytes();
    let stored = world.store.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    let (loaded, faults) = Cluster::load(stored, world.now());
    assert_eq!((faults, loaded.loads[&node(0)].contended()), (vec![], &[first][..]));
    let mut draft = Draft::new(&loaded, world.now(), 2, Entropy::new(1));
    draft.wake_all();
    draft.register(facts(0), Vec::new());
    let step = draft.settle();
    let stops = step.orders.iter().filter_map(|(_, order)| match order {
        Down::Stop { task, .. } => Some(task.clone()),
        _ => None,
    });
    let stopped: Vec<TaskId> = stops.collect();
    assert_eq!(stopped.iter().map(|task| task.instance().app().as_str()).collect::<Vec<_>>(), ["/first"]);
    // Both hold the port; the one that goes does not take it from the one that stays.
    let mut draft = Draft::new(&step.cluster, world.now(), 2, Entropy::new(2)).with_ledger(step.ledger);
    draft.observe(&node(0), world.tell(&stopped[0], Condition::Killed, Some(FailureReason::Stopped)));
    world.cluster = draft.settle().cluster;
    assert_eq!(port(&world, "/later"), first);
    assert_ne!(port(&world, "/first"), first);
    assert!(world.cluster.loads[&node(0)].contended().is_empty() && world.cluster.loads[&node(0)].ports.contains(&first));
}

#[test]
fn tasks_of_one_node_may_exchange_their_ports() {
    let mut world = World::new(1);
    let mut narrow = facts(0);
    narrow.resources.ports = PortRanges::new([(31000, 31001)]);
    let node = narrow.id.clone();
    world.step(|draft| draft.register(narrow, Vec::new()));
    world.step(|draft| draft.edit(vec![AppEdit::Create(app("/a", 2, 100))], false, "")).unwrap();
    world.run();
    let ports = |world: &World| -> Vec<Vec<u16>> {
        world.cluster.instances.values().map(|instance| instance.seat.as_ref().unwrap().host_ports.to_vec()).collect()
    };
    let mut exchanged = 0;
    for _ in 0..40 {
        let before = ports(&world);
        world.now += 100_000;
        let tasks: Vec<TaskId> = world.agents[&node].keys().cloned().collect();
        let ends: Vec<_> =
            tasks.iter().map(|task| world.tell(task, Condition::Failed, Some(FailureReason::CommandExited))).collect();
        world.agents.get_mut(&node).unwrap().values_mut().for_each(|condition| *condition = Condition::Failed);
        // Every step compares what a mirror has read change by change with what is read at once.
        world.step(|draft| ends.into_iter().for_each(|end| draft.observe(&node, end)));
        world.run();
        exchanged += usize::from(ports(&world) != before);
    }
    assert!(exchanged > 0);
}

#[derive(Debug, Clone)]
enum Deed {
    Put(u8, u32, i64),
    Remove(u8),
    Scale(u8, u32),
    Restart(u8),
    Fail(usize),
    Run,
    Wait(i64),
    Lost(u8, u32, i64),
    Disconnect(u32),
    Lose(u32),
    Return(u32),
    Drain(u32, Option<i64>, bool),
    Reactivate(u32),
    Gone(u32),
    ReleaseBrake,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0u8..3, 0u32..6, 100i64..900).prop_map(|(app, instances, cpus)| Deed::Put(app, instances, cpus)),
        (0u8..3).prop_map(Deed::Remove),
        (0u8..3, 0u32..6).prop_map(|(app, instances)| Deed::Scale(app, instances)),
        (0u8..3).prop_map(Deed::Restart),
        (0usize..20).prop_map(Deed::Fail),
        Just(Deed::Run),
        (1i64..100_000).prop_map(Deed::Wait),
        (0u8..3, 0u32..6, 100i64..900).prop_map(|(app, instances, cpus)| Deed::Lost(app, instances, cpus)),
        (0u32..3).prop_map(Deed::Lose),
        (0u32..3).prop_map(Deed::Disconnect),
        (0u32..3).prop_map(Deed::Return),
        (0u32..3, proptest::option::of(0i64..10_000), any::<bool>())
            .prop_map(|(node, deadline, leave)| Deed::Drain(node, deadline, leave)),
        (0u32..3).prop_map(Deed::Reactivate),
        (0u32..3).prop_map(Deed::Gone),
        Just(Deed::ReleaseBrake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens, the cluster comes to rest with exactly what is wanted, and what is stored
    /// is what runs after every single step.
    #[test]
    fn any_history_converges(deeds in proptest::collection::vec(deed(), 1..24)) {
        let mut world = World::new(3);
        for deed in deeds {
            let id = |number: u8| AppId::parse(&format!("/app{number}")).unwrap();
            match deed {
                Deed::Put(number, instances, cpus) => {
                    let mut app = app(id(number).as_str(), instances, cpus);
                    if number == 2 {
                        app.instances = instances.min(1);
                        app.labels.insert(crate::app::SINGLE_INSTANCE_LABEL.into(), "true".into());
                    }
                    world.step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "")).unwrap();
                }
                Deed::Remove(number) => drop(world.step(|draft| draft.edit(vec![AppEdit::Remove(id(number))], true, ""))),
                Deed::Scale(2, instances) => drop(world.step(|draft| draft.edit(vec![AppEdit::Scale(id(2), instances.min(1))], true, ""))),
                Deed::Scale(number, instances) => drop(world.step(|draft| draft.edit(vec![AppEdit::Scale(id(number), instances)], true, ""))),
                Deed::Restart(number) => drop(world.step(|draft| draft.edit(vec![AppEdit::Restart(id(number))], true, ""))),
                Deed::Fail(index) => world.fail(index),
                Deed::Run => world.run(),
                Deed::Wait(millis) => world.now += millis,
                Deed::Lost(number, instances, cpus) => {
                    let app = app(id(number).as_str(), instances, cpus);
                    world.lost_step(|draft| draft.edit(vec![AppEdit::Put(app)], true, "").map(drop));
                }
                Deed::Lose(number) => world.step(|draft| draft.lose_node(&facts(number).id)),
                Deed::Disconnect(number) => world.step(|draft| draft.disconnect_node(&facts(number).id)),
                Deed::Return(number) => world.come_back(number),
                Deed::Drain(number, deadline, leave) => {
                    let deadline = deadline.map(|millis| world.now().plus_millis(millis));
                    let then = if leave { AfterDrain::Decommission } else { AfterDrain::Deactivate };
                    drop(world.step(|draft| draft.drain_node(&facts(number).id, deadline, then)));
                }
                Deed::Reactivate(number) => drop(world.step(|draft| draft.reactivate_node(&facts(number).id))),
                Deed::Gone(number) => {
                    // The promise is kept: what is declared gone is dead.
                    let how = Decommission { gone: true, force: false };
                    if world.step(|draft| draft.decommission_node(&facts(number).id, how)).is_ok() {
                        world.agents.get_mut(&facts(number).id).unwrap().clear();
                    }
                }
                Deed::ReleaseBrake => drop(world.step(Draft::release_brake)),
            }
        }
        (0..3).for_each(|number| world.come_back(number));
        // There is always one node that nobody has drained.
        world.agents.insert(facts(3).id, BTreeMap::new());
        let mut large = facts(3);
        large.resources.cpus = Scalar::from_units(100);
        large.resources.mem = Scalar::from_units(100_000);
        large.resources.ports = PortRanges::new([(31000, 31999)]);
        world.step(|draft| draft.register(large, Vec::new()));
        world.step(Draft::wake_paused);
        world.run();
        for (id, record) in &world.cluster.apps {
            prop_assert_eq!(world.running(id.as_str()), record.app.instances as usize);
        }
        prop_assert!(world.cluster.deployments.is_empty());
        let wanted: u32 = world.cluster.apps.values().map(|record| record.app.instances).sum();
        prop_assert_eq!(world.agents.values().map(BTreeMap::len).sum::<usize>(), wanted as usize);
    }
}
