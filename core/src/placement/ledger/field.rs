//! Values of one constraint field over all nodes, numbered, with what patterns say of each value.

use super::cost::Cost;
use super::source::{Reading, Source, YES};
use super::tree::NONE;
use crate::app::Operator;
use crate::hash::Map;
use crate::node::Node;
use crate::placement::pattern::Matcher;
use std::sync::Arc;

/// Most values of a field that are followed with one tree each.
const FEW_VALUES_MAX: usize = 1_024;
/// Nodes for each value, on average, with which more values are followed where nodes are liked by them.
const LARGE_GROUP: usize = 16;
/// Most values of a field that tells a few groups of nodes apart.
const COARSE_VALUES_MAX: usize = 4;
/// Patterns remembered per field; at the limit all are forgotten and evaluated anew when needed.
pub(crate) const PATTERNS_MAX: usize = 256;

/// A field that some constraint names.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    reading: Reading,
    numbers: Map<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    /// Number of the value on each slot, or `NONE`. Short when the last slots do not have the field.
    pub(crate) value_of: Vec<u32>,
    /// Slots with each value.
    pub(crate) members: Vec<Vec<u32>>,
    /// Slots with each value that accept tasks.
    usable: Vec<u32>,
    /// Slots whose entry in `usable` is counted.
    counted: Vec<bool>,
    /// Values on nodes that accept tasks.
    pub(crate) groups: u32,
    /// Slots with a value.
    nodes: u64,
    patterns: Map<(u8, String), Pattern>,
}

/// What a value-only constraint says of every value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pattern {
    /// Whether each value matches.
    pub(crate) matches: Vec<bool>,
    /// Values that match.
    pub(crate) list: Vec<u32>,
}

impl Field {
    pub(crate) fn new(source: &Source) -> Self {
        Self {
            reading: Reading::of(source),
            numbers: Map::default(),
            texts: Vec::new(),
            value_of: Vec::new(),
            members: Vec::new(),
            usable: Vec::new(),
            counted: Vec::new(),
            groups: 0,
            nodes: 0,
            patterns: Map::default(),
        }
    }

    /// Number of a value, if any node ever had it.
    pub(crate) fn number(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// Number of the value on a slot, or `NONE`.
    pub(crate) fn value(&self, slot: u32) -> u32 {
        self.value_of.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// Number of the value on a slot if somebody may follow its nodes, or `NONE`: nobody asks who does not
    /// match a pattern.
    pub(crate) fn followed(&self, slot: u32) -> u32 {
        let value = self.value(slot);
        let is_no = matches!(self.reading, Reading::Verdict(..)) && self.number(YES) != Some(value);
        if is_no { NONE } else { value }
    }

    /// How many values there are or were.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether it is worth while to tell all nodes apart by it: not when it has nearly a value per node.
    pub(crate) fn has_few_values(&self, nodes: usize) -> bool {
        self.len() <= FEW_VALUES_MAX.min(nodes / 2)
    }

    /// Whether nodes with the same value are enough to be found by a tree of their own: to look at one head for each
    /// value is less than to look at every node.
    pub(crate) fn has_large_groups(&self, nodes: usize) -> bool {
        self.has_few_values(nodes) || self.len() <= nodes / LARGE_GROUP
    }

    /// Whether patterns alone tell a few groups of nodes apart by it.
    pub(crate) fn is_coarse(&self) -> bool {
        self.reading.is_verdict() && self.texts.len() <= COARSE_VALUES_MAX
    }

    /// The value that more than half of the nodes have.
    pub(crate) fn most(&self) -> Option<u32> {
        let half = self.nodes() / 2;
        self.members.iter().position(|members| members.len() as u64 > half).map(|value| value as u32)
    }

    /// How many nodes have the field.
    pub(crate) const fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Whether a usable node has the value.
    pub(crate) fn is_group(&self, value: u32) -> bool {
        self.usable.get(value as usize).is_some_and(|count| *count > 0)
    }

    /// Slots of the usable nodes that have the value.
    pub(crate) fn usable_members(&self, value: u32) -> impl Iterator<Item = u32> {
        let members = self.members.get(value as usize).into_iter().flatten().copied();
        members.filter(|slot| self.counted.get(*slot as usize).copied().unwrap_or(false))
    }

    /// Notes what `node` says, or that the slot is empty. Returns whether the value changed.
    pub(crate) fn note(&mut self, slot: u32, node: Option<&Node>) -> bool {
        let text = node.and_then(|node| self.reading.value(node));
        let usable = node.is_some_and(Node::accepts_tasks);
        let before = self.value(slot);
        if before == NONE && text.is_none() {
            return false;
        }
        let after = text.map_or(NONE, |text| self.intern(&text));
        if self.value_of.len() <= slot as usize {
            self.value_of.resize(slot as usize + 1, NONE);
            self.counted.resize(slot as usize + 1, false);
        }
        if self.counted[slot as usize] {
            self.usable[before as usize] -= 1;
            self.groups -= u32::from(self.usable[before as usize] == 0);
        }
        self.counted[slot as usize] = usable && after != NONE;
        if self.counted[slot as usize] {
            self.groups += u32::from(self.usable[after as usize] == 0);
            self.usable[after as usize] += 1;
        }
        if before == after {
            return false;
        }
        if before != NONE {
            self.members[before as usize].retain(|member| *member != slot);
            self.nodes -= 1;
        }
        if after != NONE {
            self.members[after as usize].push(slot);
            self.nodes += 1;
        }
        self.value_of[slot as usize] = after;
        true
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let (text, number): (Arc<str>, u32) = (text.into(), self.texts.len() as u32);
        self.numbers.insert(Arc::clone(&text), number);
        self.texts.push(text);
        self.members.push(Vec::new());
        self.usable.push(0);
        number
    }

    /// Evaluates LIKE, UNLIKE or IS for every value that it was not evaluated for yet.
    pub(crate) fn evaluate(&mut self, operator: Operator, operand: &str, cost: &mut Cost) {
        let (operator, operand) = self.asked(operator, operand);
        let key = (operator as u8, operand.to_owned());
        if !self.patterns.contains_key(&key) && self.patterns.len() >= PATTERNS_MAX {
            self.patterns.clear();
        }
        let pattern = self.patterns.entry(key).or_default();
        if pattern.matches.len() == self.texts.len() {
            return;
        }
        let matcher = Matcher::new(operator, operand);
        for (number, text) in self.texts.iter().enumerate().skip(pattern.matches.len()) {
            cost.scans += 1;
            let matches = matcher.matches(text);
            pattern.matches.push(matches);
            if matches {
                pattern.list.push(number as u32);
            }
        }
    }

    /// What [`Field::evaluate`] found.
    pub(crate) fn pattern(&self, operator: Operator, operand: &str) -> Option<&Pattern> {
        let (operator, operand) = self.asked(operator, operand);
        self.patterns.get(&(operator as u8, operand.to_owned()))
    }

    /// What is asked of the values: of a verdict, whether it is a yes.
    const fn asked<'o>(&self, operator: Operator, operand: &'o str) -> (Operator, &'o str) {
        match self.reading {
            Reading::Verdict(..) => (Operator::Is, YES),
            Reading::Named(_) | Reading::Joined(_) => (operator, operand),
        }
    }
}
