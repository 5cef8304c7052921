//! The wire over real sockets.

mod common;
mod links;
mod trust;
mod tunnels;
