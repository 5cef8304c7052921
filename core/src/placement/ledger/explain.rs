//! Why no node takes one more: counted by reason, and kept, so that asking again costs what changed.

use super::answer::{
    ALONE, CPUS, CUSTOM, Code, DETAILS, DISK, EXECUTOR, FITS, GPUS, MAINTENANCE, MEMORY, NO_PORT, PORTS, ROLE, TASKS, UNKNOWN,
    UNOFFERED, all_against, code, ports_lacking, short,
};
use super::changes::Changes;
use super::column::Column;
use super::cost::Cost;
use super::trial::Trial;
use crate::Scalar;
use crate::app::App;
use crate::hash::Map;
use crate::placement::{Reason, Refusals};
use std::cmp::Reverse;

/// The answer of every node, and their sums. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memo {
    codes: Column,
    counts: Map<Code, u64>,
    /// The smallest lacks, ascending: all up to `horizon`, or all there are.
    nearest: Vec<Lack>,
    horizon: Option<Lack>,
    seen: u64,
}

/// How far a node is from taking the task: how many of cpus, memory, disk and GPUs are short, how much of
/// the first of them, or of another resource, or of host ports, which that is, rank of the node, slot.
type Lack = (u32, i64, Code, u64, u32);

/// Lacks kept after looking at all nodes; twice as many are kept in between.
const NEAREST_MAX: usize = 32;
/// Nodes that are looked at closely where none has but one thing in the way.
const LOOKED_AT_MAX: usize = 64;

impl Memo {
    /// Asks every node.
    pub(crate) fn of(trial: &Trial<'_>, changes: &Changes, cost: &mut Cost) -> Self {
        let slots = trial.rows.hot.len();
        let mut memo = Self { seen: changes.end(), ..Self::default() };
        let (mut codes, mut near) = (Vec::with_capacity(slots), Near::default());
        for slot in 0..slots as u32 {
            let code = code(trial, slot);
            near.offer(lack(trial, slot, code));
            codes.push(code);
        }
        cost.scans += slots as u64;
        // Neighbours say the same more often than not.
        for same in codes.chunk_by(|one, next| one == next) {
            *memo.counts.entry(same[0]).or_default() += same.len() as u64;
        }
        memo.codes = Column::of(&codes);
        (memo.nearest, memo.horizon) = near.sorted();
        memo
    }

    /// Asks the nodes that changed; `false` when too much has changed to know.
    pub(crate) fn sync(&mut self, trial: &Trial<'_>, changes: &Changes, cost: &mut Cost) -> bool {
        if self.codes.len() != trial.rows.hot.len() {
            return false;
        }
        let Some(recent) = changes.since(self.seen) else { return false };
        for slot in recent {
            self.ask(*slot, trial, cost);
        }
        self.look_around(trial, cost);
        self.seen = changes.end();
        true
    }

    /// What each node says, by slot.
    pub(crate) const fn codes(&self) -> &Column {
        &self.codes
    }

    /// Whether some node would take one more.
    pub(crate) fn fits(&self) -> bool {
        self.counts.get(&FITS).is_some_and(|count| *count > 0)
    }

    fn ask(&mut self, slot: u32, trial: &Trial<'_>, cost: &mut Cost) {
        cost.scans += 1;
        let code = code(trial, slot);
        let before = self.codes.replace(slot, code);
        if before != code {
            if let Some(count) = self.counts.get_mut(&before) {
                *count -= 1;
            }
            *self.counts.entry(code).or_default() += 1;
        }
        if before & ALONE > 0 {
            self.nearest.retain(|(.., near)| *near != slot);
        }
        let lack = lack(trial, slot, code);
        let Some(lack) = lack.filter(|lack| self.horizon.is_none_or(|horizon| *lack <= horizon)) else { return };
        let at = self.nearest.partition_point(|near| *near < lack);
        self.nearest.insert(at, lack);
        if self.nearest.len() > 2 * NEAREST_MAX {
            self.nearest.truncate(NEAREST_MAX);
            self.horizon = self.nearest.last().copied();
        }
    }

    /// Looks at all nodes when those that were near have all moved away.
    fn look_around(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        if self.nearest.is_empty() && self.horizon.is_some() {
            self.gather(trial, cost);
        }
    }

