//! GROUP_BY and spread: which values of a field are open, and which have least (marathon.md 1.9).

use super::cost::Cost;
use super::counted::Counter;
use super::field::Field;

/// A GROUP_BY or a spread.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) counter: usize,
    /// Most values that may be in use.
    pub(crate) limit: usize,
    pub(crate) slack: u32,
    /// The lowest count of the open values, and how many have it.
    pub(crate) min: u32,
    pub(crate) at_min: u64,
    /// Open values in use.
    pub(crate) used: usize,
    /// The values that are open to the app, in order; all that usable nodes have when there is none.
    pub(crate) only: Option<Vec<u32>>,
}

impl Level {
    pub(crate) const fn new(counter: usize, limit: usize, slack: u32) -> Self {
        Self { counter, limit, slack, min: 0, at_min: 0, used: 0, only: None }
    }

    pub(crate) fn is_group(&self, field: &Field, value: u32) -> bool {
        self.only.as_ref().map_or_else(|| field.is_group(value), |only| only.binary_search(&value).is_ok())
    }
}

/// The lowest count among the values of usable nodes, and how many have it.
pub(crate) fn lowest(field: &Field, counter: &Counter, cost: &mut Cost) -> (u32, u64) {
    let mut level = Level::new(0, usize::MAX, 0);
    level.look(field, counter, cost);
    (level.min, level.at_min)
}

impl Level {
    /// Finds the lowest count of the open values. With `limit` of them in use no further one is open.
    pub(crate) fn look(&mut self, field: &Field, counter: &Counter, cost: &mut Cost) {
        let (mut used, mut lowest, mut at_lowest) = (0, u32::MAX, 0);
        for (value, count) in &counter.counts {
            cost.scans += 1;
            if self.is_group(field, *value) {
                used += 1;
                if *count < lowest {
                    (lowest, at_lowest) = (*count, 0);
                }
                at_lowest += u64::from(*count == lowest);
            }
        }
        let groups = self.only.as_ref().map_or(field.groups as usize, Vec::len);
        let fresh = groups.saturating_sub(used);
        self.used = used;
        (self.min, self.at_min) = match (used < self.limit && fresh > 0, used > 0) {
            (true, _) => (0, fresh as u64),
            (false, true) => (lowest, at_lowest),
            (false, false) => (0, 0),
        };
    }
}

/// Which nodes an app may ever run on, as far as its rules about itself do not matter: who is to be spread
/// evenly need not wait for a value that none of them has.
pub(crate) struct Eligible<'r> {
    /// How many nodes there are.
    pub(crate) known: u64,
    /// Resource roles that the app accepts; none when all nodes have the same one.
    pub(crate) roles: Option<&'r [u32]>,
    /// Role of a slot.
    pub(crate) role: &'r dyn Fn(u32) -> u32,
}
