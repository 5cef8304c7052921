//! All records, by name and by owner.

use super::{DIRECTORY_DOMAIN, MESOS_DOMAIN, Owner, Record, RecordData, RrSet};
use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use std::collections::BTreeSet;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// Fixed keys: the same zone walks in the same order everywhere.
type Map<K, V> = GenericHashMap<K, V, BuildHasherDefault<DefaultHasher>, DefaultSharedPtr>;

/// What there is at one name.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Records of the name; empty where only longer names have records.
    pub records: RrSet,
    /// Names one label longer that exist.
    children: u32,
}

impl Entry {
    /// An entry with these records and nothing below.
    pub(super) fn of(records: RrSet) -> Self {
        Self { records, children: 0 }
    }
}

/// The records of every owner. A clone is O(1) and shares everything; a change costs what changed.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    names: Map<Arc<str>, Arc<Entry>>,
    // Sorted, without duplicates.
    owners: Map<Owner, Arc<[Record]>>,
    revision: u64,
}

impl Zone {
    /// A zone without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the changes so far.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What there is at a lower-case name without final dot. `None` means that neither the name
    /// nor anything below it exists.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.shared(name).map(|entry| &**entry)
    }

    /// [`Zone::get`], to be kept: while the name has the same entry, nothing of it has changed.
    pub(super) fn shared(&self, name: &str) -> Option<&Arc<Entry>> {
        self.names.get(name)
    }

    /// Names that have records, with them, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &RrSet)> {
        self.names.iter().filter(|(_, entry)| !entry.records.is_empty()).map(|(name, entry)| (&**name, &entry.records))
    }

    /// Owners and their records, in no particular order.
    pub fn owners(&self) -> impl Iterator<Item = (&Owner, &[Record])> {
        self.owners.iter().map(|(owner, records)| (owner, &**records))
    }

    /// Records of one owner; empty when unknown.
    pub fn records_of(&self, owner: &Owner) -> &[Record] {
        self.owners.get(owner).map_or(&[], |records| records)
    }

    /// Number of distinct records over all names. Walks the zone.
    pub fn record_count(&self) -> usize {
        self.names.values().map(|entry| entry.records.len()).sum()
    }

    /// Makes `records` the records of `owner`. True when that changed anything.
    pub fn apply(&mut self, owner: Owner, records: Vec<Record>) -> bool {
        let wanted: BTreeSet<Record> = records.into_iter().collect();
        let held = self.owners.get(&owner).cloned();
        let held: &[Record] = held.as_deref().unwrap_or_default();
        if held.iter().eq(&wanted) {
            return false;
        }
        for record in held.iter().filter(|record| !wanted.contains(record)) {
            self.remove_record(record);
        }
        let mut interned = Vec::with_capacity(wanted.len());
        for mut record in wanted {
            if held.binary_search(&record).is_err() {
                self.insert_record(&record);
            }
            if let Some((name, _)) = self.names.get_key_value(&*record.name) {
                // One copy of a name, however many owners it has.
                record.name = name.clone();
            }
            interned.push(record);
        }
        if interned.is_empty() {
            self.owners.remove(&owner);
        } else {
            self.owners.insert(owner, interned.into());
        }
        self.revision += 1;
        true
    }

    /// Removes all records of `owner`. True when there were any.
    pub fn remove(&mut self, owner: &Owner) -> bool {
        let Some(held) = self.owners.remove(owner) else { return false };
        for record in held.iter() {
            self.remove_record(record);
        }
        self.revision += 1;
        true
    }

    fn insert_record(&mut self, record: &Record) {
        let mut data = record.data.clone();
        if let RecordData::Srv(service) = &mut data
            && let Some((target, _)) = self.names.get_key_value(&*service.target)
        {
            service.target = target.clone();
        }
        if let Some(entry) = self.names.get_mut(&*record.name) {
            Arc::make_mut(entry).records.insert(data);
            return;
        }
        let mut entry = Entry::default();
        entry.records.insert(data);
        self.names.insert(record.name.clone(), Arc::new(entry));
        self.add_child_of(&record.name);
    }

    /// Counts the new name `name` at its parents, which exist from now on.
    fn add_child_of(&mut self, name: &str) {
        let mut name = name;
        while let Some(parent) = parent(name) {
            if let Some(entry) = self.names.get_mut(parent) {
                Arc::make_mut(entry).children += 1;
                return;
            }
            self.names.insert(parent.into(), Arc::new(Entry { records: RrSet::default(), children: 1 }));
            name = parent;
        }
    }

    fn remove_record(&mut self, record: &Record) {
        let mut name: &str = &record.name;
        let Some(entry) = self.names.get_mut(name) else { return };
        let entry = Arc::make_mut(entry);
        entry.records.remove(&record.data);
        let mut is_gone = entry.records.is_empty() && entry.children == 0;
        while is_gone {
            self.names.remove(name);
            let Some(parent) = parent(name) else { return };
            let Some(entry) = self.names.get_mut(parent) else { return };
            let entry = Arc::make_mut(entry);
            entry.children -= 1;
            is_gone = entry.records.is_empty() && entry.children == 0;
            name = parent;
        }
    }
}

/// The name one label shorter, up to the tops of our zones, which need no entry to exist.
fn parent(name: &str) -> Option<&str> {
    let (_, parent) = name.split_once('.')?;
    (parent != MESOS_DOMAIN && parent != DIRECTORY_DOMAIN).then_some(parent)
}
