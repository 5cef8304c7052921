//! Placements per second of the engine alone: no store, no agents, one thread.
//!
//! `cargo run --release -p orrery-core --example placement [nodes] [tasks] [apps]`; without
//! arguments the two standard scales. Each line names nodes, tasks, constraint mix, size of a batch,
//! nanoseconds on the clock and on the processor, and operations per placement. A placement is found by [`Ledger::place_batch`] and
//! taken by [`Ledger::seat`]; both are in the time.

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock and at its own memory")]

use orrery_core::app::{Constraint, Operator, PortDefinition};
use orrery_core::cluster::Entropy;
use orrery_core::instance::Seat;
use orrery_core::node::{NodeFacts, PortRanges, Resources};
use orrery_core::placement::{Ledger, Strategy};
use orrery_core::{App, AppId, InstanceId, Node, NodeId, Scalar, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RACKS: u32 = 75;

fn node(number: u32) -> Node {
    // Three sizes of machine, as clusters that grew have them.
    let size = i64::from(number % 3) + 1;
    let attributes =
        [("rack", format!("r{}", number % RACKS)), ("disk", if number.is_multiple_of(4) { "ssd" } else { "hdd" }.to_owned())];
    let facts = NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(24 * size),
            mem: Scalar::from_units(98_304 * size),
            disk: Scalar::from_units(1_000_000),
            ports: PortRanges::new([(31_000, 32_000)]),
            ..Resources::default()
        },
        attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        zone: Some(format!("z{}", number % 3)),
        executors: vec!["process".into(), "docker".into()],
        ..NodeFacts::new(
            NodeId::parse(&format!("2f0c1a52-8d5e-4b7e-9d6b-0c8f5a1e7c11-S{number}")).expect("a node id"),
            format!("node-{number}.example"),
            [10, (number >> 16) as u8, (number >> 8) as u8, number as u8].into(),
        )
    };
    Node::joined(facts, Timestamp::EPOCH)
}

type Rule = (&'static str, Operator, Option<&'static str>);

fn app(number: u32, rules: &[Rule]) -> (App, InstanceId) {
    let id = AppId::parse(&format!("/bench/app{number}")).expect("an app id");
    let mut app = App::new(id);
    app.cpus = Scalar::from_thousandths(100 + i64::from(number % 7) * 50);
    app.mem = Scalar::from_units(256 + i64::from(number % 5) * 256);
    app.disk = Scalar::from_units(100);
    app.port_definitions = vec![PortDefinition::default()];
    let rule = |(field, operator, value): &Rule| Constraint {
        field: (*field).to_owned(),
        operator: *operator,
        value: value.map(str::to_owned),
    };
    app.constraints = rules.iter().map(rule).collect();
    let instance = InstanceId::new(&app.id, uuid::Uuid::from_u128(u128::from(number)));
    (app, instance)
}

fn ledger(nodes: u32) -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0..nodes {
        ledger.upsert_node(&Arc::new(node(number)));
    }
    ledger
}

/// Time on the clock and time on the processor: they differ when others want the processor too.
struct Watch(Instant, u64);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), on_processor())
    }

    fn read(&self) -> (Duration, Duration) {
        (self.0.elapsed(), Duration::from_nanos(on_processor() - self.1))
    }
}

/// Nanoseconds this thread has run.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn report(
    name: &str,
    nodes: u32,
    placed: usize,
    batch: usize,
    took: (Duration, Duration),
    before: orrery_core::placement::Cost,
    ledger: &Ledger,
) {
    let (clock, ns) = (took.0.as_nanos() as f64 / placed.max(1) as f64, took.1.as_nanos() as f64 / placed.max(1) as f64);
    let cost = ledger.cost().since(&before);
    let each = |count: u64| count as f64 / placed.max(1) as f64;
    println!(
        "{name:<26} nodes {nodes:>6}  tasks {placed:>8}  batch {batch:>5}  {clock:>6.0} ns clock {ns:>6.0} ns cpu {:>9.0}/s/core  ops {:>6.1} (visits {:.1} probes {:.1} updates {:.1} seats {:.1} heap {:.1} scans {:.1})",
        1e9 / ns,
        each(cost.total()),
        each(cost.visits),
        each(cost.probes),
        each(cost.updates),
        each(cost.seats),
        each(cost.heap),
        each(cost.scans),
    );
}

