//! The wire between nodes and controllers: identities, certificates, join tokens, frames and the
//! connections that carry them (`docs/adr/0004-many-machines.md`).
//!
//! An agent opens one TCP connection to any controller ([`client::Dialer`]), with TLS 1.3 and its
//! certificate, and on it a link ([`client::Connection::open_link`]), whose two ends are pairs of
//! bounded channels, and a tunnel ([`client::Connection::open_tunnel`]), in which the agent answers
//! requests. A controller's port ([`server::serve`]) takes these and everything else.

pub mod address;
pub mod authority;
pub mod client;
pub mod credentials;
pub mod fingerprint;
pub mod frame;
mod handshakes;
pub mod identity;
pub mod join;
pub mod protocol;
pub mod server;
pub mod stream;
pub mod tls;
pub mod token;
pub mod tunnel;
