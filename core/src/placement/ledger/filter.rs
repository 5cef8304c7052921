//! The demands of an app, ready to be asked about many nodes (marathon.md 1.9, docs/scheduling.md).

use super::asks::Asks;
use super::census::{Home, Involved};
use super::cost::Cost;
use super::field::Pattern;
use super::fields::Fields;
use super::level::{Eligible, Level};
use super::tally::Config;
use super::tree::NONE;
use super::trees::GROUPS_A_TASK;
use super::wish::Wishes;
use crate::app::{App, Operator};

/// What is counted while a batch is under way.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'t> {
    /// Instances of the app's own configuration.
    pub(crate) config: Option<&'t Config>,
    /// Instances of others.
    pub(crate) involved: &'t [Involved],
}

/// A value that no node has.
pub(crate) const UNHEARD_OF: u32 = NONE - 1;

/// Which rule a check stands for.
#[derive(Debug, Clone, Copy)]
enum About {
    Constraint(usize),
    OnePerNode,
    Spread(usize),
    Affinity(usize),
    AntiAffinity(usize),
    /// Index among those involved.
    Repelled(usize),
}

/// One demand; answers by the number of the field's value.
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
    /// At most `slack` more instances than any open value has.
    Level(Level),
    /// No other instance of the configuration on the node.
    Alone,
    /// One of these values, in order; any while the app looks for company that is only itself.
    Near { values: Vec<u32>, any: bool },
    /// A value that nobody of these has: which census, and its counter.
    Away { of: Vec<(usize, usize)> },
}

#[derive(Debug)]
struct Check<'a> {
    about: About,
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

/// All demands of an app, in their order, and its wishes.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    checks: Vec<Check<'a>>,
    fields: &'a Fields,
    /// Constraints that rule some nodes out for good, and whether roles do.
    ruling: Vec<usize>,
    ruled_by_role: bool,
    pub(crate) wishes: Wishes<'a>,
}

