//! Versions of what nodes and controllers say to each other, and who understands whom.
//!
//! A program of version N also understands version N − 1, so that a cluster is upgraded one machine after
//! another, in any order, and in steps of one version. Both ends tell the range they speak in
//! [`PROTOCOL_HEADER`]; the highest that both speak counts. Who tells none speaks version 1.

use orrery_core::assignment::PROTOCOL_VERSION;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Header with the range of versions that its sender speaks: `1-2`.
pub const PROTOCOL_HEADER: &str = "orrery-protocol";
/// Makes a program built for tests speak as another version would.
#[cfg(debug_assertions)]
const VERSION_VARIABLE: &str = "ORRERY_PROTOCOL_VERSION";

/// The versions that one end speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl Versions {
    /// Those of a program of version `newest`.
    pub const fn of(newest: u32) -> Self {
        Self { oldest: if newest > 1 { newest - 1 } else { 1 }, newest }
    }

    /// Those of programs that tell none.
    pub const fn untold() -> Self {
        Self::of(1)
    }

    /// Those of this program.
    pub fn spoken() -> Self {
        #[cfg(debug_assertions)]
        if let Some(version) = std::env::var(VERSION_VARIABLE).ok().and_then(|text| text.parse().ok()) {
            return Self::of(version);
        }
        Self::of(PROTOCOL_VERSION)
    }

    /// Reads the header; `None` when it is not understood, which a header of a later version may not be.
    pub fn parse(text: &str) -> Option<Self> {
        let (oldest, newest) = text.trim().split_once('-')?;
        let read = Self { oldest: oldest.parse().ok()?, newest: newest.parse().ok()? };
        (1 <= read.oldest && read.oldest <= read.newest).then_some(read)
    }

    /// The version that both speak.
    pub fn agree(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Why `me` and `other` cannot talk, and what to do, as `me` says it.
    pub fn refusal(self, me: &str, other: &str, theirs: Self) -> String {
        let older = if self.newest < theirs.newest { me } else { other };
        format!(
            "{me} speaks {self} of the protocol and {other} {theirs}: they do not understand each other; upgrade {older}, one version \
             after the other"
        )
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "version {}", self.newest)
        } else {
            write!(f, "versions {} and {}", self.oldest, self.newest)
        }
    }
}

/// What the header says of this program.
pub fn header() -> String {
    let Versions { oldest, newest } = Versions::spoken();
    format!("{oldest}-{newest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_understand_each_other_and_nobody_else_does() {
        for (one, other, agreed) in
            [(1, 1, Some(1)), (1, 2, Some(1)), (2, 3, Some(2)), (3, 3, Some(3)), (1, 3, None), (4, 2, None), (7, 1, None)]
        {
            assert_eq!(Versions::of(one).agree(Versions::of(other)), agreed, "{one} and {other}");
            assert_eq!(Versions::of(other).agree(Versions::of(one)), agreed, "{other} and {one}");
        }
    }

    #[test]
    fn the_header_is_read_or_refused() {
        assert_eq!(Versions::parse("1-2"), Some(Versions::of(2)));
        assert_eq!(Versions::parse(&header()), Some(Versions::spoken()));
        for text in ["", "2", "0-1", "3-2", "a-b", "1-2-3"] {
            assert_eq!(Versions::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_sentence_names_who_is_to_be_upgraded() {
        let sentence = Versions::of(4).refusal("this controller", "the node", Versions::of(1));
        assert_eq!(
            sentence,
            "this controller speaks versions 3 and 4 of the protocol and the node version 1: they do not understand each other; \
             upgrade the node, one version after the other"
        );
        assert!(Versions::of(1).refusal("this controller", "the node", Versions::of(4)).contains("upgrade this controller"));
    }
}
