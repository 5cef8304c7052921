//! One batch under way: seats that are taken for the time being, and what the next one may be.

use super::Strategy;
use super::cost::Cost;
use super::demand::Demand;
use super::fields::Fields;
use super::filter::Filter;
use super::rows::Rows;
use super::tally::{Config, Tally};

/// No constraint is left out.
pub(crate) const ALL: usize = usize::MAX;

/// Order in which nodes are preferred: lower is better.
pub(crate) type Score = (u32, u64);

/// Everything a batch looks at and changes for a while.
pub(crate) struct Trial<'a> {
    pub(crate) rows: &'a mut Rows,
    pub(crate) fields: &'a Fields,
    pub(crate) tally: &'a mut Tally,
    /// Index of the app's configuration in the tally, when it has constraints.
    pub(crate) config: Option<usize>,
    pub(crate) filter: Filter<'a>,
    pub(crate) demand: &'a Demand,
    /// Numbers of the roles whose nodes may be used.
    pub(crate) roles: Vec<u32>,
    pub(crate) strategy: Strategy,
    taken: Vec<(u32, Vec<u16>)>,
}

impl<'a> Trial<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parts of one ledger, borrowed apart")]
    pub(crate) const fn new(
        rows: &'a mut Rows,
        fields: &'a Fields,
        tally: &'a mut Tally,
        config: Option<usize>,
        filter: Filter<'a>,
        demand: &'a Demand,
        roles: Vec<u32>,
        strategy: Strategy,
    ) -> Self {
        Self { rows, fields, tally, config, filter, demand, roles, strategy, taken: Vec::new() }
    }

    pub(crate) fn config(&self) -> Option<&Config> {
        self.config.map(|index| &self.tally.configs[index])
    }

    /// Whether the node has what the task needs, constraints aside.
    pub(crate) fn fits(&self, slot: u32) -> bool {
        let hot = &self.rows.hot[slot as usize];
        hot.open
            && hot.free.covers(&self.demand.need)
            && self.roles.contains(&hot.role)
            && (hot.docker || !self.demand.docker)
            && self.demand.fixed.iter().all(|port| self.rows.cold[slot as usize].ports.is_free(*port))
    }

    /// Whether the node takes the task; `except` is a constraint somebody else looks after.
    pub(crate) fn accepts(&self, slot: u32, except: usize) -> bool {
        self.fits(slot) && self.filter.refusing(self.config(), slot, except).is_none()
    }

    /// How good a node is.
    pub(crate) fn score(&self, slot: u32) -> Score {
        let key = self.rows.hot[slot as usize].key;
        match self.strategy {
            Strategy::Spread => (self.tally.same_app(slot), key),
            Strategy::Binpack => (0, !key),
        }
    }

    /// Takes a seat for the time being; its host ports, and whether refused nodes may be accepted now.
    pub(crate) fn take(&mut self, slot: u32, salt: u64, cost: &mut Cost) -> Option<(Vec<u16>, bool)> {
        let demand = self.demand;
        let ports = self.rows.cold[slot as usize].ports.choose(&demand.requests, &demand.fixed, salt).ok()?;
        self.rows.try_out(slot, demand, &ports, true);
        self.tally.seat(slot, true);
        let mut turned = false;
        if let Some(config) = self.config.map(|index| &mut self.tally.configs[index]) {
            config.count(None, slot, true, self.fields);
            turned = self.filter.follow(config, slot, cost);
        }
        // Here and when it is undone, a row and a counter each.
        cost.seats += 4;
        self.taken.push((slot, ports.clone()));
        Some((ports, turned))
    }

    /// Gives all seats back.
    pub(crate) fn undo(mut self) {
        for (slot, ports) in std::mem::take(&mut self.taken).into_iter().rev() {
            self.rows.try_out(slot, self.demand, &ports, false);
            self.tally.seat(slot, false);
            if let Some(index) = self.config {
                self.tally.configs[index].count(None, slot, false, self.fields);
            }
        }
    }
}
