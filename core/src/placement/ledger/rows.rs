//! The table of nodes: one slot each, hot columns apart from cold ones.

use super::claimed::{Claimed, Lifted};
use super::cost::Cost;
use super::demand::Demand;
use super::free::{Free, NODE_TASKS_MAX};
use super::ports::Ports;
use super::shape::{Supply, aspect};
use super::tree::NONE;
use crate::app::App;
use crate::hash::Map;
use crate::instance::Seat;
use crate::node::{Claims, Node, NodeId};
use crate::{AppId, Scalar};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Bits of a key that hold the rank of the node's id; those above hold the share taken.
pub(crate) const RANK_BITS: u32 = 44;
/// Distance between ranks of ids that arrive in order.
const RANK_STEP: u64 = 1 << 20;

/// What every search reads; a cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Hot {
    /// For those to whom nothing that is set aside belongs; [`Rows::free`] knows the others.
    pub(crate) free: Free,
    /// Share taken in thousandths, then rank of the id.
    pub(crate) key: u64,
    /// Number of the resource role.
    pub(crate) role: u32,
    /// Accepts tasks.
    pub(crate) open: bool,
    /// Is a part of the sums over open nodes.
    counted: bool,
    /// Has the Docker executor.
    pub(crate) docker: bool,
    /// Something is set aside there: to some more is free.
    pub(super) is_kept: bool,
    /// More than it has is taken of something, or kept from some.
    pub(super) may_lack: bool,
}

/// What only allocations read.
#[derive(Debug, Clone)]
pub(crate) struct Cold {
    pub(crate) id: NodeId,
    rank: u64,
    /// Taken cpus, memory, disk, in thousandths, GPUs; wide, so that no sum can overflow.
    pub(crate) used: [i128; 4],
    total: [i64; 4],
    pub(crate) ports: Ports,
    /// Instances with a seat here.
    pub(crate) tasks: u32,
    /// Taken of resources with names of their own, in thousandths; what comes to nothing is absent.
    pub(crate) custom: BTreeMap<String, i128>,
    /// What is set aside; nothing on most nodes, which then take a few cache lines less.
    claimed: Option<Box<Claimed>>,
}

/// Where nothing is set aside.
static UNCLAIMED: Claimed = Claimed::NONE;

impl Cold {
    /// What the node has of cpus, memory, disk or GPUs.
    pub(super) const fn total(&self, column: usize) -> i64 {
        self.total[column]
    }

    /// What is set aside.
    pub(crate) fn claimed(&self) -> &Claimed {
        self.claimed.as_deref().unwrap_or(&UNCLAIMED)
    }

    /// Changes what is set aside.
    pub(crate) fn claim<T>(&mut self, change: impl FnOnce(&mut Claimed) -> T) -> T {
        let claimed = self.claimed.get_or_insert_with(|| Box::new(Claimed::NONE));
        let result = change(claimed);
        if claimed.is_nothing() {
            self.claimed = None;
        }
        result
    }
}

/// All nodes that are known or hold something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) hot: Vec<Hot>,
    pub(crate) cold: Vec<Cold>,
    /// Empty where a node has left or has never been seen.
    pub(crate) nodes: Vec<Option<Arc<Node>>>,
    slots: Map<NodeId, u32>,
    order: BTreeMap<NodeId, u32>,
    roles: Map<String, u32>,
    /// Known nodes.
    pub(crate) known: u64,
    /// Grows when ranks were handed out anew.
    pub(crate) ranking: u64,
    /// Whose reservations and promises count as free for the batch at hand.
    pub(super) lifted: Option<Lifted>,
    /// Slots with reservations, by role.
    pub(super) reserved: BTreeMap<Arc<str>, BTreeSet<u32>>,
    /// Slots with a promise, by app.
    pub(super) promised: BTreeMap<AppId, BTreeSet<u32>>,
    /// Tasks with a priority other than 0, by it.
    pub(super) priorities: BTreeMap<i32, u64>,
    /// Cpus, memory, disk in thousandths and GPUs that are free on open nodes.
    pub(crate) open_free: [i128; 4],
    /// Cpus and memory of open nodes, in thousandths, and how many nodes are open.
    open_total: [i128; 2],
    open_nodes: u64,
    /// All tasks.
    pub(super) tasks: u64,
    /// No open node has more free than this of anything, for those to whom nothing that is set aside belongs.
    ceiling: Free,
    /// Changes since `ceiling` was looked up at every node.
    ceiling_age: usize,
}

