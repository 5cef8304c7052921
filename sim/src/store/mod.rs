//! The model of the store: a linear history of key spaces, and clients that reach it through a
//! network with etcd's known faults.

mod cell;
mod client;
mod history;
mod watch;

pub use cell::{Cell, Observer};
pub use client::{Client, Weather};
pub use history::State;
