//! The way from one version of some apps to another.

mod circle;
mod plan;
#[cfg(test)]
mod plan_test;
mod steps;

pub use circle::circle;
pub use plan::{Circumstances, KillReason, Plan, is_movable, minimum_serving, plan};
pub use steps::{Action, ActionKind, order};

use crate::{AppId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A change under way. Which apps still have to get there is derived from reports, not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// UUID.
    pub id: String,
    /// Version of the change.
    pub version: Timestamp,
    /// Actions; those of one step run together, steps one after the other.
    pub steps: Vec<Vec<Action>>,
    /// What was before, for rollback: app and its version, none when it did not exist.
    pub previous: Vec<(AppId, Option<Timestamp>)>,
    /// Apps that have not reached their goal yet.
    #[serde(skip)]
    pub pending: BTreeSet<AppId>,
}

impl Deployment {
    /// All apps the deployment changes.
    pub fn affected(&self) -> impl Iterator<Item = &AppId> {
        self.steps.iter().flatten().map(|action| &action.app)
    }

    /// Index of the first step with a pending app; the number of steps when all is done.
    pub fn current_step(&self) -> usize {
        let is_pending = |step: &Vec<Action>| step.iter().any(|action| self.pending.contains(&action.app));
        self.steps.iter().position(is_pending).unwrap_or(self.steps.len())
    }

    /// Whether `app` has to wait for an earlier step.
    pub fn holds_back(&self, app: &AppId) -> bool {
        let current = self.current_step();
        self.steps.iter().skip(current + 1).flatten().any(|action| &action.app == app)
    }
}
