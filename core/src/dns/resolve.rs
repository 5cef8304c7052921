//! What a name stands for, found out from the published instances.

use super::app_index::Indexed;
use super::canonical::{Relation, canonical_name};
use super::cluster_zone::ClusterZone;
use super::domain::Domain;
use super::forms::{UNDERSCORED_BYTES, reversed, underscore};
use super::question::{CanonicalName, Question, ServiceName};
use super::slot::Slot;
use super::{Entry, RecordData, Service, is_name};
use crate::AppId;
use std::sync::Arc;

/// Whether a name exists is worth remembering when more apps than this were looked at.
const LOOKED_AT_FEW: usize = 8;

/// What a name stands for, and on what that rests.
#[derive(Debug)]
pub struct Resolution {
    /// As [`super::Zone::get`] has it.
    pub entry: Option<Arc<Entry>>,
    /// On what the entry rests; `None` when it is found as fast again as it could be remembered.
    pub basis: Option<Basis>,
}

/// On what an entry rests, so that it can be kept while that lasts.
#[derive(Debug)]
pub struct Basis(Ground);

#[derive(Debug)]
enum Ground {
    /// On the whole cluster of one revision.
    Moment(u64),
    /// On these apps as they were, on no other having the name, and on a fixed entry.
    Apps { index_revision: u64, apps: Vec<(AppId, Arc<Slot>)>, fixed: Option<Arc<Entry>> },
}

