//! The question the engine answers: seats for a number of equal tasks.

use super::asks::Asks;
use super::batch;
use super::census::{Censuses, Involved};
use super::demand::Demand;
use super::filter::Filter;
use super::level::Eligible;
use super::memo::{Inquiry, Memo};
use super::question::Asking;
use super::tally::Tally;
use super::tree::NONE;
use super::trees::{Means, Thrift};
use super::trial::{ALL, Trial};
use super::{Ledger, Strategy, counts_own, follows_first};
use crate::app::App;
use crate::hash::Set;
use crate::instance::Seat;
use crate::node::NodeId;
use crate::placement::Refusals;

/// Most seats handed out by one call; who wants more asks again.
pub const SEATS_MAX: usize = 1 << 20;
/// Answers of nodes kept in explanations, four bytes each; at the limit all are dropped and worked
/// out anew.
const ANSWERS_MAX: usize = 16 << 20;

/// Which nodes are asked.
enum Among {
    All,
    One(u32),
    Beside(Set<u32>),
}

impl Ledger {
    /// Finds up to `count` seats for `app`, at most [`SEATS_MAX`]; with the reasons when no node
    /// takes one more. Equal tasks are placed in one go; what refuses one refuses the rest. The
    /// ledger is as before afterwards: seats are taken with [`Ledger::allocate`].
    ///
    /// `salt` chooses among free dynamic ports and nothing else.
    pub fn place_batch(&mut self, app: &App, count: usize, strategy: Strategy, salt: u64) -> (Vec<Seat>, Option<Refusals>) {
        self.lift(app);
        let found = self.search(app, count, strategy, salt, &Among::All, Thrift::Rents);
        self.drop_lift();
        found
    }

    /// [`Ledger::place_batch`] on other nodes than these, without reasons.
    pub fn place_beside(&mut self, app: &App, count: usize, strategy: Strategy, salt: u64, avoided: &[NodeId]) -> Vec<Seat> {
        let avoided = avoided.iter().filter_map(|node| self.rows.slot(node)).collect();
        self.lift(app);
        let found = self.search(app, count, strategy, salt, &Among::Beside(avoided), Thrift::Rents);
        self.drop_lift();
        found.0
    }

    /// A seat for one instance of `app` on this node, if it takes it.
    pub fn place_at(&mut self, app: &App, node: &NodeId, salt: u64) -> Option<Seat> {
        let slot = self.rows.slot(node)?;
        self.lift(app);
        let found = self.search(app, 1, Strategy::default(), salt, &Among::One(slot), Thrift::Rents);
        self.drop_lift();
        found.0.into_iter().next()
    }

