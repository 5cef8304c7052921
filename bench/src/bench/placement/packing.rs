//! How much machine packing needs, against the least that could do.

use super::site;
use crate::figure::{Figure, Goal};
use crate::report::Report;
use orrery_core::Scalar;
use orrery_core::cluster::Entropy;
use orrery_core::placement::Strategy;
use std::collections::HashMap;

const NODES: u32 = 10_000;
/// Instances of each app.
const INSTANCES: usize = 40;
/// Most that packing may need above the least, percent.
const ABOVE_MAX: f64 = 2.0;

/// Packs apps of random shapes.
pub(super) fn run(report: &mut Report) -> anyhow::Result<()> {
    let (mut ledger, mut entropy) = (site::ledger(NODES)?, Entropy::new(3));
    let (mut cpus, mut mem, mut used) = (0.0, 0.0, HashMap::new());
    let sizes: HashMap<String, i64> = (0..NODES).map(|number| (format!("-S{number}"), site::cpus(number))).collect();
    let size = |node: &str| node.rfind('-').and_then(|at| sizes.get(&node[at..])).copied().unwrap_or(0);
    let apps = NODES / 2;
    for number in 0..apps {
        let (mut app, instance) = site::app(number)?;
        app.cpus = Scalar::from_thousandths(50 + (entropy.next_number() % 40).pow(2).cast_signed());
        app.mem = Scalar::from_units(64 + (entropy.next_number() % 80).pow(2).cast_signed());
        let (seats, _) = ledger.place_batch(&app, INSTANCES, Strategy::Binpack, 0);
        anyhow::ensure!(seats.len() == INSTANCES, "{} does not fit", app.id);
        for seat in seats {
            ledger.seat(&instance, &app, &seat, true, true);
            cpus += app.cpus.to_f64();
            mem += app.mem.to_f64();
            used.insert(seat.node.to_string(), size(seat.node.as_str()));
        }
    }
    let taken: i64 = used.values().sum();
    // Every node has 4 GiB a cpu.
    let least = f64::max(cpus, mem / 4_096.0);
    let above = (taken as f64 / least - 1.0) * 100.0;
    let scale = format!(
        "engine only: {apps} apps of {INSTANCES} in random shapes; {} of {NODES} nodes used, {taken} cpus where {least:.0} is the least that could do",
        used.len()
    );
    report
        .add(Figure::new("placement", "binpack, machine above the least", above, "%").scale(scale).goal(Goal::AtMost(ABOVE_MAX)));
    Ok(())
}
