//! `orrery store …`.

use crate::arguments::{StoreCommand, StoreOptions};
use crate::location::{Location, seconds};
use anyhow::Context as _;
use orrery_controller::backup::{Target, migrate, reopen};
use std::io::Write as _;
use std::process::ExitCode;

/// File of the embedded store below the data directory.
pub(crate) const STORE_FILE: &str = "store.redb";

pub(crate) fn run(options: &StoreOptions) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut out = std::io::stdout();
        let directory = || -> anyhow::Result<Location> { Ok(Location::Directory(options.data.path()?)) };
        match &options.command {
            StoreCommand::Dump { prefix } => {
                let path = options.data.path()?.join(STORE_FILE);
                anyhow::ensure!(path.exists(), "there is no store at {}", path.display());
                let store = orrery_store::Embedded::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
                orrery_store::dump(&store, prefix, &mut out).await?;
            }
            StoreCommand::Migrate { to, from, force } => {
                let (origin, target) = match (to, from) {
                    (Some(to), None) => (directory()?, Location::etcd(to, &options.etcd)?),
                    (None, Some(from)) => (Location::etcd(from, &options.etcd)?, directory()?),
                    _ => anyhow::bail!("say where the cluster goes with --to, or where it comes from with --from"),
                };
                let store = origin.open_existing().await?.store;
                let into = target.open().await?.store;
                let goal = Target { store: &*into, force: force.as_deref() };
                let copied = migrate(&*store, &goal, &target.name(), seconds()).await?;
                writeln!(out, "Moved {} entries from {} to {}.", copied.entries, origin.name(), target.name())?;
                writeln!(out, "The old store is kept and closed: no controller will lead on it any more.")?;
            }
            StoreCommand::Reopen { store, force } => {
                let location = Location::of(&options.data, store.as_deref(), &options.etcd)?;
                reopen(&*location.open_existing().await?.store, force).await?;
                writeln!(out, "{} is open: a controller may lead on it.", location.name())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
