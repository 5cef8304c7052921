//! What an app would like: rules with weights, added up for each node.

use super::asks::Asks;
use super::census::Involved;
use super::cost::Cost;
use super::field::Pattern;
use super::fields::Fields;
use super::filter::{Counts, position};
use super::level::lowest;
use super::tally::Config;
use super::tree::NONE;
use crate::app::{App, Operator};

#[derive(Debug)]
enum Kind<'a> {
    /// A value that matches is liked; `missing` tells whether no value does.
    Matching { pattern: &'a Pattern, missing: bool },
    /// Company is liked, or (with a negative weight) disliked.
    Company { of: usize, counter: usize },
    /// Each instance that a value is ahead of the emptiest, beyond `slack`, is disliked.
    Even { counter: usize, slack: u32, min: u32, at_min: u64 },
}

#[derive(Debug)]
struct Wish<'a> {
    field: u32,
    weight: i64,
    kind: Kind<'a>,
}

/// All wishes of an app.
#[derive(Debug, Default)]
pub(crate) struct Wishes<'a>(Vec<Wish<'a>>);

impl<'a> Wishes<'a> {
    pub(crate) fn of(
        app: &App,
        fields: &'a Fields,
        asks: &Asks,
        config: Option<&mut Config>,
        involved: &mut [Involved],
        cost: &mut Cost,
    ) -> Self {
        let rules = &app.placement;
        let mut wishes = Vec::new();
        for (rule, number) in rules.prefer.iter().zip(&asks.prefer) {
            if let Some(pattern) = fields.get(*number).pattern(rule.operator, &rule.value) {
                let missing = rule.operator == Operator::Unlike;
                wishes.push(Wish { field: *number, weight: i64::from(rule.weight), kind: Kind::Matching { pattern, missing } });
            }
        }
        let near = rules.affinity.iter().zip(&asks.affinity).map(|pair| (pair, 1));
        let away = rules.anti_affinity.iter().zip(&asks.anti_affinity).map(|pair| (pair, -1));
        for ((rule, number), sign) in near.chain(away) {
            if let Some(weight) = rule.weight
                && let Some(of) = position(involved, &rule.selector)
            {
                let counter = involved[of].census.counted.counter(*number, fields, cost);
                wishes.push(Wish { field: *number, weight: sign * i64::from(weight), kind: Kind::Company { of, counter } });
            }
        }
        if let Some(config) = config {
            for (rule, number) in rules.spread.iter().zip(&asks.spread) {
                let Some(weight) = rule.weight else { continue };
                let counter = config.counted.counter(*number, fields, cost);
                let (min, at_min) = lowest(fields.get(*number), config.counted.counter_at(counter), cost);
                let kind = Kind::Even { counter, slack: rule.maximum_skew.saturating_sub(1), min, at_min };
                wishes.push(Wish { field: *number, weight: i64::from(weight), kind });
            }
        }
        Self(wishes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nodes are at best not disliked, and most of them are not while few have instances: apps are to be
    /// spread evenly or kept away from others.
    pub(crate) fn are_met_by_most(&self) -> bool {
        let is_met = |wish: &Wish<'_>| match wish.kind {
            Kind::Matching { .. } => false,
            Kind::Company { .. } => wish.weight < 0,
            Kind::Even { .. } => true,
        };
        !self.0.is_empty() && self.0.iter().all(is_met)
    }

    /// How little a node is liked: lower is better.
    pub(crate) fn dislike(&self, counts: Counts<'_>, slot: u32, fields: &Fields) -> i64 {
        let mut sum = 0_i64;
        for wish in &self.0 {
            let value = fields.get(wish.field).value(slot);
            let gain = match &wish.kind {
                Kind::Matching { missing, .. } if value == NONE => i64::from(*missing),
                Kind::Matching { pattern, .. } => i64::from(pattern.matches.get(value as usize).copied().unwrap_or(false)),
                _ if value == NONE => 0,
                Kind::Company { of, counter } => {
                    i64::from(counts.involved[*of].census.counted.counter_at(*counter).placed(value) > 0)
                }
                Kind::Even { counter, slack, min, .. } => {
                    let placed = counts.config.map_or(0, |config| config.counted.counter_at(*counter).placed(value));
                    -i64::from(placed.saturating_sub(min.saturating_add(*slack)))
                }
            };
            sum = sum.saturating_sub(gain.saturating_mul(wish.weight));
        }
        sum
    }

    /// Follows an instance that was just counted at `slot`; whether some node may be liked better.
    pub(crate) fn follow(&mut self, counts: Counts<'_>, slot: u32, fields: &Fields, cost: &mut Cost) -> bool {
        let mut better = false;
        for wish in &mut self.0 {
            let value = fields.get(wish.field).value(slot);
            if value == NONE {
                continue;
            }
            match &mut wish.kind {
                Kind::Matching { .. } => {}
                Kind::Company { of, counter } => {
                    let own = counts.involved[*of].own;
                    let placed = counts.involved[*of].census.counted.counter_at(*counter).placed(value);
                    better |= wish.weight > 0 && own > 0 && placed <= own;
                }
                Kind::Even { counter, min, at_min, .. } => {
                    let Some(config) = counts.config else { continue };
                    let counter = config.counted.counter_at(*counter);
                    if counter.placed(value) == *min + 1 {
                        *at_min = at_min.saturating_sub(1);
                    }
                    if *at_min == 0 {
                        let before = *min;
                        (*min, *at_min) = lowest(fields.get(wish.field), counter, cost);
                        better |= *min != before;
                    }
                }
            }
        }
        better
    }
}
