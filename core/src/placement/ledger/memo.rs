//! What all nodes said to an app that was refused, kept so that asking again costs what changed.

use super::answer::{ALONE, Code, FITS, UNKNOWN, code};
use super::changes::Changes;
use super::column::Column;
use super::cost::Cost;
use super::lack::{Nearest, lack};
use super::survey::{Ground, Surveys};
use super::told::{Poll, Told};
use super::trial::Trial;
use crate::hash::Map;

/// Most nodes that speak for themselves beside what blocks were told, before all are asked again.
const SINGLES_MAX: usize = 1_024;

/// The answer of every node, and their sums. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Memo {
    answers: Answers,
    pub(super) counts: Map<Code, u64>,
    pub(super) nearest: Nearest,
    seen: u64,
}

/// What each node says.
#[derive(Debug, Clone)]
enum Answers {
    /// By slot.
    Each(Column),
    Blocks(Told),
}

/// By what all nodes are asked.
pub(crate) struct Inquiry<'a> {
    pub(crate) surveys: &'a mut Surveys,
    /// Fields that demands are about.
    pub(crate) fields: Vec<u32>,
    pub(crate) changes: &'a Changes,
    /// State of the nodes' descriptions.
    pub(crate) described: u64,
}

impl Memo {
    /// Asks all nodes, by blocks where these are of one mind.
    pub(crate) fn of(trial: &Trial<'_>, inquiry: &mut Inquiry<'_>, cost: &mut Cost) -> Self {
        let Inquiry { changes, described, .. } = *inquiry;
        let ground = Ground { rows: trial.rows, fields: trial.fields, changes, described };
        let survey = inquiry.surveys.of(inquiry.fields.clone(), ground, cost);
        survey.blocks.hold(trial.rows, trial.taken(), cost);
        let seen = changes.end();
        let memo = match Poll::of(trial, survey, cost) {
            Some((told, counts, nearest)) => Self { answers: Answers::Blocks(told), counts, nearest, seen },
            None => Self::of_each(trial, seen, cost),
        };
        #[cfg(test)]
        memo.assert_true(trial, inquiry.surveys);
        memo
    }

    /// Asks every node.
    pub(crate) fn of_each(trial: &Trial<'_>, seen: u64, cost: &mut Cost) -> Self {
        let slots = trial.rows.hot.len() as u32;
        let codes: Vec<Code> = (0..slots).map(|slot| code(trial, slot)).collect();
        cost.scans += u64::from(slots);
        let mut counts: Map<Code, u64> = Map::default();
        // Neighbours say the same more often than not.
        for same in codes.chunk_by(|one, next| one == next) {
            *counts.entry(same[0]).or_default() += same.len() as u64;
        }
        let nearest = Nearest::of((0..).zip(&codes).filter_map(|(slot, code)| lack(trial, slot, *code)));
        Self { answers: Answers::Each(Column::of(&codes)), counts, nearest, seen }
    }

    /// Asks the nodes that changed; `false` when too much has changed to know.
    pub(crate) fn sync(&mut self, trial: &Trial<'_>, inquiry: &mut Inquiry<'_>, cost: &mut Cost) -> bool {
        let slots = match &self.answers {
            Answers::Each(codes) => codes.len(),
            Answers::Blocks(told) => told.slots,
        };
        if slots != trial.rows.hot.len() {
            return false;
        }
        let Some(recent) = inquiry.changes.since(self.seen) else { return false };
        let is_kept = match &self.answers {
            Answers::Each(_) => true,
            Answers::Blocks(told) => {
                inquiry.surveys.version(told.version).is_some() && told.singles() + recent.len() <= SINGLES_MAX
            }
        };
        if !is_kept {
            *self = Self::of(trial, inquiry, cost);
            return true;
        }
        for slot in recent {
            self.ask(*slot, trial, inquiry.surveys, cost);
        }
        self.seen = inquiry.changes.end();
        if self.nearest.is_spent() {
            match &self.answers {
                Answers::Each(codes) => {
                    cost.scans += codes.len() as u64;
                    self.nearest = Nearest::of((0..).zip(codes.iter()).filter_map(|(slot, code)| lack(trial, slot, code)));
                }
                Answers::Blocks(_) => *self = Self::of(trial, inquiry, cost),
            }
        }
        #[cfg(test)]
        self.assert_true(trial, inquiry.surveys);
        true
    }

    /// What a node says, by slot; nothing when it is not known.
    pub(crate) fn get(&self, surveys: &Surveys, slot: u32) -> Option<Code> {
        match &self.answers {
            Answers::Each(codes) => codes.get(slot),
            Answers::Blocks(told) => told.get(surveys.version(told.version)?, slot),
        }
    }

    /// Whether some node would take one more.
    pub(crate) fn fits(&self) -> bool {
        self.counts.get(&FITS).is_some_and(|count| *count > 0)
    }

    fn ask(&mut self, slot: u32, trial: &Trial<'_>, surveys: &Surveys, cost: &mut Cost) {
        cost.scans += 1;
        let code = code(trial, slot);
        let before = match &mut self.answers {
            Answers::Each(codes) => codes.replace(slot, code),
            Answers::Blocks(told) => match surveys.version(told.version) {
                Some(survey) => told.replace(survey, slot, code),
                None => UNKNOWN,
            },
        };
        if before != code {
            if let Some(count) = self.counts.get_mut(&before) {
                *count = count.saturating_sub(1);
            }
            *self.counts.entry(code).or_default() += 1;
        }
        self.nearest.replace(slot, before & ALONE > 0, lack(trial, slot, code));
    }

    /// Whether it is what asking every node gives.
    #[cfg(test)]
    fn assert_true(&self, trial: &Trial<'_>, surveys: &Surveys) {
        let each = Self::of_each(trial, self.seen, &mut Cost::default());
        let known = |(code, count): (&Code, &u64)| (*code != UNKNOWN && *count > 0).then_some((*code, *count));
        let sorted = |memo: &Self| memo.counts.iter().filter_map(known).collect::<std::collections::BTreeMap<_, _>>();
        assert_eq!(sorted(self), sorted(&each));
        for slot in 0..trial.rows.hot.len() as u32 {
            assert_eq!(self.get(surveys, slot).unwrap_or(UNKNOWN), code(trial, slot), "slot {slot}");
        }
        let lacks = self.nearest.lacks.len().min(each.nearest.lacks.len());
        assert_eq!(self.nearest.lacks[..lacks], each.nearest.lacks[..lacks]);
        assert_eq!(lacks == 0, each.nearest.lacks.is_empty());
    }
}
