//! End to end: the real binaries, real processes, real sockets.

mod apps;
mod bad_input;
mod commands;
mod lifecycle;
mod packages;
mod renderings;
mod repositories;
