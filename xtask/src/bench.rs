//! `cargo x bench [NAME…] [--json]`: races the peers with release builds.

use anyhow::Result;

use crate::{binaries, command, requirements};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    requirements::ensure()?;
    command::run(command::cargo().args([
        "build",
        "--release",
        "--package",
        "orrery",
        "--package",
        "dcos",
        "--package",
        "orrery-bench",
    ]))?;
    let built = binaries::paths(true)?;
    let mut bench = command::program(built.orrery.with_file_name("orrery-bench"));
    bench.current_dir(crate::workspace::root()).env("ORRERY_BIN", &built.orrery).env("DCOS_BIN", &built.dcos).args(arguments);
    command::run(&mut bench)
}
