//! Shapes: how alike a task and what is free on a node are, so that nothing scarce is left over.

/// A whole, in the fixed-point shares of this file.
pub(crate) const WHOLE: u32 = 1 << 20;
/// Bits of an aspect that hold the power of two; the rest holds what is between.
const MANTISSA_BITS: u32 = 13;

/// What an empty node counts as less alike when the batch fills half of it or more: packing opens one only when every
/// node in use is at least so much worse. A fifth keeps about one node in a hundred open.
const EMPTY_PENALTY_FILLED: f64 = 0.2;
/// The same when the batch leaves it nearly empty, so that single tasks go where there are others.
const EMPTY_PENALTY_UNFILLED: f64 = 0.6;
/// A resource of which at most this part of the scarcest one's share is taken costs nothing to leave over …
const PLENTIFUL: f64 = 0.5;
/// … and one with at least this part counts like the scarcest.
const SCARCE: f64 = 0.9;
/// So many nodes count as filled in good proportion beforehand: the first few tasks tell little about
/// which resource will be scarce.
const PRIOR_NODES: f64 = 32.0;

/// What there is and what is left of cpus and memory on all open nodes, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Supply {
    pub(crate) nodes: u64,
    pub(crate) total: [i128; 2],
    pub(crate) free: [i128; 2],
}

/// How packing rates nodes for the tasks of one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rating {
    /// Cpus and memory that a task needs, in thousandths.
    need: [f64; 2],
    /// What it costs to leave cpus and memory over, from 0 to 1.
    weight: [f64; 2],
    /// What an empty node counts as less alike.
    pub(crate) empty: u32,
}

impl Rating {
    /// For `count` tasks that need these cpus and this memory.
    pub(crate) fn new(need: (i64, i64), count: usize, supply: &Supply) -> Self {
        let need = [need.0.max(0) as f64, need.1.max(0) as f64];
        let nodes = supply.nodes.max(1) as f64;
        let total = supply.total.map(|total| total as f64);
        let taken: [f64; 2] = std::array::from_fn(|column| {
            let share = if total[column] > 0.0 { 1.0 - supply.free[column] as f64 / total[column] } else { 0.0 };
            share + PRIOR_NODES / nodes
        });
        let most = taken[0].max(taken[1]);
        let weight = taken.map(|taken| ((taken / most - PLENTIFUL) / (SCARCE - PLENTIFUL)).clamp(0.0, 1.0));
        // How much of half a node of average size the batch fills.
        let shares = [0, 1].map(|column| if total[column] > 0.0 { need[column] * nodes / total[column] } else { 0.0 });
        let filled = (2.0 * count as f64 * shares[0].max(shares[1])).min(1.0);
        let empty = EMPTY_PENALTY_FILLED + (EMPTY_PENALTY_UNFILLED - EMPTY_PENALTY_FILLED) * (1.0 - filled);
        Self { need, weight, empty: fixed(empty) }
    }

    /// How unlike the task and what is free on a node that takes it are: the difference of the shares of
    /// what is free that the task takes, weighed by how scarce that is of which more stays behind. 0 when
    /// it takes as much of both.
    ///
    /// Of nodes with the very same ratio the larger is never worse, to the last bit.
    pub(crate) fn mismatch(&self, free: (i64, i64)) -> u32 {
        let ([cpus, mem], free) = (self.need, (free.0 as f64, free.1 as f64));
        if mem <= 0.0 {
            return if cpus > 0.0 { fixed(cpus / free.0 * self.weight[1]) } else { 0 };
        }
        if free.0 <= 0.0 {
            return fixed(mem / free.1 * self.weight[0]);
        }
        let more = cpus - mem * (free.0 / free.1);
        fixed(more.abs() / free.0 * self.weight[usize::from(more > 0.0)])
    }

    /// A lower bound of [`Rating::mismatch`] over nodes with aspects from `low` to `high` and at most
    /// `most` free.
    pub(crate) fn bound(&self, most: (i64, i64), low: u64, high: u64) -> u32 {
        let [cpus, mem] = self.need;
        let share = if mem == 0.0 {
            if cpus == 0.0 { 0.0 } else { cpus / most.0 as f64 * self.weight[1] }
        } else {
            let (wanted, low) = (cpus / mem, ratio(low));
            let high = if high >= (1 << 20) - 1 { f64::INFINITY } else { ratio(high + 1) };
            if low > wanted {
                mem / most.1 as f64 * (1.0 - wanted / low) * self.weight[0]
            } else if high < wanted {
                cpus / most.0 as f64 * (1.0 - high / wanted) * self.weight[1]
            } else {
                0.0
            }
        };
        // What rounding may have added.
        fixed(share).saturating_sub(2)
    }
}

/// A share in fixed point.
fn fixed(share: f64) -> u32 {
    ((share * f64::from(WHOLE)) as u32).min(WHOLE)
}

/// Whether the ratio of free cpus to free memory is the very same, and exact in floating point.
pub(crate) fn is_alike(one: (i64, i64), other: (i64, i64)) -> bool {
    const EXACT: i64 = 1 << 53;
    let plain = |(cpus, mem): (i64, i64)| (0..EXACT).contains(&cpus) && (0..EXACT).contains(&mem) && cpus + mem > 0;
    let product = |cpus: i64, mem: i64| i128::from(cpus) * i128::from(mem);
    one == other || (plain(one) && plain(other) && product(one.0, other.1) == product(other.0, one.1))
}

