//! Bugs that are planted are found.

use orrery_sim::planted::Planted;
use orrery_sim::{Plan, simulate, sweep};

/// Seeds within which each must be found.
const SEEDS: u64 = 200;

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        let mut found: Option<(u64, String)> = None;
        let mut tried = 0;
        sweep(
            1..SEEDS + 1,
            |seed| Plan::with_bug(seed, bug),
            |verdict| {
                tried += 1;
                if let Some(what) = verdict.violations.into_iter().next() {
                    found.get_or_insert((verdict.seed, what));
                }
                found.is_none()
            },
        );
        match found {
            Some((seed, what)) => {
                // The bug it is, and not the storm.
                let clean = simulate(Plan { planted: Planted::Nothing, ..Plan::with_bug(seed, bug) }, false);
                assert_eq!(clean.violations, Vec::<String>::new(), "seed {seed} fails without {bug:?} as well");
                println!("{bug:?}: caught after {tried} seeds, by seed {seed}: {what:.160}");
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}
