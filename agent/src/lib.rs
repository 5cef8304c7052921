//! Makes one machine match its assignment: starts, watches, checks and stops tasks.
//!
//! Tasks outlive the agent. What is needed to take them up again lies in files; their output goes
//! to files without passing through the agent; their ends are recorded by their own small init.

mod agent;
mod cgroup;
mod checkpoint;
mod collect;
mod config;
mod docker;
mod error;
mod fetch;
mod gpu;
mod health;
mod hidden;
mod http;
mod identity;
mod lifecycle;
mod mount_table;
mod process;
mod resources;
mod spawner;
mod state;
mod volume;

pub use agent::{Agent, Link};
pub use config::{AgentConfig, Limits};
pub use error::Error;
pub use identity::{NODE_ID_FILE, become_node, node_of};
pub use resources::detect_resources;
pub use spawner::spawner_main;
