//! When to probe.

use orrery_core::app::HealthCheck;
use std::time::Duration;

/// First pause of a task that has not been healthy yet; doubles up to [`EAGER_MAX`].
const EAGER_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const EAGER_MAX: Duration = Duration::from_secs(1);

fn interval(check: &HealthCheck) -> Duration {
    Duration::from_secs(u64::from(check.interval_seconds.max(1)))
}

/// Wait before the first probe. `delaySeconds` counts for the checks that Mesos ran, as it did
/// there; Marathon's own checks ignored it and began with the next tick.
pub(super) fn first_wait(check: &HealthCheck) -> Duration {
    if check.protocol.is_local() {
        Duration::from_secs(u64::from(check.delay_seconds))
    } else if check.grace_period_seconds > 0 {
        EAGER_MIN
    } else {
        interval(check).min(EAGER_MAX)
    }
}

/// Wait after probe number `done` (from 1), `running` after the start of the task.
///
/// While a task has never been healthy and is in its grace period, failures are not counted, so it
/// is asked often: it becomes healthy soon after it could. Marathon waited for the whole interval.
pub(super) fn next_wait(check: &HealthCheck, ever_healthy: bool, running: Duration, done: u32) -> Duration {
    let interval = interval(check);
    let grace = Duration::from_secs(u64::from(check.grace_period_seconds));
    if ever_healthy || running >= grace {
        return interval;
    }
    let eager = EAGER_MIN.saturating_mul(1u32.checked_shl(done.min(16)).unwrap_or(u32::MAX)).min(EAGER_MAX);
    // Not past the end of the grace period, when counting begins.
    interval.min(eager)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_core::app::HealthProtocol;

    #[test]
    fn eager_until_first_healthy() {
        let check = HealthCheck { interval_seconds: 30, grace_period_seconds: 60, ..HealthCheck::default() };
        let at = |healthy, seconds, done| next_wait(&check, healthy, Duration::from_secs(seconds), done).as_millis();
        assert_eq!(first_wait(&check).as_millis(), 100);
        assert_eq!(
            [at(false, 0, 1), at(false, 0, 2), at(false, 5, 9), at(false, 60, 9), at(true, 1, 1)],
            [200, 400, 1000, 30_000, 30_000]
        );
    }

    #[test]
    fn local_checks_wait_for_their_delay() {
        let check = HealthCheck { protocol: HealthProtocol::MesosTcp, delay_seconds: 7, ..HealthCheck::default() };
        assert_eq!(first_wait(&check), Duration::from_secs(7));
        let strict = HealthCheck { grace_period_seconds: 0, interval_seconds: 10, ..HealthCheck::default() };
        assert_eq!(first_wait(&strict), Duration::from_secs(1));
        assert_eq!(next_wait(&strict, false, Duration::ZERO, 1), Duration::from_secs(10));
    }
}
