//! Names of running tasks, nodes and masters (platform.md 3.1 and 3.2).
//!
//! [`records_of_task`], [`node_records`] and [`master_records`] say which records something has;
//! a [`Zone`] holds the records of all owners and changes by what changed. Serving them is the
//! `net` crate's work.

mod cluster;
mod label;
mod record;
mod rrset;
mod task;
mod zone;

#[cfg(test)]
mod task_test;
#[cfg(test)]
mod zone_test;

pub use cluster::{cluster_records, master_records, node_records};
pub use label::{LABEL_MAX_BYTES, NAME_MAX_BYTES, framework_fragment, is_name, mangle, task_hash};
pub use record::{Owner, Record, RecordData, RecordKind, Service};
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
