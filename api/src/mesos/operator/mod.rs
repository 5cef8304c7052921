//! The operator interface version 1, `POST /api/v1` (platform.md 2.5): a call in JSON or protobuf,
//! an answer in either.
//!
//! Answers are built as JSON; [`to_protobuf`] turns that same value into protobuf by a table of the
//! fields and their numbers, so that the two forms cannot drift apart.

mod answer;
mod call;
#[cfg(test)]
mod operator_test;
mod reservation;
mod schema;
mod views;
mod wire;

pub use answer::{Media, answer, to_protobuf};
pub use call::{Call, CallError, CallType, decode};
pub use reservation::{RESOURCES_MAX, read_node, read_reservations, read_resize, read_volume, read_volumes};
