//! The engine against the slow placer: same seats, same ports, same reasons, after any history.

use super::{Ledger, Promise, Strategy};
use crate::app::{Affinity, App, Constraint, Operator, Placement, PortDefinition, Preference, Selector, SpreadRule};
use crate::cluster::Cluster;
use crate::instance::{Condition, Goal, Instance, Observed, Seat};
use crate::node::{
    Administration, Bundle, Claims, Hold, Marks, Node, NodeFacts, NodeId, NodeStatus, PortRanges, Reservation, Resources,
};
use crate::placement::{Candidate, NodeLoad, Refusals, Seated, place};
use crate::{AppId, InstanceId, Scalar, Timestamp};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// A cluster, its ledger, and a memory of what happened.
#[derive(Default)]
struct World {
    cluster: Cluster,
    ledger: Ledger,
    next: u128,
}

/// What the proptest draws for one node.
type NodeDraw = (u8, i64, i64, u8, u8, u8);

const CLOSED: Administration = Administration::Deactivated { since: Timestamp::EPOCH, drained: false };

fn node(number: u32, (rack, cpus, mem, ports, role, kind): NodeDraw) -> Node {
    let mut attributes = BTreeMap::new();
    if rack < 4 {
        attributes.insert("rack".to_owned(), format!("r{rack}"));
    }
    if kind % 3 != 0 {
        attributes.insert("slots".to_owned(), if kind % 2 == 0 { "1.0" } else { "1" }.to_owned());
    }
    let facts = NodeFacts {
        resources: Resources {
            cpus: Scalar::from_thousandths(cpus),
            mem: Scalar::from_thousandths(mem),
            disk: Scalar::from_units(1000),
            gpus: u32::from(kind % 4),
            ports: PortRanges::new([(31000, 31000 + u16::from(ports)), (32000, 32001)]),
            custom: (kind % 2 == 0).then(|| ("tapes".to_owned(), Scalar::from_units(i64::from(kind)))).into_iter().collect(),
            ..Resources::default()
        },
        attributes,
        zone: (rack % 2 == 0).then(|| format!("z{}", kind % 2)),
        role: if role == 0 { "slave_public" } else { "*" }.into(),
        executors: if kind % 5 == 0 { vec!["process".into()] } else { vec!["process".into(), "docker".into()] },
        ..NodeFacts::new(
            NodeId::parse(&format!("c-S{number}")).unwrap(),
            format!("h{}", number % 7),
            "127.0.0.1".parse().unwrap(),
        )
    };
    Node::joined(facts, Timestamp::EPOCH)
}

/// What the proptest draws for one app.
type AppDraw = (i64, i64, u8, u8, Vec<(u8, u8)>, u8, Vec<(u8, u8, u8)>);

/// Adds one rule of `placement`.
fn add_rule(placement: &mut Placement, (kind, field, weight): (u8, u8, u8)) {
    let field = ["hostname", "rack", "@zone", "slots", "absent"][usize::from(field % 5)].to_owned();
    let wish = (weight > 0).then_some(u32::from(weight));
    let selector = |of: u8| match of {
        0..4 => Selector::App(AppId::parse(&format!("/app{of}")).unwrap()),
        4 => Selector::Label("tier=0".into()),
        _ => Selector::Label("tier=1".into()),
    };
    match kind {
        0..6 => placement.affinity.push(Affinity { selector: selector(kind), field, weight: wish }),
        6..12 => placement.anti_affinity.push(Affinity { selector: selector(kind - 6), field, weight: wish }),
        12..15 => placement.spread.push(SpreadRule { field, maximum_skew: u32::from(kind) - 11, weight: wish }),
        15 => placement.one_per_node = true,
        _ => {
            let (operator, value) = [
                (Operator::Like, "r[12]|h[1-4]|z0|1"),
                (Operator::Unlike, "r[12]|h3|z1"),
                (Operator::Is, "1"),
                (Operator::Like, "("),
            ][usize::from(kind % 4)];
            placement.prefer.push(Preference { field, operator, value: value.into(), weight: u32::from(weight) + 1 });
        }
    }
}

