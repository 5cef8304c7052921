//! The placement engine alone: no store, no processes, one thread.
//!
//! Remakes the table of `docs/scheduling.md`, which it prints at its end. Rates count time on the
//! processor, so that other work on the machine changes them little. A placement is found by
//! `Ledger::place_batch` and taken by `Ledger::seat`; both are in the time.

mod fill;
mod full;
mod growth;
mod mix;
mod packing;
mod preemption;
mod site;
mod watch;

use crate::figure::{Figure, Goal, Peer};
use crate::memory;
use crate::peer::Peers;
use crate::report::Report;
use fill::{Run, fill};
use mix::{Kind, Mix};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Nodes of the two standard clusters.
const SIZES: [u32; 2] = [10_000, 50_000];
/// Nodes of the largest cluster, for basic placements only.
const LARGEST: u32 = 100_000;
const TASKS: u32 = 1_000_000;
/// Tasks that are placed one by one.
const SINGLES: u32 = 100_000;
const APPS: u32 = 1_000;
/// Nodes, and instances of each app, of the comparison with Nomad's record.
const BESIDE_NOMAD: (u32, u32) = (5_000, 500);
/// Placements a second of `GROUP_BY` in that comparison: 10,000 times what is on record.
const GROUP_BY_PER_SECOND: f64 = 70_000.0;
/// Most bytes a task may take in the ledger.
const TASK_BYTES_MAX: f64 = 400.0;

/// What one mix took at each scale, as cells of the table.
type Rows = BTreeMap<usize, (&'static str, Vec<String>)>;

/// Everything.
pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut rows = Rows::new();
    for nodes in SIZES {
        scale(report, nodes, &mut rows)?;
    }
    largest(report)?;
    beside_nomad(report)?;
    for share in [0.95, 0.99] {
        full::run(report, share)?;
    }
    growth::run(report)?;
    preemption::run(report)?;
    packing::run(report)?;
    let mut table = format!("the table of docs/scheduling.md:\n| mix | {} nodes | {} nodes |\n|---|---|---|", SIZES[0], SIZES[1]);
    for (name, cells) in rows.values() {
        // Writing to a String never fails.
        let _ = write!(table, "\n| {name} | {} |", cells.join(" | "));
    }
    report.note(&table);
    Ok(())
}

/// All mixes with a million tasks.
fn scale(report: &mut Report, nodes: u32, rows: &mut Rows) -> anyhow::Result<()> {
    let (plain, reserved) = (site::ledger(nodes)?, site::reserved(nodes)?);
    let mut basic = None;
    let all = [&mix::BASIC, &mix::BINPACK].into_iter().chain(mix::OPERATORS).chain([&mix::MIXED]).chain(mix::RULES);
    for (index, mix) in all.chain(mix::SINGLES).enumerate() {
        let before = memory::living();
        let empty = if mix.is_reserved { &reserved } else { &plain };
        let instances = if mix.kind == Kind::Single { SINGLES } else { TASKS } / APPS;
        let (run, ledger) = fill(empty, nodes, APPS, instances, mix)?;
        if mix.kind == Kind::Basic && basic.is_none() {
            basic = Some(run.rate());
            remembered(report, &run, memory::living() - before);
        }
        drop(ledger);
        report.add(run.figure(mix, basic));
        let cell = format!("{:.0} ns, {}/s, {:.0}", run.nanoseconds(), thousands(run.rate()), run.operations());
        rows.entry(index).or_insert_with(|| (mix.name, Vec::new())).1.push(cell);
    }
    Ok(())
}

/// Memory of the ledger by tasks.
fn remembered(report: &mut Report, run: &Run, bytes: i64) {
    let figure = Figure::new("placement", "memory of the ledger, nodes included", bytes as f64 / run.placed as f64, "B/task");
    let scale = format!("engine only: {} nodes, {} tasks; scale-law tells the rest of the leader's state", run.nodes, run.placed);
    report.add(figure.scale(scale).goal(Goal::AtMost(TASK_BYTES_MAX)));
}

fn largest(report: &mut Report) -> anyhow::Result<()> {
    let empty = site::ledger(LARGEST)?;
    for mix in [&mix::BASIC, &mix::BINPACK] {
        let (run, _) = fill(&empty, LARGEST, APPS, TASKS / APPS, mix)?;
        report.add(run.figure(mix, None));
    }
    Ok(())
}

/// The scale at which Nomad's record was made: the engine in memory, jobs of 500, one thread.
fn beside_nomad(report: &mut Report) -> anyhow::Result<()> {
    let (nodes, instances) = BESIDE_NOMAD;
    let empty = site::ledger(nodes)?;
    let recorded = |what: &str, rate: f64| Peer::recorded(format!("Nomad 1.1.2 {what}, engine only"), rate);
    let cases: [(&Mix, Peer, Option<f64>); 5] = [
        (&mix::BASIC, recorded("without spread", 4_352.0), None),
        (&mix::UNIQUE_HOST, recorded("distinct_hosts", 4_031.0), None),
        (&mix::GROUP_BY_75, recorded("spread over 75 racks", 7.0), Some(GROUP_BY_PER_SECOND)),
        (&mix::SPREAD_RACK, recorded("spread over 75 racks", 7.0), Some(GROUP_BY_PER_SECOND)),
        (&mix::SPREAD_RACK_WISH, recorded("spread over 75 racks", 7.0), Some(GROUP_BY_PER_SECOND)),
    ];
    for (mix, peer, goal) in cases {
        let (run, _) = fill(&empty, nodes, APPS, instances, mix)?;
        let figure = run.figure(mix, None).peer(Some(peer));
        report.add(if let Some(goal) = goal { figure.goal(Goal::AtLeast(goal)) } else { figure });
    }
    Ok(())
}

/// A rate in whole thousands, with commas.
fn thousands(rate: f64) -> String {
    let thousands = (rate / 1e3).round() as u64;
    if thousands >= 1_000 { format!("{},{:03},000", thousands / 1_000, thousands % 1_000) } else { format!("{thousands},000") }
}
