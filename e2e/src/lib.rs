//! Drives the built binaries from outside, as a user would.

mod binaries;
mod cluster;
mod dcos;
mod eventually;

pub use binaries::{dcos_binary, orrery_binary};
pub use cluster::TestCluster;
pub use dcos::Output;
pub use eventually::{PATIENCE, eventually};
