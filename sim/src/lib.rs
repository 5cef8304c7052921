//! The whole control plane on virtual time: the controllers' own code against models of the store,
//! the network and the agents. A seed replays exactly (`docs/adr/0004-many-machines.md`).
