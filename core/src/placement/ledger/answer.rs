//! What one node says to one more task, as a number.

use super::demand::Demand;
use super::free::Free;
use super::trial::{ALL, Trial};
use crate::placement::Reason;

/// What a node says, as a number: reasons below [`DETAILS`], then demands, then ports and resources.
pub(crate) type Code = u32;

pub(crate) const FITS: Code = 0;
pub(crate) const UNKNOWN: Code = 1;
pub(crate) const ROLE: Code = 2;
pub(crate) const MAINTENANCE: Code = 3;
pub(crate) const EXECUTOR: Code = 4;
pub(crate) const CPUS: Code = 5;
pub(crate) const MEMORY: Code = 6;
pub(crate) const DISK: Code = 7;
pub(crate) const GPUS: Code = 8;
pub(crate) const NO_PORT: Code = 9;
pub(crate) const TASKS: Code = 10;
pub(crate) const DETAILS: Code = 11;
/// A certain host port that is taken.
pub(crate) const PORTS: Code = 1 << 20;
/// A certain host port that the node does not offer.
pub(crate) const UNOFFERED: Code = PORTS + (1 << 16);
/// Resource with a name of its own, by its place among those needed.
pub(crate) const CUSTOM: Code = 1 << 21;
/// Nothing else is in the way; too little of several of cpus, memory, disk and GPUs counts as one thing.
pub(crate) const ALONE: Code = 1 << 24;

/// What is against a node but demands, resources with names of their own and certain host ports: a bit for each of
/// [`PLAIN`], in the order of [`Reason`].
type Bits = u16;

const PLAIN: [Code; 9] = [ROLE, MAINTENANCE, EXECUTOR, CPUS, MEMORY, DISK, GPUS, NO_PORT, TASKS];
const ROLE_BIT: Bits = 1;
/// Too little of cpus, memory, disk or GPUs, which is one thing.
const ROOM_BITS: Bits = 0b111_1000;
/// Those that come before resources with names of their own.
const EARLY_BITS: Bits = 0b111_1111;

/// What a node says of which nothing else is known, by its bits.
static SAID: [Code; 1 << PLAIN.len()] = said();

const fn said() -> [Code; 1 << PLAIN.len()] {
    let mut said = [FITS; 1 << PLAIN.len()];
    let mut bits: usize = 1;
    while bits < said.len() {
        let room = bits as Bits & ROOM_BITS;
        let things = (bits as Bits & !ROOM_BITS).count_ones() + (room != 0) as u32;
        let first = PLAIN[bits.trailing_zeros() as usize];
        said[bits] = if things == 1 { first | ALONE } else { first };
        bits += 1;
    }
    said
}

fn bits(trial: &Trial<'_>, slot: u32) -> Bits {
    let (rows, demand) = (&trial.rows, trial.demand);
    let (hot, free, need) = (&rows.hot[slot as usize], rows.free(slot), &demand.need);
    let no_port = if demand.fixed.is_empty() { need.ports > free.ports } else { ports_lacking(trial, slot) > 0 };
    let kin = [!trial.roles.contains(&rows.role_on(slot)), !hot.open, demand.docker && !hot.docker];
    bits_of(need, kin, &free, no_port)
}

/// What is against a node of which is known what is not about amounts: its role, whether it is closed, its executors.
fn bits_of(need: &Free, [role, closed, executor]: [bool; 3], free: &Free, no_port: bool) -> Bits {
    let against = [
        role,
        closed,
        executor,
        need.cpus > free.cpus,
        need.mem > free.mem,
        need.disk > free.disk,
        need.gpus > free.gpus,
        no_port,
        need.tasks > free.tasks,
    ];
    against.into_iter().zip(0..).fold(0, |bits, (is_against, at)| bits | Bits::from(is_against) << at)
}

/// The code of a demand, by its place.
fn demand_code(index: usize) -> Code {
    DETAILS.saturating_add(index as u32).min(PORTS - 1)
}

/// The first reason against a node, in the order of [`Reason`], and whether it is the only one. Too little of
/// several of cpus, memory, disk and GPUs is one reason, and of demands at most two are looked at.
pub(crate) fn code(trial: &Trial<'_>, slot: u32) -> Code {
    if trial.rows.nodes[slot as usize].is_none() {
        return UNKNOWN;
    }
    let (bits, demand) = (bits(trial, slot), trial.demand);
    let said = SAID[usize::from(bits)];
    if trial.filter.len() == 0 && demand.is_plain() {
        return said;
    }
    let lacks_custom =
        |(_, (name, amount)): &(Code, (&String, &crate::Scalar))| trial.rows.custom_free(slot, name) < amount.thousandths();
    let custom = || (0..).zip(&demand.custom).filter(lacks_custom).map(|(index, _)| CUSTOM + index);
    if let Some(index) = trial.filter.refusing(trial.counts(), slot, ALL) {
        let is_alone = bits == 0
            && trial.filter.refusing(trial.counts(), slot, index).is_none()
            && custom().next().is_none()
            && fixed(trial, slot).next().is_none();
        return refused(bits, index, is_alone);
    }
    let mut others = custom().chain(fixed(trial, slot));
    if bits & EARLY_BITS > 0 {
        return if said & ALONE > 0 && others.next().is_some() { said & !ALONE } else { said };
    }
    match (others.next(), others.next()) {
        (None, _) => said,
        (Some(first), None) if bits == 0 => first | ALONE,
        (Some(first), _) => first,
    }
}

