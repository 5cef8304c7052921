//! `cargo x lint`: every check that runs no test.

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::{command, layers, policy, text};

/// One check: faults that fail it, and warnings that do not.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) faults: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// A check; an error is a fault too.
type Check = fn() -> Result<Findings>;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    Arguments::new(arguments).none()?;
    // Every check runs, so that all faults are seen at once. The quick ones first.
    let checks: [(&str, Check); 5] = [
        ("format", format),
        ("text", text::check),
        ("layers", layers::check),
        ("dependencies and licences", dependencies),
        ("clippy", clippy),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let findings = check().unwrap_or_else(|error| Findings { faults: vec![format!("{error:#}")], warnings: Vec::new() });
        for warning in &findings.warnings {
            eprintln!("warning: {warning}");
        }
        for fault in &findings.faults {
            eprintln!("error: {fault}");
        }
        if findings.faults.is_empty() {
            println!("ok      {name}");
        } else {
            println!("FAILED  {name}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}.", failed.join(", "));
    }
    Ok(())
}

fn format() -> Result<Findings> {
    component("fmt", "rustfmt")?;
    command::run(command::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Findings::default())
}

fn clippy() -> Result<Findings> {
    component("clippy", "clippy")?;
    command::run(command::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(Findings::default())
}

fn component(subcommand: &str, component: &str) -> Result<()> {
    if command::succeeds(command::cargo().args([subcommand, "--version"])) {
        return Ok(());
    }
    bail!("cargo {subcommand} is not installed. Get it with: rustup component add {component}")
}

/// cargo-deny where it is installed; our own reading of `deny.toml` always,
/// since a fresh machine has nothing else.
fn dependencies() -> Result<Findings> {
    if command::succeeds(command::cargo().args(["deny", "--version"])) {
        command::run(command::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    }
    policy::check()
}
