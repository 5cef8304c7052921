//! The store of `--store`.

use crate::arguments::ControllerArguments;
use crate::location;
use anyhow::Context as _;
use orrery_store::{Error, Etcd};
use std::time::Duration;

/// How long a call may take: shorter than a member that hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a controller waits for a store that starts at the same time, before it gives up.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between attempts.
const START_PAUSE: Duration = Duration::from_millis(500);

/// Connects to the store of the arguments; one that does not answer yet is waited for.
pub(crate) async fn connect(arguments: &ControllerArguments) -> anyhow::Result<Etcd> {
    let (endpoints, options) = location::etcd(&arguments.store, &arguments.etcd, CALL_TIMEOUT)?;
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match Etcd::connect(&endpoints, &options).await {
            Err(error @ Error::Unavailable { .. }) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(%error, "waiting for the store");
                tokio::time::sleep(START_PAUSE).await;
            }
            connected => return connected.context("the store cannot be used"),
        }
    }
}
