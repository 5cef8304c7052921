//! The control plane at scale: simulated agents in this process, a real etcd with fsync, no
//! processes started.

mod agents;
mod controllers;
mod law;
pub(super) mod plant;
mod run;

pub(crate) use law::run as law;
pub(crate) use run::{large, small};
