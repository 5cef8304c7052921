//! The controller: one leader that decides, and the HTTP door that any client knocks on.
//!
//! A request for change becomes an edit of a [`Draft`](orrery_core::cluster::Draft); the leader
//! collects what has arrived, settles the draft, stores its writes in one go, publishes the new
//! snapshot and only then answers and sends orders. Readers never wait for any of this: they hold
//! the last published snapshot.

pub mod apply;
mod arrivals;
mod audience;
pub mod backup;
pub mod catalog;
mod clock;
mod controller;
pub mod door;
mod election;
mod events;
pub mod explain;
mod handle;
mod http_peers;
mod leader;
mod links;
mod liveness;
mod members;
mod mirror;
mod names;
mod outage;
pub mod packages;
mod peers;
mod replica;
mod retry;
mod seeds;
mod shared;
mod succession;
pub mod surroundings;
pub mod trust;

pub use clock::Clock;
pub use controller::{ControllerOptions, LeaderOptions, StartError, start, start_controller};
pub use election::{ControllerRecord, LEASE_TTL, LeaderRecord};
pub use events::{EventLog, Stamped};
pub use handle::{ControlError, Handle};
pub use http_peers::{Dial, HttpPeers, PeerIo};
pub use links::AgentLink;
pub use liveness::Signs;
pub use orrery_link::protocol::Versions;
pub use outage::Outage;
pub use peers::Peers;
pub use replica::{Frame, FrameError, FrameReader, ReplicaStream};
pub use seeds::Seeds;
pub use shared::Role;
