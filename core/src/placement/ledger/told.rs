//! What all nodes say to one more task, told by blocks of like nodes: undecided blocks are asked part by part.

use super::answer::{ALONE, CPUS, Code, GPUS, Kin, NO_PORT, UNKNOWN, code, code_of_all};
use super::cost::Cost;
use super::free::Free;
use super::lack::{Lack, Nearest, lack};
use super::survey::{Group, Survey};
use super::tree::NONE;
use super::trial::Trial;
use crate::hash::{Map, Set};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nodes that are asked by themselves, as a share of all and beside it, before all are asked.
const ASKED_SHARE: usize = 4;
const ASKED_MIN: usize = 64;
/// Lacks that are looked for.
const NEAREST_MAX: usize = 8;

/// What was said by blocks of a survey, and by nodes for themselves.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) version: u64,
    /// How many slots there are.
    pub(crate) slots: usize,
    /// By group, where all its nodes say the same.
    groups: Vec<Option<Code>>,
    blocks: Map<u32, Code>,
    nodes: Map<u32, Code>,
}

/// What is told, how often, and the smallest lacks.
pub(crate) struct Poll<'p, 't> {
    trial: &'p Trial<'t>,
    survey: &'p mut Survey,
    /// Blocks with nodes that must be asked.
    undecided: Set<u32>,
    left: usize,
    told: Told,
    counts: Map<Code, u64>,
    /// Nodes, and blocks (`true`) by what may lack there at least.
    near: BinaryHeap<Reverse<(Lack, bool)>>,
}

impl Told {
    /// What a node said; nothing when it is not known.
    pub(crate) fn get(&self, survey: &Survey, slot: u32) -> Option<Code> {
        let whole = || self.groups[survey.blocks.group(slot)? as usize];
        let part = || survey.blocks.blocks_of(slot).find_map(|block| self.blocks.get(&block)).copied();
        self.nodes.get(&slot).copied().or_else(whole).or_else(part)
    }

    /// The node says something else; what it said before.
    pub(crate) fn replace(&mut self, survey: &Survey, slot: u32, code: Code) -> Code {
        let before = self.get(survey, slot).unwrap_or(UNKNOWN);
        self.nodes.insert(slot, code);
        before
    }

    /// How many nodes speak for themselves.
    pub(crate) fn singles(&self) -> usize {
        self.nodes.len()
    }
}

impl<'p, 't> Poll<'p, 't> {
    /// Asks all; nothing when too many nodes would have to be asked by themselves.
    pub(crate) fn of(trial: &'p Trial<'t>, survey: &'p mut Survey, cost: &mut Cost) -> Option<(Told, Map<Code, u64>, Nearest)> {
        let slots = trial.rows.hot.len();
        let left = slots / ASKED_SHARE + ASKED_MIN;
        let groups = vec![None; survey.groups.len()];
        let told = Told { version: survey.version, slots, groups, blocks: Map::default(), nodes: Map::default() };
        let (undecided, counts, near) = (Set::default(), Map::default(), BinaryHeap::new());
        survey.served = false;
        let mut poll = Poll { trial, survey, undecided, left, told, counts, near };
        poll.find_undecided(cost)?;
        for at in 0..poll.survey.groups.len() {
            let group = &poll.survey.groups[at];
            let (block, kin) = (group.block, poll.kin(group));
            cost.scans += 1;
            poll.ask(block, kin, cost)?;
        }
        let strays: Vec<u32> = poll.survey.strays.iter().copied().collect();
        poll.ask_each(&strays, cost)?;
        poll.survey.served = true;
        let nearest = poll.nearest(cost);
        Some((poll.told, poll.counts, nearest))
    }

    /// Notes the blocks of nodes to which a demand says something else than its group lets expect.
    fn find_undecided(&mut self, cost: &mut Cost) -> Option<()> {
        let filter = &self.trial.filter;
        for index in 0..filter.len() {
            let field = filter.field(index);
            if field != NONE && !self.survey.is_fine(field) {
                continue;
            }
            for slot in filter.unusual(self.trial.counts(), index, self.left)? {
                cost.scans += 1;
                let inner = self.survey.blocks.blocks_of(slot).take_while(|block| !self.undecided.contains(block));
                let inner: Vec<u32> = inner.collect();
                self.undecided.extend(inner);
            }
        }
        Some(())
    }

    fn kin(&self, group: &Group) -> Kin {
        let (trial, filter) = (self.trial, &self.trial.filter);
        let only_reserved = trial.rows.lifted.as_ref().and_then(|lifted| lifted.only_reserved_of);
        let refuses =
            |index: &usize| filter.refuses_value(trial.counts(), *index, self.survey.value(group, filter.field(*index)));
        let mut refusing = (0..filter.len()).filter(refuses);
        let refused = refusing.next().map(|first| (first, refusing.next().is_none()));
        let has_role = only_reserved != Some(group.role()) && trial.roles.contains(&group.role());
        Kin { has_role, open: group.is_open(), docker: group.has_docker(), refused }
    }

