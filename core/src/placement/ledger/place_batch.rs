//! The question the engine answers: seats for a number of equal tasks.

use super::batch::{self, GROUPS_MAX, Trees};
use super::demand::Demand;
use super::explain::{Memo, Question};
use super::filter::Filter;
use super::trial::Trial;
use super::view::View;
use super::{Ledger, Strategy, follows_first};
use crate::app::{App, Operator};
use crate::instance::Seat;
use crate::placement::Refusals;

/// Most seats handed out by one call; who wants more asks again.
pub const SEATS_MAX: usize = 1 << 20;
/// Answers of nodes kept in explanations, four bytes each; at the limit all are dropped and worked
/// out anew.
const ANSWERS_MAX: usize = 16 << 20;
/// Fields with a tree per value; the one used longest ago gives way.
const VIEWS_MAX: usize = 8;

impl Ledger {
    /// Finds up to `count` seats for `app`, at most [`SEATS_MAX`]; with the reasons when no node
    /// takes one more. Equal tasks are placed in one go; what refuses one refuses the rest. The
    /// ledger is as before afterwards: seats are taken with [`Ledger::allocate`].
    ///
    /// `salt` chooses among free dynamic ports and nothing else.
    pub fn place_batch(&mut self, app: &App, count: usize, strategy: Strategy, salt: u64) -> (Vec<Seat>, Option<Refusals>) {
        let demand = Demand::of(app);
        self.batches += 1;
        let names = app.constraints.iter().map(|constraint| constraint.field.as_str());
        let numbers = self.fields.index(names, &self.rows.nodes);
        for (constraint, number) in app.constraints.iter().zip(&numbers) {
            if let (Operator::Like | Operator::Unlike | Operator::Is, Some(operand)) = (constraint.operator, &constraint.value) {
                self.fields.get_mut(*number).evaluate(constraint.operator, operand, &mut self.cost);
            }
        }
        let mut tally = self.tallies.remove(&app.id).unwrap_or_default();
        let question = Question {
            config: app.version_info.last_config_change_at,
            demand: demand.clone(),
            constraints: app.constraints.clone(),
            accepted: app.accepted_resource_roles.clone(),
            tally: tally.epoch,
            nodes: self.described,
        };
        let config = (!app.constraints.is_empty()).then(|| tally.config(question.config, follows_first(app)));
        let placed = config.map(|index| &mut tally.configs[index]);
        let filter = Filter::new(app, &self.fields, &numbers, self.rows.known, placed, &mut self.cost);
        let mut roles: Vec<u32> = if app.accepted_resource_roles.is_empty() {
            self.rows.role("*").into_iter().collect()
        } else {
            app.accepted_resource_roles.iter().filter_map(|name| self.rows.role(name)).collect()
        };
        roles.sort_unstable();
        roles.dedup();

        let mut memo = self.memos.remove(&app.id).filter(|(asked, _)| *asked == question).map(|(_, memo)| memo);
        let epoch = self.fields.numbering;
        let (rows, changes, fields, cost) = (&mut self.rows, &self.changes, &self.fields, &mut self.cost);
        let mut trial = Trial::new(rows, fields, &mut tally, config, filter, &demand, roles, strategy);
        let refused = memo.as_mut().is_some_and(|memo| memo.sync(&trial, changes, cost) && !memo.fits());
        let mut seats = Vec::new();
        if !refused {
            memo = None;
            let views = std::mem::take(&mut self.views);
            self.views = if self.numbering == epoch { views } else { Vec::new() };
            self.numbering = epoch;
            for number in &numbers {
                let field = fields.get(*number);
                // A field with nearly a value per node is served by the counters alone.
                if field.len() > GROUPS_MAX || field.len() > trial.rows.hot.len() / 2 {
                    continue;
                }
                let at = self.views.iter().position(|(have, _)| have == number).unwrap_or_else(|| {
                    if self.views.len() >= VIEWS_MAX {
                        let oldest = (0..self.views.len()).min_by_key(|at| self.views[*at].1.used).unwrap_or(0);
                        self.views.swap_remove(oldest);
                    }
                    self.views.push((*number, View::default()));
                    self.views.len() - 1
                });
                let view = &mut self.views[at].1;
                view.used = self.batches;
                view.sync(trial.rows, changes, epoch, |slot| field.value(slot), cost);
            }
            // The order of all nodes is kept up to date only when it may be needed.
            let led = batch::is_led(&trial.filter, |index| {
                self.views.iter().any(|(number, view)| view.used == self.batches && *number == numbers[index])
            });
            if !led {
                self.main.sync(trial.rows, changes, 0, |slot| trial.rows.role_group(slot), cost);
            }
            let current = self.views.iter().filter(|(_, view)| view.used == self.batches);
            let by_field = current.map(|(number, view)| (*number, view));
            let trees = Trees { main: &self.main, by_field: by_field.collect() };
            seats = batch::run(&mut trial, &trees, count.min(SEATS_MAX), salt, cost);
        }
        let mut refusals = None;
        if seats.len() < count.min(SEATS_MAX) {
            let memo = memo.unwrap_or_else(|| Memo::of(&trial, changes, cost));
            refusals = Some(memo.refusals(app, trial.rows));
            if seats.is_empty() {
                if (self.memos.len() + 1) * trial.rows.hot.len() > ANSWERS_MAX {
                    self.memos.clear();
                }
                self.memos.insert(app.id.clone(), (question, memo));
            }
        }
        trial.undo();
        tally.tidy();
        if !tally.is_empty() {
            self.tallies.insert(app.id.clone(), tally);
        }
        (seats, refusals)
    }
}
