//! What is remembered of an app until one of its instances changes.

use super::domain::Domain;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// What is known of an app's names, found out when first asked for. The next change of an instance
/// of the app puts another slot in its place, so that a slot also stands for that state of the app:
/// the same slot, the same records.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Whether any task of it has names.
    pub(super) is_named: OnceLock<bool>,
    pub(super) services: OnceLock<Services>,
}

/// Which service names an app has: form of the app, kind, label of the port or nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Services(BTreeSet<(usize, Kind, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tcp,
    Udp,
    /// Every host port has both protocols there.
    Slave,
}

impl Kind {
    fn of(domain: Domain, protocol: &str) -> Self {
        match (domain, protocol) {
            (Domain::Slave, _) => Self::Slave,
            (_, "tcp") => Self::Tcp,
            _ => Self::Udp,
        }
    }
}

impl Services {
    /// Notes that there is a service with this label of a port, or without one.
    pub(super) fn insert(&mut self, form: usize, domain: Domain, protocol: &str, port: &str) {
        self.0.insert((form, Kind::of(domain, protocol), port.to_owned()));
    }

    /// Whether there is a service with this label of a port, or without one.
    pub(super) fn contains(&self, form: usize, domain: Domain, protocol: &str, port: &str) -> bool {
        self.0.contains(&(form, Kind::of(domain, protocol), port.to_owned()))
    }
}
