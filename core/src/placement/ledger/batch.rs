//! Choosing the seats of one batch: which streams to follow, and the best head among them.

use super::Strategy;
use super::cost::Cost;
use super::filter::{Door, Filter};
use super::rows::pack_group;
use super::stream::{Others, Stream};
use super::tree::NONE;
use super::trees::{Grouped, Trees};
use super::trial::{ALL, Score, Trial};
use crate::instance::Seat;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nodes below which a list of matching nodes is always followed one by one.
const SHORT_LIST: usize = 64;

/// How a batch looks for nodes.
enum Plan<'a> {
    /// The trees of these roles.
    Roles,
    /// These nodes one by one.
    List(Vec<u32>),
    /// The trees of the values that this constraint lets in.
    Values(usize, Grouped<'a>),
    /// The trees of the nodes that are liked alike.
    Classes(Grouped<'a>),
    /// The trees of the roles, for nodes that are not disliked.
    Liked,
}

/// What came of following a plan.
enum Followed {
    /// There are no more seats.
    Done,
    /// Another plan is better from here on.
    Turned,
    /// Other trees are needed: these do not tell enough, or looking among all nodes costs more.
    Dear,
}

/// Finds up to `count` seats, fewer when no node accepts one more. Nothing when these trees will
/// not do: what was taken by then is to be undone.
pub(crate) fn run(trial: &mut Trial<'_>, trees: &Trees<'_>, count: usize, salt: u64, cost: &mut Cost) -> Option<Vec<Seat>> {
    let mut seats = Vec::new();
    while seats.len() < count {
        let before = seats.len();
        match follow(trial, trees, count, salt, &mut seats, cost) {
            Followed::Dear => return None,
            Followed::Turned if seats.len() > before => {}
            Followed::Done | Followed::Turned => break,
        }
    }
    Some(seats)
}

/// Follows one plan until it is worth making another.
fn follow(trial: &mut Trial<'_>, trees: &Trees<'_>, count: usize, salt: u64, seats: &mut Vec<Seat>, cost: &mut Cost) -> Followed {
    let plan = plan(trial, trees, count - seats.len());
    let (mut streams, values) = streams(trial, trees, &plan, cost);
    let leader = if let Plan::Values(index, _) = plan { index } else { ALL };
    // Nodes of a class are refused together by what all of them share.
    let class = if let Plan::Classes(grouped) = plan { Some(grouped.field) } else { None };
    let wishes = !trial.filter.wishes.is_empty();
    // A GROUP_BY that rules the streams is handled by letting streams wait; any other change of
    // what is accepted needs a new plan.
    let waits_only = leader != ALL && trial.filter.is_level(leader) && trial.filter.len_levels() == 1;
    let mut ready: BinaryHeap<Reverse<(Score, usize)>> = BinaryHeap::new();
    let mut waiting: Vec<usize> = Vec::new();
    // Classes are looked into when it is their turn by how little they are liked.
    let mut closed = vec![class.is_some(); streams.len()];
    for index in 0..streams.len() {
        if let Some(field) = class {
            cost.heap += 1;
            let first = trial.fields.get(field).members[values[index] as usize].first();
            ready.extend(first.map(|slot| Reverse(((trial.dislike(*slot), 0, 0), index))));
        } else {
            enter(index, &mut streams, &values, leader, class, &trees.shared, trial, &mut ready, &mut waiting, cost);
        }
    }
    while seats.len() < count {
        let Some(Reverse((_, index))) = ready.pop() else { break };
        cost.heap += 1;
        if std::mem::take(&mut closed[index]) {
            enter(index, &mut streams, &values, leader, class, &trees.shared, trial, &mut ready, &mut waiting, cost);
            continue;
        }
        if streams[index].is_dear() {
            return Followed::Dear;
        }
        let Some((score, slot)) = streams[index].head else { continue };
        // Wishes may like a node less by now.
        if wishes {
            let now = trial.score(slot);
            if now != score && matches!(plan, Plan::Liked) {
                enter(index, &mut streams, &values, leader, class, &trees.shared, trial, &mut ready, &mut waiting, cost);
                continue;
            }
            if now != score {
                streams[index].head = Some((now, slot));
                ready.push(Reverse((now, index)));
                continue;
            }
        }
        // Heads found before the last seat was taken may be refused by now.
        let waits = leader != ALL && door(trial, leader, values[index]) != Door::Open;
        if waits || (streams.len() > 1 && !trial.accepts(slot, leader)) {
            enter(index, &mut streams, &values, leader, class, &trees.shared, trial, &mut ready, &mut waiting, cost);
            continue;
        }
        let Some((host_ports, turned)) = trial.take(slot, salt.wrapping_add(seats.len() as u64), cost) else { continue };
        seats.push(Seat { node: trial.rows.cold[slot as usize].id.clone(), host_ports: host_ports.into() });
        if seats.len() == count {
            break;
        }
        if turned && !waits_only {
            return Followed::Turned;
        }
        streams[index].taken(trial, cost);
        enter(index, &mut streams, &values, leader, class, &trees.shared, trial, &mut ready, &mut waiting, cost);
        if turned {
            for index in std::mem::take(&mut waiting) {
                enter(index, &mut streams, &values, leader, class, &trees.shared, trial, &mut ready, &mut waiting, cost);
            }
        }
    }
    // Nodes that are liked less may take the rest.
    if matches!(plan, Plan::Liked) && seats.len() < count { Followed::Dear } else { Followed::Done }
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
    if !streams[index].is_dear() {
        streams[index].advance(trial, cost);
    }
    if streams[index].is_dear() {
        // Told before anybody else's turn.
        ready.push(Reverse(((i64::MIN, 0, 0), index)));
        return;
    }
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
    let grouped = |field: u32| trees.grouped.iter().find(|grouped| grouped.field == field).copied();
    let of = |index: usize| grouped(filter.field(index));
    let packs = trial.strategy == Strategy::Binpack;
    if !filter.wishes.is_empty() {
        if let Some((index, nodes)) = shortest
            && nodes <= all / 8
            && nodes <= 4 * count + SHORT_LIST
        {
            return list(index);
        }
        if trees.by_level {
            return Plan::Liked;
        }
        return match trees.class.and_then(grouped) {
            Some(grouped) => Plan::Classes(grouped),
            None => Plan::List((0..all as u32).collect()),
        };
    }
    if !packs && let Some(index) = (0..filter.len()).find(|index| filter.is_level(*index)) {
        return match of(index) {
            Some(grouped) => Plan::Values(index, grouped),
            None => Plan::Roles,
        };
    }
    if let Some((index, nodes)) = shortest
        && nodes <= all / 8
        && nodes <= 4 * count + SHORT_LIST
        && (packs || of(index).is_none())
    {
        return list(index);
    }
    if packs {
        return Plan::Roles;
    }
    // Passing over nodes that a constraint refuses could mean all of them.
    let leads = |index: &usize| filter.leads(*index, count);
    let led = shortest.into_iter().map(|(index, _)| index).chain((0..filter.len()).filter(leads));
    match led.into_iter().find_map(|index| Some((index, of(index)?))) {
        Some((index, grouped)) => Plan::Values(index, grouped),
        None => Plan::Roles,
    }
}

/// Whether [`plan`] never asks for the order of all nodes when the named constraints have trees. That holds for
/// the whole batch, though fewer tasks are left later: what depends on their number ends with the first seat.
pub(crate) fn is_led(filter: &Filter<'_>, count: usize, has_tree: impl Fn(u32) -> bool) -> bool {
    match (0..filter.len()).find(|index| filter.is_level(*index)) {
        Some(index) => has_tree(filter.field(index)),
        None => (0..filter.len()).any(|index| filter.leads(index, count) && has_tree(filter.field(index))),
    }
}

/// The groups of all nodes that may be used, for packing.
fn packed(trial: &Trial<'_>) -> impl Iterator<Item = (u32, bool)> {
    trial.roles.iter().flat_map(|role| [false, true].map(|empty| (pack_group(*role, empty), empty)))
}

/// The nodes of all trees in the order of the strategy: a stream, or one for each role.
fn ordered<'s>(trial: &Trial<'s>, trees: &Trees<'s>, except: usize, is_mine: impl Fn(u32) -> bool) -> Vec<Stream<'s>> {
    let Some(all) = trees.all else {
        debug_assert!(false, "a plan asks for the order of all nodes, which is not there");
        return Vec::new();
    };
    if trial.strategy == Strategy::Binpack {
        return vec![Stream::of_packing(all, packed(trial), trial, is_mine)];
    }
    trial.roles.iter().map(|role| Stream::of_tree(all, *role, Others::OfRole(*role), except)).collect()
}

/// The streams of a plan, and the value of each where one leads them.
fn streams<'s>(trial: &Trial<'s>, trees: &Trees<'s>, plan: &Plan<'s>, cost: &mut Cost) -> (Vec<Stream<'s>>, Vec<u32>) {
    match plan {
        Plan::Roles => (ordered(trial, trees, ALL, |_| true), Vec::new()),
        Plan::Liked => {
            let of_all = ordered(trial, trees, ALL, |slot| trial.dislike(slot) == 0).into_iter();
            (of_all.map(|stream| stream.liked(trees.budget)).collect(), Vec::new())
        }
        Plan::List(slots) => {
            cost.scans += slots.len() as u64;
            (vec![Stream::of_list(slots.iter().copied(), ALL, trial, cost)], Vec::new())
        }
        Plan::Values(index, grouped) => {
            let number = trial.filter.field(*index);
            let field = trial.fields.get(number);
            let all: Vec<u32>;
            let values = if let Some(values) = trial.filter.fixed_values(*index) {
                values
            } else {
                all = (0..field.len() as u32).collect();
                &all
            };
            by_value(trial, trees, *grouped, values, *index, cost)
        }
        Plan::Classes(grouped) => {
            let values: Vec<u32> = (0..trial.fields.get(grouped.field).len() as u32).collect();
            by_value(trial, trees, *grouped, &values, ALL, cost)
        }
    }
}

