//! A cluster looked at from above: what is taken where, with how few nodes it could have been done,
//! and how much of what is free is of any use (docs/scheduling.md).
//!
//! A [`Trial`] places a workload with the engine of the leader; a [`Report`] is worked out of what
//! is on the nodes afterwards. Amounts are columns as in [`crate::node::Bundle::columns`]: cpus, memory
//! and disk in thousandths (of a core, of a MiB), GPUs whole. Shares are in thousandths.

mod balance;
mod fragmentation;
mod lower_bound;
mod node_use;
#[cfg(test)]
mod property_test;
mod shape;
mod trial;

pub use balance::Balance;
pub use fragmentation::{Fragmentation, ShapeRoom};
pub use lower_bound::fewest_nodes;
pub use node_use::{NodeUse, Standing};
pub use shape::{SHAPES_MAX, Shape};
pub use trial::{AppOutcome, Closing, Event, Outcome, Trial};

use std::collections::BTreeMap;

/// Amounts of one node or one task.
pub type Columns = [i64; 4];
/// Sums over many nodes; wide, so that nothing overflows.
pub type Sums = [i128; 4];
/// Names of the columns.
pub const RESOURCES: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// A node with less than this share of cpus, memory and GPUs free, in thousandths, is full rather than
/// stranded.
const STRANDED_FREE_MIN: i64 = 250;

/// What was worked out of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeShare {
    /// Share taken of each resource, thousandths; 0 of what the node does not have.
    pub shares: [i64; 4],
    /// The largest of them.
    pub dominant: i64,
    /// What may be said of the node as a whole.
    pub standing: Standing,
}

/// What one role takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleShare {
    /// The role that is charged.
    pub role: String,
    /// Its tasks.
    pub tasks: u64,
    /// What they take.
    pub taken: Sums,
    /// Largest share of any resource of the cluster, thousandths.
    pub dominant: i64,
}

/// Facts about a placed workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By node, in the order they were given.
    pub nodes: Vec<NodeShare>,
    /// What all nodes offer.
    pub capacity: Sums,
    /// What all tasks take.
    pub taken: Sums,
    /// Tasks on nodes.
    pub tasks: u64,
    /// Nodes with at least one task.
    pub used: usize,
    /// Fewest nodes that could hold as much: see [`fewest_nodes`].
    pub lower_bound: usize,
    /// The resource by which they are so many, its column.
    pub deciding: usize,
    /// The share of it on nodes in use that is taken, thousandths. What is missing to 1000 is machine
    /// beyond what the tasks need, whatever the sizes of the machines.
    pub packed: i64,
    /// Use of what is free.
    pub fragmentation: Fragmentation,
    /// How evenly the load lies on open nodes.
    pub balance: Balance,
}

impl Report {
    /// Works out everything, in O(nodes · shapes + nodes · log nodes).
    pub fn of(nodes: &[NodeUse], shapes: &[Shape]) -> Self {
        let rooms: Vec<fragmentation::NodeRoom> = nodes.iter().map(|node| fragmentation::room(node, shapes)).collect();
        let shares: Vec<NodeShare> = nodes.iter().zip(&rooms).map(|(node, room)| share(node, room)).collect();
        let (mut capacity, mut taken, mut in_use) = ([0; 4], [0; 4], [0; 4]);
        for node in nodes {
            add(&mut capacity, node.capacity());
            add(&mut taken, node.taken);
            if node.tasks > 0 {
                add(&mut in_use, node.capacity());
            }
        }
        let used = nodes.iter().filter(|node| node.tasks > 0).count();
        let capacities: Vec<Columns> = nodes.iter().map(NodeUse::capacity).collect();
        let (lower_bound, deciding) = fewest_nodes(&capacities, taken);
        let open = nodes.iter().zip(&shares).filter(|(node, _)| node.is_open());
        Self {
            capacity,
            taken,
            tasks: nodes.iter().map(|node| u64::from(node.tasks)).sum(),
            used,
            lower_bound,
            deciding,
            packed: part(taken[deciding], in_use[deciding]),
            fragmentation: Fragmentation::of(nodes, shapes, &rooms),
            balance: Balance::of(open.map(|(_, share)| share.dominant).collect()),
            nodes: shares,
        }
    }

    /// Share of a resource of the whole cluster that is taken, thousandths.
    pub fn share(&self, column: usize) -> i64 {
        part(self.taken[column], self.capacity[column])
    }

    /// Open nodes with much of one resource free that little of the mix can use.
    pub fn stranded_nodes(&self) -> usize {
        self.nodes.iter().filter(|node| node.standing == Standing::Stranded).count()
    }

    /// What each role takes, the largest share first.
    pub fn roles(&self, apps: &[AppOutcome]) -> Vec<RoleShare> {
        let mut roles: BTreeMap<&str, (u64, Sums)> = BTreeMap::new();
        for outcome in apps.iter().filter(|outcome| outcome.placed > 0) {
            let role = outcome.app.role.as_deref().unwrap_or(crate::role::ANY_ROLE);
            let (tasks, taken) = roles.entry(role).or_default();
            *tasks += outcome.placed as u64;
            let need = crate::node::Bundle::of(&outcome.app).columns();
            for (sum, amount) in taken.iter_mut().zip(need) {
                *sum += i128::from(amount) * outcome.placed as i128;
            }
        }
        let dominant = |taken: &Sums| (0..4).map(|column| part(taken[column], self.capacity[column])).max().unwrap_or(0);
        let mut shares: Vec<RoleShare> = roles
            .into_iter()
            .map(|(role, (tasks, taken))| RoleShare { role: role.to_owned(), tasks, dominant: dominant(&taken), taken })
            .collect();
        // Stable: roles of equal shares stay in order of their names.
        shares.sort_by_key(|role| std::cmp::Reverse(role.dominant));
        shares
    }
}

fn share(node: &NodeUse, room: &fragmentation::NodeRoom) -> NodeShare {
    let (capacity, taken) = (node.capacity(), node.taken);
    let shares: [i64; 4] = std::array::from_fn(|column| part(taken[column].into(), capacity[column].into()));
    let free = |column: usize| capacity[column] > 0 && shares[column] <= 1000 - STRANDED_FREE_MIN;
    // Disk is seldom what a task is placed by: a node is not stranded for having some left.
    let much_free = [0, 1, 3].into_iter().any(free);
    let standing = if !node.is_open() {
        node.closed_standing()
    } else if node.tasks == 0 {
        Standing::Empty
    } else if much_free && room.refused * 2 > room.asked {
        Standing::Stranded
    } else {
        Standing::InUse
    };
    NodeShare { shares, dominant: shares.into_iter().max().unwrap_or(0), standing }
}

/// `some` of `all` in thousandths, 0 when there is nothing.
pub(crate) fn part(some: i128, all: i128) -> i64 {
    if all <= 0 { 0 } else { (some.max(0) * 1000 / all).min(1_000_000) as i64 }
}

fn add(sums: &mut Sums, amounts: Columns) {
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum += i128::from(amount);
    }
}
