//! The way from the controller to the servers: one writer at a time, readers never wait.

use arc_swap::ArcSwap;
use orrery_core::dns::{Owner, Record, Zone};
use std::sync::{Arc, Mutex, PoisonError};

/// A shared zone. Clones are handles to the same zone.
#[derive(Debug, Clone, Default)]
pub struct ZoneHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    writing: Mutex<()>,
    current: ArcSwap<Zone>,
}

impl ZoneHandle {
    /// A handle to a new, empty zone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `records` the records of `owner`, visible to the next query. True when that changed
    /// anything.
    pub fn apply(&self, owner: Owner, records: Vec<Record>) -> bool {
        self.update(|zone| zone.apply(owner, records))
    }

    /// Removes all records of `owner`. True when there were any.
    pub fn remove(&self, owner: &Owner) -> bool {
        self.update(|zone| zone.remove(owner))
    }

    /// Makes several changes that become visible together.
    pub fn update<T>(&self, change: impl FnOnce(&mut Zone) -> T) -> T {
        // A poisoned lock is harmless: a change that panicked was never published.
        let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.current.load();
        let mut zone = Zone::clone(&before);
        let result = change(&mut zone);
        if zone.revision() != before.revision() {
            self.0.current.store(Arc::new(zone));
        }
        result
    }

    /// The zone as it is now.
    pub fn snapshot(&self) -> Arc<Zone> {
        self.0.current.load_full()
    }

    /// The zone as it is now, for a short look.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Zone>> {
        self.0.current.load()
    }
}
