//! The benches.

mod agent_memory;
mod catalog;
mod dns_propagation;
mod dns_qps;
mod exit_to_replaced;
mod idle;
mod placement;
mod scale;
mod spawn_rate;
mod spec_to_running;
mod store;

use crate::peer::Peers;
use crate::report::Report;

pub(crate) use dns_qps::serve_dns;

/// Measures and reports.
type Bench = fn(&mut Report, &mut Peers) -> anyhow::Result<()>;

/// All benches: name, what it measures, how.
pub(crate) const ALL: &[(&str, &str, Bench)] = &[
    ("catalog", "loading a repository, search, describe, render; peer: Python", catalog::run),
    ("placement", "engine only: seats found per second", placement::run),
    ("store", "durable commits; peer: etcd", store::run),
    ("dns-qps", "queries per second of one worker; peer: Knot", dns_qps::run),
    ("dns-propagation", "task runs → its name is answered", dns_propagation::run),
    ("spec-to-running-1", "app posted → its process runs; peer: Docker Swarm", spec_to_running::one),
    ("spec-to-running-100", "100 instances; peer: Docker Swarm", spec_to_running::hundred),
    ("exit-to-replaced", "process killed → replacement runs; peer: Docker Swarm", exit_to_replaced::run),
    ("spawn-rate", "processes started per second, alone and beside 1,000 running tasks", spawn_rate::run),
    ("agent-memory", "memory of an agent with 0 to 1,000 tasks, of its spawner and of their inits", agent_memory::run),
    ("scale-law", "how the work of each operation grows from 1,000 to 16,000 agents", scale::law),
    ("scale-1k", "the control plane with 1,000 simulated agents, 100,000 tasks, etcd", scale::small),
    ("scale-10k", "… 10,000 agents, 1,000,000 tasks", scale::large),
    ("idle", "writes, CPU and memory of a cluster that has nothing to do", idle::run),
];
