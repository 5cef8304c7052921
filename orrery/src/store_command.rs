//! `orrery store …`.

use crate::arguments::{StoreCommand, StoreOptions};
use anyhow::Context as _;
use std::process::ExitCode;

/// File of the embedded store below the data directory.
pub(crate) const STORE_FILE: &str = "store.redb";

pub(crate) fn run(options: StoreOptions) -> anyhow::Result<ExitCode> {
    let path = options.data.path()?.join(STORE_FILE);
    anyhow::ensure!(path.exists(), "there is no store at {}", path.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = orrery_store::Embedded::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match options.command {
            StoreCommand::Dump { prefix } => orrery_store::dump(&store, &prefix, &mut std::io::stdout()).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
