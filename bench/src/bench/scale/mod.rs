//! The control plane at scale: simulated agents in this process, a real etcd with fsync, no
//! processes started.

mod agents;
mod memory;
mod run;

pub(crate) use run::{large, small};
