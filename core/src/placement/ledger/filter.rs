//! The constraints of an app, ready to be asked about many nodes (marathon.md 1.9).

use super::cost::Cost;
use super::field::Pattern;
use super::fields::Fields;
use super::tally::Config;
use super::tree::NONE;
use crate::app::{App, Operator};

/// One constraint; answers by the number of the field's value.
#[derive(Debug)]
enum Rule<'a> {
    /// Every value is refused, whether or not the field may be missing.
    Never,
    /// Decided by the value alone.
    Matches(&'a Pattern),
    /// Exactly this value; none when no node has it.
    Equal(Option<u32>),
    /// Whatever the first instance has.
    AsFirst(Option<u32>),
    /// At most so many instances with the value.
    AtMost { counter: usize, most: u32 },
    /// As few instances as any open value has.
    Level { counter: usize, limit: usize, min: u32, at_min: u64 },
}

#[derive(Debug)]
struct Check<'a> {
    field: u32,
    /// Accepts nodes without the field.
    missing: bool,
    /// There are no such nodes.
    everywhere: bool,
    rule: Rule<'a>,
}

/// Whether a value may take more instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// It may.
    Open,
    /// Not before others have caught up.
    Waits,
    /// Not in this batch.
    Shut,
}

/// All constraints of an app, in their order.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    checks: Vec<Check<'a>>,
    fields: &'a Fields,
}

impl<'a> Filter<'a> {
    /// Prepares the constraints; `numbers` are those of their fields, `known` how many nodes there
    /// are. Patterns have been evaluated.
    pub(crate) fn new(
        app: &App,
        fields: &'a Fields,
        numbers: &[u32],
        known: u64,
        config: Option<&mut Config>,
        cost: &mut Cost,
    ) -> Self {
        let Some(config) = config else { return Self { checks: Vec::new(), fields } };
        let mut checks = Vec::with_capacity(numbers.len());
        for (constraint, number) in app.constraints.iter().zip(numbers) {
            let operand = constraint.value.as_deref();
            let mut counter = || config.counter(*number, fields, cost);
            let rule = match constraint.operator {
                Operator::Unique => Rule::AtMost { counter: counter(), most: 1 },
                Operator::MaxPer => match operand.and_then(|text| text.parse().ok()) {
                    Some(most) => Rule::AtMost { counter: counter(), most },
                    None => Rule::Never,
                },
                Operator::Cluster => match operand.filter(|text| !text.is_empty()) {
                    Some(text) => Rule::Equal(fields.get(*number).number(text)),
                    None => Rule::AsFirst(config.first(*number, fields)),
                },
                Operator::GroupBy => {
                    let limit = operand.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
                    Rule::Level { counter: counter(), limit, min: 0, at_min: 0 }
                }
                Operator::Like | Operator::Unlike | Operator::Is => {
                    let found = operand.and_then(|operand| fields.get(*number).pattern(constraint.operator, operand));
                    found.map_or(Rule::Never, Rule::Matches)
                }
            };
            let missing = constraint.operator == Operator::Unlike;
            let everywhere = missing && fields.get(*number).nodes() == known;
            checks.push(Check { field: *number, missing, everywhere, rule });
        }
        let mut filter = Self { checks, fields };
        for index in 0..filter.checks.len() {
            filter.level(index, config, cost);
        }
        filter
    }

    /// Works out the lowest count among the open values of a GROUP_BY, and how many have it.
    fn level(&mut self, index: usize, config: &Config, cost: &mut Cost) {
        let check = &mut self.checks[index];
        let Rule::Level { counter, limit, min, at_min } = &mut check.rule else { return };
        let (field, counter) = (self.fields.get(check.field), config.counter_at(*counter));
        let (mut used, mut lowest, mut at_lowest) = (0, u32::MAX, 0);
        for (value, count) in &counter.counts {
            cost.scans += 1;
            if field.is_group(*value) {
                used += 1;
                if *count < lowest {
                    (lowest, at_lowest) = (*count, 0);
                }
                at_lowest += u64::from(*count == lowest);
            }
        }
        let fresh = u64::from(field.groups) - used;
        (*min, *at_min) = match (counter.counts.len() < *limit && fresh > 0, used > 0) {
            (true, _) => (0, fresh),
            (false, true) => (lowest, at_lowest),
            (false, false) => (0, 0),
        };
    }

