//! From a launch of an app to the assignment its agent runs.

use super::{
    Assignment, CommandSpec, ContainerSpec, DEFAULT_KILL_GRACE_MS, ExecutorKind, HealthTarget, ImageSpec, Launched, PortBinding,
    task_environment,
};
use crate::app::{Container, EnvValue, HealthProtocol, Limit, NetworkMode, ReadinessCheck};
use crate::{App, InstanceId, Scalar, TaskId};

/// Name of the only container of an app.
const APP_CONTAINER_NAME: &str = "_app";

/// First port tried for a container port that is neither given nor published.
const PRIVATE_PORT_FIRST: u16 = 20_001;

/// Everything the agent on the node `hostname` needs to run one launch of `app`.
///
/// # Errors
/// One sentence for people when the app asks for something that no agent can give (a secret, a
/// process without a command). But for host ports that are missing, it depends on the app alone.
pub fn resolve(app: &App, launched: &Launched, hostname: &str) -> Result<Assignment, String> {
    let container = app.container.as_ref();
    refuse_secrets(app)?;
    let ports = bind_ports(app, &launched.host_ports)?;
    let image = image_of(container);
    let executor = if image.is_some() { ExecutorKind::Docker } else { ExecutorKind::Process };
    let command = command_of(app);
    if command.is_none() && image.is_none() {
        return Err(format!("{} has neither a command nor an image; set cmd, args or container.docker.image", app.id));
    }
    let health_checks = app.health_checks.iter().map(|check| target_of(check, &ports)).collect();
    let readiness_checks = app.readiness_checks.iter().map(|check| readiness_of(app, check, &ports)).collect::<Result<_, _>>()?;
    let instance = InstanceId::new(&app.id, launched.uuid);
    let task = TaskId::new(&instance, launched.incarnation);
    let network = app.networks.first();
    let limits = app.resource_limits.as_ref();
    let container = ContainerSpec {
        name: APP_CONTAINER_NAME.to_owned(),
        executor,
        command,
        image,
        user: app.user.clone(),
        cpus: app.cpus,
        cpus_limit: match limits.and_then(|limits| limits.cpus) {
            Some(Limit::Amount(amount)) => Some(amount),
            Some(Limit::Unlimited) | None => None,
        },
        mem_limit: match limits.and_then(|limits| limits.mem) {
            Some(Limit::Amount(amount)) => Some(amount),
            Some(Limit::Unlimited) => None,
            None => Some(app.mem).filter(|mem| *mem > Scalar::ZERO),
        },
        disk: app.disk,
        gpus: app.gpus,
        env: task_environment(app, &task, hostname, &ports),
        fetch: app.fetch.clone(),
        volumes: container.map(|container| container.volumes.clone()).unwrap_or_default(),
        network: network.map_or(NetworkMode::Host, |network| network.mode),
        network_name: network.and_then(|network| network.name.clone()),
        ports,
        health_checks,
        readiness_checks,
        labels: app.labels.clone(),
        tty: app.tty.unwrap_or(false),
    };
    Ok(Assignment {
        instance,
        incarnation: launched.incarnation,
        run_spec: app.id.clone(),
        version: app.version,
        containers: vec![container],
        kill_grace_ms: app.task_kill_grace_period_seconds.map_or(DEFAULT_KILL_GRACE_MS, |seconds| seconds.saturating_mul(1000)),
    })
}

/// A task must not start without a value it was promised.
fn refuse_secrets(app: &App) -> Result<(), String> {
    let variable = app.env.iter().find_map(|(name, value)| match value {
        EnvValue::Secret { secret } => Some((format!("environment variable {name}"), secret)),
        EnvValue::Literal(_) => None,
    });
    let volume = app
        .container
        .iter()
        .flat_map(|container| &container.volumes)
        .find_map(|volume| volume.secret.as_ref().map(|secret| (format!("volume {}", volume.container_path), secret)));
    match variable.or(volume) {
        Some((user, secret)) => Err(format!("{user} of {} needs the secret \"{secret}\", and there is no secret store", app.id)),
        None => Ok(()),
    }
}

/// Any image is run by the container engine, whatever the container's type.
fn image_of(container: Option<&Container>) -> Option<ImageSpec> {
    let docker = container?.docker.as_ref().filter(|docker| !docker.image.is_empty())?;
    Some(ImageSpec {
        name: docker.image.clone(),
        force_pull: docker.force_pull_image,
        privileged: docker.privileged,
        parameters: docker.parameters.clone(),
    })
}

fn command_of(app: &App) -> Option<CommandSpec> {
    match &app.cmd {
        Some(cmd) => Some(CommandSpec::Shell(cmd.clone())),
        None if app.args.is_empty() => None,
        None => Some(CommandSpec::Arguments(app.args.clone())),
    }
}

fn bind_ports(app: &App, host_ports: &[u16]) -> Result<Vec<PortBinding>, String> {
    let requests = app.ports();
    let declared: Vec<u16> = requests.iter().filter_map(|request| request.container_port).collect();
    let mut private = (PRIVATE_PORT_FIRST..=u16::MAX).filter(|port| !declared.contains(port));
    requests
        .iter()
        .enumerate()
        .map(|(index, request)| {
            let host_port = if request.host_port.is_some() {
                let port = host_ports.get(index).copied().filter(|port| *port != 0);
                Some(port.ok_or_else(|| format!("port {index} of {} has no host port", app.id))?)
            } else {
                None
            };
            let container_port = match (request.container_port, host_port) {
                (Some(port), _) if port != 0 => port,
                (_, Some(port)) => port,
                _ => private.next().ok_or_else(|| format!("{} has too many ports", app.id))?,
            };
            Ok(PortBinding { name: request.name.map(str::to_owned), protocol: request.protocol, host_port, container_port })
        })
        .collect()
}

fn target_of(check: &crate::app::HealthCheck, ports: &[PortBinding]) -> HealthTarget {
    let (host_port, container_port) = match (check.protocol, check.port) {
        (HealthProtocol::Command, _) => (None, None),
        (_, Some(port)) => (Some(port), Some(port)),
        (_, None) => match ports.get(check.port_index.unwrap_or(0) as usize) {
            Some(port) => (port.host_port, Some(port.container_port)),
            None => (None, None),
        },
    };
    HealthTarget { check: check.clone(), host_port, container_port }
}

fn readiness_of(app: &App, check: &ReadinessCheck, ports: &[PortBinding]) -> Result<(ReadinessCheck, u16), String> {
    let port = ports.iter().find(|port| port.name.as_deref() == Some(&check.port_name));
    let port = port.ok_or_else(|| {
        format!("readiness check \"{}\" of {} asks port \"{}\", which the app does not have", check.name, app.id, check.port_name)
    })?;
    Ok((check.clone(), port.host_port.unwrap_or(port.container_port)))
}

#[cfg(test)]
#[path = "resolve_test.rs"]
mod tests;