/// What a node says of which a demand is the first that refuses.
fn refused(bits: Bits, index: usize, is_alone: bool) -> Code {
    let first = if bits & ROLE_BIT > 0 { ROLE } else { demand_code(index) };
    if bits == 0 && is_alone { first | ALONE } else { first }
}

/// What nodes have in common beside what is free on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kin {
    pub(crate) has_role: bool,
    pub(crate) open: bool,
    pub(crate) docker: bool,
    /// The first demand that refuses them, and whether no other one does.
    pub(crate) refused: Option<(usize, bool)>,
}

/// What all nodes say that have in common what `kin` tells, and on which at least and at most so much is free; nothing
/// when they may say one thing or another.
pub(crate) fn code_of_all(demand: &Demand, kin: Kin, least: &Free, most: &Free) -> Option<Code> {
    let against = |free: &Free, no_port: bool| {
        bits_of(&demand.need, [!kin.has_role, !kin.open, demand.docker && !kin.docker], free, no_port)
    };
    // Certain host ports may be missing where others are free.
    let sure = against(most, demand.fixed.is_empty() && demand.need.ports > most.ports);
    let perhaps = against(least, !demand.fixed.is_empty() || demand.need.ports > least.ports);
    let said =
        |bits: Bits| kin.refused.map_or_else(|| SAID[usize::from(bits)], |(index, is_alone)| refused(bits, index, is_alone));
    // With more against them nodes do not say something later, and are no more alone with it.
    let code = said(sure);
    let is_sure = demand.is_plain() || code & ALONE == 0 && (kin.refused.is_some() || sure & EARLY_BITS > 0);
    (is_sure && code == said(perhaps)).then_some(code)
}

/// Whether too little of something is what a node says first, so that all else is as it should be.
pub(crate) const fn is_about_room(code: Code) -> bool {
    matches!(code & !ALONE, CPUS..=TASKS | PORTS..)
}

/// The reason that a code stands for; none when the node would take the task or is not known.
pub(crate) const fn reason_of(code: Code) -> Option<Reason> {
    Some(match code & !ALONE {
        FITS | UNKNOWN => return None,
        ROLE => Reason::UnfulfilledRole,
        MAINTENANCE => Reason::AgentMaintenance,
        EXECUTOR => Reason::MissingExecutor,
        CPUS => Reason::InsufficientCpus,
        MEMORY => Reason::InsufficientMemory,
        DISK => Reason::InsufficientDisk,
        GPUS => Reason::InsufficientGpus,
        TASKS => Reason::TooManyTasks,
        CUSTOM.. => Reason::InsufficientResources,
        NO_PORT | PORTS.. => Reason::InsufficientPorts,
        _ => Reason::UnfulfilledConstraint,
    })
}

/// What is short of cpus, memory, disk and GPUs, in thousandths. Where tasks take more than the node has, that is
/// missing as well.
pub(crate) fn short(trial: &Trial<'_>, slot: u32) -> [i64; 4] {
    let (need, free) = (&trial.demand.need, trial.rows.free(slot));
    let lack = |need: i64, free: i64, over: i64| if need > free { (need - free).saturating_add(over) } else { 0 };
    let over = trial.rows.overdraft(slot);
    [
        lack(need.cpus, free.cpus, over[0]),
        lack(need.mem, free.mem, over[1]),
        lack(need.disk, free.disk, over[2]),
        lack(i64::from(need.gpus) * 1_000, i64::from(free.gpus) * 1_000, over[3].saturating_mul(1_000)),
    ]
}

/// Everything that is against a node, in the order of [`Reason`]; too little of several of cpus, memory, disk and
/// GPUs is one thing.
pub(crate) fn all_against(trial: &Trial<'_>, slot: u32) -> Vec<Code> {
    let (rows, demand) = (&trial.rows, trial.demand);
    let (hot, free) = (&rows.hot[slot as usize], rows.free(slot));
    let mut all = Vec::new();
    let mut note = |is_against: bool, code: Code| all.extend(is_against.then_some(code));
    note(!trial.roles.contains(&rows.role_on(slot)), ROLE);
    for index in trial.filter.all_refusing(trial.counts(), slot) {
        note(true, demand_code(index));
    }
    note(!hot.open, MAINTENANCE);
    note(demand.docker && !hot.docker, EXECUTOR);
    if let Some((code, _)) = (CPUS..).zip(short(trial, slot)).find(|(_, lack)| *lack > 0) {
        note(true, code);
    }
    for (index, (name, amount)) in (0..).zip(&demand.custom) {
        note(rows.custom_free(slot, name) < amount.thousandths(), CUSTOM + index);
    }
    for code in fixed(trial, slot) {
        note(true, code);
    }
    note(ports_lacking(trial, slot) > 0, NO_PORT);
    note(free.tasks < demand.need.tasks, TASKS);
    all
}

/// Each certain host port of a node that cannot be had.
fn fixed(trial: &Trial<'_>, slot: u32) -> impl Iterator<Item = Code> {
    let taken = trial.demand.fixed.iter().copied().filter(move |port| !trial.rows.has_port(slot, *port));
    let offers = move |port| trial.rows.cold[slot as usize].ports.offers(port);
    taken.map(move |port| if offers(port) { PORTS } else { UNOFFERED } + u32::from(port))
}

/// How many host ports are missing beside certain ones.
pub(crate) fn ports_lacking(trial: &Trial<'_>, slot: u32) -> u32 {
    let fixed = &trial.demand.fixed;
    let free_fixed = fixed.iter().filter(|port| trial.rows.has_port(slot, **port)).count() as u32;
    let others = trial.demand.need.ports - fixed.len() as u32;
    others.saturating_sub(trial.rows.free(slot).ports.saturating_sub(free_fixed))
}
