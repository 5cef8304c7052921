//! Names of the cluster over DNS and over Mesos-DNS' HTTP interface.
//!
//! The controller tells a [`ZoneHandle`] what changed; [`serve`] answers from the latest snapshot,
//! so that a change is visible to the next packet. Nothing polls. Names outside our zones go to
//! the upstream servers.

mod answer;
mod forward;
pub mod mesos_dns;
mod query;
mod reply;
mod resolv_conf;
mod server;
mod tcp;
mod udp;
mod zone_handle;

#[cfg(test)]
mod answer_test;
#[cfg(test)]
mod mesos_dns_test;

pub use answer::{NEGATIVE_TTL_SECONDS, TTL_SECONDS, Transport, Verdict, respond};
pub use server::{Counts, DnsConfig, ServeError, ServerHandle, serve};
pub use zone_handle::ZoneHandle;
