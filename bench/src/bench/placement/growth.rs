//! How the work grows with the cluster: exponents fitted from 1,000 to 100,000 nodes. A test of the
//! engine (`cost_test`) guards the counted ones.

use super::fill::fill;
use super::mix::{self, Mix};
use super::site;
use crate::exponent::exponent;
use crate::figure::{Figure, Goal};
use crate::report::Report;
use orrery_core::Scalar;
use orrery_core::app::App;
use orrery_core::placement::Strategy;

/// Nodes of the clusters compared.
const SIZES: [u32; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];
/// Tasks a node.
const DENSITY: u32 = 4;
/// Instances of each app.
const INSTANCES: u32 = 50;
/// Largest exponent allowed.
const EXPONENT_MAX: f64 = 1.1;
/// Largest exponent of refusals: less than any power of the number of nodes worth the name.
const REFUSAL_EXPONENT_MAX: f64 = 0.1;

/// Fits operations and time of all mixes that have a goal.
pub(super) fn run(report: &mut Report) -> anyhow::Result<()> {
    let mixes: Vec<&Mix> = [&mix::BASIC, &mix::BINPACK].into_iter().chain(mix::OPERATORS).chain(mix::RULES).collect();
    let mut counted: Vec<Vec<f64>> = vec![Vec::new(); mixes.len()];
    let mut timed = counted.clone();
    let (mut refusals, mut firsts) = (Vec::new(), Vec::new());
    for nodes in SIZES {
        let (plain, reserved) = (site::ledger(nodes)?, site::reserved(nodes)?);
        for (index, mix) in mixes.iter().enumerate() {
            let empty = if mix.is_reserved { &reserved } else { &plain };
            let (run, _) = fill(empty, nodes, nodes * DENSITY / INSTANCES, INSTANCES, mix)?;
            counted[index].push(run.cost.total() as f64);
            timed[index].push(run.took.processor.as_secs_f64());
        }
        let (again, first) = refusal(nodes)?;
        refusals.push(again);
        firsts.push(first);
    }
    let scale = format!("engine only: {SIZES:?} nodes, {DENSITY} tasks each, apps of {INSTANCES} in one batch");
    for (index, mix) in mixes.iter().enumerate() {
        let largest = counted[index].last().map_or(0.0, |count| count / f64::from(SIZES[SIZES.len() - 1] * DENSITY));
        let scale = format!("{scale}; {largest:.1} operations a placement in the largest");
        let figure = |what: &str, work: &[f64]| {
            let value = exponent(&SIZES, work.iter().copied());
            Figure::new("placement", format!("{}: exponent of {what}", mix.name), value, "").scale(scale.clone())
        };
        report.add(figure("operations", &counted[index]).goal(Goal::AtMost(EXPONENT_MAX)));
        report.add(figure("time on the processor", &timed[index]));
    }
    let again = ("asked again", "asked again after 20 ends and 20 starts", refusals);
    let first = ("asked for the first time", "an app larger than any before it, after 20 ends and 20 starts", firsts);
    for (name, words, operations) in [again, first] {
        let counted = operations.iter().map(|count| format!("{count:.0}")).collect::<Vec<_>>().join(", ");
        let scale = format!("engine only: {SIZES:?} nodes, {words}; {counted} operations");
        let value = exponent(&SIZES, operations.into_iter());
        let figure = Figure::new("placement", format!("refusal, {name}: exponent of operations"), value, "");
        report.add(figure.scale(scale).goal(Goal::AtMost(REFUSAL_EXPONENT_MAX)));
    }
    Ok(())
}

/// Operations of a refusal that was given before, with 40 changes since, and of one to an app unlike that.
fn refusal(nodes: u32) -> anyhow::Result<(f64, f64)> {
    let mut ledger = site::ledger(nodes)?;
    let (small, instance) = site::app(0)?;
    let giants = [99, 100].map(|cpus| {
        let (mut giant, _) = site::app(cpus)?;
        giant.cpus = Scalar::from_units(i64::from(cpus));
        anyhow::Ok(giant)
    });
    let [giant, other] = giants;
    let (giant, other) = (giant?, other?);
    let (seats, _) = ledger.place_batch(&small, 20, Strategy::Spread, 0);
    for seat in &seats {
        ledger.seat(&instance, &small, seat, true, true);
    }
    ledger.place_batch(&giant, 1, Strategy::Spread, 0);
    let mut ask = |giant: &App| {
        for more in [false, true] {
            for seat in &seats {
                ledger.seat(&instance, &small, seat, true, more);
            }
        }
        let before = ledger.cost();
        let (seats, refusals) = ledger.place_batch(giant, 1, Strategy::Spread, 0);
        anyhow::ensure!(seats.is_empty() && refusals.is_some(), "{} fits", giant.id);
        Ok(ledger.cost().since(&before).total() as f64)
    };
    Ok((ask(&giant)?, ask(&other)?))
}
