//! A revisioned key space with two backends: [`Embedded`] (redb, one process)
//! and [`Etcd`] (clusters). Decisions live here, never observations; every
//! write is a [`Transaction`] that compares what it was decided on, and a watch
//! is a hint that can always be replaced by a list.

mod dump;
mod embedded;
mod entry;
mod error;
mod etcd;
mod prefix;
mod retention;
mod revision;
mod store;
mod transaction;
mod watch;

pub use dump::dump;
pub use embedded::{Embedded, EmbeddedOptions};
pub use entry::{Entry, KeyRange, Range};
pub use error::{Error, Result};
pub use etcd::{Etcd, EtcdOptions, EtcdTls};
pub use retention::Retention;
pub use revision::{Key, LeaseId, LeaseTime, Revision};
pub use store::{LEASE_TTL, MAX_RANGE_BYTES, MAX_RANGE_ENTRIES, Store, list, list_keys};
pub use transaction::{Compare, MAX_KEY_BYTES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, Operation, Transaction};
pub use watch::{Event, WatchEvents, WatchStream};
