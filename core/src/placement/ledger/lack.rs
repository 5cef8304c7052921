//! How far nodes are from taking a task, and which are nearest.

use super::answer::{ALONE, CPUS, CUSTOM, Code, GPUS, NO_PORT, ports_lacking, short};
use super::trial::Trial;

/// How far a node is from taking the task: how many of cpus, memory, disk and GPUs are short, how much of
/// the first of them, or of another resource, or of host ports, which that is, rank of the node, slot.
pub(crate) type Lack = (u32, i64, Code, u64, u32);

/// Lacks kept after looking at all nodes; twice as many are kept in between.
const NEAREST_MAX: usize = 32;

/// The smallest lacks, ascending: all up to `horizon`, or all there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nearest {
    pub(crate) lacks: Vec<Lack>,
    pub(crate) horizon: Option<Lack>,
}

impl Nearest {
    /// Those of these.
    pub(crate) fn of(all: impl Iterator<Item = Lack>) -> Self {
        let mut nearest = Self::default();
        for lack in all {
            if nearest.is_beyond(&lack) {
                continue;
            }
            nearest.lacks.push(lack);
            if nearest.lacks.len() >= 8 * NEAREST_MAX {
                nearest.shorten();
            }
        }
        if nearest.lacks.len() > NEAREST_MAX {
            nearest.shorten();
        }
        nearest.lacks.sort_unstable();
        nearest
    }

    /// What a node lacks now.
    pub(crate) fn replace(&mut self, slot: u32, had: bool, lack: Option<Lack>) {
        if had {
            self.lacks.retain(|(.., near)| *near != slot);
        }
        let Some(lack) = lack.filter(|lack| !self.is_beyond(lack)) else { return };
        let at = self.lacks.partition_point(|near| *near < lack);
        self.lacks.insert(at, lack);
        if self.lacks.len() > 2 * NEAREST_MAX {
            self.lacks.truncate(NEAREST_MAX);
            self.horizon = self.lacks.last().copied();
        }
    }

    /// Whether those that were near have all moved away, and others are near now.
    pub(crate) fn is_spent(&self) -> bool {
        self.lacks.is_empty() && self.horizon.is_some()
    }

    fn is_beyond(&self, lack: &Lack) -> bool {
        self.horizon.is_some_and(|horizon| *lack > horizon)
    }

    /// Keeps the smallest.
    fn shorten(&mut self) {
        self.horizon = Some(*self.lacks.select_nth_unstable(NEAREST_MAX - 1).1);
        self.lacks.truncate(NEAREST_MAX);
    }
}

/// How much a node lacks, when nothing else is in the way.
pub(crate) fn lack(trial: &Trial<'_>, slot: u32, code: Code) -> Option<Lack> {
    if code & ALONE == 0 {
        return None;
    }
    let (count, amount, what) = match code & !ALONE {
        CPUS..=GPUS => {
            let short = short(trial, slot);
            let (first, amount) = (0..).zip(short).find(|(_, lack)| *lack > 0)?;
            (short.iter().filter(|lack| **lack > 0).count() as u32, amount, CPUS + first)
        }
        NO_PORT => (1, i64::from(ports_lacking(trial, slot)) * 1_000, NO_PORT),
        code @ CUSTOM.. => {
            let (name, amount) = trial.demand.custom.iter().nth((code - CUSTOM) as usize)?;
            (1, amount.thousandths().saturating_sub(trial.rows.custom_left(slot, name)), code)
        }
        _ => return None,
    };
    Some((count, amount, what, trial.rows.rank_of(slot), slot))
}