    /// Finds the smallest lacks of all nodes.
    fn gather(&mut self, trial: &Trial<'_>, cost: &mut Cost) {
        cost.scans += self.codes.len() as u64;
        let mut near = Near::default();
        for (slot, code) in (0..).zip(self.codes.iter()) {
            near.offer(lack(trial, slot, code));
        }
        (self.nearest, self.horizon) = near.sorted();
    }

    /// The sums in people's words.
    pub(crate) fn refusals(&self, app: &App, trial: &Trial<'_>) -> Refusals {
        let mut refusals = Refusals { nodes: trial.rows.known, ..Refusals::default() };
        // Nodes that one change would help, by what is in the way: the most, then the first reason.
        let mut helped: Option<(u64, Reverse<Code>)> = None;
        for (code, count) in self.counts.iter().filter(|(_, count)| **count > 0) {
            let (alone, code) = (*code & ALONE > 0, *code & !ALONE);
            if code == FITS || code == UNKNOWN {
                continue;
            }
            if alone {
                helped = helped.max(Some((*count, Reverse(code))));
            }
            let (reason, detail) = describe(code, app, trial);
            *refusals.by_reason.entry(reason).or_default() += count;
            if let Some(detail) = detail {
                *refusals.details.entry(detail).or_default() += count;
            }
        }
        refusals.hint = match (self.nearest.first(), helped) {
            (Some((_, _, code, _, slot)), _) => {
                let more = lacking(trial, *slot, *code);
                Some(format!("it would fit with {more} on node {}", trial.rows.cold[*slot as usize].id))
            }
            (None, Some((count, Reverse(code)))) => Some(change(code, count, app, trial)),
            (None, None) => several(app, trial),
        };
        refusals
    }
}

/// The smallest lacks of many.
#[derive(Default)]
struct Near {
    lacks: Vec<Lack>,
    horizon: Option<Lack>,
}

impl Near {
    fn offer(&mut self, lack: Option<Lack>) {
        let Some(lack) = lack.filter(|lack| self.horizon.is_none_or(|horizon| *lack <= horizon)) else { return };
        self.lacks.push(lack);
        if self.lacks.len() >= 8 * NEAREST_MAX {
            self.horizon = Some(shorten(&mut self.lacks));
        }
    }

    /// Those, ascending, and the largest of them unless these are all there are.
    fn sorted(mut self) -> (Vec<Lack>, Option<Lack>) {
        if self.lacks.len() > NEAREST_MAX {
            self.horizon = Some(shorten(&mut self.lacks));
        }
        self.lacks.sort_unstable();
        (self.lacks, self.horizon)
    }
}

/// Keeps the smallest; the largest of those.
fn shorten(lacks: &mut Vec<Lack>) -> Lack {
    let horizon = *lacks.select_nth_unstable(NEAREST_MAX - 1).1;
    lacks.truncate(NEAREST_MAX);
    horizon
}

fn describe(code: Code, app: &App, trial: &Trial<'_>) -> (Reason, Option<String>) {
    match code {
        ROLE => (Reason::UnfulfilledRole, None),
        MAINTENANCE => (Reason::AgentMaintenance, None),
        EXECUTOR => (Reason::MissingExecutor, Some("missing executor docker".to_owned())),
        CPUS => (Reason::InsufficientCpus, None),
        MEMORY => (Reason::InsufficientMemory, None),
        DISK => (Reason::InsufficientDisk, None),
        GPUS => (Reason::InsufficientGpus, None),
        TASKS => (Reason::TooManyTasks, None),
        NO_PORT => (Reason::InsufficientPorts, Some("no free host port".to_owned())),
        CUSTOM.. => (Reason::InsufficientResources, trial.demand.custom.keys().nth((code - CUSTOM) as usize).cloned()),
        UNOFFERED.. => (Reason::InsufficientPorts, Some(format!("required port {}", code - UNOFFERED))),
        PORTS.. => (Reason::InsufficientPorts, Some(format!("required port {}", code - PORTS))),
        _ => {
            let words = trial.filter.words((code - DETAILS) as usize, app, &trial.involved);
            (Reason::UnfulfilledConstraint, Some(words))
        }
    }
}

