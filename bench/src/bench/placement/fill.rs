//! Filling a cluster with the tasks of many apps.

use super::mix::{Kind, Mix};
use super::site;
use super::watch::{Took, Watch};
use crate::figure::{Figure, Goal};
use orrery_core::Scalar;
use orrery_core::cluster::Cluster;
use orrery_core::placement::{Cost, Ledger};
use orrery_core::role::Role;

/// Placements a second and core below which basic placements have missed their goal.
const BASIC_PER_SECOND: f64 = 500_000.0;
/// What a constraint may leave of the basic rate.
const SHARE_OF_BASIC: f64 = 0.2;

/// What one run placed, and what that took.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) nodes: u32,
    pub(super) apps: u32,
    pub(super) placed: usize,
    batch: usize,
    pub(super) took: Took,
    pub(super) cost: Cost,
}

impl Run {
    /// Nanoseconds on the processor for each placement.
    pub(super) fn nanoseconds(&self) -> f64 {
        self.took.processor.as_nanos() as f64 / self.placed.max(1) as f64
    }

    /// Placements a second and core.
    pub(super) fn rate(&self) -> f64 {
        1e9 / self.nanoseconds()
    }

    /// Operations for each placement.
    pub(super) fn operations(&self) -> f64 {
        self.cost.total() as f64 / self.placed.max(1) as f64
    }

    /// Nodes, tasks, time and operations in words.
    pub(super) fn scale(&self) -> String {
        let each = |count: u64| count as f64 / self.placed.max(1) as f64;
        let cost = &self.cost;
        format!(
            "engine only: {} nodes, {} tasks, {} apps in batches of {}; {:.0} ns each on the processor, {:.0} on the clock; {:.1} operations each (visits {:.1}, probes {:.1}, updates {:.1}, seats {:.1}, heap {:.1}, scans {:.1})",
            self.nodes,
            self.placed,
            self.apps,
            self.batch,
            self.nanoseconds(),
            self.took.clock.as_nanos() as f64 / self.placed.max(1) as f64,
            each(cost.total()),
            each(cost.visits),
            each(cost.probes),
            each(cost.updates),
            each(cost.seats),
            each(cost.heap),
            each(cost.scans),
        )
    }

    /// The rate, with the goal of its kind; `basic` is the rate of basic placements at the same scale.
    pub(super) fn figure(&self, mix: &Mix, basic: Option<f64>) -> Figure {
        let figure = Figure::new("placement", mix.name, self.rate(), "placements/s").scale(self.scale());
        match (mix.kind, basic) {
            (Kind::Basic, _) => figure.goal(Goal::AtLeast(BASIC_PER_SECOND)),
            (Kind::Constrained, Some(basic)) => figure.goal(Goal::AtLeast(basic * SHARE_OF_BASIC)),
            _ => figure,
        }
    }
}

/// Places `per_app` tasks of each app of `mix` in a copy of `empty`; every seat is taken, so that later
/// placements meet a fuller cluster. The copy is handed back as it is then.
pub(super) fn fill(empty: &Ledger, nodes: u32, apps: u32, per_app: u32, mix: &Mix) -> anyhow::Result<(Run, Ledger)> {
    let mut ledger = empty.clone();
    let mut wanted = Vec::new();
    for number in 0..apps {
        let (mut app, instance) = site::app(number)?;
        app.instances = per_app;
        (mix.ask)(&mut app, number);
        wanted.push((app, instance));
    }
    let teams = teams();
    let batch = (per_app as usize).min(mix.batch);
    let (mut placed, before, watch) = (0, ledger.cost(), Watch::start());
    for (app, instance) in &wanted {
        let strategy = app.placement.strategy.unwrap_or_default();
        let mut left = app.instances as usize;
        while left > 0 {
            let count = batch.min(left);
            if mix.has_quotas {
                let free = ledger.open_free();
                let held = ledger.usage().guaranteed(app, count, &free, &teams.roles).is_some();
                anyhow::ensure!(!held && ledger.usage().quota(app, count, &teams.roles).is_none(), "{}: over quota", mix.name);
            }
            let (seats, refusals) = ledger.place_batch(app, count, strategy, placed as u64);
            if let Some(refusals) = refusals {
                anyhow::bail!("{}: {} of {placed} is refused: {}", mix.name, app.id, refusals.sentence());
            }
            for seat in &seats {
                ledger.seat(instance, app, seat, true, true);
            }
            placed += seats.len();
            left -= seats.len();
        }
    }
    let run = Run { nodes, apps, placed, batch, took: watch.read(), cost: ledger.cost().since(&before) };
    Ok((run, ledger))
}

/// A hundred teams with more than they will need, every tenth with a guarantee; nothing else.
fn teams() -> Cluster {
    let mut teams = Cluster::default();
    for number in 0..100_u32 {
        let amount = |cpus: i64| [("cpus".to_owned(), Scalar::from_units(cpus))].into();
        let mut role = Role::new(format!("team{number}"));
        role.limits = amount(100_000);
        if number.is_multiple_of(10) {
            role.guarantees = amount(10);
        }
        teams.roles.insert(role.name.as_str().into(), role.into());
    }
    teams
}
