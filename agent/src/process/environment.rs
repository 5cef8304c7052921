//! The environment of a process task.

use crate::spawner::DEFAULT_PATH;
use orrery_core::assignment::ContainerSpec;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

/// The container's own variables over those of the executor. Nothing of the agent's environment
/// reaches a task.
pub(super) fn environment(spec: &ContainerSpec, sandbox: &Path, container: &str, address: IpAddr) -> Vec<(String, String)> {
    let sandbox = sandbox.to_string_lossy().into_owned();
    let mut variables: BTreeMap<&str, String> = BTreeMap::from([
        ("PATH", DEFAULT_PATH.to_owned()),
        ("HOME", sandbox.clone()),
        ("PWD", sandbox.clone()),
        ("MESOS_SANDBOX", sandbox.clone()),
        ("MESOS_DIRECTORY", sandbox),
        ("MESOS_CONTAINER_NAME", format!("mesos-{container}")),
        ("MESOS_CONTAINER_IP", address.to_string()),
    ]);
    variables.extend(spec.env.iter().map(|(name, value)| (name.as_str(), value.clone())));
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
