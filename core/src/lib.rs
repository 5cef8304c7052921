//! Everything the cluster believes and decides, without doing anything.
//!
//! No I/O, no async, no clock, no randomness: time and entropy are arguments. A decision is a
//! function `plan(desired, observed, now) -> Plan`; its effect lives in another crate.

pub mod app;
pub mod assignment;
pub mod cluster;
pub mod deployment;
pub mod dns;
pub mod fault;
mod hash;
pub mod health;
pub mod instance;
pub mod node;
pub mod package;
pub mod placement;
pub mod report;
pub mod role;
pub mod scalar;
mod shared_text;
pub mod task;
pub mod timestamp;
pub mod trust;

pub use app::{App, AppId};
pub use fault::Fault;
pub use instance::{Instance, InstanceId, TaskId};
pub use node::{Node, NodeId};
pub use scalar::Scalar;
pub use timestamp::Timestamp;
