//! Container settings of an app (marathon.md 1.6).

use super::PortMapping;
use crate::Scalar;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which runtime isolates the task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerKind {
    /// Our process executor; an image, if given, is run by the container engine.
    #[default]
    Mesos,
    /// Docker Engine.
    Docker,
}

/// A parameter handed to the container engine, as `docker run --key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a plain pair")]
pub struct Parameter {
    pub key: String,
    pub value: String,
}

/// Image and engine options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerOptions {
    /// Image reference.
    pub image: String,
    /// Pull even if the image is on the node.
    #[serde(default)]
    pub force_pull_image: bool,
    /// Full access to the node's devices.
    #[serde(default)]
    pub privileged: bool,
    /// Extra engine parameters.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// `{secret}` holding registry credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_config: Option<Value>,
}

/// Access mode of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeMode {
    /// May be written.
    #[default]
    #[serde(rename = "RW")]
    ReadWrite,
    /// May only be read.
    #[serde(rename = "RO")]
    ReadOnly,
}

/// A volume that outlives its task on its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolume {
    /// `root`, `path` or `mount`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// MiB.
    pub size: Scalar,
    /// MiB, for `mount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Scalar>,
    /// Storage profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Constraints on the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Vec<String>>,
}

/// A volume: exactly one of host path, persistent, external or secret; none = ephemeral.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Path inside the task; relative paths lie in the sandbox.
    pub container_path: String,
    /// Path on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<VolumeMode>,
    /// Persistent volume on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<PersistentVolume>,
    /// External volume, passed to its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Value>,
    /// Name of a secret mounted as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Volume {
    /// A host volume.
    pub fn host(container_path: impl Into<String>, host_path: impl Into<String>, mode: VolumeMode) -> Self {
        Self { container_path: container_path.into(), host_path: Some(host_path.into()), mode: Some(mode), ..Self::default() }
    }
}

/// Container settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Runtime.
    #[serde(rename = "type", default)]
    pub kind: ContainerKind,
    /// Image and engine options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerOptions>,
    /// Volumes.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Ports of bridge and container networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
    /// seccomp and IPC settings, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<Value>,
}
