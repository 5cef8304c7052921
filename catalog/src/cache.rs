//! Keeps what is compiled from a package, for a bounded number of packages.

use crate::compiled::Compiled;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Most package versions whose compiled template and schema are kept, in one process. The
/// oldest goes first; it is compiled again when next used. Enough for every version of the
/// public Universe, at some 120 kB each.
pub const COMPILED_PACKAGES_MAX: usize = 1536;

type Slot = Mutex<Option<Arc<Compiled>>>;

/// Where a package keeps what was compiled from it.
#[derive(Debug, Default)]
pub(crate) struct CompiledSlot(Arc<Slot>);

/// The slots that are filled, in the order they were.
static FILLED: Mutex<VecDeque<Weak<Slot>>> = Mutex::new(VecDeque::new());

impl CompiledSlot {
    /// What is kept, or else what `compile` gives, which is then kept.
    pub(crate) fn get(&self, compile: impl FnOnce() -> Compiled) -> Arc<Compiled> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = &*slot {
            return Arc::clone(compiled);
        }
        let compiled = Arc::new(compile());
        *slot = Some(Arc::clone(&compiled));
        // Never hold two slots: the evicted one may be in use by another thread.
        drop(slot);
        let evicted = {
            let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
            filled.push_back(Arc::downgrade(&self.0));
            if filled.len() > COMPILED_PACKAGES_MAX { filled.pop_front() } else { None }
        };
        if let Some(evicted) = evicted.and_then(|slot| slot.upgrade()) {
            *evicted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        compiled
    }
}
