//! All randomness of a simulation: streams of numbers split from one seed.

use std::time::Duration;

/// A stream of numbers (`SplitMix64`). Streams split from it are independent of how much of it is
/// used afterwards, so that one actor more does not change what the others do.
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x6F72_7265_7279_0001 }
    }

    /// A stream of its own for the actor called `name`.
    #[must_use]
    pub fn split(&self, name: &str) -> Self {
        let hash =
            name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        let mut stream = Self { state: self.state ^ hash.rotate_left(17) };
        stream.next();
        stream
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A time between two numbers of milliseconds, both included.
    pub const fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True `per_mille` times of a thousand.
    pub const fn hits(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < per_mille as u64
    }

    /// One of `items`; `None` when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_apart() {
        let root = Chance::new(7);
        let (mut a, mut b, mut again) = (root.split("a"), root.split("b"), root.split("a"));
        let first: Vec<u64> = (0..8).map(|_| a.next()).collect();
        assert_eq!(first, (0..8).map(|_| again.next()).collect::<Vec<_>>());
        assert_ne!(first, (0..8).map(|_| b.next()).collect::<Vec<_>>());
        let hits = (0..10_000).filter(|_| a.hits(100)).count();
        assert!((800..1200).contains(&hits), "{hits}");
        assert!(!a.hits(0) && a.hits(1000));
    }
}
