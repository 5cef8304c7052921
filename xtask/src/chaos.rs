//! `cargo x chaos [FILTER…]`: the long set of faults on a laboratory of hosts, then a long simulation.

use anyhow::{Context as _, Result, bail};

use crate::arguments::Arguments;
use crate::{binaries, command, requirements};

/// Seeds of the simulation, after those of `cargo x test`; `ORRERY_CHAOS_SEEDS` sets another number.
const SEEDS: u64 = 5_000;
const FIRST_SEED: u64 = 1_001;
const SEEDS_VARIABLE: &str = "ORRERY_CHAOS_SEEDS";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let filters = Arguments::new(arguments).positional()?;
    requirements::ensure()?;
    command::run(command::cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    if !command::succeeds(command::cargo().args(["nextest", "--version"])) {
        bail!("`cargo x chaos` needs cargo-nextest; `cargo install cargo-nextest --locked` installs it.");
    }
    let built = binaries::paths(false)?;
    let mut tests = command::cargo();
    tests.args(["nextest", "run", "--workspace", "--profile", "chaos", "--no-fail-fast", "-E", "binary(hosts)"]);
    let whole = filters.is_empty();
    tests.args(filters).env("ORRERY_CHAOS", "1").env("ORRERY_BIN", &built.orrery).env("DCOS_BIN", &built.dcos);
    for name in requirements::variables() {
        tests.env(name, "1");
    }
    let held = command::run(&mut tests);
    // A filter chooses among the hosts' tests.
    if whole {
        simulate()?;
    }
    held
}

fn simulate() -> Result<()> {
    let seeds = match std::env::var(SEEDS_VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{SEEDS_VARIABLE}: \"{text}\" is no number of seeds"))?,
        Err(_) => SEEDS,
    };
    let (seeds, first) = (seeds.to_string(), FIRST_SEED.to_string());
    command::run(command::cargo().args(["run", "--quiet", "--package", "orrery-sim", "--", "--seed", &first, "--seeds", &seeds]))
}
