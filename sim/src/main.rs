//! Runs simulations from the command line.

use clap::Parser;
use orrery_sim::{Plan, simulate};

/// Simulates the control plane.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds to run, from `--seed` on.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the whole trace of `--seed` and run nothing else.
    #[arg(long)]
    trace: bool,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or(1);
    if arguments.trace {
        let plan = Plan::of(first);
        println!("{plan:#?}");
        let verdict = simulate(plan, true);
        verdict.lines.iter().for_each(|line| println!("{line}"));
        println!("hash {:016x}, {} events, {} virtual ms", verdict.hash, verdict.events, verdict.millis);
        return code(verdict.violations.is_empty());
    }
    let mut failed = 0;
    for seed in first..first + arguments.seeds {
        let began = std::time::Instant::now();
        let verdict = simulate(Plan::of(seed), false);
        if !verdict.violations.is_empty() {
            failed += 1;
            println!("seed {seed}: {}", verdict.violations[0].chars().take(300).collect::<String>());
        }
        if arguments.seeds <= 20 {
            println!("seed {seed}: {} events, {} virtual ms, {:?}", verdict.events, verdict.millis, began.elapsed());
        }
    }
    println!("{} seeds, {failed} with violations", arguments.seeds);
    code(failed == 0)
}

fn code(good: bool) -> std::process::ExitCode {
    if good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
