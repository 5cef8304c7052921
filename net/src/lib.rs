//! Names of the cluster over DNS and over Mesos-DNS' HTTP interface.
//!
//! The controller publishes each state of the cluster to a [`ZoneHandle`]; [`serve`] answers from the
//! latest one, so that a change is visible to the next packet. What a name of tasks stands for is
//! found out when it is asked for, and kept until it changes. Nothing polls. Names outside our zones
//! go to the upstream servers.

mod answer;
mod cache;
mod forward;
pub mod mesos_dns;
mod query;
mod reply;
mod resolv_conf;
mod server;
mod snapshot;
mod tcp;
mod udp;
mod zone_handle;

#[cfg(test)]
mod answer_test;
#[cfg(test)]
mod cache_test;
#[cfg(test)]
mod cluster_sample;
#[cfg(test)]
mod mesos_dns_test;

pub use answer::{NEGATIVE_TTL_SECONDS, TTL_SECONDS, Transport, Verdict, respond};
pub use server::{Counts, DnsConfig, ServeError, ServerHandle, serve};
pub use snapshot::Snapshot;
pub use zone_handle::ZoneHandle;
