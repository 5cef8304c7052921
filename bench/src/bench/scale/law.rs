//! The cost law: how the work of each operation grows with the cluster.
//!
//! Work is counted in allocations and operations of the placement engine, which are the same on every
//! machine; a test guards the growth. The bench prints the growth of CPU time beside it.

use super::agents;
use super::plant::Plant;
use crate::exponent::exponent;
use crate::figure::{Figure, Goal};
use crate::memory;
use crate::peer::Peers;
use crate::report::Report;
use anyhow::Context as _;
use orrery_core::assignment::{FailureReason, TaskReport};
use orrery_core::cluster::{Cluster, Delta};
use orrery_core::instance::Condition;
use orrery_core::placement::Ledger;
use orrery_core::{App, AppId, Scalar};
use std::time::Instant;

/// Agents of the clusters compared by the bench.
const SIZES: [u32; 4] = [1_000, 2_500, 6_000, 16_000];
/// Agents, and tasks of each, whose memory is measured: as dense as the other scale benches.
const MEMORY_OF: (u32, u32) = (4_000, 100);
/// Tasks an agent.
const DENSITY: u32 = 20;
/// Instances of each app.
const INSTANCES: u32 = 100;
/// Agents that a small change touches.
const TOUCHED: u32 = 10;
/// Runs of each small operation; the fastest counts.
const ROUNDS: u32 = 5;
/// Largest exponent allowed.
const EXPONENT_MAX: f64 = 1.1;

/// The operations, in the order in which [`work`] does them.
const OPERATIONS: [&str; 9] = [
    "all agents join",
    "all tasks are placed, told and running",
    "an app that touches 10 agents",
    "a report of one task",
    "a task fails and is started again",
    "a step without anything to do",
    "an agent is lost and replaced",
    "a new leader reads the store",
    "a new follower gets its copy",
];

/// What one operation took.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    /// Allocations and operations of the engine.
    counted: f64,
    /// Seconds.
    time: f64,
}

/// Measures every operation on clusters of all [`SIZES`] and fits how its work grows.
pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    memory_of(report)?;
    let measured = SIZES.iter().map(|agents| work(*agents)).collect::<anyhow::Result<Vec<_>>>()?;
    let scale = format!("{SIZES:?} agents, {DENSITY} tasks each, in memory, one thread");
    for (number, operation) in OPERATIONS.iter().enumerate() {
        let of = |pick: fn(&Work) -> f64| exponent(&SIZES, measured.iter().map(|works| pick(&works[number])));
        let figure = |what: &str, value: f64| Figure::new("scale-law", format!("{operation}: {what}"), value, "").scale(&scale);
        report.add(figure("exponent of operations counted", of(|work| work.counted)).goal(Goal::AtMost(EXPONENT_MAX)));
        report.add(figure("exponent of CPU time", of(|work| work.time)).goal(Goal::AtMost(EXPONENT_MAX)));
        let largest = measured.last().map_or(0.0, |works| works[number].time * 1e3);
        report.add(Figure::new("scale-law", format!("{operation}: CPU time, largest cluster"), largest, "ms").scale(&scale));
    }
    Ok(())
}

/// What the leader's own state takes: the cluster and the ledger, without links and without the store.
fn memory_of(report: &mut Report) -> anyhow::Result<()> {
    let (agents, density) = MEMORY_OF;
    let scale = format!("{agents} agents, {density} tasks each, in memory");
    let before = memory::living();
    let mut plant = Plant::with_agents(agents)?;
    let joined = memory::living() - before - plant.stored_bytes();
    for number in 0..agents * density / INSTANCES {
        plant.launch(app(&format!("app-{number}"), INSTANCES)?);
    }
    let tasks = plant.cluster.instances.len() as f64;
    let launched = memory::living() - before - plant.stored_bytes() - joined;
    let figure = |what: &str, value: f64, unit| Figure::new("scale-law", what, value, unit).scale(&scale);
    let per_task = figure("memory of the leader's state", launched as f64 / tasks, "B/task");
    report.add(per_task.goal(Goal::AtMost(400.0)));
    let per_agent = figure("memory of the leader's state", joined as f64 / f64::from(agents), "B/agent");
    report.add(per_agent.goal(Goal::AtMost(4_096.0)));
    Ok(())
}

fn app(name: &str, instances: u32) -> anyhow::Result<App> {
    let mut app = App::new(AppId::parse(&format!("/law/{name}"))?);
    app.cmd = Some("exec sleep 1000000".into());
    app.cpus = Scalar::from_thousandths(10);
    app.mem = Scalar::from_units(16);
    app.instances = instances;
    Ok(app)
}