/// Places all tasks of all apps, in batches, and says how long it took.
fn fill(
    name: &str,
    nodes: u32,
    apps: u32,
    per_app: usize,
    batch: usize,
    strategy: Strategy,
    rules: &dyn Fn(u32) -> Vec<Rule>,
) -> Ledger {
    let mut ledger = ledger(nodes);
    let apps: Vec<(App, InstanceId)> = (0..apps).map(|number| app(number, &rules(number))).collect();
    let (mut placed, before, start) = (0, ledger.cost(), Watch::start());
    for (app, id) in &apps {
        let mut left = per_app;
        while left > 0 {
            let (seats, refusals) = ledger.place_batch(app, batch.min(left), strategy, placed as u64);
            placed += seats.len();
            left -= seats.len();
            for seat in &seats {
                ledger.seat(id, app, seat, true, true);
            }
            if refusals.is_some() {
                break;
            }
        }
    }
    report(name, nodes, placed, batch, start.read(), before, &ledger);
    ledger
}

/// Fills the cluster, then lets tasks end and start while apps arrive that fit nowhere.
fn full(nodes: u32, share: f64) {
    let mut ledger = ledger(nodes);
    let apps: Vec<(App, InstanceId)> = (0..1000).map(|number| app(number, &[])).collect();
    let mut running: Vec<(usize, Seat)> = Vec::new();
    let (mut cpus, total) = (0.0, f64::from(nodes) * 48.0 * share);
    'fill: loop {
        for (index, (app, id)) in apps.iter().enumerate() {
            let (seats, _) = ledger.place_batch(app, 200, Strategy::Spread, 1);
            if seats.is_empty() || cpus > total {
                break 'fill;
            }
            for seat in seats {
                cpus += app.cpus.to_f64();
                ledger.seat(id, app, &seat, true, true);
                running.push((index, seat));
            }
        }
    }
    let mut entropy = Entropy::new(7);
    let (mut giant, _) = app(5000, &[("rack", Operator::Like, Some("r[0-9]"))]);
    giant.cpus = Scalar::from_units(70);
    let mut churn = |ledger: &mut Ledger, round: u64| -> usize {
        let at = (entropy.next_number() % running.len() as u64) as usize;
        let (index, seat) = running.swap_remove(at);
        let (app, id) = &apps[index];
        ledger.seat(id, app, &seat, true, false);
        let next = (entropy.next_number() % 1000) as usize;
        let (app, id) = &apps[next];
        let (seats, _) = ledger.place_batch(app, 1, Strategy::Spread, round);
        for seat in &seats {
            ledger.seat(id, app, seat, true, true);
        }
        let placed = seats.len();
        running.extend(seats.into_iter().map(|seat| (next, seat)));
        placed
    };
    let (before, watch) = (ledger.cost(), Watch::start());
    let placed = (0..200_000).map(|round| churn(&mut ledger, round)).sum();
    report(&format!("churn at {:.0} %", share * 100.0), nodes, placed, 1, watch.read(), before, &ledger);
    let (mut times, mut scans) = (Vec::new(), 0);
    for round in 0..10_000 {
        for _ in 0..20 {
            churn(&mut ledger, round);
        }
        let (before, start) = (ledger.cost(), Instant::now());
        let (_, refusals) = ledger.place_batch(&giant, 1, Strategy::Spread, 0);
        assert!(refusals.is_some_and(|refusals| refusals.hint.is_some()), "the giant fits nowhere");
        times.push(start.elapsed().as_nanos());
        scans += ledger.cost().since(&before).total();
    }
    times.sort_unstable();
    println!(
        "  refusal with reasons, 20 ends and 20 starts after the last: {} of them, p50 {} ns, p99 {} ns, {} ops each",
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        scans / times.len() as u64
    );
}

