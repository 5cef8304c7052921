//! The fields that an app's rules speak of, by number.

use super::census::{Home, Involved};
use super::fields::Fields;
use super::source::Source;
use crate::app::{App, Operator};
use crate::node::Node;
use std::sync::Arc;

/// Numbers of fields, in the order of the rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asks {
    pub(crate) constraints: Vec<u32>,
    pub(crate) spread: Vec<u32>,
    pub(crate) prefer: Vec<u32>,
    pub(crate) affinity: Vec<u32>,
    pub(crate) anti_affinity: Vec<u32>,
    /// Demands of others to stay away: which census, and its field.
    pub(crate) repelling: Vec<(usize, u32)>,
    /// Fields that group nodes which are all liked alike: with those of demands, and without.
    pub(crate) classes: Vec<u32>,
    /// Parts of both.
    joined: Vec<u32>,
    wished: Vec<u32>,
}

impl Asks {
    /// Indexes every field the app's rules name and evaluates their patterns.
    pub(crate) fn of(
        app: &App,
        involved: &[Involved],
        fields: &mut Fields,
        nodes: &[Option<Arc<Node>>],
        cost: &mut super::Cost,
    ) -> Self {
        let rules = &app.placement;
        let repelling: Vec<(usize, &str)> = involved
            .iter()
            .enumerate()
            .filter_map(|(index, involved)| match &involved.home {
                Home::Repelling(_, field) => Some((index, field.as_str())),
                Home::Selected(_) => None,
            })
            .collect();
        let own = Own::of(app, fields, nodes);
        let (joined, wished) = own.classes(app);
        let near = || rules.affinity.iter().chain(&rules.anti_affinity);
        let mut sources = own.constraints;
        sources.extend(rules.spread.iter().map(|rule| named(&rule.field)));
        sources.extend(own.prefer);
        sources.extend(near().map(|rule| named(&rule.field)));
        sources.extend(repelling.iter().map(|(_, field)| named(field)));
        sources.extend_from_slice(&joined);
        sources.extend_from_slice(&wished);
        let (joined_len, wished_len) = (joined.len(), wished.len());
        sources.extend([joined, wished].into_iter().filter(|parts| !parts.is_empty()).map(Source::Joined));
        let mut numbers = fields.index(&sources, nodes).into_iter();
        let mut next = |count: usize| -> Vec<u32> { numbers.by_ref().take(count).collect() };
        let asks = Self {
            constraints: next(app.constraints.len()),
            spread: next(rules.spread.len()),
            prefer: next(rules.prefer.len()),
            affinity: next(rules.affinity.len()),
            anti_affinity: next(rules.anti_affinity.len()),
            repelling: repelling.iter().map(|(index, _)| *index).zip(next(repelling.len())).collect(),
            joined: next(joined_len),
            wished: next(wished_len),
            classes: next(2),
        };
        let patterns = app.constraints.iter().zip(&asks.constraints);
        let patterns =
            patterns.filter_map(|(constraint, number)| Some((constraint.operator, constraint.value.as_ref()?, number)));
        let liked = rules.prefer.iter().zip(&asks.prefer).map(|(rule, number)| (rule.operator, &rule.value, number));
        for (operator, operand, number) in patterns.chain(liked) {
            if matches!(operator, Operator::Like | Operator::Unlike | Operator::Is) {
                fields.get_mut(*number).evaluate(operator, operand, cost);
            }
        }
        asks
    }

    /// Fields that nodes with the same value of a joined field have in common.
    pub(crate) fn shared(&self, class: u32) -> Vec<u32> {
        let all = if Some(&class) == self.classes.first() { &self.joined } else { &self.wished };
        all.clone()
    }

    /// All fields that demands are about.
    pub(crate) fn demanded(&self) -> impl Iterator<Item = u32> + '_ {
        let near = self.affinity.iter().chain(&self.anti_affinity).copied();
        self.constraints.iter().chain(&self.spread).copied().chain(near).chain(self.repelling.iter().map(|(_, field)| *field))
    }
}

/// What an app's own constraints and preferences are about.
struct Own {
    constraints: Vec<Source>,
    prefer: Vec<Source>,
}

impl Own {
    fn of(app: &App, fields: &mut Fields, nodes: &[Option<Arc<Node>>]) -> Self {
        let mut source = |field: &str, operator: Operator, operand: Option<&str>| {
            let plain = named(field);
            let Some(operand) = operand.filter(|_| matches!(operator, Operator::Like | Operator::Unlike)) else { return plain };
            let number = fields.index(std::slice::from_ref(&plain), nodes);
            if number.iter().all(|number| fields.get(*number).has_few_values(nodes.len())) {
                return plain;
            }
            let verdict = Source::Verdict { field: field.to_owned(), operator, operand: operand.to_owned() };
            if fields.takes_verdict(&verdict) { verdict } else { plain }
        };
        let constraints = app.constraints.iter().map(|rule| source(&rule.field, rule.operator, rule.value.as_deref())).collect();
        let prefer = app.placement.prefer.iter().map(|rule| source(&rule.field, rule.operator, Some(&rule.value))).collect();
        Self { constraints, prefer }
    }

    /// Fields of an app with wishes: all but host names, and those of its wishes alone.
    fn classes(&self, app: &App) -> (Vec<Source>, Vec<Source>) {
        let rules = &app.placement;
        let near = || rules.affinity.iter().chain(&rules.anti_affinity);
        let mut wished = Vec::new();
        let wishes = rules.spread.iter().filter(|rule| rule.weight.is_some()).map(|rule| named(&rule.field));
        let company = near().filter(|rule| rule.weight.is_some()).map(|rule| named(&rule.field));
        add(&mut wished, self.prefer.iter().cloned().chain(wishes).chain(company));
        if wished.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut all = wished.clone();
        let demanded = self.constraints.iter().cloned().chain(rules.spread.iter().map(|rule| named(&rule.field)));
        let demanded = demanded.chain(near().map(|rule| named(&rule.field)));
        let is_host = |source: &Source| matches!(source, Source::Named(field) if matches!(&**field, "hostname" | "@hostname"));
        add(&mut all, demanded.filter(|source| !is_host(source)));
        (all, wished)
    }
}

fn named(field: &str) -> Source {
    Source::Named(field.to_owned())
}

/// Adds what is not there yet.
fn add(sources: &mut Vec<Source>, more: impl Iterator<Item = Source>) {
    for source in more {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
}
