//! The process executor: tasks as isolated process groups of this node.

mod client;
mod environment;
mod identity;
mod launch;
mod nameless;
mod watch;

pub(crate) use client::Spawner;
pub(crate) use identity::{chown_tree, lookup};
pub(crate) use launch::{Executor, FAREWELL, Found, ProcessRun};
pub(crate) use nameless::wait_for;
pub(crate) use watch::register;
