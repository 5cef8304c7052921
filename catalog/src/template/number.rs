//! Numbers as Java printed them.

use std::borrow::Cow;

/// Most digits of an integer that is written out. Cosmos' JSON library (circe) gave up on whole
/// numbers beyond 2^18 digits and fell back to a double, which is then infinite.
pub const INTEGER_DIGITS_MAX: usize = 1 << 18;

/// The text that a template prints for a JSON number, given as its decimal text: an integral
/// value with all its digits (`1.0` is `1`), any other as Java's `Double.toString`.
///
/// Text that is not a JSON number is returned unchanged.
pub fn number_text(text: &str) -> Cow<'_, str> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.bytes().all(|b| b.is_ascii_digit())
        && unsigned.len() <= INTEGER_DIGITS_MAX
        && (!unsigned.starts_with('0') || text == "0")
    {
        return Cow::Borrowed(text);
    }
    match integral_text(text, unsigned) {
        Some(integral) => Cow::Owned(integral),
        None => match text.parse::<f64>() {
            Ok(double) => Cow::Owned(java_double(double)),
            Err(_) => Cow::Borrowed(text),
        },
    }
}

/// All digits of an integral value; none when it has a fraction or too many digits.
fn integral_text(text: &str, unsigned: &str) -> Option<String> {
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let stripped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let power = exponent.saturating_sub(i64::try_from(fraction.len()).ok()?).saturating_add(i64::try_from(stripped).ok()?);
    let zeros = usize::try_from(power).ok()?;
    if significant.len().saturating_add(zeros) > INTEGER_DIGITS_MAX {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    Some(format!("{sign}{significant}{}", "0".repeat(zeros)))
}

/// A decimal exponent, saturating where it does not fit.
fn exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if negative { -size } else { size })
}

/// Java's `Double.toString`: plain between 10^-3 and 10^7, otherwise `d.dddE±n`; the shortest
/// digits that read back as the same value, at least one after the point.
fn java_double(double: f64) -> String {
    if double.is_nan() {
        return "NaN".to_owned();
    }
    if double.is_infinite() {
        return if double > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = double.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{double:?}");
    }
    let mut text = format!("{double:e}");
    if !text.contains('.') {
        // Two digits at least, and of those the closest: 4.9E-324, not 5.0E-324.
        let two_digits = format!("{double:.1e}");
        text = if two_digits.parse() == Ok(double) { two_digits } else { text.replacen('e', ".0e", 1) };
    }
    text.replacen('e', "E", 1)
}

#[cfg(test)]
mod tests {
    use super::{INTEGER_DIGITS_MAX, number_text};

    #[test]
    fn numbers_print_as_java_printed_them() {
        let table = [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("7", "7"),
            ("-7", "-7"),
            ("1.0", "1"),
            ("1.50", "1.5"),
            ("2.25", "2.25"),
            ("0.1", "0.1"),
            ("0.001", "0.001"),
            ("0.0001", "1.0E-4"),
            ("1e-05", "1.0E-5"),
            ("1.25e-7", "1.25E-7"),
            ("1e3", "1000"),
            ("1.5E1", "15"),
            ("150e-1", "15"),
            ("155e-1", "15.5"),
            ("12345678901", "12345678901"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("12345678.5", "1.23456785E7"),
            ("9999999.5", "9999999.5"),
            ("1e400.5", "1e400.5"),
            ("5e-324", "4.9E-324"),
            ("1e-400", "0.0"),
            ("-1e-400", "-0.0"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("0e999999999999999999999", "0"),
            ("1e999999999999999999999", "Infinity"),
            ("-1e999999999999999999999", "-Infinity"),
            ("1e-999999999999999999999", "0.0"),
        ];
        for (json, printed) in table {
            assert_eq!(number_text(json), printed, "{json}");
        }
    }

    #[test]
    fn the_largest_double_has_309_digits() {
        let printed = number_text("1.7976931348623157e308");
        assert_eq!(printed.len(), 309);
        assert!(printed.starts_with("17976931348623157000"));
        let one = format!("1e{}", INTEGER_DIGITS_MAX - 1);
        assert_eq!(number_text(&one).len(), INTEGER_DIGITS_MAX);
        assert_eq!(number_text(&format!("1e{INTEGER_DIGITS_MAX}")), "Infinity");
    }
}