impl<'a> Filter<'a> {
    /// Prepares the rules. Patterns have been evaluated.
    pub(crate) fn new(
        app: &App,
        fields: &'a Fields,
        asks: &Asks,
        mut config: Option<&mut Config>,
        involved: &mut [Involved],
        eligible: &Eligible<'_>,
        cost: &mut Cost,
    ) -> Self {
        let mut checks = Vec::with_capacity(asks.constraints.len());
        for (index, (constraint, number)) in app.constraints.iter().zip(&asks.constraints).enumerate() {
            let Some(config) = config.as_deref_mut() else { break };
            let operand = constraint.value.as_deref();
            let mut counter = || config.counted.counter(*number, fields, cost);
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
                    Rule::Level(Level::new(counter(), limit, 0))
                }
                Operator::Like | Operator::Unlike | Operator::Is => {
                    let found = operand.and_then(|operand| fields.get(*number).pattern(constraint.operator, operand));
                    found.map_or(Rule::Never, Rule::Matches)
                }
            };
            let missing = constraint.operator == Operator::Unlike;
            let everywhere = missing && fields.get(*number).nodes() == eligible.known;
            checks.push(Check { about: About::Constraint(index), field: *number, missing, everywhere, rule });
        }
        // Fixed ones by their values; others let no node in that does not have the field.
        let rules_out = |index: &usize| {
            let check = &checks[*index];
            let everywhere = fields.get(check.field).nodes() == eligible.known;
            !everywhere || app.constraints[*index].is_fixed() || matches!(check.rule, Rule::AsFirst(_))
        };
        let ruling: Vec<usize> = (0..checks.len()).filter(rules_out).collect();
        let ruled_by_role = eligible.roles.is_some();
        let mut filter = Self { checks, fields, ruling, ruled_by_role, wishes: Wishes::default() };
        filter.add_own_rules(app, asks, config.as_deref_mut(), cost);
        filter.add_rules_about_others(app, asks, involved, cost);
        filter.wishes = Wishes::of(app, fields, asks, config.as_deref_mut(), involved, cost);
        filter.open_values(eligible, config.as_deref(), cost);
        filter
    }

    /// Finds out which values are open to the app where instances are to be spread evenly: those of nodes that its
    /// other constraints and its resource roles do not rule out for good. One node of each is enough to know.
    pub(crate) fn open_values(&mut self, eligible: &Eligible<'_>, config: Option<&Config>, cost: &mut Cost) {
        for index in (0..self.checks.len()).filter(|index| self.is_level(*index)).collect::<Vec<_>>() {
            let number = self.checks[index].field;
            let field = self.fields.get(number);
            if self.ruled_by_role || self.ruling.iter().any(|ruling| *ruling != index) {
                let is_open = |slot: u32, cost: &mut Cost| {
                    cost.scans += 1;
                    eligible.roles.is_none_or(|roles| roles.contains(&(eligible.role)(slot)))
                        && self.ruling.iter().all(|ruling| *ruling == index || !self.rules_out(*ruling, slot))
                };
                let values = 0..field.len() as u32;
                let only = values
                    .filter(|value| field.is_group(*value) && field.usable_members(*value).any(|slot| is_open(slot, cost)))
                    .collect();
                if let Rule::Level(level) = &mut self.checks[index].rule {
                    level.only = Some(only);
                }
            }
            self.level(index, config, cost);
        }
    }

    /// Whether a constraint will never let an instance start on a node, as far as can be known.
    fn rules_out(&self, index: usize, slot: u32) -> bool {
        let check = &self.checks[index];
        match (&check.rule, self.fields.get(check.field).value(slot)) {
            (_, NONE) => !check.missing,
            (Rule::Level(_) | Rule::AtMost { .. }, _) => false,
            (_, value) => self.door(Counts { config: None, involved: &[] }, index, value) != Door::Open,
        }
    }

    /// Whether the app's resource roles rule nodes out.
    pub(crate) const fn ruled_by_role(&self) -> bool {
        self.ruled_by_role
    }

    /// Whether the first instance decides which values are open.
    fn opens_by_first(&self) -> bool {
        self.ruling.iter().any(|index| matches!(self.checks[*index].rule, Rule::AsFirst(_)))
    }

    fn push(&mut self, about: About, field: u32, missing: bool, rule: Rule<'a>) {
        self.checks.push(Check { about, field, missing, everywhere: false, rule });
    }

    fn add_own_rules(&mut self, app: &App, asks: &Asks, config: Option<&mut Config>, cost: &mut Cost) {
        let Some(config) = config else { return };
        if app.placement.one_per_node {
            self.push(About::OnePerNode, NONE, true, Rule::Alone);
        }
        for (index, (rule, number)) in app.placement.spread.iter().zip(&asks.spread).enumerate() {
            if rule.weight.is_none() {
                let counter = config.counted.counter(*number, self.fields, cost);
                let slack = rule.maximum_skew.saturating_sub(1);
                let rule = Rule::Level(Level::new(counter, usize::MAX, slack));
                self.push(About::Spread(index), *number, false, rule);
            }
        }
    }

    fn add_rules_about_others(&mut self, app: &App, asks: &Asks, involved: &mut [Involved], cost: &mut Cost) {
        for (index, (rule, number)) in app.placement.affinity.iter().zip(&asks.affinity).enumerate() {
            if rule.weight.is_none()
                && let Some(of) = position(involved, &rule.selector)
            {
                let counter = involved[of].census.counted.counter(*number, self.fields, cost);
                let mut values: Vec<u32> = involved[of].census.counted.counter_at(counter).counts.keys().copied().collect();
                values.sort_unstable();
                cost.scans += values.len() as u64;
                let any = involved[of].own > 0 && involved[of].census.counted.is_empty();
                self.push(About::Affinity(index), *number, false, Rule::Near { values, any });
            }
        }
        for (index, (rule, number)) in app.placement.anti_affinity.iter().zip(&asks.anti_affinity).enumerate() {
            if rule.weight.is_none()
                && let Some(of) = position(involved, &rule.selector)
            {
                let counter = involved[of].census.counted.counter(*number, self.fields, cost);
                let mut away = vec![(of, counter)];
                // Who demands the same of us is no second reason.
                for (of, number) in &asks.repelling {
                    if is_repelled_by(&involved[*of].home, rule) {
                        away.push((*of, involved[*of].census.counted.counter(*number, self.fields, cost)));
                    }
                }
                self.push(About::AntiAffinity(index), *number, true, Rule::Away { of: away });
            }
        }
        for (of, number) in &asks.repelling {
            let mut own = app.placement.anti_affinity.iter().filter(|rule| rule.weight.is_none());
            if own.any(|rule| is_repelled_by(&involved[*of].home, rule)) {
                continue;
            }
            let counter = involved[*of].census.counted.counter(*number, self.fields, cost);
            self.push(About::Repelled(*of), *number, true, Rule::Away { of: vec![(*of, counter)] });
        }
    }

    /// Works out the lowest count among the open values of a GROUP_BY, and how many have it.
    fn level(&mut self, index: usize, config: Option<&Config>, cost: &mut Cost) {
        let check = &mut self.checks[index];
        let Rule::Level(level) = &mut check.rule else { return };
        let Some(config) = config else { return };
        level.look(self.fields.get(check.field), config.counted.counter_at(level.counter), cost);
    }

    /// What a check is about, in words.
    pub(crate) fn words(&self, index: usize, app: &App, involved: &[Involved]) -> String {
        let rules = &app.placement;
        match self.checks.get(index).map(|check| check.about) {
            Some(About::Constraint(index)) => format!("constraint {}", app.constraints[index]),
            Some(About::OnePerNode) => "one instance per node".to_owned(),
            Some(About::Spread(index)) => {
                let rule = &rules.spread[index];
                format!("spread over {} with at most {} apart", rule.field, rule.maximum_skew)
            }
            Some(About::Affinity(index)) => {
                format!("affinity to {} by {}", rules.affinity[index].selector, rules.affinity[index].field)
            }
            Some(About::AntiAffinity(index)) => {
                format!("anti-affinity to {} by {}", rules.anti_affinity[index].selector, rules.anti_affinity[index].field)
            }
            Some(About::Repelled(of)) => match involved.get(of).map(|involved| &involved.home) {
                Some(Home::Repelling(selector, field)) => format!("anti-affinity of others to {selector} by {field}"),
                _ => String::new(),
            },
            None => String::new(),
        }
    }

    /// How many demands there are.
    pub(crate) const fn len(&self) -> usize {
        self.checks.len()
    }

    /// Field of a demand.
    pub(crate) fn field(&self, index: usize) -> u32 {
        self.checks[index].field
    }

    /// Index of the first demand that refuses the node, leaving one out.
    pub(crate) fn refusing(&self, counts: Counts<'_>, slot: u32, except: usize) -> Option<usize> {
        (0..self.checks.len()).find(|index| *index != except && self.refuses(counts, *index, slot))
    }

    /// Indexes of all demands that refuse the node.
    pub(crate) fn all_refusing(&self, counts: Counts<'_>, slot: u32) -> impl Iterator<Item = usize> {
        (0..self.checks.len()).filter(move |index| self.refuses(counts, *index, slot))
    }

    fn refuses(&self, counts: Counts<'_>, index: usize, slot: u32) -> bool {
        let check = &self.checks[index];
        if matches!(check.rule, Rule::Alone) {
            return counts.config.is_some_and(|config| config.counted.slots.contains_key(&slot));
        }
        match self.fields.get(check.field).value(slot) {
            NONE => !check.missing,
            value => self.door(counts, index, value) != Door::Open,
        }
    }

    /// Whether a demand refuses nodes by the value they have of its field, or for having none.
    pub(crate) fn refuses_value(&self, counts: Counts<'_>, index: usize, value: u32) -> bool {
        match value {
            NONE => !self.checks[index].missing,
            value => self.door(counts, index, value) != Door::Open,
        }
    }

    /// Slots to which a demand may say something else than to [`UNHEARD_OF`]; nothing when they may be more than `most`.
    pub(crate) fn unusual(&self, counts: Counts<'_>, index: usize, most: usize) -> Option<Vec<u32>> {
        let check = &self.checks[index];
        let placed = |counter: usize| counts.config.map(|config| config.counted.counter_at(counter).counts.keys());
        let values: Vec<u32> = match &check.rule {
            Rule::Never => Vec::new(),
            Rule::Alone => {
                let slots = counts.config.into_iter().flat_map(|config| config.counted.slots.keys());
                return Some(slots.copied().collect()).filter(|slots: &Vec<u32>| slots.len() <= most);
            }
            Rule::Matches(pattern) => pattern.list.iter().copied().take(most + 1).collect(),
            Rule::Equal(value) | Rule::AsFirst(value) => value.iter().copied().collect(),
            Rule::AtMost { counter, .. } => placed(*counter).into_iter().flatten().copied().collect(),
            Rule::Level(level) => placed(level.counter).into_iter().flatten().copied().collect(),
            Rule::Near { values, .. } => values.clone(),
            Rule::Away { of } => {
                let placed =
                    |(of, counter): &(usize, usize)| counts.involved[*of].census.counted.counter_at(*counter).counts.keys();
                of.iter().flat_map(placed).copied().collect()
            }
        };
        let usual = self.refuses_value(counts, index, UNHEARD_OF);
        let members = &self.fields.get(check.field).members;
        let mut slots = Vec::new();
        for value in values.into_iter().filter(|value| self.refuses_value(counts, index, *value) != usual) {
            let members = members.get(value as usize).map_or(&[][..], Vec::as_slice);
            if slots.len() + members.len() > most {
                return None;
            }
            slots.extend_from_slice(members);
        }
        Some(slots)
    }

    /// Whether a demand about one of these fields refuses the node.
    pub(crate) fn refuses_by(&self, counts: Counts<'_>, slot: u32, fields: &[u32]) -> bool {
        (0..self.checks.len()).any(|index| fields.contains(&self.checks[index].field) && self.refuses(counts, index, slot))
    }

    /// Whether a demand lets a value take one more.
    pub(crate) fn door(&self, counts: Counts<'_>, index: usize, value: u32) -> Door {
        let open = match &self.checks[index].rule {
            Rule::Never => false,
            Rule::Matches(pattern) => pattern.matches.get(value as usize).copied().unwrap_or(false),
            Rule::Equal(wanted) => *wanted == Some(value),
            Rule::AsFirst(first) => first.is_none_or(|first| first == value),
            Rule::AtMost { counter, most } => {
                counts.config.is_some_and(|config| config.counted.counter_at(*counter).placed(value) < *most)
            }
            Rule::Level(level) => {
                let Some(config) = counts.config else { return Door::Shut };
                let placed = config.counted.counter_at(level.counter).placed(value);
                if placed == 0 && level.used >= level.limit {
                    return Door::Shut;
                }
                return if placed <= level.min.saturating_add(level.slack) { Door::Open } else { Door::Waits };
            }
            Rule::Alone => true,
            Rule::Near { values, any } => *any || values.binary_search(&value).is_ok(),
            Rule::Away { of } => {
                of.iter().all(|(of, counter)| counts.involved[*of].census.counted.counter_at(*counter).placed(value) == 0)
            }
        };
        if open { Door::Open } else { Door::Shut }
    }

    /// Values a demand lets in whatever is placed; nothing when it looks at what is placed.
    pub(crate) fn fixed_values(&self, index: usize) -> Option<&[u32]> {
        match &self.checks[index].rule {
            // A node without the field passes too, so that the list is not complete.
            _ if self.checks[index].missing && !self.checks[index].everywhere => None,
            Rule::Never => Some(&[]),
            Rule::Matches(pattern) => Some(&pattern.list),
            Rule::Equal(value) | Rule::AsFirst(value @ Some(_)) => Some(value.as_slice()),
            Rule::Near { values, any: false } => Some(values),
            Rule::AsFirst(None)
            | Rule::AtMost { .. }
            | Rule::Level(_)
            | Rule::Alone
            | Rule::Near { any: true, .. }
            | Rule::Away { .. } => None,
        }
    }

    /// The only value of a field that a demand lets in, whatever is placed.
    pub(crate) fn only_value(&self, field: u32) -> Option<u32> {
        let mut about = (0..self.checks.len()).filter(|index| self.checks[*index].field == field);
        about.find_map(|index| self.fixed_values(index).and_then(|values| <[u32; 1]>::try_from(values).ok())).map(|[value]| value)
    }

    /// How many demands are a GROUP_BY or a spread.
    pub(crate) fn len_levels(&self) -> usize {
        (0..self.checks.len()).filter(|index| self.is_level(*index)).count()
    }

    /// Whether a demand is a GROUP_BY or a spread.
    pub(crate) fn is_level(&self, index: usize) -> bool {
        matches!(self.checks[index].rule, Rule::Level(_))
    }

    /// Whether a batch of so many tasks may follow the values this demand lets in: it is a UNIQUE or a MAX_PER, or
    /// looks at the value alone, or a few values are as good as the first of many nodes.
    pub(crate) fn leads(&self, index: usize, count: usize) -> bool {
        let check = &self.checks[index];
        match check.rule {
            Rule::AtMost { .. } => true,
            Rule::AsFirst(None) => self.fields.get(check.field).len() <= GROUPS_A_TASK.saturating_mul(count),
            _ => self.fixed_values(index).is_some(),
        }
    }

    /// Follows an instance that was just counted at `slot`. Tells whether refused nodes may be
    /// accepted now, or be liked better, or the set of accepted values has shrunk to one.
    pub(crate) fn follow(&mut self, counts: Counts<'_>, slot: u32, eligible: &Eligible<'_>, cost: &mut Cost) -> bool {
        let mut first_of_all = false;
        let mut turned = self.wishes.follow(counts, slot, self.fields, cost);
        for index in 0..self.checks.len() {
            let check = &mut self.checks[index];
            if matches!(check.rule, Rule::Alone) {
                continue;
            }
            let value = self.fields.get(check.field).value(slot);
            if value == NONE {
                continue;
            }
            match (&mut check.rule, counts.config) {
                (Rule::AsFirst(first @ None), _) => {
                    *first = Some(value);
                    (turned, first_of_all) = (true, true);
                }
                (Rule::Near { values, any: any @ true }, _) => {
                    *any = false;
                    *values = vec![value];
                    turned = true;
                }
                (Rule::Level(level), Some(config)) => {
                    let placed = config.counted.counter_at(level.counter).placed(value);
                    let before = level.min;
                    if placed == level.min + 1 {
                        level.at_min = level.at_min.saturating_sub(1);
                    }
                    let is_fresh = placed == 1 && level.is_group(self.fields.get(check.field), value);
                    level.used += usize::from(is_fresh);
                    if level.at_min == 0 || is_fresh && level.used >= level.limit {
                        level.look(self.fields.get(check.field), config.counted.counter_at(level.counter), cost);
                        turned |= level.min != before;
                    }
                }
                _ => {}
            }
        }
        if first_of_all && self.opens_by_first() {
            self.open_values(eligible, counts.config, cost);
        }
        turned
    }
}

/// Whether others demand to be away from the app just as `rule` does from them.
fn is_repelled_by(home: &Home, rule: &crate::app::Affinity) -> bool {
    matches!(home, Home::Repelling(selector, field) if *selector == rule.selector && *field == rule.field)
}

/// Where the census of a selector is among those involved.
pub(crate) fn position(involved: &[Involved], selector: &crate::app::Selector) -> Option<usize> {
    involved.iter().position(|involved| matches!(&involved.home, Home::Selected(have) if have == selector))
}
