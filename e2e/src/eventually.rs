//! Waiting for something that must come true.

use std::time::{Duration, Instant};

/// How long anything may take on a slow machine before a test gives up. Not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `probe` until it gives a value; fails with its last reason after [`PATIENCE`].
///
/// # Panics
/// When the time is over.
pub async fn eventually<T, F: AsyncFnMut() -> Result<T, String>>(what: &str, mut probe: F) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(5);
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(reason) => assert!(Instant::now() < deadline, "{what}: {reason}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
