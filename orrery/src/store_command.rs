//! `orrery store …`.

use crate::arguments::{StoreCommand, StoreOptions};
use crate::controller::identity;
use crate::location::{self, Location, seconds};
use crate::output::Output;
use anyhow::Context as _;
use orrery_controller::backup::{Target, migrate, reopen};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// File of the embedded store below the data directory.
pub(crate) const STORE_FILE: &str = "store.redb";
/// Directory below that of `orrery up` with those of its nodes, by number.
pub(crate) const AGENTS_DIRECTORY: &str = "agents";

/// The data directories of the nodes that `orrery up` ran below its own.
fn nodes_of(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join(AGENTS_DIRECTORY)).into_iter().flatten().flatten();
    let mut nodes: Vec<_> = entries.map(|entry| entry.path()).filter(|path| orrery_agent::node_of(path).is_some()).collect();
    // As numbers: 10 comes after 9.
    nodes.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    nodes
}

/// Says how nodes come back whose daemon does not: their tasks run on, and nobody else can take them back.
fn tell_nodes(out: &mut impl std::io::Write, nodes: &[PathBuf]) -> std::io::Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "When a controller leads there, start its nodes again with their tasks, each with a token of its own from `orrery token \
         create` and with its share in --resources:"
    )?;
    nodes.iter().try_for_each(|node| writeln!(out, "  orrery agent --join URL --token TOKEN --data-dir {}", node.display()))
}

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
                if let Location::Directory(data) = &origin {
                    tell_nodes(&mut out, &nodes_of(data))?;
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_directory_are_told_in_order() {
        let data = tempfile::tempdir().unwrap();
        let told = || {
            let mut out = Vec::new();
            tell_nodes(&mut out, &nodes_of(data.path())).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(), "");
        for number in [10, 9, 0, 3] {
            let node = data.path().join(AGENTS_DIRECTORY).join(number.to_string());
            std::fs::create_dir_all(&node).unwrap();
            // One that has never started is no node.
            if number != 3 {
                orrery_agent::become_node(&node, &orrery_core::NodeId::parse(&format!("c-S{number}")).unwrap()).unwrap();
            }
        }
        let text = told();
        // The first line says what the commands are for.
        let commands: Vec<&str> = text.lines().skip(1).collect();
        let wanted = [0, 9, 10].map(|number| {
            format!("  orrery agent --join URL --token TOKEN --data-dir {}/agents/{number}", data.path().display())
        });
        assert_eq!(commands, wanted);
    }
}
