//! Clusters that are nearly full, while apps arrive that fit nowhere.

use super::site;
use super::watch::Watch;
use crate::figure::{Figure, Goal};
use crate::report::Report;
use orrery_core::app::{Constraint, Operator};
use orrery_core::cluster::Entropy;
use orrery_core::instance::Seat;
use orrery_core::placement::{Ledger, Strategy};
use orrery_core::{App, InstanceId, Scalar};
use std::time::Instant;

/// Nodes of the full clusters.
const NODES: u32 = 10_000;
/// Apps whose tasks run there.
const APPS: u32 = 1_000;
/// Ends and starts of tasks that are measured.
const TURNS: u64 = 200_000;
/// Ends and starts between two questions of apps that fit nowhere.
const TURNS_BETWEEN: u64 = 20;
/// Different apps that fit nowhere.
const GIANTS: u32 = 100;
/// What apps that fit nowhere may leave of the rate of those that fit.
const SHARE_KEPT: f64 = 0.9;
/// Most operations of a refusal that was given before, with what changed meanwhile.
const AGAIN_OPERATIONS_MAX: f64 = 100.0;
/// Most operations of the first refusal of an app, with its share of what it took to put all nodes in blocks.
const FIRST_OPERATIONS_MAX: f64 = 1_000.0;

/// A cluster with tasks that end and start.
struct Busy {
    ledger: Ledger,
    apps: Vec<(App, InstanceId)>,
    running: Vec<(usize, Seat)>,
    entropy: Entropy,
}

impl Busy {
    /// Fills `share` of all cpus.
    fn new(share: f64) -> anyhow::Result<Self> {
        let apps = (0..APPS).map(site::app).collect::<anyhow::Result<Vec<_>>>()?;
        let mut busy = Self { ledger: site::ledger(NODES)?, apps, running: Vec::new(), entropy: Entropy::new(7) };
        let total: i64 = (0..NODES).map(|number| site::cpus(number) * 1_000).sum();
        let (mut taken, most) = (0, (total as f64 * share) as i64);
        for index in (0..busy.apps.len()).cycle() {
            if taken >= most {
                break;
            }
            let (app, instance) = &busy.apps[index];
            let (seats, _) = busy.ledger.place_batch(app, 200, Strategy::Spread, 1);
            anyhow::ensure!(!seats.is_empty(), "full at {taken} of {most} thousandths of a cpu");
            for seat in seats {
                taken += app.cpus.thousandths();
                busy.ledger.seat(instance, app, &seat, true, true);
                busy.running.push((index, seat));
            }
        }
        Ok(busy)
    }

    /// A task ends, another one starts if it fits; tells whether it did.
    fn turn(&mut self, salt: u64) -> bool {
        let at = (self.entropy.next_number() % self.running.len() as u64) as usize;
        let (index, seat) = self.running.swap_remove(at);
        let (app, instance) = &self.apps[index];
        self.ledger.seat(instance, app, &seat, true, false);
        let index = (self.entropy.next_number() % self.apps.len() as u64) as usize;
        let (app, instance) = &self.apps[index];
        let (seats, _) = self.ledger.place_batch(app, 1, Strategy::Spread, salt);
        let is_placed = !seats.is_empty();
        for seat in seats {
            self.ledger.seat(instance, app, &seat, true, true);
            self.running.push((index, seat));
        }
        is_placed
    }

    /// An app that fits nowhere asks; how long that took, in nanoseconds, and how many operations.
    fn refuse(&mut self, giant: &App) -> anyhow::Result<(f64, f64)> {
        let (before, start) = (self.ledger.cost(), Instant::now());
        let (seats, refusals) = self.ledger.place_batch(giant, 1, Strategy::Spread, 0);
        let took = start.elapsed().as_nanos() as f64;
        let has_reasons = refusals.is_some_and(|refusals| refusals.nodes == u64::from(NODES) && refusals.hint.is_some());
        anyhow::ensure!(seats.is_empty() && has_reasons, "{} fits, or nobody says why not", giant.id);
        Ok((took, self.ledger.cost().since(&before).total() as f64))
    }
}

