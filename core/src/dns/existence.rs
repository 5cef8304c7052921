//! Which names exist because something longer does.

use super::cluster_zone::ClusterZone;
use super::domain::Domain;
use super::forms::{Forms, node_tail, reversed, underscore, with_suffix};
use super::is_name;
use super::label::HASH_CHARS;
use super::question::Question;
use super::slot::Services;
use crate::instance::Condition;
use crate::{AppId, Instance};
use std::sync::Arc;

impl ClusterZone {
    /// Whether any task of an app has names.
    pub(super) fn is_named(&self, app: &AppId) -> bool {
        let find_out = || self.exposures(app).next().is_some();
        self.slots.get(app).is_some_and(|slot| *slot.is_named.get_or_init(find_out))
    }

    /// Whether an app has a service with this label of a port, or without one.
    pub(super) fn has_service(&self, app: &AppId, form: usize, domain: Domain, protocol: &str, port: &str) -> bool {
        let services = self.slots.get(app).map(|slot| slot.services.get_or_init(|| self.services(app)));
        services.is_some_and(|services| services.contains(form, domain, protocol, port))
    }

    /// For each app that may have something below the name, whether it has; canonical names apart.
    pub(super) fn below<'a>(&'a self, question: Question<'a>) -> Box<dyn Iterator<Item = bool> + 'a> {
        match question {
            Question::Above => Box::new(self.slots.keys().map(|app| self.is_named(app))),
            Question::Host { domain: domain @ (Domain::Mesos | Domain::Slave), name } => {
                let fits = move |form: String| is_name(&format!("{form}.{}", domain.of_marathon()));
                let longer = self.index.below(&reversed(name));
                Box::new(longer.map(move |indexed| fits(indexed.form()) && self.is_named(indexed.app)))
            }
            Question::Service { domain, protocol, name } if !name.starts_with('_') => {
                let longer = self.index.below(&reversed(name));
                Box::new(longer.map(move |indexed| self.has_service(indexed.app, indexed.number(), domain, protocol, "")))
            }
            Question::Host { .. } | Question::Service { .. } => Box::new(std::iter::empty()),
        }
    }

    /// Costs the instances of the app, and something more for each that is not like the one before.
    fn services(&self, app: &AppId) -> Services {
        let mut services = Services::default();
        let forms = Forms::of(app);
        let mut before: Option<&Instance> = None;
        for instance in self.instances.of(app) {
            if instance.condition != Condition::Running || before.is_some_and(|before| has_same_services(before, instance)) {
                continue;
            }
            let Some(exposure) = self.exposure(instance) else { continue };
            before = Some(instance);
            let tail = instance.node().map(node_tail).unwrap_or_default();
            let suffix = format!("-{}-{tail}", "h".repeat(HASH_CHARS));
            for (number, form) in forms.iter().enumerate() {
                let (unique, underscored) = (with_suffix(form, &suffix), underscore(form));
                let fits = |name: &str, domain: Domain| is_name(&format!("{name}.{}", domain.of_marathon()));
                let mut insert = |domain: Domain, protocol: &str, port: &str| {
                    if fits(&unique, domain) && fits(&format!("{underscored}._{protocol}"), domain) {
                        services.insert(number, domain, protocol, port);
                    }
                };
                if exposure.host_ports().next().is_some() {
                    insert(Domain::Slave, "tcp", "");
                }
                for port in exposure.discovered() {
                    for protocol in port.protocols {
                        insert(Domain::Mesos, protocol, "");
                        insert(Domain::Mesos, protocol, &port.label());
                    }
                }
            }
        }
        services
    }
}

/// Whether two instances of an app surely have the same service names: the same definition, the same
/// ports with host ports, and tails of nodes that take the same room.
fn has_same_services(one: &Instance, other: &Instance) -> bool {
    let (Some(seat), Some(other_seat)) = (&one.seat, &other.seat) else { return false };
    let has_port = |ports: &[u16]| ports.iter().map(|port| *port != 0).collect::<Vec<bool>>();
    let tail_bytes = |node: &str| node.len() - node.rfind('-').map_or(0, |at| at + 1);
    Arc::ptr_eq(&one.app, &other.app)
        && tail_bytes(seat.node.as_str()) == tail_bytes(other_seat.node.as_str())
        && (seat.host_ports == other_seat.host_ports || has_port(&seat.host_ports) == has_port(&other_seat.host_ports))
}
