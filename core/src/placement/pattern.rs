//! What LIKE, UNLIKE and IS say of one value.

use crate::app::Operator;
use regex::{Regex, RegexBuilder};

/// Largest compiled size of a constraint's regular expression, bytes.
pub const REGEX_MAX_BYTES: usize = 256 << 10;
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

/// One of LIKE, UNLIKE and IS, ready to be asked of many values.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    operator: Operator,
    operand: String,
    /// Nothing when the pattern is none: it matches no value.
    regex: Option<Regex>,
}

impl Matcher {
    pub(crate) fn new(operator: Operator, operand: &str) -> Self {
        let regex = if operator == Operator::Is { None } else { full_match(operand) };
        Self { operator, operand: operand.to_owned(), regex }
    }

    /// Whether a value is accepted.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self.operator {
            Operator::Is => self.operand == text || same_number(&self.operand, text),
            Operator::Unlike => self.regex.as_ref().is_some_and(|regex| !regex.is_match(text)),
            _ => self.regex.as_ref().is_some_and(|regex| regex.is_match(text)),
        }
    }
}

/// Scalars compare by value: `1` is `1.0` (Mesos prints three decimals at most).
pub(crate) fn same_number(left: &str, right: &str) -> bool {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => (left * 1000.0).round() as i64 == (right * 1000.0).round() as i64,
        _ => false,
    }
}