/// Every operation on a cluster of `agents` agents.
fn work(agents: u32) -> anyhow::Result<[Work; OPERATIONS.len()]> {
    let (joined, plant) = measure(|| Plant::with_agents(agents));
    let mut plant = plant?;
    let apps = (0..agents * DENSITY / INSTANCES)
        .map(|number| app(&format!("app-{number}"), INSTANCES))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (launched, ()) = of(&mut plant, |plant| {
        for app in apps {
            plant.launch(app);
        }
    });
    anyhow::ensure!(plant.cluster.deployments.is_empty(), "not all tasks run");
    let (mut changed, mut told, mut failed, mut idle, mut lost) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let small = app(&format!("small-{round}"), TOUCHED)?;
        changed.push(of(&mut plant, |plant| plant.launch(small)).0);
        // A task that fails twice within a short time would be paused.
        let (node, task) = plant.some_task(&app(&format!("app-{round}"), 1)?.id).context("no task runs")?;
        let again = agents::running(&task, plant.now());
        told.push(of(&mut plant, |plant| plant.step(|draft| draft.observe(&node, again))).0);
        let end = TaskReport {
            condition: Condition::Failed,
            reason: Some(FailureReason::CommandExited),
            ..agents::running(&task, plant.now().plus_millis(60_000))
        };
        failed.push(
            of(&mut plant, |plant| {
                let orders = plant.step(|draft| draft.observe(&node, end));
                plant.obey(orders);
            })
            .0,
        );
        idle.push(of(&mut plant, |plant| plant.step(|_| ())).0);
        let victim = plant.cluster.loads.keys().nth(round as usize).cloned().context("no node has tasks")?;
        lost.push(
            of(&mut plant, |plant| {
                let orders = plant.step(|draft| {
                    draft.disconnect_node(&victim);
                    draft.lose_node(&victim);
                });
                plant.obey(orders);
            })
            .0,
        );
    }
    let entries: Vec<(&str, &[u8])> = plant.entries.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    let load = || {
        let (cluster, faults) = Cluster::load(entries.iter().copied(), plant.now());
        (Ledger::of(&cluster).cost(), cluster.instances.len(), faults)
    };
    let (loaded, (_, count, faults)) = measure(load);
    anyhow::ensure!(faults.is_empty() && count == plant.cluster.instances.len(), "the cluster did not load: {faults:?}");
    let (copied, parts) = measure(|| Delta::snapshot(&plant.cluster).count());
    anyhow::ensure!(parts > 0, "no snapshot");
    Ok([joined, launched, least(&changed), least(&told), least(&failed), least(&idle), least(&lost), loaded, copied])
}

fn least(works: &[Work]) -> Work {
    let least = |pick: fn(&Work) -> f64| works.iter().map(pick).fold(f64::INFINITY, f64::min);
    Work { counted: least(|work| work.counted), time: least(|work| work.time) }
}

fn of<T>(plant: &mut Plant, act: impl FnOnce(&mut Plant) -> T) -> (Work, T) {
    let engine = plant.engine();
    let (mut work, result) = measure(|| act(plant));
    work.counted += plant.engine().saturating_sub(engine) as f64;
    (work, result)
}

fn measure<T>(act: impl FnOnce() -> T) -> (Work, T) {
    let (before, clock) = (memory::allocations(), Instant::now());
    let result = act();
    let time = clock.elapsed().as_secs_f64();
    (Work { counted: (memory::allocations() - before) as f64, time }, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations that concern the whole cluster grow with it; all others must not.
    const WHOLE: [&str; 4] = [OPERATIONS[0], OPERATIONS[1], OPERATIONS[7], OPERATIONS[8]];
    /// Growth of the depth of trees.
    const DEPTH_EXPONENT_MAX: f64 = 0.25;

    #[test]
    fn work_grows_no_faster_than_the_cluster_and_small_changes_cost_the_same_everywhere() {
        let sizes = [100, 200, 400, 800];
        let counted: Vec<_> = sizes.iter().map(|agents| work(*agents).unwrap()).collect();
        for (number, operation) in OPERATIONS.iter().enumerate() {
            let work: Vec<f64> = counted.iter().map(|works| works[number].counted).collect();
            let exponent = exponent(&sizes, work.iter().copied());
            let limit = if WHOLE.contains(operation) { EXPONENT_MAX } else { DEPTH_EXPONENT_MAX };
            assert!(exponent <= limit, "{operation}: exponent {exponent:.2} of {work:?}");
        }
    }
}
