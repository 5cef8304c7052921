//! Choosing the seats of one batch: which streams to follow, and the best head among them.

use super::Strategy;
use super::cost::Cost;
use super::filter::{Door, Filter};
use super::rows::pack_group;
use super::stream::{Others, Stream};
use super::tree::{NONE, Tree};
use super::trial::{ALL, Score, Trial};
use crate::instance::Seat;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nodes below which a list of matching nodes is always followed one by one.
const SHORT_LIST: usize = 64;

/// Trees a batch may follow; for packing used and empty nodes apart, and by shape.
pub(crate) struct Trees<'a> {
    /// All nodes, by role; none when no plan asks for them.
    pub(crate) all: &'a Tree,
    /// By field and value.
    pub(crate) by_field: Vec<(u32, &'a Tree)>,
    /// Fields that group nodes which are liked alike.
    pub(crate) classes: Vec<u32>,
    /// The classes have no trees of their own: they are picked out of all nodes.
    pub(crate) picks: bool,
    /// Fields that all nodes of a class have the same value of.
    pub(crate) shared: Vec<u32>,
}

/// How a batch looks for nodes.
enum Plan<'a> {
    /// The trees of these roles.
    Roles,
    /// These nodes one by one.
    List(Vec<u32>),
    /// The trees of the values that this constraint lets in.
    Values(usize, &'a Tree),
    /// The trees of the nodes that are liked alike, by values of this field.
    Classes(u32, &'a Tree),
    /// The same, picked out of the trees of the roles.
    Picked(u32),
}

/// Finds up to `count` seats; fewer when no node accepts one more.
pub(crate) fn run(trial: &mut Trial<'_>, trees: &Trees<'_>, count: usize, salt: u64, cost: &mut Cost) -> Vec<Seat> {
    let mut seats = Vec::new();
    while seats.len() < count {
        let before = seats.len();
        let done = follow(trial, trees, count, salt, &mut seats, cost);
        if done || seats.len() == before {
            break;
        }
    }
    seats
}

/// Follows one plan until it is worth making another; `true` when there are no more seats.
fn follow(trial: &mut Trial<'_>, trees: &Trees<'_>, count: usize, salt: u64, seats: &mut Vec<Seat>, cost: &mut Cost) -> bool {
    let plan = plan(trial, trees, count - seats.len());
    let (mut streams, values) = streams(trial, trees, &plan, cost);
    let (tree, leader) = match plan {
        Plan::Values(index, tree) => (tree, index),
        Plan::Classes(_, tree) => (tree, ALL),
        Plan::Roles | Plan::List(_) | Plan::Picked(_) => (trees.all, ALL),
    };
    // Nodes of a class are refused together by what all of them share.
    let class = if let Plan::Classes(field, _) | Plan::Picked(field) = plan { Some(field) } else { None };
    let wishes = !trial.filter.wishes.is_empty();
    // A GROUP_BY that rules the streams is handled by letting streams wait; any other change of
    // what is accepted needs a new plan.
    let waits_only = leader != ALL && trial.filter.is_level(leader) && trial.filter.len_levels() == 1;
    let mut ready: BinaryHeap<Reverse<(Score, usize)>> = BinaryHeap::new();
    let mut waiting: Vec<usize> = Vec::new();
    for index in 0..streams.len() {
        enter(index, &mut streams, &values, leader, class, &trees.shared, tree, trial, &mut ready, &mut waiting, cost);
    }
    while seats.len() < count {
        let Some(Reverse((_, index))) = ready.pop() else { return true };
        cost.heap += 1;
        let Some((score, slot)) = streams[index].head else { continue };
        // Wishes may like a node less by now.
        if wishes {
            let now = trial.score(slot);
            if now != score {
                streams[index].head = Some((now, slot));
                ready.push(Reverse((now, index)));
                continue;
            }
        }
        // Heads found before the last seat was taken may be refused by now.
        let waits = leader != ALL && door(trial, leader, values[index]) != Door::Open;
        if waits || (streams.len() > 1 && !trial.accepts(slot, leader)) {
            enter(index, &mut streams, &values, leader, class, &trees.shared, tree, trial, &mut ready, &mut waiting, cost);
            continue;
        }
        let Some((host_ports, turned)) = trial.take(slot, salt.wrapping_add(seats.len() as u64), cost) else { continue };
        seats.push(Seat { node: trial.rows.cold[slot as usize].id.clone(), host_ports: host_ports.into() });
        if turned && !waits_only {
            return false;
        }
        streams[index].taken(trial, cost);
        enter(index, &mut streams, &values, leader, class, &trees.shared, tree, trial, &mut ready, &mut waiting, cost);
        if turned {
            for index in std::mem::take(&mut waiting) {
                enter(index, &mut streams, &values, leader, class, &trees.shared, tree, trial, &mut ready, &mut waiting, cost);
            }
        }
    }
    true
}

/// Puts a stream where it belongs: among those with a node to offer, among those that wait, or away.
#[expect(clippy::too_many_arguments, reason = "one step of the loop above")]
fn enter(
    index: usize,
    streams: &mut [Stream<'_>],
    values: &[u32],
    leader: usize,
    class: Option<u32>,
    shared: &[u32],
    tree: &Tree,
    trial: &Trial<'_>,
    ready: &mut BinaryHeap<Reverse<(Score, usize)>>,
    waiting: &mut Vec<usize>,
    cost: &mut Cost,
) {
    if leader != ALL {
        match door(trial, leader, values[index]) {
            Door::Open => {}
            Door::Waits => {
                waiting.push(index);
                return;
            }
            Door::Shut => return,
        }
    }
    if let Some(field) = class
        && let Some(first) = values.get(index).and_then(|value| trial.fields.get(field).members[*value as usize].first())
        && trial.filter.refuses_by(trial.counts(), *first, shared)
    {
        return;
    }
    streams[index].advance(tree, trial, cost);
    if let Some((score, _)) = streams[index].head {
        cost.heap += 1;
        ready.push(Reverse((score, index)));
    }
}

fn door(trial: &Trial<'_>, leader: usize, value: u32) -> Door {
    trial.filter.door(trial.counts(), leader, value)
}

/// Chooses the cheapest way that cannot miss the best node.
fn plan<'a>(trial: &Trial<'_>, trees: &Trees<'a>, count: usize) -> Plan<'a> {
    let filter = &trial.filter;
    if filter.len() == 0 && filter.wishes.is_empty() {
        return Plan::Roles;
    }
    let all = trial.rows.hot.len();
    let mut shortest: Option<(usize, usize)> = None;
    for index in 0..filter.len() {
        let Some(values) = filter.fixed_values(index) else { continue };
        let members = &trial.fields.get(filter.field(index)).members;
        let nodes: usize = values.iter().map(|value| members[*value as usize].len()).sum();
        if shortest.is_none_or(|(_, least)| nodes < least) {
            shortest = Some((index, nodes));
        }
    }
    let list = |index: usize| {
        let members = &trial.fields.get(filter.field(index)).members;
        let values = filter.fixed_values(index).unwrap_or_default();
        Plan::List(values.iter().flat_map(|value| members[*value as usize].iter().copied()).collect())
    };
    if let Some((index, nodes)) = shortest
        && nodes <= SHORT_LIST
    {
        return list(index);
    }
    let tree = |index: usize| {
        let field = filter.field(index);
        trees.by_field.iter().find(|(have, _)| *have == field).map(|(_, tree)| *tree)
    };
    let packs = trial.strategy == Strategy::Binpack;
    if !filter.wishes.is_empty() {
        if let Some((index, nodes)) = shortest
            && nodes <= all / 8
            && nodes <= 4 * count + SHORT_LIST
        {
            return list(index);
        }
        if let Some(class) = trees.classes.first().filter(|_| trees.picks) {
            return Plan::Picked(*class);
        }
        let classes = || trees.classes.iter().find_map(|field| trees.by_field.iter().find(|(have, _)| have == field).copied());
        return match classes() {
            Some((field, tree)) => Plan::Classes(field, tree),
            None => Plan::List((0..all as u32).collect()),
        };
    }
    if !packs && let Some(index) = (0..filter.len()).find(|index| filter.is_level(*index)) {
        return match tree(index) {
            Some(tree) => Plan::Values(index, tree),
            None => Plan::Roles,
        };
    }
    if let Some((index, nodes)) = shortest
        && nodes <= all / 8
        && nodes <= 4 * count + SHORT_LIST
        && (packs || tree(index).is_none())
    {
        return list(index);
    }
    if packs {
        return Plan::Roles;
    }
    // Passing over nodes that a constraint refuses could mean all of them.
    let leads = |index: &usize| filter.leads(*index);
    let led = shortest.into_iter().map(|(index, _)| index).chain((0..filter.len()).filter(leads));
    match led.into_iter().find_map(|index| Some((index, tree(index)?))) {
        Some((index, tree)) => Plan::Values(index, tree),
        None => Plan::Roles,
    }
}

/// Whether [`plan`] never asks for the order of all nodes when the named constraints have trees.
pub(crate) fn is_led(filter: &Filter<'_>, has_tree: impl Fn(u32) -> bool) -> bool {
    match (0..filter.len()).find(|index| filter.is_level(*index)) {
        Some(index) => has_tree(filter.field(index)),
        None => (0..filter.len()).any(|index| filter.leads(index) && has_tree(filter.field(index))),
    }
}

/// The groups of all nodes that may be used, for packing.
fn packed(trial: &Trial<'_>) -> impl Iterator<Item = (u32, bool)> {
    trial.roles.iter().flat_map(|role| [false, true].map(|empty| (pack_group(*role, empty), empty)))
}

/// The streams of a plan, and the value of each where a constraint leads them.
fn streams<'s>(trial: &Trial<'s>, trees: &Trees<'_>, plan: &Plan<'_>, cost: &mut Cost) -> (Vec<Stream<'s>>, Vec<u32>) {
    match plan {
        Plan::Roles => {
            if trial.strategy == Strategy::Binpack {
                return (vec![Stream::of_packing(trees.all, packed(trial), trial, |_| true)], Vec::new());
            }
            let of = |role: &u32| Stream::of_tree(trees.all, *role, Others::OfRole(*role), ALL);
            (trial.roles.iter().map(of).collect(), Vec::new())
        }
        Plan::List(slots) => {
            cost.scans += slots.len() as u64;
            (vec![Stream::of_list(slots.iter().copied(), ALL, trial, cost)], Vec::new())
        }
        Plan::Values(index, tree) => {
            let field = trial.fields.get(trial.filter.field(*index));
            let all: Vec<u32>;
            let values = if let Some(values) = trial.filter.fixed_values(*index) {
                values
            } else {
                all = (0..field.len() as u32).collect();
                &all
            };
            cost.scans += values.len() as u64;
            let values: Vec<u32> = values.iter().copied().filter(|value| tree.root(*value) != NONE).collect();
            let of = |value: &u32| {
                let members = Others::Among(&field.members[*value as usize]);
                Stream::of_tree(tree, *value, members, *index)
            };
            (values.iter().map(of).collect(), values)
        }
        Plan::Classes(number, tree) => {
            let field = trial.fields.get(*number);
            cost.scans += field.len() as u64;
            let all = 0..field.len() as u32;
            if trial.strategy == Strategy::Binpack {
                let groups = |value: u32| [false, true].map(|empty| (pack_group(value, empty), empty));
                let there = |value: &u32| groups(*value).into_iter().any(|(group, _)| tree.root(group) != NONE);
                let values: Vec<u32> = all.filter(there).collect();
                let of = |value: &u32| {
                    let touched = |slot: u32| field.value(slot) == *value;
                    Stream::of_packing(tree, groups(*value).into_iter(), trial, touched)
                };
                return (values.iter().map(of).collect(), values);
            }
            let values: Vec<u32> = all.filter(|value| tree.root(*value) != NONE).collect();
            let of = |value: &u32| Stream::of_tree(tree, *value, Others::Among(&field.members[*value as usize]), ALL);
            (values.iter().map(of).collect(), values)
        }
        Plan::Picked(number) => {
            let field = trial.fields.get(*number);
            cost.scans += field.len() as u64;
            // Nodes without any of the fields have a value too: that they have none.
            let mut of_roles = (Vec::new(), Vec::new());
            for value in (0..field.len() as u32).filter(|value| !field.members[*value as usize].is_empty()) {
                let streams: Vec<Stream<'s>> = if trial.strategy == Strategy::Binpack {
                    vec![Stream::of_packing(trees.all, packed(trial), trial, |slot| field.value(slot) == value)]
                } else {
                    trial.roles.iter().map(|role| Stream::of_tree(trees.all, *role, Others::OfRole(*role), ALL)).collect()
                };
                of_roles.1.resize(of_roles.1.len() + streams.len(), value);
                of_roles.0.extend(streams.into_iter().map(|stream| stream.picking(field, value)));
            }
            of_roles
        }
    }
}
