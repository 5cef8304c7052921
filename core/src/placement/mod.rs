//! Which node runs what: exact, deterministic, with counted refusals.

#[cfg(test)]
mod constraint;
pub mod ledger;
mod load;
mod pattern;
#[cfg(test)]
mod place;
#[cfg(test)]
mod place_test;
mod refusal;
pub mod victims;

pub use ledger::{Cost, Ledger, NODE_TASKS_MAX, Promise, SEATS_MAX, Strategy};
pub(crate) use ledger::{HOST_PORTS, TASK_PLACES};
pub use load::NodeLoad;

pub use pattern::{REGEX_MAX_BYTES, is_pattern};
pub use refusal::{Reason, Refusals};
#[cfg(test)]
pub(crate) use {
    constraint::Seated,
    place::{Candidate, place},
};
