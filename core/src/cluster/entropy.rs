//! Ids from a seed: randomness is an argument.

use uuid::{Builder, Uuid};

/// A stream of unpredictable numbers from a seed the caller drew (SplitMix64).
#[derive(Debug, Clone)]
pub struct Entropy(u64);

impl Entropy {
    /// A stream; the same seed gives the same ids.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next UUID, version 4.
    pub fn next_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_number().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_number().to_be_bytes());
        Builder::from_random_bytes(bytes).into_uuid()
    }
}