    /// Reasons are given only when all nodes were asked.
    fn search(
        &mut self,
        app: &App,
        count: usize,
        strategy: Strategy,
        salt: u64,
        among: &Among,
        thrift: Thrift,
    ) -> (Vec<Seat>, Option<Refusals>) {
        let demand = Demand::of(app);
        self.know_apps(app);
        let mut involved = self.censuses.take(app);
        let asks = Asks::of(app, &involved, &mut self.fields, &self.rows.nodes, &mut self.cost);
        let mut tally = self.tallies.remove(&app.id).unwrap_or_default();
        let question = Asking {
            app,
            demand: &demand,
            role: self.rows.lens(),
            tally: tally.epoch,
            others: Censuses::state(&involved),
            nodes: self.described,
        };
        let config = counts_own(app).then(|| tally.config(app.version_info.last_config_change_at, follows_first(app)));
        let placed = config.map(|index| &mut tally.configs[index]);
        let mut roles: Vec<u32> = if app.accepted_resource_roles.is_empty() {
            self.rows.role("*").into_iter().collect()
        } else {
            app.accepted_resource_roles.iter().filter_map(|name| self.rows.role(name)).collect()
        };
        let only_reserved = self.rows.lifted.as_ref().and_then(|lifted| lifted.only_reserved_of);
        roles.extend(only_reserved);
        roles.sort_unstable();
        roles.dedup();
        let eligible = Eligible {
            known: self.rows.known,
            roles: (self.rows.roles_met() > 1 || only_reserved.is_some()).then_some(&roles),
            role: &|slot| self.rows.role_on(slot),
        };
        let filter = Filter::new(app, &self.fields, &asks, placed, &mut involved, &eligible, &mut self.cost);

        let asked = self.memos.remove(&app.id).filter(|(asked, _)| question.is(asked));
        let (asked, mut memo) = asked.map_or((None, None), |(asked, memo)| (Some(asked), Some(memo)));
        if memo.is_none() && self.rows.promised.is_empty() {
            let alike = self.refused.get(&demand.need).and_then(|other| self.memos.get(other));
            memo = alike.filter(|(asked, _)| question.is_the_same_to(asked)).map(|(_, memo)| memo.clone());
        }
        let (rows, changes, fields, cost) = (&mut self.rows, &self.changes, &self.fields, &mut self.cost);
        let mut trial = Trial::new(rows, fields, &mut tally, config, involved, filter, &demand, roles, strategy, count);
        if let Among::Beside(avoided) = among {
            trial.avoided.clone_from(avoided);
        }
        if let Among::One(slot) = *among {
            let taken = if trial.accepts(slot, ALL) { trial.take(slot, salt, cost) } else { None };
            let node = trial.rows.cold[slot as usize].id.clone();
            let seat = taken.map(|(ports, _)| Seat { node, host_ports: ports.into() });
            let involved = trial.undo();
            self.put_back(app, involved, tally);
            return (seat.into_iter().collect(), None);
        }
        let demanded = (0..trial.filter.len()).map(|index| trial.filter.field(index)).filter(|field| *field != NONE);
        let mut inquiry = Inquiry { surveys: &mut self.surveys, fields: demanded.collect(), changes, described: self.described };
        let refused = memo.as_mut().is_some_and(|memo| memo.sync(&trial, &mut inquiry, cost) && !memo.fits());
        if !refused {
            memo = None;
        }
        let mut seats = Vec::new();
        if !refused && !trial.rows.is_beyond(&demand.need, cost) {
            let means = Means::of(&trial, &asks, &mut self.views, changes, count, thrift);
            let before = *cost;
            means.ready(&mut self.views, trial.rows, fields, changes, cost);
            let made = cost.since(&before).total();
            let found = batch::run(&mut trial, &means.trees(&self.views, &asks), count.min(SEATS_MAX), salt, cost);
            let asked = cost.since(&before).probes.saturating_sub(found.as_ref().map_or(0, Vec::len) as u64);
            let next = means.note(&mut self.views, fields.numbering, changes.end(), found.is_some().then_some((made, asked)));
            if found.is_none() && thrift != Thrift::Buys {
                let involved = trial.undo();
                self.put_back(app, involved, tally);
                debug_assert!(next > thrift, "the same again");
                return self.search(app, count, strategy, salt, among, if next > thrift { next } else { Thrift::Buys });
            }
            debug_assert!(found.is_some(), "with all trees at hand nothing is missing");
            seats = found.unwrap_or_default();
            self.found.clear();
            self.found.extend(trial.taken());
        }
        let mut refusals = None;
        if let Among::Beside(_) = among {
            self.memos.extend(memo.map(|memo| (app.id.clone(), (asked.unwrap_or_else(|| question.noted()), memo))));
        } else if seats.len() < count.min(SEATS_MAX) {
            let memo = memo.unwrap_or_else(|| Memo::of(&trial, &mut inquiry, cost));
            refusals = Some(memo.refusals(app, &trial));
            if seats.is_empty() {
                if (self.memos.len() + 1) * trial.rows.hot.len() > ANSWERS_MAX {
                    self.memos.clear();
                    self.refused.clear();
                }
                self.refused.insert(demand.need, app.id.clone());
                self.memos.insert(app.id.clone(), (asked.unwrap_or_else(|| question.noted()), memo));
            }
        }
        let involved = trial.undo();
        if let Some(survey) = self.surveys.last().filter(|_| refusals.is_some()) {
            survey.blocks.hold(&self.rows, self.found.iter().copied().take(seats.len()), &mut self.cost);
        }
        self.put_back(app, involved, tally);
        (seats, refusals)
    }

    /// Puts back what a search counted in.
    fn put_back(&mut self, app: &App, involved: Vec<Involved>, mut tally: Tally) {
        self.censuses.put_back(involved);
        tally.tidy();
        if !tally.is_empty() {
            self.tallies.insert(app.id.clone(), tally);
        }
    }
}
