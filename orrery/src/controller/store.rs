//! The store of `--store`.

use crate::arguments::ControllerArguments;
use crate::location;
use anyhow::Context as _;
use orrery_store::Etcd;
use std::time::Duration;

/// How long a call may take: shorter than a member that hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to the store of the arguments.
pub(crate) async fn connect(arguments: &ControllerArguments) -> anyhow::Result<Etcd> {
    let (endpoints, options) = location::etcd(&arguments.store, &arguments.etcd, CALL_TIMEOUT)?;
    Etcd::connect(&endpoints, &options).await.context("the store cannot be used")
}
