//! The whole control plane on virtual time: the controllers' own code against models of the store,
//! the network and the agents. A seed replays exactly (`docs/adr/0004-many-machines.md`).

pub mod chance;
pub mod judge;
pub mod machine;
pub mod network;
pub mod planted;
pub mod process;
pub mod store;
mod sweep;
pub mod trace;
pub mod world;

pub use sweep::sweep;
pub use world::{Plan, Verdict, simulate};
