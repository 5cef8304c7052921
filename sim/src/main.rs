//! Runs simulations from the command line: `cargo x sim`.

use clap::Parser;
use orrery_sim::planted::Planted;
use orrery_sim::{Plan, simulate, sweep};
use std::process::ExitCode;

/// Simulates the control plane.
#[derive(Debug, Parser)]
#[command(name = "cargo x sim")]
struct Arguments {
    /// Seeds to run, from `--seed` on.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plant each bug of the list in turn, and tell how many seeds it takes to find it.
    #[arg(long)]
    planted: bool,
    /// Print the whole trace of `--seed` and run nothing else.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.planted {
        return planted(arguments.seed, arguments.seeds);
    }
    if arguments.trace {
        return trace(arguments.seed);
    }
    let (mut failed, mut millis, mut events) = (0, 0, 0);
    let began = std::time::Instant::now();
    sweep(arguments.seed..arguments.seed.saturating_add(arguments.seeds), Plan::of, |verdict| {
        millis += verdict.millis;
        events += verdict.events;
        if let Some(what) = verdict.violations.first() {
            failed += 1;
            println!("seed {}: {}", verdict.seed, what.chars().take(400).collect::<String>());
        }
        true
    });
    let took = began.elapsed().as_secs_f64();
    let virtual_seconds = millis as f64 / 1_000.0;
    println!(
        "{} seeds, {failed} with violations; {events} events, {virtual_seconds:.0} virtual seconds in {took:.1} s ({:.0} times real time)",
        arguments.seeds,
        virtual_seconds / took
    );
    code(failed == 0)
}

fn planted(first: u64, seeds: u64) -> ExitCode {
    let mut all = true;
    for bug in Planted::ALL {
        let (mut tried, mut found) = (0, None);
        sweep(
            first..first.saturating_add(seeds),
            |seed| Plan::with_bug(seed, bug),
            |verdict| {
                tried += 1;
                found = found.take().or_else(|| verdict.violations.first().map(|what| (verdict.seed, what.clone())));
                found.is_none()
            },
        );
        all &= found.is_some();
        match found {
            Some((seed, what)) => println!("{bug:?}: caught after {tried} seeds, by seed {seed}: {what:.160}"),
            None => println!("{bug:?}: NOT caught within {tried} seeds"),
        }
    }
    code(all)
}

fn trace(seed: u64) -> ExitCode {
    let plan = Plan::of(seed);
    println!("{plan:#?}");
    let verdict = simulate(plan, true);
    for line in &verdict.lines {
        println!("{line}");
    }
    println!("hash {:016x}, {} events, {} virtual ms", verdict.hash, verdict.events, verdict.millis);
    code(verdict.violations.is_empty())
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
