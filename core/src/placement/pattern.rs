//! What LIKE, UNLIKE and IS say of one value.

use regex::{Regex, RegexBuilder};

/// Largest compiled size of a constraint's regular expression, bytes.
const REGEX_MAX_BYTES: usize = 256 << 10;
/// Largest cache of states while matching, bytes. Matching is linear in the value whatever happens.
const REGEX_CACHE_MAX_BYTES: usize = 256 << 10;

/// A pattern that must match a whole value; bounded in size.
pub(crate) fn full_match(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(REGEX_MAX_BYTES).dfa_size_limit(REGEX_CACHE_MAX_BYTES).build().ok()
}

/// Whether LIKE and UNLIKE can use a pattern: it is a regular expression and not too large.
pub fn is_pattern(pattern: &str) -> bool {
    full_match(pattern).is_some()
}

/// Scalars compare by value: `1` is `1.0` (Mesos prints three decimals at most).
pub(crate) fn same_number(left: &str, right: &str) -> bool {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => (left * 1000.0).round() as i64 == (right * 1000.0).round() as i64,
        _ => false,
    }
}
