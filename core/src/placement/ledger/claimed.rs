//! What is set aside on one node, as sums.

use super::preempt::Promise;
use crate::AppId;
use crate::node::{Claims, may_use};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Cpus, memory, disk in thousandths, GPUs.
type Columns = [i128; 4];

/// What is reserved for one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) role: Arc<str>,
    amount: Columns,
}

/// Sums of a node's claims, and what roles use there of what is theirs.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    /// By instances with data.
    pub(crate) held: Columns,
    custom: BTreeMap<String, i128>,
    /// How many instances hold something.
    pub(crate) holds: u32,
    pub(crate) blocks: Vec<Block>,
    /// By instances with data, by role.
    role_held: BTreeMap<String, Columns>,
    /// By tasks of apps that name a role.
    role_used: BTreeMap<String, Columns>,
    /// By tasks with a priority other than 0.
    pub(crate) by_priority: BTreeMap<i32, Columns>,
    /// Kept for somebody: one for each app at most.
    pub(crate) promises: Vec<Promise>,
}

/// For whom what is set aside counts as free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lifted {
    /// The lowest role with a reservation of those whose reservations are meant: nodes look the same to all
    /// who have it in common.
    pub(crate) role: Option<Arc<str>>,
    pub(crate) app: AppId,
    /// Nodes of this resource role, everyone's, count with what is reserved there for `role` and no more.
    pub(crate) only_reserved_of: Option<u32>,
}

/// For whom nodes look the same: a role whose reservations count as free, and whether nothing else does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lens {
    role: Arc<str>,
    only: bool,
}

impl Lifted {
    /// The role of whose reservations nothing else counts beside.
    pub(crate) fn only(&self) -> Option<&Arc<str>> {
        self.role.as_ref().filter(|_| self.only_reserved_of.is_some())
    }

    /// How nodes look.
    pub(crate) fn lens(&self) -> Option<Lens> {
        self.role.clone().map(|role| Lens { role, only: self.only_reserved_of.is_some() })
    }
}

fn add(sum: &mut Columns, amounts: [i64; 4], sign: i128) {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum += i128::from(amount) * sign;
    }
}

impl Claimed {
    /// Nothing is set aside.
    pub(crate) const NONE: Self = Self {
        held: [0; 4],
        custom: BTreeMap::new(),
        holds: 0,
        blocks: Vec::new(),
        role_held: BTreeMap::new(),
        role_used: BTreeMap::new(),
        by_priority: BTreeMap::new(),
        promises: Vec::new(),
    };

    /// Whether nothing is set aside, and nobody uses what could be.
    pub(crate) fn is_nothing(&self) -> bool {
        self.holds == 0 && !self.is_kept() && self.role_used.is_empty() && self.by_priority.is_empty()
    }

    /// Takes over what the node's document says.
    pub(crate) fn describe(&mut self, claims: &Claims) {
        let used = std::mem::replace(self, Self::NONE);
        *self = Self {
            role_used: used.role_used,
            by_priority: used.by_priority,
            promises: used.promises,
            holds: claims.holds.len() as u32,
            ..Self::NONE
        };
        for hold in claims.holds.values() {
            let amounts = hold.resources.columns();
            add(&mut self.held, amounts, 1);
            for (name, amount) in &hold.resources.custom {
                *self.custom.entry(name.clone()).or_default() += i128::from(amount.thousandths());
            }
            if let Some(role) = &hold.role {
                add(self.role_held.entry(role.clone()).or_default(), amounts, 1);
            }
        }
        let blocks = claims.reservations.iter().map(|(role, reservation)| {
            let amount = reservation.total().columns().map(i128::from);
            Block { role: Arc::clone(role), amount }
        });
        self.blocks = blocks.collect();
    }

    /// A task of `role` took or gave back these amounts.
    pub(crate) fn use_role(&mut self, role: &str, amounts: [i64; 4], more: bool) {
        let sign = if more { 1 } else { -1 };
        match self.role_used.get_mut(role) {
            Some(sum) => add(sum, amounts, sign),
            None => add(self.role_used.entry(role.to_owned()).or_default(), amounts, sign),
        }
        if !more && self.role_used.get(role) == Some(&[0; 4]) {
            self.role_used.remove(role);
        }
    }

    /// A task of a priority took or gave back these amounts.
    pub(crate) fn use_priority(&mut self, priority: i32, amounts: [i64; 4], more: bool) {
        let sums = self.by_priority.entry(priority).or_default();
        add(sums, amounts, if more { 1 } else { -1 });
        if *sums == [0; 4] {
            self.by_priority.remove(&priority);
        }
    }

    /// Of a resource with a name of its own, in thousandths.
    pub(crate) fn held_custom(&self, name: &str) -> i128 {
        self.custom.get(name).copied().unwrap_or(0)
    }

