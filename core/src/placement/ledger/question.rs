//! What an app asks of the nodes, to know whether it, or another one, has asked the same before.

use super::census::Home;
use super::claimed::Lens;
use super::demand::Demand;
use crate::Timestamp;
use crate::app::{App, Constraint, Placement};

/// What a memo speaks about. It is of no use when any of this differs, to others than the app neither
/// unless [`Asking::is_the_same_to`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) config: Timestamp,
    pub(crate) demand: Demand,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) placement: Placement,
    pub(crate) accepted: Vec<String>,
    /// Whose reservations count as free.
    pub(crate) role: Option<Lens>,
    /// State of the app's own counters.
    pub(crate) tally: u64,
    /// State of the counters of others.
    pub(crate) others: Vec<(Home, u64, u32)>,
    /// State of the nodes' descriptions.
    pub(crate) nodes: u64,
}

/// A question that is being asked.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) app: &'a App,
    pub(crate) demand: &'a Demand,
    pub(crate) role: Option<Lens>,
    pub(crate) tally: u64,
    pub(crate) others: Vec<(Home, u64, u32)>,
    pub(crate) nodes: u64,
}

impl Asking<'_> {
    /// For the next time.
    pub(crate) fn noted(self) -> Question {
        Question {
            config: self.app.version_info.last_config_change_at,
            demand: self.demand.clone(),
            constraints: self.app.constraints.clone(),
            placement: self.app.placement.clone(),
            accepted: self.app.accepted_resource_roles.clone(),
            role: self.role,
            tally: self.tally,
            others: self.others,
            nodes: self.nodes,
        }
    }

    /// Whether the app has asked this before.
    pub(crate) fn is(&self, asked: &Question) -> bool {
        self.app.version_info.last_config_change_at == asked.config && self.tally == asked.tally && self.is_alike(asked)
    }

    /// Whether an app with nothing on any node may take over what another one without was told.
    pub(crate) fn is_the_same_to(&self, asked: &Question) -> bool {
        self.tally == 0 && asked.tally == 0 && self.is_alike(asked)
    }

    fn is_alike(&self, asked: &Question) -> bool {
        *self.demand == asked.demand
            && self.app.constraints == asked.constraints
            && self.app.placement == asked.placement
            && self.app.accepted_resource_roles == asked.accepted
            && self.role == asked.role
            && self.others == asked.others
            && self.nodes == asked.nodes
    }
}
