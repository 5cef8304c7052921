//! Where the unpredictable numbers come from.

use orrery_core::cluster::Entropy;
use std::sync::{Arc, Mutex, PoisonError};

/// A source of seeds: each step of the leader draws one. Clones share their source.
#[derive(Debug, Clone, Default)]
pub struct Seeds(Option<Arc<Mutex<Entropy>>>);

impl Seeds {
    /// Seeds nobody can predict, from the operating system.
    pub const fn random() -> Self {
        Self(None)
    }

    /// The same seeds on every run.
    pub fn repeating(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(Entropy::new(seed)))))
    }

    /// The next seed.
    pub fn next_seed(&self) -> u64 {
        match &self.0 {
            Some(source) => source.lock().unwrap_or_else(PoisonError::into_inner).next_number(),
            None => uuid::Uuid::new_v4().as_u64_pair().0,
        }
    }

    /// The next id.
    pub fn next_id(&self) -> String {
        Entropy::new(self.next_seed()).next_uuid().to_string()
    }
}
