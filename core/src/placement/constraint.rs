//! Constraints of one app against nodes, with counters of what is placed (marathon.md 1.9): slow and
//! obviously right, to judge the engine by.

use super::pattern::{full_match, same_number};
use crate::app::{App, Constraint, Operator, Selector};
use crate::node::{Node, accepts_reserved, may_use};
use crate::role::ANY_ROLE;
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
    /// All values on eligible nodes, for GROUP_BY.
    groups: BTreeSet<String>,
    /// Fewest placed instances of the groups that are still open, for GROUP_BY.
    least: u32,
}

/// An instance with a seat: its app, and its node where that is known.
pub(crate) type Seated<'a> = (&'a App, Option<&'a Node>);

/// All demands and wishes of an app.
pub(crate) struct Constraints<'a> {
    app: &'a App,
    prepared: Vec<Prepared<'a>>,
    /// Counted instances of the same configuration.
    own: Vec<&'a Node>,
    /// Everything with a seat.
    seated: Vec<Seated<'a>>,
    usable: Vec<&'a Node>,
    /// Usable nodes that neither the app's roles nor its constraints on values rule out for good.
    eligible: Vec<&'a Node>,
}

impl<'a> Constraints<'a> {
    /// Prepares the constraints of `app`; `placed` are the nodes of instances that count, in order
    /// of their ids, `usable` all nodes that accept tasks.
    pub(crate) fn new(app: &'a App, placed: &[&'a Node], usable: &[&'a Node], seated: &[Seated<'a>]) -> Self {
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
            Prepared { constraint, regex: pattern.and_then(full_match), placed: counts, first, groups: BTreeSet::new(), least: 0 }
        };
        let prepared: Vec<Prepared<'_>> = app.constraints.iter().map(prepare).collect();
        let (own, seated, usable) = (placed.to_vec(), seated.to_vec(), usable.to_vec());
        let mut constraints = Self { app, prepared, own, seated, usable, eligible: Vec::new() };
        constraints.open_groups();
        constraints
    }

    /// Finds the nodes that nothing rules out for good, and the groups they are in.
    fn open_groups(&mut self) {
        let is_eligible =
            |node: &&&Node| accepts_role(self.app, node) && self.prepared.iter().all(|prepared| prepared.may_ever_accept(node));
        self.eligible = self.usable.iter().filter(is_eligible).copied().collect();
        for prepared in self.prepared.iter_mut().filter(|prepared| prepared.constraint.operator == Operator::GroupBy) {
            let values = self.eligible.iter().filter_map(|node| node.field(&prepared.constraint.field));
            prepared.groups = values.map(str::to_owned).collect();
            prepared.find_least();
        }
    }

    /// Everything that refuses `node`: place among all demands, and words.
    pub(crate) fn refusing(&self, node: &Node) -> Vec<(usize, String)> {
        let rules = &self.app.placement;
        let mut words = Vec::new();
        for (index, prepared) in self.prepared.iter().enumerate().filter(|(_, prepared)| !prepared.accepts(node)) {
            words.push((index, format!("constraint {}", prepared.constraint)));
        }
        if rules.one_per_node && self.own.iter().any(|own| own.facts.id == node.facts.id) {
            words.push((100, "one instance per node".into()));
        }
        for (index, rule) in rules.spread.iter().enumerate().filter(|(_, rule)| rule.weight.is_none()) {
            let open =
                node.field(&rule.field).is_some_and(|value| self.ahead(&self.eligible, &rule.field, value) < rule.maximum_skew);
            if !open {
                words.push((200 + index, format!("spread over {} with at most {} apart", rule.field, rule.maximum_skew)));
            }
        }
        for (index, rule) in rules.affinity.iter().enumerate().filter(|(_, rule)| rule.weight.is_none()) {
            let lonely = rule.selector.selects(self.app) && !self.seated.iter().any(|(app, _)| rule.selector.selects(app));
            let open = node.field(&rule.field).is_some_and(|value| lonely || self.company(&rule.selector, &rule.field, value));
            if !open {
                words.push((300 + index, format!("affinity to {} by {}", rule.selector, rule.field)));
            }
        }
        // Those who want us away: first those who mean the app by its id, then by its labels.
        let mut repelling: BTreeMap<(&Selector, &str), bool> = BTreeMap::new();
        for (other, there) in &self.seated {
            for rule in other.placement.anti_affinity.iter().filter(|rule| rule.weight.is_none()) {
                let there = there.and_then(|there| there.field(&rule.field));
                if rule.selector.selects(self.app) {
                    let near = there.is_some() && there == node.field(&rule.field);
                    *repelling.entry((&rule.selector, &rule.field)).or_default() |= near;
                }
            }
        }
        for (index, rule) in rules.anti_affinity.iter().enumerate().filter(|(_, rule)| rule.weight.is_none()) {
            // Who demands the same of us is no second reason.
            let repelled = repelling.get(&(&rule.selector, rule.field.as_str())).copied().unwrap_or(false);
            let company = node.field(&rule.field).is_some_and(|value| self.company(&rule.selector, &rule.field, value));
            if company || repelled {
                words.push((400 + index, format!("anti-affinity to {} by {}", rule.selector, rule.field)));
            }
        }
        let own = |selector: &Selector, field: &str| {
            let mut own = rules.anti_affinity.iter().filter(|rule| rule.weight.is_none());
            own.any(|rule| rule.selector == *selector && rule.field == field)
        };
        repelling.retain(|(selector, field), _| !own(selector, field));
        for (index, ((selector, field), _)) in repelling.iter().enumerate().filter(|(_, (_, near))| **near) {
            words.push((500 + index, format!("anti-affinity of others to {selector} by {field}")));
        }
        words
    }

    /// How little a node is liked.
    pub(crate) fn dislike(&self, node: &Node) -> i64 {
        let rules = &self.app.placement;
        let mut sum = 0;
        for rule in &rules.prefer {
            let matches = match (node.field(&rule.field), rule.operator) {
                (None, operator) => operator == Operator::Unlike,
                (Some(value), Operator::Is) => value == rule.value || same_number(&rule.value, value),
                (Some(value), Operator::Like) => full_match(&rule.value).is_some_and(|regex| regex.is_match(value)),
                (Some(value), _) => full_match(&rule.value).is_some_and(|regex| !regex.is_match(value)),
            };
            sum -= i64::from(rule.weight) * i64::from(matches);
        }
        for (rules, sign) in [(&rules.affinity, -1), (&rules.anti_affinity, 1)] {
            for rule in rules {
                let near = node.field(&rule.field).is_some_and(|value| self.company(&rule.selector, &rule.field, value));
                sum += sign * i64::from(rule.weight.unwrap_or(0)) * i64::from(near);
            }
        }
        for rule in &rules.spread {
            let excess = node
                .field(&rule.field)
                .map_or(0, |value| (self.ahead(&self.usable, &rule.field, value) + 1).saturating_sub(rule.maximum_skew));
            sum += i64::from(rule.weight.unwrap_or(0)) * i64::from(excess);
        }
        sum
    }

    /// By how many counted instances a value is ahead of the emptiest value of these nodes.
    fn ahead(&self, nodes: &[&Node], field: &str, value: &str) -> u32 {
        let count = |value: &str| self.own.iter().filter(|node| node.field(field) == Some(value)).count() as u32;
        let groups: BTreeSet<&str> = nodes.iter().filter_map(|node| node.field(field)).collect();
        count(value).saturating_sub(groups.into_iter().map(count).min().unwrap_or(0))
    }

    /// Whether instances of the selector are where the field has this value.
    fn company(&self, selector: &Selector, field: &str, value: &str) -> bool {
        let near = |node: Option<&Node>| node.is_some_and(|node| node.field(field) == Some(value));
        self.seated.iter().any(|(app, node)| selector.selects(app) && near(*node))
    }

    /// Notes an instance placed on `node`.
    pub(crate) fn note(&mut self, node: &'a Node) {
        self.own.push(node);
        self.seated.push((self.app, Some(node)));
        for prepared in &mut self.prepared {
            if let Some(value) = node.field(&prepared.constraint.field) {
                prepared.first.get_or_insert_with(|| value.to_owned());
                *prepared.placed.entry(value.to_owned()).or_default() += 1;
                prepared.find_least();
            }
        }
        self.open_groups();
    }
}

