//! App definitions: reading Marathon's JSON of any age, and writing it as Marathon 1.11 does.

mod check;
mod complete;
mod container;
mod diff;
mod fields;
mod network;
mod pattern;
mod placement;
mod read;
mod schema;
mod validate;
mod write;

pub use diff::{Change, REDACTED, diff};
pub use network::DEFAULT_NETWORK_NAME;
pub use read::{ReadContext, patch_app, read_app, rollback_version};
pub use schema::{APP_SCHEMA, UnknownField, unknown_fields};
pub use validate::{CONSTRAINTS_MAX, INSTANCES_MAX, URI_MAX_CHARS, validate_app};
pub use write::write_app;

#[cfg(test)]
mod corpus_test;
#[cfg(test)]
mod property_test;
#[cfg(test)]
mod read_test;
