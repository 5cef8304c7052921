//! Why no node takes one more: counted by reason, and kept, so that asking again costs what changed.

use super::changes::Changes;
use super::cost::Cost;
use super::demand::Demand;
use super::free::Free;
use super::hash::Map;
use super::rows::Rows;
use super::trial::{ALL, Trial};
use crate::app::{App, Constraint};
use crate::placement::{Reason, Refusals};
use crate::{Scalar, Timestamp};

/// What a node says, as a number: reasons below [`DETAILS`], then constraints, then ports.
type Code = u32;

const FITS: Code = 0;
const UNKNOWN: Code = 1;
const ROLE: Code = 2;
const MAINTENANCE: Code = 3;
const EXECUTOR: Code = 4;
const CPUS: Code = 5;
const MEMORY: Code = 6;
const DISK: Code = 7;
const GPUS: Code = 8;
const NO_PORT: Code = 9;
const TASKS: Code = 10;
const DETAILS: Code = 11;
/// Required port of the request with this index.
const PORTS: Code = 1 << 20;

/// What a memo speaks about. It is of no use when any of this differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) config: Timestamp,
    pub(crate) demand: Demand,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) accepted: Vec<String>,
    /// State of the app's own counters.
    pub(crate) tally: u64,
    /// State of the nodes' descriptions.
    pub(crate) nodes: u64,
}

/// The answer of every node, and their sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memo {
    codes: Vec<Code>,
    counts: Map<Code, u64>,
    /// The smallest lacks, ascending: all up to `horizon`, or all there are.
    nearest: Vec<Lack>,
    horizon: Option<Lack>,
    seen: u64,
}

/// How far a node is from taking the task: amount, resource in the order of its name, rank of the
/// node, slot.
type Lack = (i64, Code, u64, u32);

/// Lacks kept after looking at all nodes; twice as many are kept in between.
const NEAREST_MAX: usize = 32;

impl Memo {
    /// Asks every node.
    pub(crate) fn of(trial: &Trial<'_>, changes: &Changes, cost: &mut Cost) -> Self {
        let slots = trial.rows.hot.len();
        let mut memo = Self { codes: vec![UNKNOWN; slots], seen: changes.end(), ..Self::default() };
        memo.counts.insert(UNKNOWN, slots as u64);
        for slot in 0..slots as u32 {
            memo.ask(slot, trial, cost);
        }
        memo.look_around(trial, cost);
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

    /// Whether some node would take one more.
    pub(crate) fn fits(&self) -> bool {
        self.counts.get(&FITS).is_some_and(|count| *count > 0)
    }

    fn ask(&mut self, slot: u32, trial: &Trial<'_>, cost: &mut Cost) {
        cost.scans += 1;
        let code = code(trial, slot);
        let before = std::mem::replace(&mut self.codes[slot as usize], code);
        if before != code {
            if let Some(count) = self.counts.get_mut(&before) {
                *count -= 1;
            }
            *self.counts.entry(code).or_default() += 1;
        }
        self.nearest.retain(|(.., near)| *near != slot);
        let lack = lack(&trial.demand.need, trial.rows, slot, code);
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
        if !self.nearest.is_empty() || self.horizon.is_none() {
            return;
        }
        cost.scans += self.codes.len() as u64;
        let codes = self.codes.iter().enumerate();
        let mut lacks: Vec<Lack> =
            codes.filter_map(|(slot, code)| lack(&trial.demand.need, trial.rows, slot as u32, *code)).collect();
        self.horizon = None;
        if lacks.len() > NEAREST_MAX {
            let (_, horizon, _) = lacks.select_nth_unstable(NEAREST_MAX - 1);
            self.horizon = Some(*horizon);
            lacks.truncate(NEAREST_MAX);
        }
        lacks.sort_unstable();
        self.nearest = lacks;
    }

    /// The sums in people's words.
    pub(crate) fn refusals(&self, app: &App, rows: &Rows) -> Refusals {
        let mut refusals = Refusals { nodes: rows.known, ..Refusals::default() };
        for (code, count) in self.counts.iter().filter(|(_, count)| **count > 0) {
            let (reason, detail) = match *code {
                FITS | UNKNOWN => continue,
                ROLE => (Reason::UnfulfilledRole, None),
                MAINTENANCE => (Reason::AgentMaintenance, None),
                EXECUTOR => (Reason::MissingExecutor, Some("missing executor docker".to_owned())),
                CPUS => (Reason::InsufficientCpus, None),
                MEMORY => (Reason::InsufficientMemory, None),
                DISK => (Reason::InsufficientDisk, None),
                GPUS => (Reason::InsufficientGpus, None),
                TASKS => (Reason::TooManyTasks, None),
                NO_PORT => (Reason::InsufficientPorts, Some("no free host port".to_owned())),
                PORTS.. => (Reason::InsufficientPorts, Some(format!("required port {}", code - PORTS))),
                _ => {
                    let constraint = app.constraints.get((code - DETAILS) as usize);
                    (Reason::UnfulfilledConstraint, constraint.map(|constraint| format!("constraint {constraint}")))
                }
            };
            *refusals.by_reason.entry(reason).or_default() += count;
            if let Some(detail) = detail {
                *refusals.details.entry(detail).or_default() += count;
            }
        }
        refusals.hint = self.nearest.first().map(|(lack, resource, _, slot)| {
            let resource = match resource {
                0 => "MiB of disk",
                1 => "MiB of memory",
                _ => "cpus",
            };
            let (lack, node) = (Scalar::from_thousandths(*lack), &rows.cold[*slot as usize].id);
            format!("it would fit with {lack} more {resource} on node {node}")
        });
        refusals
    }
}

/// How much a node lacks of the resource it was refused for.
fn lack(need: &Free, rows: &Rows, slot: u32, code: Code) -> Option<Lack> {
    let free = &rows.hot[slot as usize].free;
    let (amount, resource) = match code {
        CPUS => (need.cpus.saturating_sub(free.cpus), 2),
        MEMORY => (need.mem.saturating_sub(free.mem), 1),
        DISK => (need.disk.saturating_sub(free.disk), 0),
        _ => return None,
    };
    Some((amount, resource, rows.rank_of(slot), slot))
}

/// The first reason against a node, in the order of [`Reason`].
fn code(trial: &Trial<'_>, slot: u32) -> Code {
    let (hot, need) = (&trial.rows.hot[slot as usize], &trial.demand.need);
    if trial.rows.nodes[slot as usize].is_none() {
        return UNKNOWN;
    }
    if !trial.roles.contains(&hot.role) {
        return ROLE;
    }
    if let Some(index) = trial.filter.refusing(trial.config(), slot, ALL) {
        return DETAILS.saturating_add(index as u32).min(PORTS - 1);
    }
    for (refused, code) in [
        (!hot.open, MAINTENANCE),
        (trial.demand.docker && !hot.docker, EXECUTOR),
        (need.cpus > hot.free.cpus, CPUS),
        (need.mem > hot.free.mem, MEMORY),
        (need.disk > hot.free.disk, DISK),
        (need.gpus > hot.free.gpus, GPUS),
    ] {
        if refused {
            return code;
        }
    }
    match trial.rows.cold[slot as usize].ports.choose(&trial.demand.requests, &trial.demand.fixed, 0) {
        Ok(_) if hot.free.tasks < need.tasks => TASKS,
        Ok(_) => FITS,
        Err(index) => match trial.demand.requests.get(index) {
            Some(Some(port)) if *port != 0 => PORTS + u32::from(*port),
            _ => NO_PORT,
        },
    }
}
