//! Where the controllers are.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// URLs of all controllers, as agents are told them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ControllerUrls(Arc<ArcSwap<Vec<String>>>);

impl ControllerUrls {
    /// The known ones.
    pub fn new(urls: Vec<String>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(urls)))
    }

    /// Replaces them.
    pub fn set(&self, urls: Vec<String>) {
        self.0.store(Arc::new(urls));
    }

    /// All of them.
    pub fn get(&self) -> Arc<Vec<String>> {
        self.0.load_full()
    }
}
