//! Health of one check of one task: what a probe's result makes of it (marathon.md 1.8).

use crate::Timestamp;
use crate::app::HealthCheck;
use serde::{Deserialize, Serialize};

/// Results of one health check so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// First success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_success: Option<Timestamp>,
    /// Latest success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// Latest counted failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_cause: Option<String>,
    /// Counted failures in a row.
    #[serde(default)]
    pub consecutive_failures: u32,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The task answered well.
    Success,
    /// It did not.
    Failure(String),
    /// No verdict (1xx with `ignoreHttp1xx`).
    Ignored,
}

/// What to do after a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    Keep,
    /// Too many failures: stop the task.
    Kill,
}

impl Health {
    /// Whether the latest counted result was a success.
    pub fn is_alive(&self) -> bool {
        self.last_success.is_some() && self.consecutive_failures == 0
    }

    /// Takes in the result of a probe at `now` of a task running since `started`.
    ///
    /// Failures before the first success are dropped within the grace period. The task is killed
    /// at failure number `maxConsecutiveFailures`, never when that is 0.
    pub fn observe(&mut self, check: &HealthCheck, probe: Probe, started: Timestamp, now: Timestamp) -> Verdict {
        match probe {
            Probe::Ignored => Verdict::Keep,
            Probe::Success => {
                self.first_success.get_or_insert(now);
                self.last_success = Some(now);
                self.consecutive_failures = 0;
                Verdict::Keep
            }
            Probe::Failure(cause) => {
                let in_grace = now.millis_since(started) < i64::from(check.grace_period_seconds) * 1000;
                if self.first_success.is_none() && in_grace {
                    self.last_failure_cause = Some(cause);
                    return Verdict::Keep;
                }
                self.last_failure = Some(now);
                self.last_failure_cause = Some(cause);
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
                let limit = check.max_consecutive_failures;
                if limit > 0 && self.consecutive_failures >= limit { Verdict::Kill } else { Verdict::Keep }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_ends_at_the_first_success() {
        let check = HealthCheck { grace_period_seconds: 10, max_consecutive_failures: 2, ..HealthCheck::default() };
        let (start, at) = (Timestamp::from_millis(0), |seconds: i64| Timestamp::from_millis(seconds * 1000));
        let fail = || Probe::Failure("refused".into());
        let mut health = Health::default();
        assert_eq!(health.observe(&check, fail(), start, at(1)), Verdict::Keep);
        assert_eq!(health.consecutive_failures, 0);
        assert_eq!(health.observe(&check, Probe::Success, start, at(2)), Verdict::Keep);
        assert!(health.is_alive());
        assert_eq!(health.observe(&check, fail(), start, at(3)), Verdict::Keep);
        assert!(!health.is_alive());
        assert_eq!(health.observe(&check, fail(), start, at(4)), Verdict::Kill);
    }

    #[test]
    fn zero_never_kills() {
        let check = HealthCheck { grace_period_seconds: 0, max_consecutive_failures: 0, ..HealthCheck::default() };
        let mut health = Health::default();
        for second in 0..100 {
            let now = Timestamp::from_millis(second * 1000);
            assert_eq!(health.observe(&check, Probe::Failure("x".into()), Timestamp::EPOCH, now), Verdict::Keep);
        }
    }
}