/// Nodes that packing needs, against the least that could do.
fn quality(nodes: u32) {
    let mut ledger = ledger(nodes);
    let mut entropy = Entropy::new(3);
    let (mut cpus, mut mem, mut used) = (0.0, 0.0, BTreeSet::new());
    for number in 0..nodes / 2 {
        let (mut app, id) = app(number, &[]);
        app.cpus = Scalar::from_thousandths(50 + (entropy.next_number() % 40).pow(2).cast_signed());
        app.mem = Scalar::from_units(64 + (entropy.next_number() % 80).pow(2).cast_signed());
        let (seats, _) = ledger.place_batch(&app, 40, Strategy::Binpack, 0);
        for seat in &seats {
            ledger.seat(&id, &app, seat, true, true);
            cpus += app.cpus.to_f64();
            mem += app.mem.to_f64();
            used.insert(seat.node.clone());
        }
    }
    let sizes: BTreeMap<NodeId, i64> = (0..nodes).map(|number| (node(number).facts.id, i64::from(number % 3) + 1)).collect();
    let units: i64 = used.iter().map(|id| sizes[id]).sum();
    let least = (cpus / 24.0).max(mem / 98_304.0);
    println!(
        "binpack: {} nodes used of {nodes}, {units} units of 24 cpus and 96 GiB where {least:.1} is the least that could do: {:.2} % above",
        used.len(),
        (units as f64 / least - 1.0) * 100.0
    );
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn scale(nodes: u32, tasks: usize, apps: u32) {
    let per_app = tasks / apps as usize;
    let spread = Strategy::Spread;
    let before = resident();
    let kept = fill("basic", nodes, apps, per_app, per_app, spread, &|_| Vec::new());
    println!("  memory: {} bytes a task in the ledger, nodes included", resident().saturating_sub(before) / tasks as u64);
    drop(kept);
    fill("basic, binpack", nodes, apps, per_app, per_app, Strategy::Binpack, &|_| Vec::new());
    fill("basic, one by one", nodes, apps, per_app, 1, spread, &|_| Vec::new());
    let racks = Some("75");
    let mixes: [(&str, Rule); 10] = [
        ("UNIQUE hostname", ("hostname", Operator::Unique, None)),
        ("UNIQUE rack", ("rack", Operator::Unique, None)),
        ("GROUP_BY rack:75", ("rack", Operator::GroupBy, racks)),
        ("GROUP_BY rack", ("rack", Operator::GroupBy, None)),
        ("MAX_PER rack:14", ("rack", Operator::MaxPer, Some("14"))),
        ("MAX_PER hostname:2", ("hostname", Operator::MaxPer, Some("2"))),
        ("CLUSTER rack", ("rack", Operator::Cluster, None)),
        ("LIKE rack", ("rack", Operator::Like, Some("r[1-4]."))),
        ("UNLIKE rack", ("rack", Operator::Unlike, Some("r[1-4]."))),
        ("IS disk", ("disk", Operator::Is, Some("ssd"))),
    ];
    for (name, rule) in mixes {
        let per_app = if name == "UNIQUE rack" { RACKS as usize } else { per_app };
        fill(name, nodes, apps, per_app, per_app, spread, &|_| vec![rule]);
    }
    fill("30 % constrained", nodes, apps, per_app, per_app, spread, &|number| {
        if number % 10 < 3 { vec![mixes[number as usize / 10 % mixes.len()].1] } else { Vec::new() }
    });
    fill("GROUP_BY rack, one by one", nodes, apps, per_app / 10, 1, spread, &|_| vec![mixes[2].1]);
    fill("UNIQUE host, one by one", nodes, apps, per_app / 10, 1, spread, &|_| vec![mixes[0].1]);
}

fn main() {
    let arguments: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    if let [nodes, tasks, apps] = arguments[..] {
        scale(nodes, tasks as usize, apps);
        return;
    }
    for nodes in [10_000, 50_000] {
        scale(nodes, 1_000_000, 1000);
    }
    full(10_000, 0.95);
    full(10_000, 0.99);
    quality(10_000);
}
