//! What a user wants to run: the app definition, normalised.
//!
//! Field names and defaults follow Marathon 1.11 (marathon.md 1.4); legacy input forms (`uris`,
//! `ports`, `container.docker.network` …) never reach this type: the `api` crate normalises them.

mod check;
mod constraint;
mod container;
mod id;
mod network;
mod placement;
mod strategy;

pub use check::{CommandLine, HealthCheck, HealthProtocol, IpProtocol, ReadinessCheck};
pub use constraint::{Constraint, Operator};
pub use container::{Container, ContainerKind, DockerOptions, Parameter, PersistentVolume, Volume, VolumeMode};
pub use id::{AppId, ID_MAX_BYTES, IdError};
pub use network::{Network, NetworkMode, PortDefinition, PortMapping, Protocol};
pub use placement::{Affinity, PLACEMENT_RULES_MAX, Packing, Placement, Preference, Selector, SpreadRule, WEIGHT_MAX};
pub use strategy::{Backoff, KillSelection, UnreachableStrategy, UpgradeStrategy};

use crate::{Scalar, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::collections::BTreeMap;

/// Label that promises at most one running instance, also during upgrades.
pub const SINGLE_INSTANCE_LABEL: &str = "MARATHON_SINGLE_INSTANCE_APP";

/// A value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// Plain text.
    Literal(String),
    /// A reference into [`App::secrets`].
    Secret {
        /// Name of the secret in the same app.
        secret: String,
    },
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Path in the secret store.
    pub source: String,
}

/// A file to fetch into the sandbox before the task starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Where from: http, https, file or an absolute path on the node.
    pub uri: String,
    /// Unpack archives (.tar, .tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz, .txz, .gz, .zip).
    #[serde(default = "yes")]
    pub extract: bool,
    /// Set the execute permission.
    #[serde(default)]
    pub executable: bool,
    /// Keep a copy on the node for the next task.
    #[serde(default)]
    pub cache: bool,
    /// Name below the sandbox; the last part of the URI when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dest_path: Option<String>,
}

pub(crate) const fn yes() -> bool {
    true
}

/// An upper bound above a request: a number or "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most this much.
    Amount(Scalar),
    /// No bound.
    Unlimited,
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Amount(amount) => amount.serialize(serializer),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    // By way of a JSON value: untagged enums cannot hold numbers of arbitrary precision.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == "unlimited" {
            return Ok(Self::Unlimited);
        }
        serde_json::from_value(value).map(Self::Amount).map_err(de::Error::custom)
    }
}

/// Upper bounds for bursting tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Limit>,
    /// MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem: Option<Limit>,
}

/// When an app last changed, by kind of change (marathon.md 1.11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Last change of `instances` (or of the configuration).
    pub last_scaling_at: Timestamp,
    /// Last change that replaces tasks.
    pub last_config_change_at: Timestamp,
}