    /// How many constraints there are.
    pub(crate) const fn len(&self) -> usize {
        self.checks.len()
    }

    /// Field of a constraint.
    pub(crate) fn field(&self, index: usize) -> u32 {
        self.checks[index].field
    }

    /// Index of the first constraint that refuses the node, leaving one out.
    pub(crate) fn refusing(&self, config: Option<&Config>, slot: u32, except: usize) -> Option<usize> {
        let config = config?;
        (0..self.checks.len()).find(|index| {
            let check = &self.checks[*index];
            *index != except
                && match self.fields.get(check.field).value(slot) {
                    NONE => !check.missing,
                    value => self.door(config, *index, value) != Door::Open,
                }
        })
    }

    /// Whether a constraint lets a value take one more.
    pub(crate) fn door(&self, config: &Config, index: usize, value: u32) -> Door {
        let open = match &self.checks[index].rule {
            Rule::Never => false,
            Rule::Matches(pattern) => pattern.matches.get(value as usize).copied().unwrap_or(false),
            Rule::Equal(wanted) => *wanted == Some(value),
            Rule::AsFirst(first) => first.is_none_or(|first| first == value),
            Rule::AtMost { counter, most } => config.counter_at(*counter).placed(value) < *most,
            Rule::Level { counter, limit, min, .. } => {
                let counter = config.counter_at(*counter);
                let placed = counter.placed(value);
                if placed == 0 && counter.counts.len() >= *limit {
                    return Door::Shut;
                }
                return if placed <= *min { Door::Open } else { Door::Waits };
            }
        };
        if open { Door::Open } else { Door::Shut }
    }

    /// Values a constraint lets in whatever is placed; nothing when it looks at what is placed.
    pub(crate) fn fixed_values(&self, index: usize) -> Option<&[u32]> {
        match &self.checks[index].rule {
            // A node without the field passes too, so that the list is not complete.
            _ if self.checks[index].missing && !self.checks[index].everywhere => None,
            Rule::Never => Some(&[]),
            Rule::Matches(pattern) => Some(&pattern.list),
            Rule::Equal(value) | Rule::AsFirst(value @ Some(_)) => Some(value.as_slice()),
            Rule::AsFirst(None) | Rule::AtMost { .. } | Rule::Level { .. } => None,
        }
    }

    /// How many constraints are a GROUP_BY.
    pub(crate) fn len_levels(&self) -> usize {
        (0..self.checks.len()).filter(|index| self.is_level(*index)).count()
    }

    /// Whether a constraint is a GROUP_BY.
    pub(crate) fn is_level(&self, index: usize) -> bool {
        matches!(self.checks[index].rule, Rule::Level { .. })
    }

    /// Whether a batch may follow the values this constraint lets in: it is a UNIQUE or a MAX_PER,
    /// or looks at the value alone.
    pub(crate) fn leads(&self, index: usize) -> bool {
        matches!(self.checks[index].rule, Rule::AtMost { .. }) || self.fixed_values(index).is_some()
    }

    /// Follows an instance that was just counted at `slot`. Tells whether refused nodes may be
    /// accepted now, or the set of accepted values has shrunk to one.
    pub(crate) fn follow(&mut self, config: &Config, slot: u32, cost: &mut Cost) -> bool {
        let mut turned = false;
        for index in 0..self.checks.len() {
            let check = &mut self.checks[index];
            let value = self.fields.get(check.field).value(slot);
            if value == NONE {
                continue;
            }
            match &mut check.rule {
                Rule::AsFirst(first @ None) => {
                    *first = Some(value);
                    turned = true;
                }
                Rule::Level { counter, limit, min, at_min } => {
                    let counter = config.counter_at(*counter);
                    let before = *min;
                    if counter.placed(value) == *min + 1 {
                        *at_min = at_min.saturating_sub(1);
                    }
                    let fills = counter.placed(value) == 1 && counter.counts.len() >= *limit;
                    if *at_min == 0 || fills {
                        self.level(index, config, cost);
                        turned |= matches!(self.checks[index].rule, Rule::Level { min, .. } if min != before);
                    }
                }
                _ => {}
            }
        }
        turned
    }
}
