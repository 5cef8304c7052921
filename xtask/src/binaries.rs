//! Building and starting the two programs, `orrery` and `dcos`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::{command, workspace};

/// The built programs.
pub(crate) struct Binaries {
    pub(crate) orrery: PathBuf,
    pub(crate) dcos: PathBuf,
}

/// Where a profile's programs are, built or not.
pub(crate) fn paths(release: bool) -> Result<Binaries> {
    let directory = workspace::target()?.join(if release { "release" } else { "debug" });
    Ok(Binaries { orrery: directory.join("orrery"), dcos: directory.join("dcos") })
}

/// Builds both programs. The dev profile is the default: it is built several
/// times faster, which is what a newcomer waits for.
pub(crate) fn build(release: bool) -> Result<Binaries> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "orrery", "--package", "dcos"]);
    if release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)?;
    paths(release)
}

/// `cargo x build [--release]`
pub(crate) fn build_command(arguments: &[String]) -> Result<()> {
    let mut arguments = Arguments::new(arguments);
    let release = arguments.take_flag("--release");
    arguments.none()?;
    let built = build(release)?;
    println!("built {} and {}", built.orrery.display(), built.dcos.display());
    Ok(())
}

/// `cargo x up [--release] [ARGS…]`: becomes `orrery up`, so that signals reach it.
pub(crate) fn up(arguments: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let mut arguments = arguments.to_vec();
    // Only in front: what follows belongs to `orrery up`.
    let release = arguments.first().is_some_and(|first| first == "--release");
    if release {
        arguments.remove(0);
    }
    let built = build(release)?;
    let mut orrery = command::program(&built.orrery);
    orrery.arg("up").args(arguments);
    command::step(&command::shown(&orrery));
    Err(orrery.exec()).with_context(|| format!("could not start {}", built.orrery.display()))
}
