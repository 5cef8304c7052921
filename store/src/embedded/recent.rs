//! The latest commits in memory, where watches that keep up read them.

use std::collections::VecDeque;

use crate::{Event, Revision, WatchEvents};

/// Most commits kept; a watcher further behind reads the file.
const MAX_RECENT_COMMITS: usize = 1024;

/// Most bytes of keys and values kept.
const MAX_RECENT_BYTES: usize = 4 << 20;

/// Most commits that one step of a watch takes, which bounds what it buffers.
const MAX_STEP_COMMITS: usize = 256;

/// The latest commits, without gaps from `first` on.
#[derive(Debug)]
pub(super) struct Recent {
    first: Revision,
    next: Revision,
    commits: VecDeque<WatchEvents>,
    bytes: usize,
}

impl Recent {
    /// Holds nothing yet; the next commit will be `next`.
    pub(super) fn starting_at(next: Revision) -> Self {
        Self { first: next, next, commits: VecDeque::new(), bytes: 0 }
    }

    /// Appends a commit and drops the oldest ones beyond the limits.
    pub(super) fn push(&mut self, commit: WatchEvents) {
        self.bytes += size(&commit);
        self.next = commit.revision.next();
        self.commits.push_back(commit);
        while self.commits.len() > MAX_RECENT_COMMITS || self.bytes > MAX_RECENT_BYTES {
            let Some(oldest) = self.commits.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.first = oldest.revision.next();
        }
    }

    /// The next changes under `prefix` from `from` on and where to go on, or
    /// `None` when they are no longer here.
    pub(super) fn since(&self, prefix: &str, from: Revision) -> Option<(Vec<WatchEvents>, Revision)> {
        if from < self.first {
            return None;
        }
        let start = self.commits.partition_point(|commit| commit.revision < from);
        let mut next = self.next.max(from);
        let mut found = Vec::new();
        for commit in self.commits.range(start..) {
            if found.len() >= MAX_STEP_COMMITS {
                next = commit.revision;
                break;
            }
            let events: Vec<Event> = commit.events.iter().filter(|event| event.key().starts_with(prefix)).cloned().collect();
            if !events.is_empty() {
                found.push(WatchEvents { revision: commit.revision, events });
            }
        }
        Some((found, next))
    }
}

fn size(commit: &WatchEvents) -> usize {
    commit.events.iter().map(|event| event.key().len() + if let Event::Put(entry) = event { entry.value.len() } else { 0 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(revision: u64, key: &str) -> WatchEvents {
        let revision = Revision(revision);
        WatchEvents { revision, events: vec![Event::Delete { key: key.into(), revision }] }
    }

    #[test]
    fn keeps_the_latest_commits_without_gaps() {
        let mut recent = Recent::starting_at(Revision(2));
        let total = MAX_RECENT_COMMITS as u64 + 10;
        for revision in 2..2 + total {
            recent.push(commit(revision, if revision % 2 == 0 { "/a/x" } else { "/b/x" }));
        }
        assert_eq!(recent.since("/a", Revision(11)), None);
        let mut seen = Vec::new();
        let mut from = Revision(12);
        while from < Revision(2 + total) {
            let (found, next) = recent.since("/a/", from).unwrap();
            assert!(next > from);
            seen.extend(found.iter().map(|commit| commit.revision.0));
            from = next;
        }
        let expected: Vec<u64> = (12..2 + total).filter(|revision| revision % 2 == 0).collect();
        assert_eq!(seen, expected);
        assert_eq!(recent.since("", Revision(5000)), Some((vec![], Revision(5000))));
    }
}