impl Rows {
    pub(crate) fn slot(&self, id: &NodeId) -> Option<u32> {
        self.slots.get(id).copied()
    }

    /// Place of a node's id among all ids.
    pub(crate) fn rank_of(&self, slot: u32) -> u64 {
        self.hot[slot as usize].key & ((1 << RANK_BITS) - 1)
    }

    /// Slots in order of the ids of their nodes.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.values().copied()
    }

    /// Slot of an id, new if need be.
    pub(crate) fn ensure(&mut self, id: &NodeId) -> u32 {
        if let Some(slot) = self.slot(id) {
            return slot;
        }
        let slot = self.hot.len() as u32;
        self.hot.push(Hot::default());
        self.nodes.push(None);
        self.cold.push(Cold {
            id: id.clone(),
            rank: 0,
            used: [0; 4],
            total: [0; 4],
            ports: Ports::default(),
            tasks: 0,
            custom: BTreeMap::new(),
            claimed: None,
        });
        self.slots.insert(id.clone(), slot);
        self.order.insert(id.clone(), slot);
        self.rank(id, slot);
        self.derive(slot);
        slot
    }

    /// Gives a new id a rank between its neighbours, or all ids new ranks when there is no room.
    fn rank(&mut self, id: &NodeId, slot: u32) {
        let before = self.order.range::<NodeId, _>((Bound::Unbounded, Bound::Excluded(id))).next_back();
        let after = self.order.range::<NodeId, _>((Bound::Excluded(id), Bound::Unbounded)).next();
        let low = before.map_or(0, |(_, slot)| self.cold[*slot as usize].rank);
        let high = after.map_or(1 << RANK_BITS, |(_, slot)| self.cold[*slot as usize].rank);
        let rank = if after.is_none() && high - low > 2 * RANK_STEP { low + RANK_STEP } else { low.midpoint(high) };
        if rank > low {
            self.cold[slot as usize].rank = rank;
            return;
        }
        let step = (1 << RANK_BITS) / (self.order.len() as u64 + 1);
        for (number, slot) in self.order.values().enumerate() {
            self.cold[*slot as usize].rank = step * (number as u64 + 1);
        }
        self.derive_all();
        self.ranking += 1;
    }

    /// How many resource roles nodes have, or had.
    pub(crate) fn roles_met(&self) -> usize {
        self.roles.len()
    }

    /// Number of a role, if a node ever had it.
    pub(crate) fn role(&self, name: &str) -> Option<u32> {
        self.roles.get(name).copied()
    }

    /// Notes what a node says of itself, or that it is gone.
    pub(crate) fn describe(&mut self, slot: u32, node: Option<&Arc<Node>>) {
        let at = slot as usize;
        if self.nodes[at].take().is_some() {
            self.known -= 1;
        }
        self.discount(slot);
        let (hot, cold) = (&mut self.hot[at], &mut self.cold[at]);
        hot.open = node.is_some_and(|node| node.accepts_tasks());
        let Some(node) = node else {
            cold.total = [0; 4];
            self.claim(slot, &Claims::default());
            let cold = &mut self.cold[at];
            cold.ports.offer(&crate::node::PortRanges::default());
            self.derive(slot);
            return;
        };
        let resources = &node.facts.resources;
        cold.total =
            [resources.cpus.thousandths(), resources.mem.thousandths(), resources.disk.thousandths(), i64::from(resources.gpus)];
        cold.ports.offer(&resources.ports);
        hot.docker = node.facts.executors.iter().any(|name| name == "docker");
        let next = self.roles.len() as u32;
        hot.role = *self.roles.entry(node.facts.role.clone()).or_insert(next);
        self.known += 1;
        self.nodes[at] = Some(Arc::clone(node));
        self.claim(slot, &node.claims);
        self.derive(slot);
    }

    /// Takes or gives back what an instance at `seat` holds.
    pub(crate) fn seat(&mut self, slot: u32, app: &App, seat: &Seat, more: bool) {
        self.take_seat(slot, app, seat, more);
        self.derive(slot);
    }

    /// [`Rows::seat`] without working out what is free; [`Rows::derive_all`] does it for all nodes.
    pub(super) fn take_seat(&mut self, slot: u32, app: &App, seat: &Seat, more: bool) {
        self.tasks = if more { self.tasks + 1 } else { self.tasks.saturating_sub(1) };
        if app.placement.priority != 0 {
            self.rank_task(slot, app, more);
        }
        if app.is_resident() {
            self.change(slot, [0; 4], &seat.host_ports, more);
            return;
        }
        let need = [app.cpus.thousandths(), app.mem.thousandths(), app.disk.thousandths(), i64::from(app.gpus)];
        if let Some(role) = &app.role {
            self.cold[slot as usize].claim(|claimed| claimed.use_role(role, need, more));
        }
        self.change(slot, need, &seat.host_ports, more);
        self.change_custom(slot, &app.resources, more);
    }

    /// Takes or gives back what a task needs, for a while.
    pub(crate) fn try_out(&mut self, slot: u32, demand: &Demand, ports: &[u16], more: bool) {
        let need = [demand.need.cpus, demand.need.mem, demand.need.disk, i64::from(demand.need.gpus)];
        if let Some(role) = self.lifted.as_ref().and_then(Lifted::only).cloned() {
            self.cold[slot as usize].claim(|claimed| claimed.use_role(&role, need, more));
        }
        self.change(slot, need, ports, more);
        self.change_custom(slot, &demand.custom, more);
        self.derive(slot);
    }

    fn change_custom(&mut self, slot: u32, amounts: &BTreeMap<String, Scalar>, more: bool) {
        let custom = &mut self.cold[slot as usize].custom;
        for (name, amount) in amounts.iter().filter(|(_, amount)| amount.is_positive()) {
            let used = custom.entry(name.clone()).or_default();
            *used += i128::from(amount.thousandths()) * if more { 1 } else { -1 };
            if *used == 0 {
                custom.remove(name);
            }
        }
    }

    /// What is left of a resource with a name of its own, in thousandths.
    pub(crate) fn custom_free(&self, slot: u32, name: &str) -> i64 {
        self.custom_left(slot, name).max(0)
    }

    /// The same; below 0 where tasks take more than the node has.
    pub(crate) fn custom_left(&self, slot: u32, name: &str) -> i64 {
        let node = self.nodes[slot as usize].as_ref();
        let total = node.and_then(|node| node.facts.resources.custom.get(name)).map_or(0, |amount| amount.thousandths());
        let cold = &self.cold[slot as usize];
        let set_aside = cold.claimed().held_custom(name) + cold.claimed().kept_custom(self.lifted.as_ref(), name);
        let left = i128::from(total) - cold.custom.get(name).copied().unwrap_or(0) - set_aside;
        left.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Group and key of a slot in trees of nodes by what it is `of`, a role or a value, and in order of load;
    /// or (`packs`) used or empty apart, and by shape.
    pub(crate) fn place(&self, slot: u32, of: u32, packs: bool) -> (u32, u64) {
        if packs { (pack_group(of, self.is_empty(slot)), self.pack_key(slot)) } else { (of, self.hot[slot as usize].key) }
    }

    /// Shape of what is free, then rank of the id.
    pub(crate) fn pack_key(&self, slot: u32) -> u64 {
        let free = self.free(slot);
        aspect((free.cpus, free.mem)) << RANK_BITS | self.cold[slot as usize].rank
    }

    /// Whether no instance has a seat there.
    pub(crate) fn is_empty(&self, slot: u32) -> bool {
        self.cold[slot as usize].tasks == 0
    }

    fn change(&mut self, slot: u32, need: [i64; 4], ports: &[u16], more: bool) {
        let cold = &mut self.cold[slot as usize];
        let sign = if more { 1 } else { -1 };
        for (used, need) in cold.used.iter_mut().zip(need) {
            *used += i128::from(need) * sign;
        }
        if more {
            cold.tasks += 1;
            for port in ports {
                cold.ports.take(*port);
            }
        } else {
            cold.tasks = cold.tasks.saturating_sub(1);
            for port in ports {
                cold.ports.give_back(*port);
            }
        }
    }

    /// [`Rows::derive`] for every node.
    pub(super) fn derive_all(&mut self) {
        (0..self.hot.len() as u32).for_each(|slot| self.derive(slot));
    }

    /// Works out what is free and where the node stands in the order of load.
    pub(super) fn derive(&mut self, slot: u32) {
        let free = self.free_for(slot, None);
        let cold = &self.cold[slot as usize];
        let held = &cold.claimed().held;
        let taken = |column: usize| part(cold.used[column] + held[column], cold.total[column]);
        let share = taken(0).max(taken(1)).min(1_000_000);
        let hot = &mut self.hot[slot as usize];
        let before = if hot.counted { hot.free } else { Free::default() };
        hot.free = free;
        hot.is_kept = cold.claimed().is_kept();
        let lacks = |column: usize| cold.used[column] + held[column] > i128::from(cold.total[column]);
        hot.may_lack = hot.is_kept || (0..4).any(lacks);
        hot.key = share << RANK_BITS | cold.rank;
        self.ceiling_age += 1;
        if !hot.open {
            return;
        }
        self.ceiling = self.ceiling.max(&free);
        if !hot.counted {
            hot.counted = true;
            self.open_nodes += 1;
            self.open_total[0] += i128::from(cold.total[0].max(0));
            self.open_total[1] += i128::from(cold.total[1].max(0));
        }
        if before != hot.free {
            for (sum, (before, after)) in self.open_free.iter_mut().zip(before.columns().into_iter().zip(hot.free.columns())) {
                *sum += i128::from(after) - i128::from(before);
            }
        }
    }

    /// What is free on a node, beside what is set aside for others than `whom`.
    pub(super) fn free_for(&self, slot: u32, whom: Option<&Lifted>) -> Free {
        let cold = &self.cold[slot as usize];
        let claimed = cold.claimed();
        let kept = if claimed.is_kept() { claimed.kept_from(whom) } else { [0; 4] };
        let (kept_ports, kept_tasks) = claimed.kept_counts(whom);
        let left = |column: usize| {
            let taken = cold.used[column] + claimed.held[column];
            free(cold.total[column], taken.saturating_add(kept[column]))
        };
        Free {
            cpus: left(0),
            mem: left(1),
            disk: left(2),
            gpus: u32::try_from(left(3)).unwrap_or(u32::MAX),
            ports: cold.ports.free().saturating_sub(kept_ports),
            tasks: (NODE_TASKS_MAX as u32).saturating_sub(cold.tasks.max(claimed.holds)).saturating_sub(kept_tasks),
        }
    }

    /// Whether no node has what is needed, told by the largest amounts of all; `false` when it takes a closer
    /// look. Every node is looked at once in as many changes as there are nodes.
    pub(crate) fn is_beyond(&mut self, need: &Free, cost: &mut Cost) -> bool {
        if self.lifted.is_some() {
            return false;
        }
        if self.ceiling.covers(need) && self.ceiling_age >= self.hot.len() {
            let open = self.hot.iter().filter(|hot| hot.open);
            self.ceiling = open.fold(Free::default(), |most, hot| most.max(&hot.free));
            self.ceiling_age = 0;
            cost.scans += self.hot.len() as u64;
        }
        !self.ceiling.covers(need)
    }

    /// Takes a node out of the sums over open nodes.
    fn discount(&mut self, slot: u32) {
        let (hot, cold) = (&mut self.hot[slot as usize], &self.cold[slot as usize]);
        if !std::mem::take(&mut hot.counted) {
            return;
        }
        self.open_nodes -= 1;
        self.open_total[0] -= i128::from(cold.total[0].max(0));
        self.open_total[1] -= i128::from(cold.total[1].max(0));
        for (sum, free) in self.open_free.iter_mut().zip(hot.free.columns()) {
            *sum -= i128::from(free);
        }
    }

    /// What there is and what is left on open nodes, without what is set aside.
    pub(crate) const fn supply(&self) -> Supply {
        Supply { nodes: self.open_nodes, total: self.open_total, free: [self.open_free[0], self.open_free[1]] }
    }
}

/// Number of the group of nodes of a role, or of a value, that hold tasks, or none.
pub(crate) const fn pack_group(of: u32, empty: bool) -> u32 {
    if of == NONE { NONE } else { 2 * of + empty as u32 }
}

/// What is left; a node that offers less than nothing offers nothing.
fn free(total: i64, used: i128) -> i64 {
    (i128::from(total) - used).clamp(0, i128::from(i64::MAX)) as i64
}

/// Share taken of one resource, in thousandths.
fn part(used: i128, total: i64) -> u64 {
    if total <= 0 || used <= 0 {
        return 0;
    }
    // The narrow division is several times faster and nearly always enough.
    match i64::try_from(used).ok().and_then(|used| used.checked_mul(1000)) {
        Some(used) => (used / total) as u64,
        None => u64::try_from(used.saturating_mul(1000) / i128::from(total)).unwrap_or(u64::MAX),
    }
}
