//! Drives the built binaries from outside, as a user would.

mod agent;
pub mod app;
mod binaries;
mod cluster;
mod cosmos;
mod dcos;
pub mod dns;
mod engine;
mod eventually;
mod optional;
mod web;

pub use agent::TestAgent;
pub use binaries::{dcos_binary, orrery_binary};
pub use cluster::TestCluster;
pub use cosmos::media_types;
pub use dcos::Output;
pub use engine::{Engine, IMAGE};
pub use eventually::{PATIENCE, eventually};
pub use optional::{ShareFile, shared};
pub use web::{Page, WebServer};
