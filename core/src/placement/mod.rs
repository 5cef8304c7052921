//! Which node runs what: exact, deterministic, with counted refusals.

mod constraint;
mod load;
mod place;
#[cfg(test)]
mod place_test;
mod refusal;

pub use load::NodeLoad;
pub use place::{Candidate, NODE_TASKS_MAX, place};
pub use refusal::{Reason, Refusals};
