//! The fields that an app's rules speak of, by number.

use super::census::{Home, Involved};
use super::fields::Fields;
use crate::app::{App, Operator};
use crate::node::Node;
use std::sync::Arc;

/// Starts the name of a field made of several: nodes with the same values of all of them share its
/// value. No attribute can be told from it by accident, since values are written with their lengths.
pub(crate) const JOINED: char = '\u{1f}';

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
        let (joined, wished) = classes(app);
        let (joined_name, wished_name) = (join(&joined), join(&wished));
        let mut names: Vec<&str> = app.constraints.iter().map(|constraint| constraint.field.as_str()).collect();
        names.extend(rules.spread.iter().map(|rule| rule.field.as_str()));
        names.extend(rules.prefer.iter().map(|rule| rule.field.as_str()));
        names.extend(rules.affinity.iter().chain(&rules.anti_affinity).map(|rule| rule.field.as_str()));
        names.extend(repelling.iter().map(|(_, field)| *field));
        names.extend(&joined);
        names.extend(&wished);
        names.extend(joined_name.as_deref());
        names.extend(wished_name.as_deref());
        let mut numbers = fields.index(names.iter().copied(), nodes).into_iter();
        let mut next = |count: usize| -> Vec<u32> { numbers.by_ref().take(count).collect() };
        let asks = Self {
            constraints: next(app.constraints.len()),
            spread: next(rules.spread.len()),
            prefer: next(rules.prefer.len()),
            affinity: next(rules.affinity.len()),
            anti_affinity: next(rules.anti_affinity.len()),
            repelling: repelling.iter().map(|(index, _)| *index).zip(next(repelling.len())).collect(),
            joined: next(joined.len()),
            wished: next(wished.len()),
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

/// Fields of an app with wishes: all but host names, and those of its wishes alone.
fn classes(app: &App) -> (Vec<&str>, Vec<&str>) {
    let rules = &app.placement;
    let near = || rules.affinity.iter().chain(&rules.anti_affinity);
    let mut wished: Vec<&str> = rules.prefer.iter().map(|rule| rule.field.as_str()).collect();
    wished.extend(rules.spread.iter().filter(|rule| rule.weight.is_some()).map(|rule| rule.field.as_str()));
    wished.extend(near().filter(|rule| rule.weight.is_some()).map(|rule| rule.field.as_str()));
    wished.sort_unstable();
    wished.dedup();
    if wished.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut all: Vec<&str> = wished.clone();
    let demanded = app.constraints.iter().map(|constraint| constraint.field.as_str());
    let demanded = demanded.chain(rules.spread.iter().map(|rule| rule.field.as_str()));
    let demanded = demanded.chain(near().map(|rule| rule.field.as_str()));
    all.extend(demanded.filter(|field| !matches!(*field, "hostname" | "@hostname")));
    all.sort_unstable();
    all.dedup();
    (all, wished)
}

/// Name of the field that joins these.
fn join(names: &[&str]) -> Option<String> {
    let parts: Vec<String> = names.iter().map(|name| format!("{JOINED}{name}")).collect();
    (!parts.is_empty()).then(|| parts.concat())
}
