//! Names of running tasks, nodes and masters (platform.md 3.1 and 3.2).
//!
//! [`records_of_task`], [`node_records`] and [`master_records`] say which records something has.
//! A [`ClusterZone`] answers for a whole cluster: masters and nodes are in a [`Zone`], which holds
//! the records of its owners and changes by what changed; names of tasks are derived from the
//! published instances when somebody asks. Serving them is the `net` crate's work.

mod app_index;
mod canonical;
mod cluster;
mod cluster_zone;
mod domain;
mod existence;
mod exposure;
mod forms;
mod label;
mod question;
mod record;
mod resolve;
mod rrset;
mod slot;
mod task;
mod zone;

#[cfg(test)]
mod cluster_zone_test;
#[cfg(test)]
mod cluster_zone_world;
#[cfg(test)]
mod task_test;
#[cfg(test)]
mod zone_test;

pub use cluster::{cluster_records, master_records, node_records};
pub use cluster_zone::ClusterZone;
pub use label::{LABEL_MAX_BYTES, NAME_MAX_BYTES, framework_fragment, is_name, mangle, task_hash};
pub use record::{Owner, Record, RecordData, RecordKind, Service};
pub use resolve::{Basis, Resolution};
pub use rrset::{Rotated, RrSet};
pub use task::records_of_task;
pub use zone::{Entry, Zone};

/// The zone of Mesos-DNS.
pub const MESOS_DOMAIN: &str = "mesos";
/// The zone of the platform's own names.
pub const DIRECTORY_DOMAIN: &str = "thisdcos.directory";
/// Where names of tasks and masters live within [`DIRECTORY_DOMAIN`].
pub const CLUSTER_DOMAIN: &str = "dcos.thisdcos.directory";
/// Framework that runs apps.
pub const MARATHON: &str = "marathon";
