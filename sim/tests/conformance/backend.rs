//! The model as a backend of the store's suite.

use orrery_sim::store::Cell;
use orrery_store::Store;
use std::sync::Arc;
use std::time::Duration;

/// What the suite asks of a backend.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    /// How many random histories to try.
    pub(crate) histories: u32,
}

pub(crate) fn model() -> Backend {
    Backend { store: Arc::new(Cell::start()), histories: 200 }
}

/// Ends a test that hangs; far above what anything here takes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), future).await.expect("it happens before the test is given up")
}
