//! The wire between nodes and controllers: identities, certificates, join tokens, frames and the
//! connections that carry them (`docs/adr/0004-many-machines.md`).
