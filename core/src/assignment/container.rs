//! One container of an assignment.

use crate::Scalar;
use crate::app::{Artifact, HealthCheck, NetworkMode, Parameter, Protocol, ReadinessCheck, Volume};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who runs the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// A process group on the node, isolated by namespaces and cgroups.
    Process,
    /// Docker Engine.
    Docker,
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandSpec {
    /// With `/bin/sh -c`.
    Shell(String),
    /// Directly; with an image, arguments of its entry point.
    Arguments(Vec<String>),
}

/// The image of a Docker container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Reference.
    pub name: String,
    /// Pull even when present.
    pub force_pull: bool,
    /// Full device access.
    pub privileged: bool,
    /// `docker run` parameters.
    pub parameters: Vec<Parameter>,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// Name, if any.
    pub name: Option<String>,
    /// Transport.
    pub protocol: Protocol,
    /// Port on the node; `None` = not published.
    pub host_port: Option<u16>,
    /// Port inside the container's network (equals the host port in host mode).
    pub container_port: u16,
}

/// A health check with its port resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthTarget {
    /// The check as the user wrote it.
    pub check: HealthCheck,
    /// Port to probe on the node's address, if published.
    pub host_port: Option<u16>,
    /// Port to probe inside the task's network.
    pub container_port: Option<u16>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name within the instance; `_app` for apps.
    pub name: String,
    /// Who runs it.
    pub executor: ExecutorKind,
    /// What to execute; `None` = the image's own command.
    pub command: Option<CommandSpec>,
    /// Image, for Docker.
    pub image: Option<ImageSpec>,
    /// User to run as; the agent's default when absent.
    pub user: Option<String>,
    /// CPUs requested (shares and, where set, quota).
    pub cpus: Scalar,
    /// Upper bound of CPUs; `None` = the request is only a share.
    pub cpus_limit: Option<Scalar>,
    /// Memory limit, MiB; `None` = unlimited.
    pub mem_limit: Option<Scalar>,
    /// Disk, MiB (informational).
    pub disk: Scalar,
    /// Whole GPUs.
    pub gpus: u32,
    /// Environment, complete but for `MESOS_SANDBOX` and the executor's own variables.
    pub env: BTreeMap<String, String>,
    /// Files to fetch.
    pub fetch: Vec<Artifact>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Network attachment.
    pub network: NetworkMode,
    /// Name of the container network.
    pub network_name: Option<String>,
    /// Ports.
    pub ports: Vec<PortBinding>,
    /// Liveness.
    pub health_checks: Vec<HealthTarget>,
    /// Readiness, each with the port to ask.
    pub readiness_checks: Vec<(ReadinessCheck, u16)>,
    /// Labels of the app.
    pub labels: BTreeMap<String, String>,
    /// Allocate a terminal.
    pub tty: bool,
}
