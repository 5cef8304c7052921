//! What batches have spent by doing without trees of their own, and what these would have cost them.

use super::view::Kind;
use crate::hash::Map;

/// Kinds remembered; at the limit all are forgotten.
const KINDS_MAX: usize = 256;
/// Most batches in a row that do not try again.
const PAUSE_MAX: u32 = 1_023;

/// Of one kind, since its trees were used last.
#[derive(Debug, Clone, Default)]
struct Account {
    /// Numbering of the fields that the kind speaks of.
    numbering: u64,
    /// Somebody has asked for them before.
    is_known: bool,
    /// Where the changes had come to at the last batch that did without.
    at: Option<u64>,
    /// Operations that trees would have cost the batches since, and what these spent instead.
    saved: u64,
    spent: u64,
    /// Batches that do not try, and how many these were the last time.
    pause: u32,
    paused: u32,
}

/// Of all kinds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts(Map<Kind, Account>);

impl Accounts {
    fn account(&mut self, kind: &Kind, numbering: u64) -> &mut Account {
        if self.0.len() >= KINDS_MAX && !self.0.contains_key(kind) {
            self.0.clear();
        }
        let account = self.0.entry(kind.clone()).or_default();
        if account.numbering != numbering {
            *account = Account { numbering, ..Account::default() };
        }
        account
    }

    /// Whether a batch should not even try to do without: others failed lately.
    pub(crate) fn pauses(&mut self, kind: &Kind, numbering: u64) -> bool {
        let account = self.account(kind, numbering);
        let pauses = account.pause > 0;
        account.pause = account.pause.saturating_sub(1);
        pauses
    }

    /// What trees would have cost this batch, and what they would have cost with those before it, less what was
    /// spent. `seen` tells how far the trees are, and `cost` what it takes to follow from there, or to make them.
    /// The first batch gets trees: it looks at all nodes anyway, and the next ones will need them.
    pub(crate) fn worth(
        &mut self,
        kind: &Kind,
        numbering: u64,
        seen: Option<u64>,
        cost: impl Fn(Option<u64>) -> u64,
    ) -> (u64, u64) {
        let account = self.account(kind, numbering);
        if !std::mem::replace(&mut account.is_known, true) && seen.is_none() {
            return (0, 0);
        }
        let this = cost(account.at.or(seen));
        (this, account.saved.saturating_add(this).saturating_sub(account.spent))
    }

    /// Notes a batch that did without.
    pub(crate) fn did_without(&mut self, kind: &Kind, numbering: u64, end: u64, this: u64, spent: u64) {
        let account = self.account(kind, numbering);
        account.at = Some(end);
        account.saved = account.saved.saturating_add(this);
        account.spent = account.spent.saturating_add(spent);
    }

    /// Notes that what others failed at lately has succeeded.
    pub(crate) fn succeeded(&mut self, kind: &Kind, numbering: u64) {
        self.account(kind, numbering).paused = 0;
    }

    /// Notes a batch that could not do without: the next ones do not try, twice as many as the last time.
    pub(crate) fn failed(&mut self, kind: &Kind, numbering: u64) {
        let account = self.account(kind, numbering);
        account.paused = (2 * account.paused + 1).min(PAUSE_MAX);
        account.pause = account.paused;
    }

    /// Starts over: the trees were brought up to date.
    pub(crate) fn settle(&mut self, kind: &Kind) {
        if let Some(account) = self.0.get_mut(kind) {
            (account.at, account.saved, account.spent) = (None, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spends_more_than_trees_would_cost_gets_them() {
        let kind = Kind { field: Some(1), only: None, packs: false, lens: None };
        let mut accounts = Accounts::default();
        let worth = |accounts: &mut Accounts, numbering, seen, end: u64| {
            accounts.worth(&kind, numbering, seen, |from| from.map_or(3_000, |from| (10 * (end - from)).min(3_000)))
        };
        assert_eq!(worth(&mut accounts, 1, None, 150), (0, 0));
        assert_eq!(worth(&mut accounts, 1, Some(100), 150), (500, 500));
        accounts.did_without(&kind, 1, 150, 500, 100);
        assert_eq!(worth(&mut accounts, 1, Some(100), 160), (100, 500));
        accounts.did_without(&kind, 1, 160, 100, 900);
        assert_eq!(worth(&mut accounts, 1, Some(100), 170), (100, 0));
        accounts.settle(&kind);
        assert_eq!(worth(&mut accounts, 1, Some(100), 150), (500, 500));
        // They have given way to others.
        assert_eq!(worth(&mut accounts, 1, None, 150), (3_000, 3_000));
        // Numbers of fields mean others by now.
        accounts.did_without(&kind, 1, 150, 500, 100);
        assert_eq!(worth(&mut accounts, 2, Some(100), 150), (500, 500));
    }

    #[test]
    fn who_fails_tries_less_and_less_often() {
        let kind = Kind { field: None, only: None, packs: true, lens: None };
        let mut accounts = Accounts::default();
        for pause in [1, 3, 7] {
            accounts.failed(&kind, 1);
            assert!((0..pause).all(|_| accounts.pauses(&kind, 1)) && !accounts.pauses(&kind, 1));
        }
        accounts.succeeded(&kind, 1);
        accounts.failed(&kind, 1);
        assert!(accounts.pauses(&kind, 1) && !accounts.pauses(&kind, 1));
    }
}
