//! The controller: one leader that decides, and the HTTP door that any client knocks on.
//!
//! A request for change becomes an edit of a [`Draft`](orrery_core::cluster::Draft); the leader
//! collects what has arrived, settles the draft, stores its writes in one go, publishes the new
//! snapshot and only then answers and sends orders. Readers never wait for any of this: they hold
//! the last published snapshot.

pub mod apply;
pub mod catalog;
mod clock;
pub mod door;
mod events;
pub mod explain;
mod handle;
mod leader;
mod links;
mod names;
pub mod packages;
mod seeds;
pub mod surroundings;
pub mod trust;

pub use clock::Clock;
pub use events::{EventLog, Stamped};
pub use handle::{ControlError, Handle};
pub use leader::{LeaderOptions, StartError, start};
pub use links::AgentLink;
pub use seeds::Seeds;