    /// Asks a block.
    fn ask(&mut self, at: u32, kin: Kin, cost: &mut Cost) -> Option<()> {
        cost.visits += 1;
        if self.tell(at, kin, cost) {
            return Some(());
        }
        if self.survey.blocks.get(at).is_leaf {
            self.survey.blocks.narrow(at, self.trial.rows, cost);
            if self.tell(at, kin, cost) {
                return Some(());
            }
            let slots = self.survey.blocks.slots(at).to_vec();
            return self.ask_each(&slots, cost);
        }
        self.survey.blocks.parts(at).try_for_each(|part| self.ask(part, kin, cost))
    }

    /// Notes what all nodes of a block say, if they say the same.
    fn tell(&mut self, at: u32, kin: Kin, cost: &mut Cost) -> bool {
        let block = self.survey.blocks.get(at);
        if block.nodes == 0 {
            return true;
        }
        let bounds = &block.bounds;
        if self.undecided.contains(&at) || bounds.kept && self.trial.rows.lifted.is_some() {
            return false;
        }
        let Some(code) = code_of_all(self.trial.demand, kin, &bounds.least, &bounds.most) else { return false };
        *self.counts.entry(code).or_default() += block.nodes;
        match block.whole() {
            Some(group) => self.told.groups[group as usize] = Some(code),
            None => {
                self.told.blocks.insert(at, code);
            }
        }
        self.wait(at, code, cost);
        true
    }

    fn ask_each(&mut self, slots: &[u32], cost: &mut Cost) -> Option<()> {
        self.left = self.left.checked_sub(slots.len())?;
        cost.scans += slots.len() as u64;
        for slot in slots {
            let code = code(self.trial, *slot);
            *self.counts.entry(code).or_default() += 1;
            self.told.nodes.insert(*slot, code);
            self.near.extend(lack(self.trial, *slot, code).map(|lack| Reverse((lack, false))));
        }
        Some(())
    }

    /// Lets a block that says `code` wait for its turn among what lacks least.
    fn wait(&mut self, at: u32, code: Code, cost: &mut Cost) {
        let bounds = &self.survey.blocks.get(at).bounds;
        if let Some((count, amount, what)) = least_lack(&self.trial.demand.need, code, &bounds.most) {
            cost.heap += 1;
            self.near.push(Reverse(((count, amount, what, bounds.rank, at), true)));
        }
    }

    fn nearest(&mut self, cost: &mut Cost) -> Nearest {
        let mut nearest = Nearest::default();
        while let Some(Reverse((least @ (_, _, what, _, at), is_block))) = self.near.pop() {
            if !is_block {
                nearest.lacks.push(least);
                if nearest.lacks.len() == NEAREST_MAX {
                    nearest.horizon = (!self.near.is_empty()).then_some(least);
                    return nearest;
                }
                continue;
            }
            cost.visits += 1;
            let code = what | ALONE;
            if self.survey.blocks.get(at).is_leaf {
                self.survey.blocks.narrow(at, self.trial.rows, cost);
                cost.heap += self.survey.blocks.slots(at).len() as u64;
                let lacks = self.survey.blocks.slots(at).iter().filter_map(|slot| lack(self.trial, *slot, code));
                self.near.extend(lacks.map(|lack| Reverse((lack, false))));
            }
            for part in self.survey.blocks.parts(at).filter(|part| self.survey.blocks.get(*part).nodes > 0).collect::<Vec<_>>() {
                self.wait(part, code, cost);
            }
        }
        nearest
    }
}

/// What lacks at least where all nodes say `code` and no more than this is free: how many of cpus, memory, disk and
/// GPUs, how much of the first, which.
fn least_lack(need: &Free, code: Code, most: &Free) -> Option<(u32, i64, Code)> {
    let what = code & !ALONE;
    if code & ALONE == 0 {
        return None;
    }
    if what == NO_PORT {
        return Some((1, i64::from(need.ports.saturating_sub(most.ports)) * 1_000, NO_PORT));
    }
    let short = need.columns().into_iter().zip(most.columns()).map(|(need, most)| need.saturating_sub(most));
    let thousandths = [1, 1, 1, 1_000];
    let short: Vec<i64> = short.zip(thousandths).map(|(short, unit)| short.saturating_mul(unit)).collect();
    let amount = short.get(what.checked_sub(CPUS)? as usize).filter(|_| what <= GPUS)?;
    Some((short.iter().filter(|short| **short > 0).count() as u32, *amount, what))
}
