//! The truth: every revision as a whole key space. Too simple to be wrong.

use imbl::OrdMap;
use orrery_store::{Compare, Entry, Error, Event, LeaseId, LeaseTime, Operation, Result, Revision, Transaction};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// The key space at one revision.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// All keys.
    pub entries: OrdMap<String, Entry>,
    /// What this revision changed.
    pub events: Vec<Event>,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends: Instant,
    keys: BTreeSet<String>,
}

/// All revisions that are still kept, and the leases.
#[derive(Debug)]
pub(super) struct History {
    /// `states[0]` is the key space at `first`.
    states: VecDeque<State>,
    first: Revision,
    compacted: Revision,
    leases: BTreeMap<LeaseId, Lease>,
    last_lease: i64,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            states: VecDeque::from([State::default()]),
            first: Revision(1),
            compacted: Revision::NONE,
            leases: BTreeMap::new(),
            last_lease: 0x1000,
        }
    }

    pub(super) fn latest(&self) -> Revision {
        Revision(self.first.0 + self.states.len() as u64 - 1)
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The key space at a revision.
    pub(super) fn at(&self, revision: Revision) -> Result<&State> {
        if revision > self.latest() {
            return Err(Error::FutureRevision { requested: revision, current: self.latest() });
        }
        if revision < self.compacted {
            return Err(Error::Compacted { revision: self.compacted });
        }
        let place = revision.0.checked_sub(self.first.0).and_then(|place| self.states.get(place as usize));
        place.ok_or(Error::Compacted { revision: self.compacted.max(self.first) })
    }

    pub(super) fn now(&self) -> &State {
        // There is always one: compaction keeps the latest.
        &self.states[self.states.len() - 1]
    }

    pub(super) fn transact(&mut self, transaction: &Transaction) -> Result<Revision> {
        transaction.validate()?;
        let (latest, now) = (self.latest(), self.now());
        for compare in &transaction.compares {
            let holds = match compare {
                Compare::ModRevision { key, revision } => {
                    now.entries.get(key).map_or(Revision::NONE, |entry| entry.mod_revision) == *revision
                }
                Compare::Value { key, value } => now.entries.get(key).is_some_and(|entry| entry.value == *value),
            };
            if !holds {
                return Err(Error::Conflict { key: compare.key().to_owned() });
            }
        }
        for operation in &transaction.operations {
            if let Operation::Put { lease: Some(lease), .. } = operation
                && !self.leases.contains_key(lease)
            {
                return Err(Error::LeaseNotFound { lease: *lease });
            }
        }
        let mut next = State { entries: now.entries.clone(), events: Vec::new() };
        let revision = latest.next();
        for operation in &transaction.operations {
            match operation {
                Operation::Put { key, value, lease } => {
                    let before = next.entries.get(key);
                    let entry = Entry {
                        key: key.clone(),
                        value: value.clone(),
                        create_revision: before.map_or(revision, |entry| entry.create_revision),
                        mod_revision: revision,
                        version: before.map_or(0, |entry| entry.version) + 1,
                    };
                    next.events.push(Event::Put(entry.clone()));
                    next.entries.insert(key.clone(), entry);
                    self.unbind(key);
                    if let Some(lease) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
                        lease.keys.insert(key.clone());
                    }
                }
                Operation::Delete { key } => self.delete(&mut next, revision, key),
                Operation::DeletePrefix { prefix } => {
                    let keys: Vec<String> = under(&next, prefix).map(|entry| entry.key.clone()).collect();
                    for key in keys {
                        self.delete(&mut next, revision, &key);
                    }
                }
            }
        }
        if next.events.is_empty() {
            return Ok(latest);
        }
        self.states.push_back(next);
        Ok(revision)
    }

    fn delete(&mut self, next: &mut State, revision: Revision, key: &str) {
        if next.entries.remove(key).is_some() {
            next.events.push(Event::Delete { key: key.to_owned(), revision });
            self.unbind(key);
        }
    }

    fn unbind(&mut self, key: &str) {
        for lease in self.leases.values_mut() {
            lease.keys.remove(key);
        }
    }

    pub(super) fn compact(&mut self, revision: Revision) -> Result<()> {
        if revision > self.latest() {
            return Err(Error::FutureRevision { requested: revision, current: self.latest() });
        }
        self.compacted = self.compacted.max(revision);
        while self.first < self.compacted {
            self.states.pop_front();
            self.first = self.first.next();
        }
        Ok(())
    }

    pub(super) fn grant(&mut self, ttl: Duration, now: Instant) -> LeaseId {
        self.last_lease += 1;
        let lease = LeaseId(self.last_lease);
        self.leases.insert(lease, Lease { ttl, ends: now + ttl, keys: BTreeSet::new() });
        lease
    }

    pub(super) fn keep_alive(&mut self, lease: LeaseId, now: Instant) -> Result<()> {
        let held = self.leases.get_mut(&lease).ok_or(Error::LeaseNotFound { lease })?;
        held.ends = now + held.ttl;
        Ok(())
    }

    pub(super) fn remaining(&self, lease: LeaseId, now: Instant) -> Result<LeaseTime> {
        let held = self.leases.get(&lease).ok_or(Error::LeaseNotFound { lease })?;
        Ok(LeaseTime::new(held.ends.saturating_duration_since(now), held.ttl))
    }

    /// Gives every lease its whole time again, as a new leader of etcd does.
    pub(super) fn extend_leases(&mut self, now: Instant) {
        for lease in self.leases.values_mut() {
            lease.ends = now + lease.ttl;
        }
    }

    pub(super) fn revoke(&mut self, lease: LeaseId) -> Result<()> {
        let ended = self.leases.remove(&lease).ok_or(Error::LeaseNotFound { lease })?;
        let gone = ended.keys.into_iter().fold(Transaction::new(), Transaction::delete);
        self.transact(&gone).map(drop)
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.ends).min()
    }

    /// Ends the leases whose time is over; returns them.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<LeaseId> {
        let over: Vec<LeaseId> = self.leases.iter().filter(|(_, lease)| lease.ends <= now).map(|(id, _)| *id).collect();
        over.into_iter().filter(|lease| self.revoke(*lease).is_ok()).collect()
    }
}

/// The entries whose keys begin with `prefix`, in order.
pub(super) fn under<'a>(state: &'a State, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
    state.entries.range(prefix.to_owned()..).map(|(_, entry)| entry).take_while(move |entry| entry.key.starts_with(prefix))
}