/// Whether an app takes nodes of a node's resource role.
pub(crate) fn accepts_role(app: &App, node: &Node) -> bool {
    let (accepted, role) = (&app.accepted_resource_roles, node.facts.role.as_str());
    if accepted.is_empty() {
        return role == ANY_ROLE;
    }
    let reserved = || node.claims.reservations.keys().any(|reserved| may_use(app.role.as_deref(), reserved));
    accepted.iter().any(|accepted| accepted == role) || role == ANY_ROLE && accepts_reserved(app) && reserved()
}

impl Prepared<'_> {
    /// Most groups that GROUP_BY may use.
    fn group_limit(&self) -> usize {
        self.constraint.value.as_deref().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX)
    }

    /// Groups in use.
    fn used(&self) -> usize {
        self.placed.keys().filter(|value| self.groups.contains(*value)).count()
    }

    /// Once for each placed instance, not for each node that is looked at.
    fn find_least(&mut self) {
        let may_open = self.used() < self.group_limit();
        let counts = self.groups.iter().filter_map(|group| match self.placed.get(group) {
            Some(count) => Some(*count),
            None => may_open.then_some(0),
        });
        self.least = counts.min().unwrap_or(0);
    }

    /// Whether a node is not ruled out whatever is placed from now on.
    fn may_ever_accept(&self, node: &Node) -> bool {
        match self.constraint.operator {
            Operator::GroupBy | Operator::Unique | Operator::MaxPer => node.field(&self.constraint.field).is_some(),
            Operator::Cluster | Operator::Like | Operator::Unlike | Operator::Is => self.accepts(node),
        }
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
                (self.used() < self.group_limit() || self.placed.contains_key(value)) && placed(value) <= self.least
            }
            Operator::MaxPer => operand.and_then(|text| text.parse::<u32>().ok()).is_some_and(|most| placed(value) < most),
            Operator::Like => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            Operator::Unlike => self.regex.as_ref().is_some_and(|regex| !regex.is_match(value)),
            Operator::Is => operand.is_some_and(|wanted| wanted == value || same_number(wanted, value)),
        }
    }
}