    /// Whether something is set aside that is not everybody's.
    pub(crate) fn is_kept(&self) -> bool {
        !self.promises.is_empty() || !self.blocks.is_empty()
    }

    /// What is reserved and not used by those whom it is for, or promised, and so kept from `whom`.
    pub(crate) fn kept_from(&self, whom: Option<&Lifted>) -> Columns {
        let mut kept = [0; 4];
        let role = whom.and_then(|whom| whom.role.as_deref());
        for promise in self.kept_promises(whom) {
            let each = promise.each.columns().map(i128::from);
            kept.iter_mut().zip(each).for_each(|(kept, each)| *kept += each * i128::from(promise.count));
        }
        for (_, left) in self.unused().filter(|(block, _)| !may_use(role, &block.role)) {
            for (kept, left) in kept.iter_mut().zip(left) {
                *kept += left;
            }
        }
        kept
    }

    /// Replaces what is promised to an app; returns what was.
    pub(crate) fn promise(&mut self, app: &AppId, promise: Option<Promise>) -> Option<Promise> {
        let at = self.promises.iter().position(|promise| promise.app == *app);
        let before = at.map(|at| self.promises.swap_remove(at));
        self.promises.extend(promise);
        before
    }

    /// What is promised to others than `whom`.
    fn kept_promises(&self, whom: Option<&Lifted>) -> impl Iterator<Item = &Promise> {
        self.promises.iter().filter(move |promise| whom.is_none_or(|whom| whom.app != promise.app))
    }

    /// How many host ports and places for tasks are kept from `whom`.
    pub(crate) fn kept_counts(&self, whom: Option<&Lifted>) -> (u32, u32) {
        self.kept_promises(whom).fold((0, 0), |(ports, tasks), promise| {
            (promise.requests.saturating_mul(promise.count).saturating_add(ports), promise.count.saturating_add(tasks))
        })
    }

    /// Certain host ports that are kept from `whom`.
    pub(crate) fn kept_ports(&self, whom: Option<&Lifted>) -> impl Iterator<Item = u16> {
        self.kept_promises(whom).flat_map(|promise| promise.ports.iter().copied())
    }

    /// What is kept from `whom` of a resource with a name of its own, in thousandths.
    pub(crate) fn kept_custom(&self, whom: Option<&Lifted>, name: &str) -> i128 {
        let each = |promise: &Promise| promise.each.custom.get(name).map_or(0, |amount| i128::from(amount.thousandths()));
        self.kept_promises(whom).map(|promise| each(promise) * i128::from(promise.count)).sum()
    }

    /// What of each reservation nobody uses. Who may use several uses up those for the lowest role first.
    fn unused(&self) -> impl Iterator<Item = (&Block, Columns)> {
        let mut absorbed = vec![[0; 4]; self.blocks.len()];
        // They are in order of their roles, so that what is below a role comes behind it.
        for at in (0..self.blocks.len()).rev() {
            let block = &self.blocks[at];
            let mut used = [0; 4];
            let users = self.role_used.iter().chain(&self.role_held).filter(|(user, _)| may_use(Some(user), &block.role));
            users.for_each(|(_, amounts)| used.iter_mut().zip(amounts).for_each(|(used, amount)| *used += amount));
            let behind = self.blocks.iter().zip(&absorbed).skip(at + 1);
            for (below, taken) in behind.take_while(|(below, _)| below.role.starts_with(&*block.role)) {
                if may_use(Some(&below.role), &block.role) {
                    used.iter_mut().zip(taken).for_each(|(used, taken)| *used -= taken);
                }
            }
            absorbed[at] = std::array::from_fn(|column| used[column].clamp(0, block.amount[column].max(0)));
        }
        let left = |(block, taken): (&Block, Columns)| std::array::from_fn(|column| block.amount[column].max(0) - taken[column]);
        self.blocks.iter().zip(absorbed).map(move |(block, taken)| (block, left((block, taken))))
    }

    /// Whether something is reserved that `role` may use.
    pub(crate) fn is_for(&self, role: Option<&str>) -> bool {
        self.blocks.iter().any(|block| may_use(role, &block.role))
    }

    /// What of all reservations that `role` may use nobody uses.
    pub(crate) fn unused_for(&self, role: Option<&str>) -> Columns {
        let usable = self.unused().filter(|(block, _)| may_use(role, &block.role));
        usable.fold([0; 4], |sum, (_, unused)| std::array::from_fn(|column| sum[column] + unused[column]))
    }

    /// What of the reservation for `role` nobody uses.
    pub(crate) fn unused_of(&self, role: &str) -> Columns {
        self.unused().find(|(block, _)| &*block.role == role).map_or([0; 4], |(_, unused)| unused)
    }
}
