//! Wire formats of Marathon, Cosmos, Mesos and their neighbours, and their translation to and from
//! the nouns of `orrery-core`. Functions from values to values: no I/O, no clock, no randomness.
//! Every oddity of an old interface lives here, in one named place, and nowhere else.

pub mod cosmos;
#[cfg(test)]
mod fixture;
mod json;
pub mod logs;
pub mod marathon;
pub mod mesos;
pub mod metadata;

pub use json::without_nulls;