fn app(number: u8, version: i64, draw: &AppDraw) -> App {
    let (cpus, mem, ports, roles, constraints, gpus, rules) = draw;
    let mut app = App::new(AppId::parse(&format!("/app{number}")).unwrap());
    app.cpus = Scalar::from_thousandths(*cpus);
    app.mem = Scalar::from_thousandths(*mem);
    app.gpus = u32::from(gpus / 6);
    app.placement.priority = i32::from(*gpus % 3) - 1;
    app.labels.insert("tier".into(), (number % 2).to_string());
    if gpus % 4 == 3 {
        app.resources.insert("tapes".into(), Scalar::from_thousandths(*mem));
    }
    for rule in rules {
        add_rule(&mut app.placement, *rule);
    }
    app.version_info.last_config_change_at = Timestamp::from_millis(version);
    app.port_definitions = vec![PortDefinition::default(); usize::from(ports % 3)];
    if *ports > 5 && !app.port_definitions.is_empty() {
        app.require_ports = true;
        app.port_definitions[0].port = 31001;
    }
    if *ports == 8 {
        app.container = Some(crate::app::Container {
            docker: Some(crate::app::DockerOptions { image: "redis".into(), ..Default::default() }),
            ..Default::default()
        });
    }
    if *ports == 7 {
        let persistent = Some(serde_json::from_str(r#"{"size":30}"#).unwrap());
        let volume = crate::app::Volume { container_path: "data".into(), persistent, ..Default::default() };
        app.container = Some(crate::app::Container { volumes: vec![volume], ..Default::default() });
    }
    app.role = match roles {
        5 | 6 | 8 | 10 | 11 => Some("eng".into()),
        7 | 9 => Some("eng/prod".into()),
        _ => None,
    };
    app.accepted_resource_roles = match roles {
        8 | 9 => vec!["eng".into()],
        10 => vec!["eng".into(), "*".into()],
        11 => vec!["*".into()],
        0 | 4 => vec!["slave_public".into()],
        1 | 5 => vec!["*".into(), "slave_public".into(), "absent".into()],
        _ => Vec::new(),
    };
    for (field, operator) in constraints {
        let field = ["hostname", "rack", "@zone", "slots", "absent"][usize::from(field % 5)];
        let (operator, value) = [
            (Operator::Unique, None),
            (Operator::Cluster, None),
            (Operator::Cluster, Some("r1")),
            (Operator::GroupBy, None),
            (Operator::GroupBy, Some("2")),
            (Operator::GroupBy, Some("3")),
            (Operator::MaxPer, Some("2")),
            (Operator::MaxPer, Some("many")),
            (Operator::Like, Some("r[12]|h[1-4]|z0|1")),
            (Operator::Like, Some("(")),
            (Operator::Unlike, Some("r[12]|h3|z1")),
            (Operator::Unlike, None),
            (Operator::Is, Some("1")),
            (Operator::Is, Some("r2")),
        ][usize::from(operator % 14)];
        app.constraints.push(Constraint { field: field.into(), operator, value: value.map(Into::into) });
    }
    app
}

impl World {
    fn put_node(&mut self, node: Node) {
        let node = Arc::new(node);
        self.ledger.upsert_node(&node);
        self.cluster.nodes.insert(node.facts.id.clone(), node);
    }

    /// What is promised on a node, to others than `app` when there is one.
    fn promised(&self, node: &NodeId, app: Option<&App>) -> Bundle {
        let here = self.cluster.promises.iter().filter(|((on, of), _)| on == node && app.is_none_or(|app| *of != app.id));
        here.fold(Bundle::default(), |sum, (_, promise)| sum.plus(&promise.each))
    }

    /// What the slow placer says.
    fn reference(&self, app: &App, count: usize, strategy: Strategy, salt: u64) -> (Vec<Seat>, Option<Refusals>) {
        let mut same_app: BTreeMap<&NodeId, u32> = BTreeMap::new();
        let mut placed = Vec::new();
        let mut own: Vec<_> = self.cluster.instances.values().filter(|instance| instance.app.id == app.id).collect();
        // The cluster keeps them in an order of its own; CLUSTER follows the one with the lowest id.
        own.sort_by_key(|instance| &instance.id);
        for instance in own {
            let node = instance.node().unwrap();
            *same_app.entry(node).or_default() += 1;
            let counts = instance.goal != Goal::Decommissioned
                && instance.condition != Condition::Unreachable
                && instance.app.version_info.last_config_change_at == app.version_info.last_config_change_at;
            if let Some(node) = self.cluster.nodes.get(node).filter(|_| counts) {
                placed.push(node.as_ref());
            }
        }
        let seated: Vec<Seated<'_>> = self
            .cluster
            .instances
            .values()
            .map(|instance| (&*instance.app, self.cluster.nodes.get(instance.node().unwrap()).map(AsRef::as_ref)))
            .collect();
        let mut loads: BTreeMap<NodeId, NodeLoad> = BTreeMap::new();
        for instance in self.cluster.instances.values() {
            let seat = instance.seat.as_ref().unwrap();
            loads.entry(seat.node.clone()).or_default().take(&instance.id, &instance.app, seat);
        }
        let mut by_role: BTreeMap<NodeId, BTreeMap<String, Bundle>> = BTreeMap::new();
        for instance in self.cluster.instances.values().filter(|instance| !instance.app.is_resident()) {
            if let (Some(role), Some(node)) = (&instance.app.role, instance.node()) {
                let sum = by_role.entry(node.clone()).or_default().entry(role.clone()).or_default();
                *sum = sum.plus(&Bundle::of(&instance.app));
            }
        }
        let candidates = self.cluster.nodes.iter().map(|(id, node)| Candidate {
            node,
            by_role: by_role.get(id).cloned().unwrap_or_default(),
            kept: self.promised(id, Some(app)),
            reserved: self.promised(id, None),
            load: loads.get(id).cloned().unwrap_or_default(),
            same_app: same_app.get(id).copied().unwrap_or(0),
            only_reserved: false,
        });
        place(app, count, candidates.collect(), &placed, &seated, strategy, salt)
    }

    fn launch(&mut self, app: &Arc<App>, count: usize, strategy: Strategy, salt: u64) {
        let want = self.reference(app, count, strategy, salt);
        self.ledger.watch(app, &self.cluster);
        let again = self.ledger.clone().place_batch(app, count, strategy, salt);
        let got = self.ledger.place_batch(app, count, strategy, salt);
        assert_eq!(got, again, "the same twice");
        assert_eq!(got, want, "{strategy:?} {count} of {app:?}");
        // One that asks for the same and has nothing anywhere may be told what this one was told.
        let twin = App { id: AppId::parse("/twin").unwrap(), ..App::clone(app) };
        let want = self.reference(&twin, count, strategy, salt);
        self.ledger.watch(&twin, &self.cluster);
        assert_eq!(self.ledger.clone().place_batch(&twin, count, strategy, salt), want, "twin: {strategy:?} {count} of {app:?}");
        for seat in got.0 {
            self.next += 1;
            let instance = Arc::new(Instance {
                // Ids do not come in order.
                id: InstanceId::new(&app.id, Uuid::from_u128(self.next.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))),
                app: Arc::clone(app),
                incarnation: 1,
                goal: Goal::Running,
                seat: Some(seat),
                condition: Condition::Running,
                since: Timestamp::EPOCH,
                staged_at: Timestamp::EPOCH,
                unreachable_since: None,
                inactive: false,
                free_relaunch_at: None,
                excused: false,
                observed: Observed::default(),
            });
            if app.is_resident() {
                let hold = Arc::new(Hold::of(app, Timestamp::EPOCH));
                let node = instance.seat.as_ref().map(|seat| seat.node.clone()).unwrap();
                self.claim(&node, |claims| drop(claims.holds.insert(instance.id.clone(), hold)));
            }
            self.replace(None, Some(instance));
        }
    }

    /// Promises room on a node, or ends all promises there.
    fn promise(&mut self, node: &NodeId, promise: Option<Promise>) {
        if let Some(promise) = promise {
            self.ledger.promise(node, &promise.app, Some(&promise));
            self.cluster.promises.insert((node.clone(), promise.app.clone()), promise);
            return;
        }
        let here: Vec<_> = self.cluster.promises.keys().filter(|(on, _)| on == node).cloned().collect();
        for place in here {
            self.ledger.promise(node, &place.1, None);
            self.cluster.promises.remove(&place);
        }
    }

    fn claim(&mut self, node: &NodeId, edit: impl FnOnce(&mut Claims)) {
        if let Some(mut node) = self.cluster.nodes.get(node).map(|node| (**node).clone()) {
            edit(&mut node.claims);
            self.put_node(node);
        }
    }

    fn replace(&mut self, before: Option<Arc<Instance>>, after: Option<Arc<Instance>>) {
        self.ledger.apply(before.as_ref(), after.as_ref());
        if let Some(before) = before {
            self.cluster.instances.remove(&before.id);
        }
        if let Some(after) = after {
            self.cluster.instances.insert(after);
        }
    }

    fn pick(&self, index: usize) -> Option<Arc<Instance>> {
        let count = self.cluster.instances.len();
        self.cluster.instances.values().nth(index % count.max(1)).cloned()
    }

    fn change(&mut self, index: usize, edit: impl FnOnce(&mut Instance)) {
        if let Some(before) = self.pick(index) {
            let mut after = (*before).clone();
            edit(&mut after);
            self.replace(Some(before), Some(Arc::new(after)));
        }
    }

    fn check(&self) {
        assert_eq!(self.ledger.fingerprint(), Ledger::of(&self.cluster).fingerprint());
    }
}

#[derive(Debug, Clone)]
enum Deed {
    Launch(u8, usize, bool, u64),
    Configure(u8, AppDraw),
    Exit(usize),
    Decommission(usize),
    Unreachable(usize),
    Node(u32, NodeDraw),
    Lose(u32),
    Close(u32),
    Open(u32),
    Remove(u32),
    RolledBack(u8, usize, u32),
    Reserve(u32, u8, i64),
    Release(u32),
    Promise(u32, u8, i64),
}

fn node_draw() -> impl proptest::strategy::Strategy<Value = NodeDraw> {
    (0u8..6, -500i64..6000, -100i64..8000, 0u8..6, 0u8..5, 0u8..20)
}

fn app_draw() -> impl proptest::strategy::Strategy<Value = AppDraw> {
    (
        prop_oneof![Just(0i64), 1i64..1500],
        prop_oneof![Just(0i64), 1i64..1500],
        0u8..9,
        0u8..12,
        proptest::collection::vec((0u8..5, 0u8..14), 0..4),
        0u8..8,
        proptest::collection::vec((0u8..20, 0u8..5, 0u8..3), 0..4),
    )
}

/// Small apps that ask for host names, or like some better.
fn pattern_draw() -> impl proptest::strategy::Strategy<Value = AppDraw> {
    let like = prop_oneof![Just(8u8), Just(10u8)];
    let constraints = proptest::collection::vec((Just(0u8), like), 0..2);
    let rules = proptest::collection::vec((16u8..18, Just(0u8), 0u8..3), 0..3);
    (0i64..300, 0i64..300, Just(0u8), Just(2u8), constraints, 0u8..3, rules)
}

fn deed() -> impl proptest::strategy::Strategy<Value = Deed> {
    prop_oneof![
        6 => (0u8..4, 0usize..9, proptest::bool::weighted(0.7), any::<u64>()).prop_map(|(a, n, s, salt)| Deed::Launch(a, n, s, salt)),
        2 => (0u8..4, app_draw()).prop_map(|(a, draw)| Deed::Configure(a, draw)),
        2 => (0usize..60).prop_map(Deed::Exit),
        1 => (0usize..60).prop_map(Deed::Decommission),
        1 => (0usize..60).prop_map(Deed::Unreachable),
        1 => (0u32..14, node_draw()).prop_map(|(n, draw)| Deed::Node(n, draw)),
        1 => (0u32..14).prop_map(Deed::Lose),
        1 => (0u32..14).prop_map(Deed::Close),
        1 => (0u32..14).prop_map(Deed::Open),
        1 => (0u32..14).prop_map(Deed::Remove),
        1 => (0u8..4, 0usize..9, 0u32..14).prop_map(|(a, n, node)| Deed::RolledBack(a, n, node)),
        2 => (0u32..14, 0u8..4, 0i64..3000).prop_map(|(node, role, amount)| Deed::Reserve(node, role, amount)),
        1 => (0u32..14).prop_map(Deed::Release),
        1 => (0u32..14, 0u8..5, 0i64..2000).prop_map(|(node, app, amount)| Deed::Promise(node, app, amount)),
    ]
}

fn edit_node(world: &mut World, number: u32, edit: impl FnOnce(&mut Node)) {
    let id = NodeId::parse(&format!("c-S{number}")).unwrap();
    if let Some(mut node) = world.cluster.nodes.get(&id).map(|node| (**node).clone()) {
        edit(&mut node);
        world.put_node(node);
    }
}

#[test]
fn a_full_node_takes_no_more_tasks() {
    let mut world = World::default();
    (0..2).for_each(|number| world.put_node(node(number, (0, 5000, 5000, 0, 1, 1))));
    let tiny = Arc::new(app(0, 1, &(0, 0, 0, 2, Vec::new(), 0, Vec::new())));
    world.launch(&tiny, 2_900, Strategy::Spread, 0);
    world.launch(&tiny, 200, Strategy::Binpack, 0);
    world.check();
}

/// A deed, in a world whose nodes are made by `make`.
fn carry_out(world: &mut World, apps: &mut [Arc<App>], step: i64, deed: Deed, make: fn(u32, NodeDraw) -> Node) {
    match deed {
        Deed::Launch(number, count, spread, salt) => {
            let strategy = if spread { Strategy::Spread } else { Strategy::Binpack };
            world.launch(&apps[usize::from(number)].clone(), count, strategy, salt);
        }
        Deed::Configure(number, draw) => apps[usize::from(number)] = Arc::new(app(number, step, &draw)),
        Deed::Exit(index) => {
            let before = world.pick(index);
            world.replace(before, None);
        }
        Deed::Decommission(index) => world.change(index, |instance| instance.goal = Goal::Decommissioned),
        Deed::Unreachable(index) => world.change(index, |instance| {
            let lost = instance.condition == Condition::Unreachable;
            instance.condition = if lost { Condition::Running } else { Condition::Unreachable };
        }),
        Deed::Node(number, draw) => world.put_node(make(number, draw)),
        Deed::Lose(number) => edit_node(world, number, |node| node.status = NodeStatus::Unreachable),
        Deed::Close(number) => edit_node(world, number, |node| node.administration = CLOSED),
        Deed::Open(number) => edit_node(world, number, |node| {
            node.administration = Administration::Active;
            node.status = NodeStatus::Active;
        }),
        Deed::Reserve(number, role, amount) => {
            let role = ["eng", "eng/prod", "web", "eng"][usize::from(role)];
            let made =
                Bundle { cpus: Scalar::from_thousandths(amount), mem: Scalar::from_thousandths(2 * amount), ..Bundle::default() };
            let id = NodeId::parse(&format!("c-S{number}")).unwrap();
            world.claim(&id, |claims| claims.put_reservation(role, Reservation::of(made, Marks::default())));
        }
        Deed::Promise(number, of, amount) => {
            let id = NodeId::parse(&format!("c-S{number}")).unwrap();
            let each = Bundle { cpus: Scalar::from_thousandths(amount), ..Bundle::default() };
            let promise =
                apps.get(usize::from(of)).map(|app| Promise { each, ports: Vec::new(), requests: 0, ..Promise::of(app) });
            world.promise(&id, promise);
        }
        Deed::Release(number) => {
            let id = NodeId::parse(&format!("c-S{number}")).unwrap();
            world.claim(&id, |claims| claims.holds.clear());
        }
        Deed::Remove(number) => {
            let id = NodeId::parse(&format!("c-S{number}")).unwrap();
            world.ledger.remove_node(&id);
            world.cluster.nodes.remove(&id);
        }
        Deed::RolledBack(number, count, gone) => {
            let (cluster, before) = (world.cluster.clone(), world.ledger.fingerprint());
            world.ledger.begin();
            world.launch(&apps[usize::from(number)].clone(), count, Strategy::Spread, 1);
            edit_node(world, gone, |node| node.administration = if node.is_closed() { Administration::Active } else { CLOSED });
            let exits = world.pick(count);
            world.replace(exits, None);
            world.promise(&NodeId::parse(&format!("c-S{gone}")).unwrap(), Some(Promise::of(&apps[0])));
            world.ledger.rollback();
            world.cluster = cluster;
            assert_eq!(world.ledger.fingerprint(), before);
        }
    }
    world.check();
}

fn history(nodes: Vec<NodeDraw>, apps: &[AppDraw], deeds: Vec<Deed>, make: fn(u32, NodeDraw) -> Node) {
    let mut world = World::default();
    for (number, draw) in nodes.into_iter().enumerate() {
        world.put_node(make(number as u32, draw));
    }
    let mut apps: Vec<Arc<App>> = apps.iter().enumerate().map(|(number, draw)| Arc::new(app(number as u8, 1, draw))).collect();
    for (step, deed) in (2i64..).zip(deeds) {
        carry_out(&mut world, &mut apps, step, deed, make);
    }
}

/// Every node has a host name of its own, and racks are small and many: lists are long, trees have several pages,
/// and nodes are looked for among all.
fn wide(number: u32, draw: NodeDraw) -> Node {
    let mut node = node(number, draw);
    node.facts.hostname = format!("h{number}");
    if draw.0 < 4 {
        node.facts.attributes.insert("rack".to_owned(), format!("r{}", number % 20));
    }
    node
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_slow_placer(
        nodes in proptest::collection::vec(node_draw(), 0..14),
        apps in proptest::collection::vec(app_draw(), 4),
        deeds in proptest::collection::vec(deed(), 1..40),
    ) {
        history(nodes, &apps, deeds, node);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_slow_placer_among_many_nodes(
        nodes in proptest::collection::vec(node_draw(), 30..64),
        apps in proptest::collection::vec(prop_oneof![app_draw(), pattern_draw()], 4),
        deeds in proptest::collection::vec(deed(), 10..60),
    ) {
        history(nodes, &apps, deeds, wide);
    }
}
