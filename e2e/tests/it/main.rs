//! End to end: the real binaries, real processes, real sockets.

mod agents;
mod apps;
mod artifacts;
mod backup;
mod bad_input;
mod clients;
mod commands;
mod controller_directory;
mod docker;
mod door;
mod foresight;
mod health;
mod lifecycle;
mod nodes;
mod packages;
mod placement;
mod renderings;
mod repositories;
mod rolling;
mod sandbox;
mod secure_store;
mod sharing;
mod specs;
mod volumes;
