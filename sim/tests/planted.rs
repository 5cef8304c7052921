//! Bugs that are planted are found.

use orrery_sim::planted::Planted;
use orrery_sim::{Plan, sweep};

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
            Some((seed, what)) => println!("{bug:?}: caught after {tried} seeds, by seed {seed}: {:.160}", what),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}
