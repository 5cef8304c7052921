//! The sizes of tasks that a workload is made of.

use super::Columns;
use crate::App;
use crate::node::Bundle;
use crate::role::ANY_ROLE;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Most shapes of a mix; those that fewest tasks have are left out.
pub const SHAPES_MAX: usize = 64;

/// Tasks of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What each takes.
    pub need: Columns,
    /// Roles of the nodes that they accept; empty for `*`.
    pub roles: Vec<String>,
    /// Tasks of this size that are wanted.
    pub weight: u64,
}

impl Shape {
    /// The shapes of these apps with the numbers of tasks wanted, the most common first, at most
    /// [`SHAPES_MAX`]. Constraints, ports and resources with names of their own are left aside.
    pub fn of<'a>(apps: impl IntoIterator<Item = (&'a App, u64)>) -> Vec<Self> {
        let mut weights: BTreeMap<(Columns, &[String]), u64> = BTreeMap::new();
        for (app, count) in apps.into_iter().filter(|(_, count)| *count > 0) {
            let weight = weights.entry((Bundle::of(app).columns(), app.accepted_resource_roles.as_slice())).or_default();
            *weight = weight.saturating_add(count);
        }
        let mut shapes: Vec<Self> =
            weights.into_iter().map(|((need, roles), weight)| Self { need, roles: roles.to_vec(), weight }).collect();
        shapes.sort_by_key(|shape| Reverse(shape.weight));
        shapes.truncate(SHAPES_MAX);
        shapes
    }

    /// Whether a node of this role takes such tasks.
    pub fn accepts(&self, role: &str) -> bool {
        if self.roles.is_empty() { role == ANY_ROLE } else { self.roles.iter().any(|accepted| accepted == role) }
    }

    /// Whether one such task goes into `room`.
    pub fn fits(&self, room: &Columns) -> bool {
        self.need.iter().zip(room).all(|(need, have)| need <= have)
    }

    /// How many such tasks go into `room`; `most` when they need nothing.
    pub(super) fn count_in(&self, room: &[i128; 4], most: u64) -> u64 {
        let each = self.need.iter().zip(room).filter(|(need, _)| **need > 0);
        let least = each.map(|(need, have)| (*have).max(0) / i128::from(*need)).min();
        least.map_or(most, |count| u64::try_from(count).unwrap_or(u64::MAX).min(most))
    }
}
