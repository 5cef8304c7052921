//! `cargo x fuzz [TARGET] [--seconds N]`: libFuzzer with a stable compiler.
//!
//! Only code coverage is asked of the compiler, no sanitizer: the code under
//! test is safe Rust, where a fault is a panic, a hang or a growing heap.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::{command, workspace};

/// How long a target runs when nothing is said, in seconds.
const DEFAULT_SECONDS: u64 = 60;
/// What one input may take, in seconds, before it counts as a hang.
const INPUT_SECONDS: u64 = 10;
/// What the fuzzer may hold resident, in MiB.
const MEMORY_MIB: u64 = 2048;
/// Edge coverage with counters, as libFuzzer reads it.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = Arguments::new(arguments);
    let seconds = arguments.take_number("--seconds")?.unwrap_or(DEFAULT_SECONDS);
    let wanted = arguments.positional()?;
    let directory = workspace::root().join("fuzz");
    let targets = chosen(&targets(&directory.join("fuzz_targets"))?, &wanted)?;
    let host = host()?;
    let mut failed = Vec::new();
    for target in &targets {
        build(&directory, target, &host)?;
        if let Err(error) = fuzz(&directory, target, &host, seconds) {
            eprintln!("error: {error:#}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("faults were found in {}. The inputs are in fuzz/artifacts.", failed.join(", "));
    }
    println!("no fault found in {}, {seconds} s each", targets.join(", "));
    Ok(())
}

fn targets(directory: &Path) -> Result<Vec<String>> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("there are no fuzz targets in {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn chosen(known: &[String], wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target `{unknown}`. There are: {}", known.join(", "));
    }
    Ok(if wanted.is_empty() { known } else { wanted }.to_vec())
}

/// The host's target triple. Naming it keeps the coverage flags away from
/// build scripts and macros.
fn host() -> Result<String> {
    let version = command::output(std::process::Command::new("rustc").arg("-vV"))?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc -vV names no host")
}

fn build(directory: &Path, target: &str, host: &str) -> Result<()> {
    command::run(
        command::cargo()
            .env("RUSTFLAGS", COVERAGE)
            .args(["build", "--release", "--target", host, "--bin", target])
            .arg("--manifest-path")
            .arg(directory.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(directory.join("target")),
    )
}

fn fuzz(directory: &Path, target: &str, host: &str, seconds: u64) -> Result<()> {
    let corpus = directory.join("corpus").join(target);
    let artifacts = directory.join("artifacts").join(target);
    for created in [&corpus, &artifacts] {
        std::fs::create_dir_all(created).with_context(|| format!("could not create {}", created.display()))?;
    }
    let binary = directory.join("target").join(host).join("release").join(target);
    let mut fuzzer = command::program(binary);
    fuzzer
        .arg(&corpus)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    // Seeds that are committed are read, and never written to.
    let seeds = directory.join("seeds").join(target);
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    command::run(&mut fuzzer)
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn unknown_targets_are_refused_and_none_means_all() {
        let known = ["dns".to_owned(), "yaml".to_owned()];
        assert_eq!(chosen(&known, &[]).unwrap(), known);
        assert_eq!(chosen(&known, &known[1..]).unwrap(), ["yaml"]);
        assert!(chosen(&known, &["x".to_owned()]).is_err());
    }
}
