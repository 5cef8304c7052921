//! One batch under way: seats that are taken for the time being, and what the next one may be.

use super::Strategy;
use super::census::Involved;
use super::cost::Cost;
use super::demand::Demand;
use super::fields::Fields;
use super::filter::{Counts, Filter};
use super::level::Eligible;
use super::rows::Rows;
use super::shape::Rating;
use super::tally::Tally;
use crate::hash::Set;

/// No constraint is left out.
pub(crate) const ALL: usize = usize::MAX;

/// Order in which nodes are preferred: lower is better.
pub(crate) type Score = (i64, u32, u64);

/// Everything a batch looks at and changes for a while.
pub(crate) struct Trial<'a> {
    pub(crate) rows: &'a mut Rows,
    pub(crate) fields: &'a Fields,
    pub(crate) tally: &'a mut Tally,
    /// Index of the app's configuration in the tally, when it has constraints.
    pub(crate) config: Option<usize>,
    /// Instances of others that the app's rules are about.
    pub(crate) involved: Vec<Involved>,
    pub(crate) filter: Filter<'a>,
    pub(crate) demand: &'a Demand,
    /// Numbers of the roles whose nodes may be used.
    pub(crate) roles: Vec<u32>,
    pub(crate) strategy: Strategy,
    /// How packing rates nodes.
    pub(crate) rating: Rating,
    /// Nodes that are left out.
    pub(crate) avoided: Set<u32>,
    taken: Vec<(u32, Vec<u16>)>,
    /// Nodes that were given a seat by this batch; noted for packing only.
    touched: Set<u32>,
}

impl<'a> Trial<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parts of one ledger, borrowed apart")]
    pub(crate) fn new(
        rows: &'a mut Rows,
        fields: &'a Fields,
        tally: &'a mut Tally,
        config: Option<usize>,
        involved: Vec<Involved>,
        filter: Filter<'a>,
        demand: &'a Demand,
        roles: Vec<u32>,
        strategy: Strategy,
        count: usize,
    ) -> Self {
        let rating = Rating::new((demand.need.cpus, demand.need.mem), count, &rows.supply());
        Self {
            rows,
            fields,
            tally,
            config,
            involved,
            filter,
            demand,
            roles,
            strategy,
            rating,
            avoided: Set::default(),
            taken: Vec::new(),
            touched: Set::default(),
        }
    }

    /// What is counted by now.
    pub(crate) fn counts(&self) -> Counts<'_> {
        Counts { config: self.config.map(|index| &self.tally.configs[index]), involved: &self.involved }
    }

    /// Whether this batch has given a seat on the node.
    pub(crate) fn is_touched(&self, slot: u32) -> bool {
        self.touched.contains(&slot)
    }

    /// Nodes of the seats that were taken, in order.
    pub(crate) fn taken(&self) -> impl Iterator<Item = u32> + '_ {
        self.taken.iter().map(|(slot, _)| *slot)
    }

    /// Nodes that this batch has given seats, in no order.
    pub(crate) fn touched(&self) -> impl Iterator<Item = u32> + '_ {
        self.touched.iter().copied()
    }

    /// Whether the node has what the task needs, constraints aside.
    pub(crate) fn fits(&self, slot: u32) -> bool {
        let hot = &self.rows.hot[slot as usize];
        hot.open
            && self.rows.free(slot).covers(&self.demand.need)
            && self.roles.contains(&self.rows.role_on(slot))
            && (hot.docker || !self.demand.docker)
            && self.has_custom(slot)
            && self.demand.fixed.iter().all(|port| self.rows.has_port(slot, *port))
    }

    /// Whether enough is left of every resource with a name of its own.
    fn has_custom(&self, slot: u32) -> bool {
        self.demand.custom.iter().all(|(name, need)| self.rows.custom_free(slot, name) >= need.thousandths())
    }

    /// Whether the node takes the task; `except` is a constraint somebody else looks after.
    pub(crate) fn accepts(&self, slot: u32, except: usize) -> bool {
        (self.avoided.is_empty() || !self.avoided.contains(&slot))
            && self.fits(slot)
            && self.filter.refusing(self.counts(), slot, except).is_none()
    }

    /// How little the app likes a node.
    pub(crate) fn dislike(&self, slot: u32) -> i64 {
        let wishes = &self.filter.wishes;
        if wishes.is_empty() { 0 } else { wishes.dislike(self.counts(), slot, self.fields) }
    }

    /// How good a node is.
    pub(crate) fn score(&self, slot: u32) -> Score {
        let dislike = self.dislike(slot);
        match self.strategy {
            Strategy::Spread => (dislike, self.tally.same_app(slot), self.rows.hot[slot as usize].key),
            Strategy::Binpack => {
                let penalty = if self.rows.is_empty(slot) { self.rating.empty } else { 0 };
                let unlike = self.rating.mismatch(self.rows.free(slot).shape());
                (dislike, unlike + penalty, self.rows.pack_key(slot))
            }
        }
    }

    /// Takes a seat for the time being; its host ports, and whether refused nodes may be accepted now.
    pub(crate) fn take(&mut self, slot: u32, salt: u64, cost: &mut Cost) -> Option<(Vec<u16>, bool)> {
        let demand = self.demand;
        let ports = self.rows.choose_ports(slot, demand, salt).ok()?;
        self.rows.try_out(slot, demand, &ports, true);
        self.tally.seat(slot, true);
        self.count(slot, true);
        let config = self.config.map(|index| &self.tally.configs[index]);
        let (rows, roles) = (&*self.rows, self.filter.ruled_by_role().then_some(self.roles.as_slice()));
        let eligible = Eligible { known: rows.known, roles, role: &|slot| rows.role_on(slot) };
        let turned = self.filter.follow(Counts { config, involved: &self.involved }, slot, &eligible, cost);
        if self.strategy == Strategy::Binpack {
            self.touched.insert(slot);
        }
        // Here and when it is undone, a row and a counter each.
        cost.seats += 4;
        self.taken.push((slot, ports.clone()));
        Some((ports, turned))
    }

    fn count(&mut self, slot: u32, more: bool) {
        if let Some(index) = self.config {
            self.tally.configs[index].count(None, slot, more, self.fields);
        }
        for involved in &mut self.involved {
            for _ in 0..involved.own {
                involved.census.counted.count(slot, more, self.fields);
            }
        }
    }

    /// Gives all seats back, and what others count.
    pub(crate) fn undo(mut self) -> Vec<Involved> {
        for (slot, ports) in std::mem::take(&mut self.taken).into_iter().rev() {
            self.rows.try_out(slot, self.demand, &ports, false);
            self.tally.seat(slot, false);
            self.count(slot, false);
        }
        self.involved
    }
}
