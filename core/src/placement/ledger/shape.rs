//! Shapes: how alike a task and what is free on a node are, so that neither resource is left over.

/// A whole, in the fixed-point shares of this file.
pub(crate) const WHOLE: u32 = 1 << 20;
/// What an empty node counts as less alike: packing opens one only when every node in use is at least
/// so much worse. A fifth keeps about one node in a hundred open and packs within 2 % of the least.
pub(crate) const EMPTY_PENALTY: u32 = WHOLE / 5;
/// Bits of an aspect that hold the power of two; the rest holds what is between.
const MANTISSA_BITS: u32 = 13;

/// How unlike the task (cpus and memory it needs) and the node (what is free) are: the difference of
/// the shares of what is free that the task takes. 0 when it takes as much of both.
pub(crate) fn mismatch(need: (i64, i64), free: (i64, i64)) -> u32 {
    let share = |need: i64, free: i64| {
        if need <= 0 || free <= 0 {
            return 0;
        }
        match need.checked_mul(i64::from(WHOLE)) {
            Some(product) => u32::try_from(product / free).unwrap_or(WHOLE).min(WHOLE),
            None => (i128::from(need) * i128::from(WHOLE) / i128::from(free)).min(i128::from(WHOLE)) as u32,
        }
    };
    share(need.0, free.0).abs_diff(share(need.1, free.1))
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

/// A lower bound of [`mismatch`] over nodes with aspects from `low` to `high` and at most `most` free.
pub(crate) fn bound(need: (i64, i64), most: (i64, i64), low: u64, high: u64) -> u32 {
    let (cpus, mem) = (need.0.max(0) as f64, need.1.max(0) as f64);
    let share = if mem == 0.0 {
        if cpus == 0.0 { 0.0 } else { cpus / most.0 as f64 }
    } else {
        let (wanted, low) = (cpus / mem, ratio(low));
        let high = if high >= (1 << 20) - 1 { f64::INFINITY } else { ratio(high + 1) };
        if low > wanted {
            mem / most.1 as f64 * (1.0 - wanted / low)
        } else if high < wanted {
            cpus / most.0 as f64 * (1.0 - high / wanted)
        } else {
            0.0
        }
    };
    // Shares are rounded down by at most one each, and so is this.
    ((share * f64::from(WHOLE)) as u32).saturating_sub(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_never_exceed_what_is_found() {
        let amounts = [0, 1, 3, 500, 1_000, 24_000, 98_304_000, i64::MAX / 3, i64::MAX];
        for need in amounts.iter().flat_map(|cpus| amounts.map(|mem| (*cpus, mem))) {
            for free in amounts.iter().flat_map(|cpus| amounts.map(|mem| (*cpus, mem))) {
                if free.0 < need.0 || free.1 < need.1 {
                    continue;
                }
                let at = aspect(free);
                assert!(at < 1 << 20);
                for (low, high) in [(at, at), (0, at), (at, (1 << 20) - 1), (at.saturating_sub(99), at)] {
                    let (bound, found) = (bound(need, free, low, high), mismatch(need, free));
                    assert!(bound <= found, "{need:?} in {free:?}: {bound} > {found}");
                }
            }
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
        assert_eq!(mismatch((1, 4), (10, 40)), 0);
        assert_eq!(mismatch((5, 0), (10, 40)), WHOLE / 2);
    }
}