/// An app definition: one version of what a user wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Path of the app.
    pub id: AppId,
    /// Shell command, run with `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    /// Arguments; the first is the executable when there is no image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// User to run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment, winning over what the platform injects.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// Copies wanted.
    #[serde(default = "one_instance")]
    pub instances: u32,
    /// CPUs, each a full core.
    #[serde(default = "one_cpu")]
    pub cpus: Scalar,
    /// Memory, MiB.
    #[serde(default = "default_mem")]
    pub mem: Scalar,
    /// Disk, MiB.
    #[serde(default)]
    pub disk: Scalar,
    /// Whole GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// Amounts of the resources that nodes offer by names of their own, such as `licences`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Scalar>,
    /// Upper bounds for bursting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    /// Executor path; empty = the command executor.
    #[serde(default)]
    pub executor: String,
    /// Where instances may run.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// Where they should rather run.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// Resource roles to take from; empty = `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_resource_roles: Vec<String>,
    /// Role charged for the resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Container settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Networks; never empty once normalised.
    #[serde(default = "Network::host_only")]
    pub networks: Vec<Network>,
    /// Ports of host-mode apps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_definitions: Vec<PortDefinition>,
    /// Host ports must equal the declared ports.
    #[serde(default)]
    pub require_ports: bool,
    /// Files to fetch.
    #[serde(default)]
    pub fetch: Vec<Artifact>,
    /// Liveness.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
    /// Informational Mesos check, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Value>,
    /// Readiness during deployments.
    #[serde(default)]
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Apps or groups that must be up first.
    #[serde(default)]
    pub dependencies: Vec<AppId>,
    /// How upgrades roll.
    #[serde(default)]
    pub upgrade_strategy: UpgradeStrategy,
    /// What to do about lost instances.
    #[serde(default)]
    pub unreachable_strategy: UnreachableStrategy,
    /// Whom to stop first when scaling down.
    #[serde(default)]
    pub kill_selection: KillSelection,
    /// First pause after a failed launch, seconds.
    #[serde(default = "first_pause")]
    pub backoff_seconds: Scalar,
    /// Growth of the pause per failure, at least 1.
    #[serde(default = "pause_factor")]
    pub backoff_factor: Scalar,
    /// Longest pause, seconds.
    #[serde(default = "longest_pause")]
    pub max_launch_delay_seconds: Scalar,
    /// Seconds from SIGTERM to SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_kill_grace_period_seconds: Option<u32>,
    /// Free-form metadata.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Secrets by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
    /// Present when the app has persistent volumes; kept for old clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residency: Option<Value>,
    /// Allocate a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// When this version was accepted.
    #[serde(default)]
    pub version: Timestamp,
    /// What changed when.
    #[serde(default)]
    pub version_info: VersionInfo,
    /// Fields this version does not know but must give back unchanged (packages emit some).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, Value>,
}

const fn one_instance() -> u32 {
    1
}
const fn one_cpu() -> Scalar {
    Scalar::ONE
}
fn first_pause() -> Scalar {
    Backoff::default().first_seconds
}
fn pause_factor() -> Scalar {
    Backoff::default().factor
}
fn longest_pause() -> Scalar {
    Backoff::default().longest_seconds
}
const fn default_mem() -> Scalar {
    Scalar::from_units(128)
}

/// One port an app asks for, whatever the network mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest<'a> {
    /// Name, if any.
    pub name: Option<&'a str>,
    /// Protocols served.
    pub protocol: Protocol,
    /// Host port: `None` = no host port, `Some(0)` = any free one.
    pub host_port: Option<u16>,
    /// Port inside the container; 0 = same as the host port. `None` in host mode.
    pub container_port: Option<u16>,
    /// Cluster-wide service port.
    pub service_port: u16,
    /// Labels such as `VIP_0`.
    pub labels: &'a BTreeMap<String, String>,
}

impl App {
    /// A minimal app with every default.
    pub fn new(id: AppId) -> Self {
        Self {
            id,
            cmd: None,
            args: Vec::new(),
            user: None,
            env: BTreeMap::new(),
            instances: 1,
            cpus: Scalar::ONE,
            mem: default_mem(),
            disk: Scalar::ZERO,
            gpus: 0,
            resources: BTreeMap::new(),
            resource_limits: None,
            executor: String::new(),
            constraints: Vec::new(),
            placement: Placement::default(),
            accepted_resource_roles: Vec::new(),
            role: None,
            container: None,
            networks: Network::host_only(),
            port_definitions: Vec::new(),
            require_ports: false,
            fetch: Vec::new(),
            health_checks: Vec::new(),
            check: None,
            readiness_checks: Vec::new(),
            dependencies: Vec::new(),
            upgrade_strategy: UpgradeStrategy::default(),
            unreachable_strategy: UnreachableStrategy::default(),
            kill_selection: KillSelection::default(),
            backoff_seconds: first_pause(),
            backoff_factor: pause_factor(),
            max_launch_delay_seconds: longest_pause(),
            task_kill_grace_period_seconds: None,
            labels: BTreeMap::new(),
            secrets: BTreeMap::new(),
            residency: None,
            tty: None,
            version: Timestamp::EPOCH,
            version_info: VersionInfo::default(),
            unknown: BTreeMap::new(),
        }
    }

    /// The pauses between failing launches.
    pub const fn backoff(&self) -> Backoff {
        Backoff {
            first_seconds: self.backoff_seconds,
            factor: self.backoff_factor,
            longest_seconds: self.max_launch_delay_seconds,
        }
    }