/// The one change that would help a number of nodes.
fn change(code: Code, count: u64, app: &App, trial: &Trial<'_>) -> String {
    let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
    match (code, describe(code, app, trial).1) {
        (ROLE, _) => format!("it would fit on {nodes} if it accepted their resource roles"),
        (MAINTENANCE, _) => format!("it would fit on {nodes} that are lost, closed or draining, once they take tasks again"),
        (EXECUTOR, _) => format!("it would fit on {nodes} with the docker executor"),
        (TASKS, _) => format!("it would fit on {nodes} with fewer tasks"),
        (NO_PORT, _) => format!("it would fit on {nodes} with a free host port"),
        (PORTS..UNOFFERED, _) => {
            format!("it would fit on {nodes} once port {} is free there, or with another port", code - PORTS)
        }
        (UNOFFERED..CUSTOM, _) => {
            format!("it would fit on {nodes} with another port than {}, which they do not offer", code - UNOFFERED)
        }
        (_, Some(words)) => format!("it would fit on {nodes} without {words}"),
        (_, None) => format!("it would fit on {nodes}"),
    }
}

/// The fewest changes that would help one of some nodes, where one change helps none.
fn several(app: &App, trial: &Trial<'_>) -> Option<String> {
    let known = (0..trial.rows.nodes.len() as u32).filter(|slot| trial.rows.nodes[*slot as usize].is_some());
    let looked_at = known.take(LOOKED_AT_MAX).map(|slot| (all_against(trial, slot), slot));
    // A node that takes tasks is worth more than one that does not.
    let rank = |(all, slot): &(Vec<Code>, u32)| {
        let room = short(trial, *slot).into_iter().find(|lack| *lack > 0);
        (all.contains(&MAINTENANCE), all.len(), room.unwrap_or(0), trial.rows.rank_of(*slot))
    };
    let (all, slot) = looked_at.filter(|(all, _)| !all.is_empty()).min_by_key(rank)?;
    let words = |code: &Code| match (*code, describe(*code, app, trial).1) {
        (ROLE, _) => "if it accepted its resource role".to_owned(),
        (MAINTENANCE, _) => "once it takes tasks again".to_owned(),
        (EXECUTOR, _) => "with the docker executor".to_owned(),
        (TASKS, _) => "with fewer tasks".to_owned(),
        (PORTS..UNOFFERED, _) => format!("once port {} is free there", *code - PORTS),
        (UNOFFERED..CUSTOM, _) => format!("with another port than {}, which it does not offer", *code - UNOFFERED),
        (CPUS..=NO_PORT | CUSTOM.., _) => format!("with {}", lacking(trial, slot, *code)),
        (_, words) => format!("without {}", words.unwrap_or_default()),
    };
    let mut parts: Vec<String> = all.iter().map(words).collect();
    let last = parts.pop()?;
    let first = if parts.is_empty() { String::new() } else { format!("{} and ", parts.join(", ")) };
    Some(format!("it would fit on node {} {first}{last}", trial.rows.cold[slot as usize].id))
}

/// What a node would have to have more.
fn lacking(trial: &Trial<'_>, slot: u32, code: Code) -> String {
    let rows = &trial.rows;
    match code {
        CUSTOM.. => {
            let wanted = trial.demand.custom.iter().nth((code - CUSTOM) as usize);
            wanted.map_or_else(String::new, |(name, amount)| {
                let lack = amount.thousandths().saturating_sub(rows.custom_left(slot, name));
                format!("{} more {name}", Scalar::from_thousandths(lack))
            })
        }
        NO_PORT => format!("{} more free host ports", ports_lacking(trial, slot)),
        _ => {
            let names = ["cpus", "MiB of memory", "MiB of disk", "gpus"];
            let short = short(trial, slot).into_iter().zip(names).filter(|(lack, _)| *lack > 0);
            let parts: Vec<String> =
                short.map(|(lack, name)| format!("{} more {name}", Scalar::from_thousandths(lack))).collect();
            parts.join(" and ")
        }
    }
}

/// How much a node lacks, when nothing else is in the way.
fn lack(trial: &Trial<'_>, slot: u32, code: Code) -> Option<Lack> {
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
