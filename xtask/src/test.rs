//! `cargo x test [--fast] [FILTER…]`: every test of the workspace.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::{binaries, command, documentation, requirements};

/// The package that drives the built programs from outside.
const END_TO_END: &str = "orrery-e2e";
/// What nextest exits with when no test has the wanted name.
const NEXTEST_NO_TESTS: i32 = 4;

/// A part of the run and how it went.
struct Part {
    name: &'static str,
    passed: bool,
    seconds: u64,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = Arguments::new(arguments);
    let fast = arguments.take_flag("--fast");
    let filters = arguments.positional()?;

    requirements::ensure()?;
    // With the tests' own features, so that the tests reuse what is built here.
    command::run(command::cargo().args(scope(&["build", "--bins", "--tests"], fast)))?;

    let mut parts = Vec::new();
    let nextest = command::succeeds(command::cargo().args(["nextest", "--version"]));
    if nextest {
        let mut tests = with_variables(&scope(&["nextest", "run", "--no-fail-fast"], fast))?;
        parts.push(measured("tests", tests.args(&filters))?);
        // A filter names a test; documentation tests have no names of their own.
        if filters.is_empty() && documentation::has_examples()? {
            let documentation = scope(&["test", "--doc", "--no-fail-fast"], fast);
            parts.push(measured("documentation tests", &mut with_variables(&documentation)?)?);
        }
    } else {
        // cargo test runs documentation tests as well.
        let mut tests = with_variables(&scope(&["test", "--no-fail-fast"], fast))?;
        tests.arg("--").args(&filters);
        parts.push(measured("tests", &mut tests)?);
    }
    summarise(&parts, fast)
}

/// Cargo's arguments for the whole workspace, or all but the end-to-end tests.
fn scope(first: &[&str], fast: bool) -> Vec<String> {
    let mut words: Vec<String> = first.iter().map(ToString::to_string).collect();
    words.push("--workspace".to_owned());
    // A build takes the end-to-end crate along: it is small, and `--fast`
    // would otherwise select other features of shared dependencies.
    if fast && first[0] != "build" {
        words.extend(["--exclude".to_owned(), END_TO_END.to_owned()]);
    }
    words
}

/// Cargo with what tests read from their environment.
fn with_variables(arguments: &[String]) -> Result<Command> {
    let built = binaries::paths(false)?;
    let mut cargo = command::cargo();
    cargo.args(arguments).env("ORRERY_BIN", &built.orrery).env("DCOS_BIN", &built.dcos);
    for name in requirements::variables() {
        cargo.env(name, "1");
    }
    Ok(cargo)
}

fn measured(name: &'static str, command: &mut Command) -> Result<Part> {
    let start = Instant::now();
    let shown = command::shown(command);
    command::step(&shown);
    let status = command.stdin(std::process::Stdio::null()).status()?;
    if status.code() == Some(NEXTEST_NO_TESTS) {
        bail!("no test has such a name. `cargo x test` without a name runs all.");
    }
    Ok(Part { name, passed: status.success(), seconds: start.elapsed().as_secs() })
}

fn summarise(parts: &[Part], fast: bool) -> Result<()> {
    println!("\n{}", summary(parts));
    for requirement in requirements::missing() {
        println!("  not covered here: {} ({} is not installed)", requirement.needed_by, requirement.package);
    }
    if fast {
        println!("  left out by --fast: the end-to-end tests");
    }
    if parts.iter().any(|part| !part.passed) {
        bail!("tests failed; their output is above.");
    }
    println!("all passed");
    Ok(())
}

fn summary(parts: &[Part]) -> String {
    let lines: Vec<String> = parts
        .iter()
        .map(|part| {
            let verdict = if part.passed { "passed" } else { "FAILED" };
            format!("  {verdict}  {} ({} s)", part.name, part.seconds)
        })
        .collect();
    format!("summary\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{Part, scope, summary};

    #[test]
    fn fast_leaves_out_the_end_to_end_tests_but_builds_them() {
        assert_eq!(scope(&["test"], false), ["test", "--workspace"]);
        assert_eq!(scope(&["test"], true), ["test", "--workspace", "--exclude", "orrery-e2e"]);
        assert_eq!(scope(&["build"], true), ["build", "--workspace"]);
    }

    #[test]
    fn the_summary_names_what_failed() {
        let part = |name, passed| Part { name, passed, seconds: 3 };
        assert_eq!(
            summary(&[part("tests", true), part("documentation tests", false)]),
            "summary\n  passed  tests (3 s)\n  FAILED  documentation tests (3 s)"
        );
    }
}
