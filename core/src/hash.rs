//! A fast hasher without chance: the same keys give the same maps.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Multiply and rotate, eight bytes at a time. Keys are our own ids, so nobody gains from collisions
/// but their own slower app.
#[derive(Default, Clone, Copy)]
pub(crate) struct FixedHasher(u64);

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

impl FixedHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(SEED);
    }
}

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        // High bits are the good ones after a multiplication; tables use the low ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        self.add(rest.iter().rev().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }
}

/// A hash map whose layout depends on its keys only.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<FixedHasher>>;

/// A hash set whose layout depends on its members only.
pub(crate) type Set<K> = HashSet<K, BuildHasherDefault<FixedHasher>>;
