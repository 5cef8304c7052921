//! `cargo x sim [--seeds N] [--seed S [--trace]]`: the control plane on virtual time.

use anyhow::Result;

use crate::command;

/// Hands the arguments to the simulation, which knows them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    command::run(command::cargo().args(["run", "--quiet", "--package", "orrery-sim", "--"]).args(arguments))
}
