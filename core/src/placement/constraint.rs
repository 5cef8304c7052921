//! Constraints of one app against nodes, with counters of what is placed (marathon.md 1.9): slow and
//! obviously right, to judge the engine by.

use super::pattern::{full_match, same_number};
use crate::app::{App, Constraint, Operator};
use crate::node::Node;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// One constraint, ready to be asked about many nodes.
struct Prepared<'a> {
    constraint: &'a Constraint,
    regex: Option<Regex>,
    /// Placed instances per value of the field.
    placed: BTreeMap<String, u32>,
    /// Value of the first placed instance, for CLUSTER.
    first: Option<String>,
    /// All values on usable nodes, for GROUP_BY.
    groups: BTreeSet<String>,
    /// Fewest placed instances of the groups that are still open, for GROUP_BY.
    least: u32,
}

/// All constraints of an app.
pub(crate) struct Constraints<'a>(Vec<Prepared<'a>>);

impl<'a> Constraints<'a> {
    /// Prepares the constraints of `app`; `placed` are the nodes of instances that count, in order
    /// of their ids, `usable` all nodes that accept tasks.
    pub(crate) fn new(app: &'a App, placed: &[&Node], usable: &[&Node]) -> Self {
        let prepare = |constraint: &'a Constraint| {
            let values = placed.iter().filter_map(|node| node.field(&constraint.field));
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            for value in values.clone() {
                *counts.entry(value.to_owned()).or_default() += 1;
            }
            let first = values.clone().next().map(str::to_owned);
            let pattern = match constraint.operator {
                Operator::Like | Operator::Unlike => constraint.value.as_deref(),
                _ => None,
            };
            let groups = match constraint.operator {
                Operator::GroupBy => usable.iter().filter_map(|node| node.field(&constraint.field)).map(str::to_owned).collect(),
                _ => BTreeSet::new(),
            };
            let mut prepared =
                Prepared { constraint, regex: pattern.and_then(full_match), placed: counts, first, groups, least: 0 };
            prepared.find_least();
            prepared
        };
        Self(app.constraints.iter().map(prepare).collect())
    }

    /// The first constraint that refuses `node`.
    pub(crate) fn refusing(&self, node: &Node) -> Option<&Constraint> {
        self.0.iter().find(|prepared| !prepared.accepts(node)).map(|prepared| prepared.constraint)
    }

    /// Notes an instance placed on `node`.
    pub(crate) fn note(&mut self, node: &Node) {
        for prepared in &mut self.0 {
            if let Some(value) = node.field(&prepared.constraint.field) {
                prepared.first.get_or_insert_with(|| value.to_owned());
                *prepared.placed.entry(value.to_owned()).or_default() += 1;
                prepared.find_least();
            }
        }
    }
}

impl Prepared<'_> {
    /// Most groups that GROUP_BY may use.
    fn group_limit(&self) -> usize {
        self.constraint.value.as_deref().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX)
    }

    /// Once for each placed instance, not for each node that is looked at.
    fn find_least(&mut self) {
        let may_open = self.placed.len() < self.group_limit();
        let counts = self.groups.iter().filter_map(|group| match self.placed.get(group) {
            Some(count) => Some(*count),
            None => may_open.then_some(0),
        });
        self.least = counts.min().unwrap_or(0);
    }

    fn accepts(&self, node: &Node) -> bool {
        let operator = self.constraint.operator;
        let Some(value) = node.field(&self.constraint.field) else { return operator == Operator::Unlike };
        let operand = self.constraint.value.as_deref();
        let placed = |value: &str| self.placed.get(value).copied().unwrap_or(0);
        match operator {
            Operator::Unique => placed(value) == 0,
            Operator::Cluster => match operand.filter(|text| !text.is_empty()).or(self.first.as_deref()) {
                Some(wanted) => wanted == value,
                None => true,
            },
            Operator::GroupBy => {
                (self.placed.len() < self.group_limit() || self.placed.contains_key(value)) && placed(value) <= self.least
            }
            Operator::MaxPer => operand.and_then(|text| text.parse::<u32>().ok()).is_some_and(|most| placed(value) < most),
            Operator::Like => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            Operator::Unlike => self.regex.as_ref().is_some_and(|regex| !regex.is_match(value)),
            Operator::Is => operand.is_some_and(|wanted| wanted == value || same_number(wanted, value)),
        }
    }
}
