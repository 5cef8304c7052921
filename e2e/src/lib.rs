//! Drives the built binaries from outside, as a user would.

mod agent;
pub mod app;
mod binaries;
mod cluster;
mod cosmos;
mod dcos;
pub mod dns;
mod engine;
mod etcd;
mod eventually;
mod hosts;
mod lab;
mod live;
mod load;
mod optional;
mod process;
mod proxy;
mod web;

pub use agent::TestAgent;
pub use binaries::{dcos_binary, orrery_binary};
pub use cluster::TestCluster;
pub use cosmos::media_types;
pub use dcos::Output;
pub use engine::{Engine, IMAGE};
pub use etcd::{EtcdCluster, MEMBERS};
pub use eventually::{PATIENCE, eventually};
pub use hosts::{Cut, Host, Network};
pub use lab::{Lab, LabOptions, Machine};
pub use live::live_tasks;
pub use load::{Load, LoadReport};
pub use optional::{ShareFile, shared};
pub use process::Process;
pub use proxy::Proxy;
pub use web::{Page, WebServer};
