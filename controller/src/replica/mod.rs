//! What the leader publishes, step by step, for the controllers that follow it.

mod follow;
mod frame;
mod hub;

pub(crate) use follow::follow;
pub use frame::{Frame, FrameError, FrameReader, ReplicaStream};
pub(crate) use hub::{Hub, Published, Subscribe, serve};