    /// Whether the app shares the node's network.
    pub fn is_host_networked(&self) -> bool {
        self.networks.iter().all(|network| network.mode == NetworkMode::Host)
    }

    /// Whether the app promises at most one instance.
    pub fn is_single_instance(&self) -> bool {
        self.labels.get(SINGLE_INSTANCE_LABEL).is_some_and(|value| value == "true")
    }

    /// Whether some rule of the app looks at where its own instances are.
    pub fn has_own_rules(&self) -> bool {
        let rules = self.placement.affinity.iter().chain(&self.placement.anti_affinity);
        !self.constraints.is_empty() || self.placement.counts_own() || rules.into_iter().any(|rule| rule.selector.selects(self))
    }

    /// Whether the app owns persistent volumes, so that instances are tied to their nodes.
    pub fn is_resident(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.volumes.iter().any(|volume| volume.persistent.is_some()))
    }

    /// The persistent volumes, with their paths in the container.
    pub fn persistent_volumes(&self) -> impl Iterator<Item = (&str, &PersistentVolume)> {
        let volumes = self.container.iter().flat_map(|container| &container.volumes);
        volumes.filter_map(|volume| Some((volume.container_path.as_str(), volume.persistent.as_ref()?)))
    }

    /// MiB of disk that a task takes of its node, persistent volumes included.
    pub fn disk_needed(&self) -> Scalar {
        self.persistent_volumes().fold(self.disk, |sum, (_, volume)| sum + volume.size)
    }

    /// Whether each instance must be known to have stopped before another takes its place: two holders
    /// of one volume or of one promise never live at once, so that nothing is replaced because its
    /// node is silent.
    pub fn is_exclusive(&self) -> bool {
        self.is_single_instance() || self.is_resident()
    }

    /// The ports the app asks for, in index order (`PORT0`, `PORT1` …).
    pub fn ports(&self) -> Vec<PortRequest<'_>> {
        if self.is_host_networked() {
            return self
                .port_definitions
                .iter()
                .map(|definition| PortRequest {
                    name: definition.name.as_deref(),
                    protocol: definition.protocol,
                    host_port: Some(if self.require_ports { definition.port } else { 0 }),
                    container_port: None,
                    service_port: definition.port,
                    labels: &definition.labels,
                })
                .collect();
        }
        let bridged = self.networks.iter().any(|network| network.mode == NetworkMode::Bridge);
        self.container
            .iter()
            .flat_map(|container| &container.port_mappings)
            .map(|mapping| PortRequest {
                name: mapping.name.as_deref(),
                protocol: mapping.protocol,
                host_port: mapping.host_port.or(bridged.then_some(0)),
                container_port: Some(mapping.container_port),
                service_port: mapping.service_port,
                labels: &mapping.labels,
            })
            .collect()
    }

    /// Whether going from `self` to `next` must replace running tasks (marathon.md 1.4: everything
    /// but `instances`, versions aside).
    pub fn replaces_tasks(&self, next: &Self) -> bool {
        let mut same = next.clone();
        same.instances = self.instances;
        same.version = self.version;
        same.version_info = self.version_info;
        same != *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_survives_the_store() {
        let mut app = App::new(AppId::parse("/a/b").unwrap());
        app.cmd = Some("sleep 1".into());
        app.constraints.push(Constraint { field: "hostname".into(), operator: Operator::Unique, value: None });
        app.container =
            Some(Container { volumes: vec![Volume::host("data", "/data", VolumeMode::ReadOnly)], ..Container::default() });
        app.unreachable_strategy = UnreachableStrategy::Disabled;
        let text = serde_json::to_string(&app).unwrap();
        assert_eq!(serde_json::from_str::<App>(&text).unwrap(), app);
    }

    #[test]
    fn only_instances_may_change_without_replacing() {
        let app = App::new(AppId::parse("/a").unwrap());
        let scaled = App { instances: 9, version: Timestamp::from_millis(5), ..app.clone() };
        let relabelled = App { labels: BTreeMap::from([("a".into(), "b".into())]), ..app.clone() };
        assert!(!app.replaces_tasks(&scaled));
        assert!(app.replaces_tasks(&relabelled));
    }
}
