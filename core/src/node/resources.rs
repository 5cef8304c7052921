//! Amounts of resources.

use super::{Bundle, PortRanges};
use crate::Scalar;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node offers in total.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs, each a full core.
    pub cpus: Scalar,
    /// MiB of memory.
    pub mem: Scalar,
    /// MiB of disk.
    pub disk: Scalar,
    /// Whole GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// Host ports.
    #[serde(default)]
    pub ports: PortRanges,
    /// Amounts of resources with names of the operator's own, such as `licences`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, Scalar>,
    /// What of it is for one role only, by role (Mesos: static reservations).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, Bundle>,
}
