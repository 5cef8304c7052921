//! `orrery store …`.

use crate::arguments::{StoreCommand, StoreOptions};
use crate::controller::identity;
use crate::location::{self, Location, seconds};
use crate::output::Output;
use anyhow::Context as _;
use orrery_controller::backup::{Target, migrate, reopen};
use std::io::Write as _;
use std::process::ExitCode;

/// File of the embedded store below the data directory.
pub(crate) const STORE_FILE: &str = "store.redb";

pub(crate) fn run(options: &StoreOptions) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut out = Output::new();
        let directory = || -> anyhow::Result<Location> { Ok(Location::Directory(options.data.path()?)) };
        match &options.command {
            StoreCommand::Dump { prefix } => {
                let data = options.data.path()?;
                location::must_have_store(&data)?;
                let path = data.join(STORE_FILE);
                let store = orrery_store::Embedded::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
                let dumped = orrery_store::dump(&store, prefix, &mut out).await;
                if !out.is_unread() {
                    dumped?;
                }
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
                if let Location::Directory(data) = &target {
                    identity::forget(data)?;
                }
                // A cluster has its id at least.
                if copied.entries == 0 {
                    writeln!(out, "Moved 0 entries: the cluster has moved from {} to {} before.", origin.name(), target.name())?;
                } else {
                    writeln!(out, "Moved {} entries from {} to {}.", copied.entries, origin.name(), target.name())?;
                }
                writeln!(out, "The old store is kept and closed: no controller will lead on it any more.")?;
            }
            StoreCommand::Reopen { store, force } => {
                let location = Location::of(&options.data, store.as_deref(), &options.etcd)?;
                reopen(&*location.open_existing().await?.store, force, seconds()).await?;
                if let Location::Directory(data) = &location {
                    identity::forget(data)?;
                }
                writeln!(out, "{} is open: a controller may lead on it.", location.name())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
