//! Entries that were derived and may be asked for again.

use arc_swap::ArcSwap;
use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use orrery_core::dns::{Basis, ClusterZone, Entry};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What both halves keep at most, in records of some 100 bytes; more only if a single entry is larger
/// than a half.
const RECORDS_MAX: usize = 1 << 19;
/// What an entry takes besides its records, in records.
const ENTRY_RECORDS: usize = 4;
/// Names that may be derived at the same time.
const STRIPES: usize = 32;

type Map = GenericHashMap<Arc<str>, Arc<Kept>, BuildHasherDefault<DefaultHasher>, DefaultSharedPtr>;

/// Entries by name. Who finds a valid one waits for nobody; who does not, derives it, and waits only
/// for others who derive the same name (or, rarely, one of the same stripe).
///
/// Two halves: what is asked for goes into the young one; when that is full it becomes the old one,
/// and what nobody has asked for in the meantime goes with the old one before.
#[derive(Debug)]
pub(crate) struct Cache {
    records_max: usize,
    halves: ArcSwap<Halves>,
    writing: Mutex<()>,
    stripes: [Stripe; STRIPES],
}

/// Alone on its cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(Mutex<()>);

#[derive(Debug, Clone, Default)]
struct Halves {
    young: Map,
    old: Map,
    /// What the young half takes.
    records: usize,
}

/// What was found out about a name.
#[derive(Debug)]
struct Kept {
    entry: Option<Arc<Entry>>,
    basis: Basis,
    /// The last revision of the zone in which it was found to hold.
    checked: AtomicU64,
}

impl Kept {
    fn records(&self) -> usize {
        ENTRY_RECORDS + self.entry.as_ref().map_or(0, |entry| entry.records.len())
    }

    fn holds(&self, name: &str, zone: &ClusterZone) -> bool {
        if self.checked.load(Ordering::Relaxed) == zone.revision() {
            return true;
        }
        let holds = zone.holds(name, &self.basis);
        if holds {
            self.checked.store(zone.revision(), Ordering::Relaxed);
        }
        holds
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::with_limit(RECORDS_MAX)
    }
}

impl Cache {
    /// An empty cache of this many records.
    pub(crate) fn with_limit(records_max: usize) -> Self {
        Self { records_max, halves: ArcSwap::default(), writing: Mutex::default(), stripes: Default::default() }
    }

    /// What it keeps, in records.
    #[cfg(test)]
    pub(crate) fn records(&self) -> usize {
        let halves = self.halves.load();
        halves.young.values().chain(halves.old.values()).map(|kept| kept.records()).sum()
    }

    /// [`ClusterZone::get`], from what is kept where that still holds.
    pub(crate) fn get(&self, zone: &ClusterZone, name: &str) -> Option<Arc<Entry>> {
        if let Some(kept) = self.halves.load().young.get(name).filter(|kept| kept.holds(name, zone)) {
            return kept.entry.clone();
        }
        if !ClusterZone::is_derived(name) {
            return zone.get(name);
        }
        let _deriving = lock(self.stripe(name));
        let halves = self.halves.load_full();
        // Somebody else may have derived it while this one waited.
        if let Some(kept) = halves.young.get(name).filter(|kept| kept.holds(name, zone)) {
            return kept.entry.clone();
        }
        let kept = if let Some(kept) = halves.old.get(name).filter(|kept| kept.holds(name, zone)) {
            Arc::clone(kept)
        } else {
            let found = zone.resolve(name);
            let Some(basis) = found.basis else { return found.entry };
            Arc::new(Kept { entry: found.entry, basis, checked: AtomicU64::new(zone.revision()) })
        };
        let entry = kept.entry.clone();
        self.keep(name, kept);
        entry
    }

    fn keep(&self, name: &str, kept: Arc<Kept>) {
        let _writing = lock(&self.writing);
        let mut halves = Halves::clone(&self.halves.load());
        if let Some(before) = halves.young.remove(name) {
            halves.records -= before.records();
        }
        if halves.records + kept.records() > self.records_max / 2 {
            halves = Halves { old: halves.young, ..Halves::default() };
        }
        halves.records += kept.records();
        halves.young.insert(name.into(), kept);
        self.halves.store(Arc::new(halves));
    }

    fn stripe(&self, name: &str) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        &self.stripes[hash as usize % STRIPES].0
    }
}

/// A poisoned lock is harmless: it guards no value.
fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
