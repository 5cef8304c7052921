//! Why no node takes one more, in words.

use super::answer::{
    ALONE, CPUS, CUSTOM, Code, DETAILS, DISK, EXECUTOR, FITS, GPUS, MAINTENANCE, MEMORY, NO_PORT, PORTS, ROLE, TASKS, UNKNOWN,
    UNOFFERED, all_against, ports_lacking, short,
};
use super::memo::Memo;
use super::trial::Trial;
use crate::Scalar;
use crate::app::App;
use crate::placement::refusal::{proviso, reserved_words};
use crate::placement::{Reason, Refusals};
use std::cmp::Reverse;

/// Nodes that are looked at closely where none has but one thing in the way.
const LOOKED_AT_MAX: usize = 64;

impl Memo {
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
        refusals.hint = match (self.nearest.lacks.first(), helped) {
            (Some((_, _, code, _, slot)), _) => {
                let more = lacking(app, trial, *slot, *code);
                Some(format!("it would fit with {more} on node {}", trial.rows.cold[*slot as usize].id))
            }
            (None, Some((count, Reverse(code)))) => Some(change(code, count, app, trial)),
            (None, None) => several(app, trial),
        };
        refusals
    }
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
        (ROLE, _) => format!("it would fit on {nodes} if it accepted their resource roles{}", proviso(app, None)),
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
        (_, Some(words)) => {
            let other = proviso(app, Some((code - DETAILS) as usize));
            format!("it would fit on {nodes} without {words}{other}")
        }
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
        (CPUS..=NO_PORT | CUSTOM.., _) => format!("with {}", lacking(app, trial, slot, *code)),
        (_, words) => format!("without {}", words.unwrap_or_default()),
    };
    let mut parts: Vec<String> = all.iter().map(words).collect();
    let last = parts.pop()?;
    let first = if parts.is_empty() { String::new() } else { format!("{} and ", parts.join(", ")) };
    Some(format!("it would fit on node {} {first}{last}", trial.rows.cold[slot as usize].id))
}

/// What a node would have to have more.
fn lacking(app: &App, trial: &Trial<'_>, slot: u32, code: Code) -> String {
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
            let reserved = if trial.rows.is_only_reserved_on(slot) { reserved_words(app) } else { String::new() };
            format!("{}{reserved}", parts.join(" and "))
        }
    }
}
