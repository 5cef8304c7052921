//! What keeps failing is said once and then now and then: an agent tries for ever, and its log must stay readable.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the same reason is not said again.
const SILENCE: Duration = Duration::from_secs(30);

/// Reasons for which one thing has failed, and when each was said last. There are several at a time where several
/// controllers are tried in turn.
#[derive(Debug, Default)]
pub(super) struct Complaint(BTreeMap<String, Instant>);

impl Complaint {
    /// Says why it failed, unless that was said a moment ago.
    pub(super) fn say(&mut self, reason: &str) {
        if self.is_news(reason, Instant::now()) {
            tracing::warn!("{reason}; trying on");
        }
    }

    /// Whether something was said since the last success.
    pub(super) fn succeeded(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    fn is_news(&mut self, reason: &str, now: Instant) -> bool {
        if self.0.get(reason).is_some_and(|said| now.saturating_duration_since(*said) < SILENCE) {
            return false;
        }
        // Reasons that change with every attempt do not pile up.
        self.0.retain(|_, said| now.saturating_duration_since(*said) < SILENCE);
        self.0.insert(reason.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_in_its_time() {
        let (mut complaint, start) = (Complaint::default(), Instant::now());
        assert!(!complaint.succeeded());
        for (reason, seconds, said) in [
            ("c1 refuses", 0, true),
            ("c2 is silent", 0, true),
            ("c1 refuses", 1, false),
            ("c2 is silent", 29, false),
            ("nobody leads", 29, true),
            ("c1 refuses", 30, true),
            ("c1 refuses", 31, false),
        ] {
            assert_eq!(complaint.is_news(reason, start + Duration::from_secs(seconds)), said, "{reason} at {seconds} s");
        }
        assert!(complaint.succeeded() && !complaint.succeeded());
        assert!(complaint.is_news("c1 refuses", start + Duration::from_secs(31)), "it had gone well meanwhile");
    }
}