/// What a name is to an app that may have it.
#[derive(Debug, Clone, Copy)]
enum Role<'n> {
    /// The name of the app.
    App,
    /// The name of one of its tasks.
    Task(CanonicalName<'n>),
    /// The name of one of its services, perhaps with the label of a port.
    Service(Option<&'n str>),
}

impl ClusterZone {
    /// What there is at a lower-case name without final dot. `None` means that neither the name nor
    /// anything below it exists.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.resolve(name).entry
    }

    /// Whether tasks may have records at, or below, the name. Says so from the name alone.
    pub fn is_derived(name: &str) -> bool {
        Question::read(name).is_some()
    }

    /// [`ClusterZone::get`] with what the entry rests on. Costs the instances of the apps that have
    /// the name, not of others.
    pub fn resolve(&self, name: &str) -> Resolution {
        let fixed = self.fixed.shared(name);
        let Some(question) = Question::read(name).filter(|_| is_name(name)) else {
            return Resolution { entry: fixed.cloned(), basis: None };
        };
        let candidates = self.candidates(question);
        let mut records = Vec::new();
        for (indexed, role) in &candidates {
            self.collect(question, *indexed, *role, &mut records);
        }
        let is_walked = self.collect_cut(question, &mut records);
        if !records.is_empty() {
            records.extend(fixed.iter().flat_map(|fixed| fixed.records.iter().cloned()));
            let ground = if is_walked {
                Ground::Moment(self.revision)
            } else {
                let apps = candidates.iter().filter_map(|(indexed, _)| self.slots.get_key_value(indexed.app));
                let apps = apps.map(|(app, slot)| (app.clone(), Arc::clone(slot))).collect();
                Ground::Apps { index_revision: self.index_revision, apps, fixed: fixed.cloned() }
            };
            let entry = Arc::new(Entry::of(records.into_iter().collect()));
            return Resolution { entry: Some(entry), basis: Some(Basis(ground)) };
        }
        if fixed.is_some() {
            return Resolution { entry: fixed.cloned(), basis: None };
        }
        let mut looked_at = 0;
        let is_there = self.below(question).inspect(|_| looked_at += 1).any(|is_there| is_there) || self.is_above_task(question);
        let basis = (looked_at > LOOKED_AT_FEW).then_some(Basis(Ground::Moment(self.revision)));
        Resolution { entry: is_there.then(Arc::default), basis }
    }

    /// Whether an entry that rests on `basis` is still what `name` stands for.
    pub fn holds(&self, name: &str, basis: &Basis) -> bool {
        let (index_revision, apps, fixed) = match &basis.0 {
            Ground::Moment(revision) => return *revision == self.revision,
            Ground::Apps { index_revision, apps, fixed } => (*index_revision, apps, fixed),
        };
        let is_same_fixed = match (self.fixed.shared(name), fixed) {
            (None, None) => true,
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            _ => false,
        };
        let is_unchanged = |(app, slot): &(AppId, Arc<Slot>)| self.slots.get(app).is_some_and(|now| Arc::ptr_eq(now, slot));
        let has_same_apps = || {
            let Some(question) = Question::read(name) else { return false };
            let now = self.candidates(question);
            let may_be_cut = canonical_of(question).is_some_and(|(_, _, canonical)| self.may_be_cut(canonical));
            !may_be_cut && now.iter().map(|(indexed, _)| indexed.app).eq(apps.iter().map(|(app, _)| app))
        };
        is_same_fixed && apps.iter().all(is_unchanged) && (index_revision == self.index_revision || has_same_apps())
    }

    /// The apps that may have the name, but for those that [`ClusterZone::collect_cut`] finds.
    fn candidates<'n>(&self, question: Question<'n>) -> Vec<(Indexed<'_>, Role<'n>)> {
        match question {
            Question::Above => Vec::new(),
            Question::Host { domain: Domain::Mesos | Domain::Slave, name } => {
                let mut found: Vec<_> = self.index.at(&reversed(name)).map(|indexed| (indexed, Role::App)).collect();
                if let Some(canonical) = CanonicalName::read(name) {
                    found.extend(self.index.at(&canonical.key()).map(|indexed| (indexed, Role::Task(canonical))));
                }
                found
            }
            // Under the mangled label only.
            Question::Host { name, .. } if name.contains('.') => Vec::new(),
            Question::Host { name, .. } => self.index.at(name).map(|indexed| (indexed, Role::App)).collect(),
            Question::Service { name, .. } => {
                let Some(service) = ServiceName::read(name) else { return Vec::new() };
                let (key, role) = (service.key(), Role::Service(service.port));
                let mut found: Vec<_> = self.index.at(&key).map(|indexed| (indexed, role)).collect();
                if service.first_label().len() == UNDERSCORED_BYTES {
                    let longer = self.index.beginning(key.clone());
                    let longer =
                        longer.filter(|indexed| indexed.key != key && underscore(&indexed.form()) == service.underscored);
                    found.extend(longer.map(|indexed| (indexed, role)));
                }
                found
            }
        }
    }

    /// Adds the records that the tasks of one app have at the name.
    fn collect(&self, question: Question<'_>, indexed: Indexed<'_>, role: Role<'_>, records: &mut Vec<RecordData>) {
        match (question, role) {
            (Question::Host { domain, .. }, Role::App) if self.is_named(indexed.app) => {
                for (_, exposure) in self.exposures(indexed.app) {
                    records.extend(exposure.addresses(domain).iter().map(|ip| RecordData::from(*ip)));
                }
            }
            (Question::Host { domain, .. }, Role::Task(canonical)) => {
                for exposure in self.tasks_of(indexed.app, canonical) {
                    records.extend(exposure.addresses(domain).iter().map(|ip| RecordData::from(*ip)));
                }
            }
            // An empty label would be that of a port without a name.
            (Question::Service { domain, protocol, .. }, Role::Service(port))
                if port != Some("")
                    && self.has_service(indexed.app, indexed.number(), domain, protocol, port.unwrap_or_default()) =>
            {
                self.collect_services(domain, protocol, port, indexed, records);
            }
            _ => {}
        }
    }

    fn collect_services(
        &self,
        domain: Domain,
        protocol: &str,
        port: Option<&str>,
        indexed: Indexed<'_>,
        records: &mut Vec<RecordData>,
    ) {
        let form = indexed.form();
        for (instance, exposure) in self.exposures(indexed.app) {
            let ports: Vec<u16> = if domain == Domain::Slave {
                exposure.host_ports().collect()
            } else {
                let ports = exposure.discovered().filter(|found| found.protocols.contains(&protocol));
                ports.filter(|found| port.is_none_or(|port| found.label() == port)).map(|found| found.number).collect()
            };
            if ports.is_empty() {
                continue;
            }
            let Some(target) = canonical_name(instance, &form, domain) else { continue };
            records.extend(ports.iter().map(|port| RecordData::Srv(Service { target: Arc::clone(&target), port: *port })));
        }
    }

    /// Adds the records of tasks whose canonical name is cut from a longer form. True when it looked.
    fn collect_cut(&self, question: Question<'_>, records: &mut Vec<RecordData>) -> bool {
        let canonical = canonical_of(question).filter(|(_, _, canonical)| self.may_be_cut(*canonical));
        let Some((domain, name, canonical)) = canonical else { return false };
        for (_, exposure) in self.walk(domain, name, canonical).filter(|(relation, _)| *relation == Relation::Same) {
            records.extend(exposure.addresses(domain).iter().map(|ip| RecordData::from(*ip)));
        }
        true
    }

    /// Whether the canonical name of a task is below the name: `shop-abcde-s1` is above that of
    /// `web.shop`.
    fn is_above_task(&self, question: Question<'_>) -> bool {
        canonical_of(question).is_some_and(|(domain, name, canonical)| {
            (self.may_be_above(canonical) || self.may_be_cut(canonical))
                && self.walk(domain, name, canonical).any(|(relation, _)| relation == Relation::Below)
        })
    }
}

/// The question read as one for a task.
fn canonical_of(question: Question<'_>) -> Option<(Domain, &str, CanonicalName<'_>)> {
    match question {
        Question::Host { domain: domain @ (Domain::Mesos | Domain::Slave), name } => {
            Some((domain, name, CanonicalName::read(name)?))
        }
        _ => None,
    }
}