/// Larger than any node, and choosy.
fn giant(number: u32) -> anyhow::Result<App> {
    let (mut app, _) = site::app(100_000 + number)?;
    app.cpus = Scalar::from_units(73 + i64::from(number));
    app.constraints = vec![Constraint { field: "rack".into(), operator: Operator::Like, value: Some("r[0-9]".into()) }];
    Ok(app)
}

/// Good placements with and without apps that fit nowhere, and what those cost.
pub(super) fn run(report: &mut Report, share: f64) -> anyhow::Result<()> {
    let mut busy = Busy::new(share)?;
    let percent = format!("{:.0} % of cpus taken", share * 100.0);
    let tasks = busy.running.len();
    let giants = (0..GIANTS).map(giant).collect::<anyhow::Result<Vec<_>>>()?;
    let scale = |placed: u64, took: super::watch::Took, operations: u64| {
        format!(
            "engine only: {NODES} nodes, {tasks} tasks, {APPS} apps, no constraints, one ends and one starts; {:.0} ns each on the processor, {:.0} on the clock; {:.1} operations each",
            took.processor.as_nanos() as f64 / placed as f64,
            took.clock.as_nanos() as f64 / placed as f64,
            operations as f64 / placed as f64
        )
    };
    let (before, watch) = (busy.ledger.cost(), Watch::start());
    let placed = (0..TURNS).filter(|turn| busy.turn(*turn)).count() as u64;
    let took = watch.read();
    let rate = placed as f64 / took.processor.as_secs_f64();
    let figure = Figure::new("placement", format!("{percent}: good placements"), rate, "placements/s");
    report.add(figure.scale(scale(placed, took, busy.ledger.cost().since(&before).total())));

    let (before, watch) = (busy.ledger.cost(), Watch::start());
    let (mut placed, mut first, mut again) = (0_u64, Vec::new(), Vec::new());
    for turn in 0..TURNS {
        placed += u64::from(busy.turn(turn));
        if turn % TURNS_BETWEEN == 0 {
            let asked = turn / TURNS_BETWEEN;
            // The newest app asks anew; every hundredth of a run another one arrives.
            let number = asked * u64::from(GIANTS) / (TURNS / TURNS_BETWEEN);
            let is_first = asked == 0 || number != (asked - 1) * u64::from(GIANTS) / (TURNS / TURNS_BETWEEN);
            let took = busy.refuse(&giants[number as usize])?;
            if is_first { first.push(took) } else { again.push(took) }
        }
    }
    let took = watch.read();
    let with = placed as f64 / took.processor.as_secs_f64();
    let figure = Figure::new("placement", format!("{percent}: … while apps ask that fit nowhere"), with, "placements/s");
    let words = scale(placed, took, busy.ledger.cost().since(&before).total());
    let words = format!("{words}; after every {TURNS_BETWEEN} of them one of {GIANTS} apps asks, refusals included");
    report.add(figure.scale(words).goal(Goal::AtLeast(rate * SHARE_KEPT)));

    let both = [("first refusal of an app", first, FIRST_OPERATIONS_MAX), ("refusal, asked again", again, AGAIN_OPERATIONS_MAX)];
    for (name, mut samples, most) in both {
        samples.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let count = samples.len();
        let operations = samples.iter().map(|(_, operations)| operations).sum::<f64>() / count as f64;
        let scale =
            format!("engine only: {NODES} nodes, {count} refusals with their reasons, rack LIKE and more cpus than any node has");
        let figure = |what: &str, value: f64, unit| {
            Figure::new("placement", format!("{percent}: {name}, {what}"), value, unit).scale(scale.clone())
        };
        report.add(figure("p50", samples[count / 2].0 / 1e3, "µs"));
        report.add(figure("p99", samples[count * 99 / 100].0 / 1e3, "µs"));
        report.add(figure("operations counted", operations, "").goal(Goal::AtMost(most)));
    }
    Ok(())
}