/// The ratio of free cpus to free memory as a number of 20 bits that rises with it.
pub(crate) fn aspect(free: (i64, i64)) -> u64 {
    let (cpus, mem) = (free.0.max(0).cast_unsigned(), free.1.max(0).cast_unsigned());
    if cpus == 0 {
        return 0;
    }
    if mem == 0 {
        return (1 << 20) - 1;
    }
    let ratio = (u128::from(cpus) << 64) / u128::from(mem);
    let power = ratio.ilog2();
    let rest = if power >= MANTISSA_BITS { ratio >> (power - MANTISSA_BITS) } else { ratio << (MANTISSA_BITS - power) };
    u64::from(power) << MANTISSA_BITS | (rest as u64 & ((1 << MANTISSA_BITS) - 1))
}

/// The smallest ratio with this aspect.
fn ratio(aspect: u64) -> f64 {
    if aspect == 0 {
        return 0.0;
    }
    let (power, rest) = (aspect >> MANTISSA_BITS, aspect & ((1 << MANTISSA_BITS) - 1));
    // Two to the power of `power - 64`, exact.
    let scale = f64::from_bits((power + 1023 - 64) << 52);
    (1.0 + rest as f64 / f64::from(1_u32 << MANTISSA_BITS)) * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMOUNTS: [i64; 9] = [0, 1, 3, 500, 1_000, 24_000, 98_304_000, i64::MAX / 3, i64::MAX];

    fn pairs() -> impl Iterator<Item = (i64, i64)> + Clone {
        AMOUNTS.into_iter().flat_map(|cpus| AMOUNTS.map(|mem| (cpus, mem)))
    }

    fn ratings() -> impl Iterator<Item = Rating> {
        let supplies = [[1_000, 1_000], [1_000, 300], [0, 700]].map(|free| Supply { nodes: 99, total: [1_000; 2], free });
        pairs().flat_map(move |need| supplies.map(|supply| Rating::new(need, 1, &supply)))
    }

    fn takes(rating: &Rating, free: (i64, i64)) -> bool {
        free.0 as f64 >= rating.need[0] && free.1 as f64 >= rating.need[1]
    }

    #[test]
    fn bounds_never_exceed_what_is_found() {
        for rating in ratings() {
            for free in pairs().filter(|free| takes(&rating, *free)) {
                let at = aspect(free);
                assert!(at < 1 << 20);
                for (low, high) in [(at, at), (0, at), (at, (1 << 20) - 1), (at.saturating_sub(99), at)] {
                    let (bound, found) = (rating.bound(free, low, high), rating.mismatch(free));
                    assert!(bound <= found, "{rating:?} in {free:?}: {bound} > {found}");
                }
            }
        }
    }

    #[test]
    fn of_nodes_with_one_ratio_the_larger_is_never_worse() {
        for rating in ratings() {
            for free in [(7, 3), (8_000, 32_768_000), (1_000, 3), (3, 0), (0, 5)] {
                for (less, more) in [(1, 2), (2, 3), (3, 7), (999, 1_000)] {
                    let [less, more] = [less, more].map(|times| (free.0 * times, free.1 * times));
                    assert!(is_alike(less, more));
                    if takes(&rating, less) {
                        assert!(rating.mismatch(more) <= rating.mismatch(less), "{rating:?} in {less:?} and {more:?}");
                    }
                }
            }
        }
        assert!(is_alike((0, 0), (0, 0)) && is_alike((i64::MAX, 1), (i64::MAX, 1)));
        for (one, other) in [((0, 0), (1, 1)), ((1, 2), (2, 3)), ((-1, -1), (1, 1)), ((1 << 60, 1 << 60), (1, 1))] {
            assert!(!is_alike(one, other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn aspects_rise_with_the_ratio() {
        let mut last = 0;
        for cpus in 1..2_000 {
            let next = aspect((cpus * 7, 4_000));
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn what_is_plentiful_may_be_left_over() {
        let rating = |need, free| Rating::new(need, 1, &Supply { nodes: 1_000, total: [1_000; 2], free });
        let even = rating((5, 0), [100, 100]);
        assert_eq!(even.mismatch((10, 40)), WHOLE / 2);
        assert_eq!(rating((1, 4), [100, 100]).mismatch((10, 40)), 0);
        assert_eq!((even.weight, rating((5, 0), [100, 140]).weight), ([1.0; 2], [1.0; 2]));
        // Cpus are nearly gone and memory is hardly used: all that counts is not to strand cpus.
        let scarce = rating((1, 1), [100, 900]);
        assert_eq!((scarce.weight, scarce.mismatch((2, 100))), ([1.0, 0.0], 0));
        assert!(scarce.mismatch((100, 2)) > WHOLE / 3);
        // With few tasks on many nodes nothing is scarce yet.
        assert!(rating((1, 1), [999, 1_000]).weight[1] > 0.9);
    }

    #[test]
    fn an_empty_node_is_opened_sooner_for_tasks_that_fill_it() {
        let supply = Supply { nodes: 10, total: [20_000; 2], free: [20_000; 2] };
        let penalty = |count| f64::from(Rating::new((100, 50), count, &supply).empty) / f64::from(WHOLE);
        assert!((penalty(1) - 0.56).abs() < 0.01 && (penalty(5) - 0.4).abs() < 0.01);
        assert!((penalty(10) - 0.2).abs() < 0.01 && penalty(1_000_000_000) >= 0.199);
    }
}
