//! Room made by stopping tasks of lower priority: whole steps of the leader, without its store.

use super::watch::Watch;
use crate::bench::scale::plant::Plant;
use crate::figure::Figure;
use crate::report::Report;
use orrery_core::instance::Goal;
use orrery_core::{App, AppId, Scalar};

/// Nodes of 32 cpus.
const NODES: u32 = 5_000;
/// Tasks of one cpu on each, so that all are full.
const TASKS: u32 = 32;
const INSTANCES: u32 = 1_000;
/// Urgent instances that ask in one step.
const URGENT: u32 = 128;

fn app(name: &str, instances: u32, cpus: i64, priority: i32) -> anyhow::Result<App> {
    let mut app = App::new(AppId::parse(&format!("/bench/{name}"))?);
    app.cmd = Some("exec sleep 1000000".into());
    app.cpus = Scalar::from_units(cpus);
    app.mem = Scalar::from_units(64);
    app.instances = instances;
    app.placement.priority = priority;
    app.upgrade_strategy.minimum_health_capacity = Scalar::ZERO;
    Ok(app)
}

/// Fills a cluster with batch work, and lets an urgent app take room from it.
pub(super) fn run(report: &mut Report) -> anyhow::Result<()> {
    let mut plant = Plant::with_agents(NODES)?;
    for number in 0..NODES * TASKS / INSTANCES {
        plant.launch(app(&format!("batch-{number}"), INSTANCES, 1, -(number.cast_signed() % 10) - 1)?);
    }
    let urgent = app("urgent", URGENT, 2, 10)?;
    let (before, watch) = (plant.engine(), Watch::start());
    plant.launch(urgent);
    let (took, operations) = (watch.read(), plant.engine() - before);
    let stopped = plant.cluster.instances.values().filter(|instance| instance.goal != Goal::Running).count();
    anyhow::ensure!(stopped == 2 * URGENT as usize, "{stopped} tasks are stopped for {URGENT} of two cpus");
    let value = took.processor.as_secs_f64() * 1e6 / f64::from(URGENT);
    let scale = format!(
        "the leader's steps without a store: {NODES} full nodes, {} tasks, {URGENT} urgent instances of two cpus each at once, {stopped} tasks stopped; {:.1} operations each",
        NODES * TASKS,
        operations as f64 / f64::from(URGENT)
    );
    report.add(Figure::new("placement", "room made by preemption, each", value, "µs").scale(scale));
    Ok(())
}