/// The streams of these values of a field, and the value of each.
fn by_value<'s>(
    trial: &Trial<'s>,
    trees: &Trees<'s>,
    grouped: Grouped<'s>,
    values: &[u32],
    except: usize,
    cost: &mut Cost,
) -> (Vec<Stream<'s>>, Vec<u32>) {
    let field = trial.fields.get(grouped.field);
    let packs = trial.strategy == Strategy::Binpack;
    cost.scans += values.len() as u64;
    let (mut streams, mut of) = (Vec::new(), Vec::new());
    for value in values.iter().copied().filter(|value| !field.members[*value as usize].is_empty()) {
        let is_mine = |slot: u32| field.value(slot) == value;
        let groups = || [false, true].map(|empty| (pack_group(value, empty), empty)).into_iter();
        match grouped.tree.filter(|_| grouped.way.has_tree(value)) {
            Some(tree) if packs => {
                if groups().any(|(group, _)| tree.root(group) != NONE) {
                    streams.push(Stream::of_packing(tree, groups(), trial, is_mine));
                }
            }
            Some(tree) if tree.root(value) != NONE => {
                streams.push(Stream::of_tree(tree, value, Others::Among(&field.members[value as usize]), except));
            }
            Some(_) => {}
            None if grouped.way.is_among(value) => {
                let of_all = ordered(trial, trees, except, is_mine).into_iter();
                streams.extend(of_all.map(|stream| stream.picking(field, value, trees.budget)));
            }
            None => streams.push(Stream::without_tree()),
        }
        of.resize(streams.len(), value);
    }
    (streams, of)
}
