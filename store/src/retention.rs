//! How much history is kept.

use crate::Revision;

/// When to compact, and how far. The embedded store applies it by itself;
/// for etcd the leader asks [`Retention::target`] now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many of the latest revisions stay readable. Compaction runs when
    /// twice as many have gathered, so that it is rare.
    pub revisions: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { revisions: 10_000 }
    }
}

impl Retention {
    /// The revision to compact at, if it is time.
    pub fn target(self, current: Revision, compacted: Revision) -> Option<Revision> {
        let due = current.0.saturating_sub(compacted.0) > self.revisions.saturating_mul(2);
        due.then(|| Revision(current.0.saturating_sub(self.revisions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacts_when_twice_the_kept_history_has_gathered() {
        let keep = Retention { revisions: 10 };
        let cases = [(5, 0, None), (20, 0, None), (21, 0, Some(11)), (30, 11, None), (32, 11, Some(22))];
        for (current, compacted, target) in cases {
            assert_eq!(keep.target(Revision(current), Revision(compacted)), target.map(Revision), "{current} {compacted}");
        }
    }
}
