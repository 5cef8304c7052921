//! `cargo x chaos [FILTER…]`: the long set of faults on a laboratory of hosts.

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::{binaries, command, requirements};

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
    tests.args(filters).env("ORRERY_CHAOS", "1").env("ORRERY_BIN", &built.orrery).env("DCOS_BIN", &built.dcos);
    for name in requirements::variables() {
        tests.env(name, "1");
    }
    command::run(&mut tests)
}
