//! From a container of an assignment to what the engine is asked to create.

use super::parameter;
use crate::cgroup::PidLimits;
use crate::checkpoint::Record;
use crate::gpu;
use crate::volume::Resolved;
use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig};
use orrery_core::app::NetworkMode;
use orrery_core::assignment::{CommandSpec, ContainerSpec};
use std::collections::HashMap;
use std::path::Path;

/// Where the sandbox is inside containers (Mesos).
pub(super) const SANDBOX: &str = "/mnt/mesos/sandbox";
/// Label that old tools look for.
pub(super) const TASK_LABEL: &str = "MESOS_TASK_ID";
/// Label with the node's id: whose containers these are.
pub(super) const NODE_LABEL: &str = "orrery.node";
/// Longest log the engine keeps beside ours, per file.
const ENGINE_LOG_SIZE: &str = "16m";
/// Period of CPU quotas, microseconds.
const PERIOD_US: i64 = 100_000;

/// Name of the container of a run (Mesos).
pub(super) fn name(run: &str) -> String {
    format!("mesos-{run}")
}

/// The reference to pull and run: without a tag it means the latest.
pub(super) fn reference(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

/// Builds the request. `init` says that the engine has a small init for containers.
pub(super) fn body(
    record: &Record,
    spec: &ContainerSpec,
    volumes: &[Resolved],
    node: &str,
    init: bool,
) -> Result<ContainerCreateBody, String> {
    let image = spec.image.as_ref().ok_or("the task has no image")?;
    let task = record.task();
    let mut body =
        ContainerCreateBody { image: Some(reference(&image.name)), tty: Some(spec.tty), ..ContainerCreateBody::default() };
    let own = [("MESOS_SANDBOX", SANDBOX.to_owned()), ("MESOS_CONTAINER_NAME", name(&record.run.container))];
    let own = own.iter().filter(|(name, _)| !spec.env.contains_key(*name)).map(|(name, value)| format!("{name}={value}"));
    body.env = Some(own.chain(spec.env.iter().map(|(name, value)| format!("{name}={value}"))).collect());
    body.labels = Some(HashMap::from([(TASK_LABEL.to_owned(), task.to_string()), (NODE_LABEL.to_owned(), node.to_owned())]));
    let mut host = HostConfig {
        cpu_shares: Some((spec.cpus.thousandths().saturating_mul(1024) / 1000).max(2)),
        cpu_period: spec.cpus_limit.map(|_| PERIOD_US),
        cpu_quota: spec.cpus_limit.map(|limit| (limit.thousandths().saturating_mul(PERIOD_US) / 1000).max(1000)),
        memory: spec.mem_limit.map(|limit| limit.thousandths().saturating_mul(1 << 20) / 1000),
        pids_limit: Some(i64::from(PidLimits::detect().task)),
        privileged: Some(image.privileged),
        init: init.then_some(true),
        network_mode: Some(match spec.network {
            NetworkMode::Host => "host".into(),
            NetworkMode::Bridge => "bridge".into(),
            NetworkMode::Container => {
                spec.network_name.clone().ok_or("a task on a container network needs the name of the network")?
            }
        }),
        ..HostConfig::default()
    };
    host.device_requests = device_requests(spec.gpus, !gpu::nodes(Path::new(gpu::DEV)).is_empty());
    if !image.privileged {
        host.security_opt = Some(vec!["no-new-privileges:true".into()]);
    }
    host.binds = Some(binds(&record.run.sandbox, volumes));
    if spec.network != NetworkMode::Host {
        for port in &spec.ports {
            for protocol in port.protocol.names() {
                if let Some(outside) = port.host_port {
                    parameter::bind(&mut body, &mut host, port.container_port, protocol, Some(outside), "0.0.0.0");
                }
            }
        }
    }
    parameter::apply(&image.parameters, &mut body, &mut host)?;
    match &spec.command {
        // As Mesos did: a shell command runs in a shell, whatever the image's entry point.
        Some(CommandSpec::Shell(text)) if body.entrypoint.is_none() => {
            body.entrypoint = Some(vec!["/bin/sh".into()]);
            body.cmd = Some(vec!["-c".into(), text.clone()]);
        }
        Some(CommandSpec::Shell(text)) => body.cmd = Some(vec!["/bin/sh".into(), "-c".into(), text.clone()]),
        Some(CommandSpec::Arguments(arguments)) => body.cmd = Some(arguments.clone()),
        None => {}
    }
    if host.log_config.is_none() {
        let options =
            HashMap::from([("max-size".to_owned(), ENGINE_LOG_SIZE.to_owned()), ("max-file".to_owned(), "2".to_owned())]);
        host.log_config = Some(HostConfigLogConfig { typ: Some("json-file".into()), config: Some(options) });
    }
    body.host_config = Some(host);
    Ok(body)
}

/// What `docker run --gpus all` asks for. Which GPUs are a task's own nobody decides, as for processes: by a number
/// every container would get the first ones. Where there are none the task runs without.
fn device_requests(wanted: u32, has_some: bool) -> Option<Vec<DeviceRequest>> {
    let all = DeviceRequest { count: Some(-1), capabilities: Some(vec![vec!["gpu".into()]]), ..DeviceRequest::default() };
    (wanted > 0 && has_some).then(|| vec![all])
}

fn binds(sandbox: &Path, volumes: &[Resolved]) -> Vec<String> {
    let own = format!("{}:{SANDBOX}", sandbox.display());
    let others = volumes.iter().map(|volume| {
        let target = Path::new(SANDBOX).join(&volume.target);
        format!("{}:{}:{}", volume.source.display(), target.display(), if volume.read_only { "ro" } else { "rw" })
    });
    std::iter::once(own).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_asked_for_where_there_are_some() {
        for (wanted, has_some, counts) in [(0, true, None), (1, false, None), (2, true, Some(vec![Some(-1)]))] {
            let requests = device_requests(wanted, has_some);
            let found = requests.map(|requests| requests.iter().map(|request| request.count).collect::<Vec<_>>());
            assert_eq!(found, counts, "{wanted} {has_some}");
        }
    }

    #[test]
    fn references() {
        for (image, expected) in [
            ("redis", "redis:latest"),
            ("redis:7", "redis:7"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(reference(image), expected);
        }
    }
}
