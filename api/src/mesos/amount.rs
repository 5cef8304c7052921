//! Numbers in calls that are amounts of something.

use orrery_core::Scalar;
use serde_json::Value;

/// What an amount may be, in words; the upper end is [`Scalar::LIMIT`].
pub(super) const SOME: &str = "from 0.001 to 1000000000000";
/// The same where it may be nothing.
pub(super) const NONE_OR_SOME: &str = "from 0 to 1000000000000";

/// An amount above nothing, when the value is one. What is rounded to nothing is none.
pub(super) fn some(value: &Value) -> Option<Scalar> {
    none_or_some(value).filter(|amount| amount.is_positive())
}

/// An amount, when the value is one.
pub(super) fn none_or_some(value: &Value) -> Option<Scalar> {
    value.as_f64().and_then(Scalar::from_f64).filter(|amount| *amount >= Scalar::ZERO)
}

/// Letters of a value that a sentence shows.
const SHOWN: usize = 60;

/// The value as it was written, for a sentence.
pub(super) fn written(value: &Value) -> String {
    value.to_string().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_those_that_are_told() {
        let (least, most) = SOME.split_once(" to ").unwrap();
        let number = |text: &str| text.trim_start_matches("from ").parse::<f64>().unwrap();
        assert_eq!(some(&json!(number(least))), Some(Scalar::from_thousandths(1)));
        assert!((number(most) - Scalar::LIMIT).abs() < 1.0);
        assert!(some(&json!(Scalar::LIMIT)).is_some() && some(&json!(Scalar::LIMIT * 1.01)).is_none());
        for wrong in [json!(0), json!(1e-9), json!(-1), json!(1e308), json!("1"), json!(null)] {
            assert!(some(&wrong).is_none(), "{wrong}");
        }
        assert_eq!(none_or_some(&json!(0)), Some(Scalar::ZERO));
        assert!(NONE_OR_SOME.ends_with(most) && none_or_some(&json!(-1)).is_none());
    }
}
