//! Numbers as people read them.

/// A count with its thousands apart: 1,234,567.
pub(super) fn count(number: impl TryInto<u128>) -> String {
    let digits = number.try_into().unwrap_or(0).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what is counted: `1 node`, `2 nodes`.
pub(super) fn things(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Thousandths as per cent: `12.3 %`.
pub(super) fn percent(thousandths: i64) -> String {
    let tenth = thousandths.unsigned_abs() % 10;
    let whole = count(thousandths.unsigned_abs() / 10);
    if tenth == 0 { format!("{whole} %") } else { format!("{whole}.{tenth} %") }
}

/// An amount of a column with its unit: `2.5 cpus`, `1.5 GiB`, `3 GPUs`.
pub(super) fn amount(column: usize, amount: i128) -> String {
    match column {
        0 => format!("{} {}", cpus(amount), if amount == 1_000 { "cpu" } else { "cpus" }),
        3 => format!("{} {}", count(amount.max(0).unsigned_abs()), if amount == 1 { "GPU" } else { "GPUs" }),
        _ => bytes(amount),
    }
}

/// `some` of `all` of a column, with units where they are needed: `26 of 32`, `1.5 of 2 TiB`,
/// `512 MiB of 2 TiB`.
pub(super) fn of(column: usize, some: i128, all: i128) -> String {
    match column {
        0 => format!("{} of {}", cpus(some), cpus(all)),
        3 => format!("{} of {}", count(some.max(0).unsigned_abs()), count(all.max(0).unsigned_abs())),
        _ => {
            let (some, all) = (bytes(some), bytes(all));
            match (some.rsplit_once(' '), all.rsplit_once(' ')) {
                (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} of {all}"),
                _ => format!("{some} of {all}"),
            }
        }
    }
}

fn cpus(thousandths: i128) -> String {
    let (whole, rest) = (thousandths.max(0) / 1_000, thousandths.max(0) % 1_000);
    // Of many cores nobody counts the parts.
    if rest == 0 || whole >= 1_000 {
        return count(whole.unsigned_abs());
    }
    let digits = format!("{rest:03}");
    format!("{}.{}", count(whole.unsigned_abs()), digits.trim_end_matches('0'))
}

/// Thousandths of a MiB.
fn bytes(thousandths: i128) -> String {
    let mib = thousandths.max(0) / 1_000;
    let tenths = |unit: i128| {
        let tenths = mib * 10 / unit;
        let whole = count((tenths / 10).unsigned_abs());
        if tenths % 10 == 0 { whole } else { format!("{whole}.{}", tenths % 10) }
    };
    match mib {
        0..1_024 => format!("{mib} MiB"),
        1_024..10_485_760 => format!("{} GiB", tenths(1_024)),
        _ => format!("{} TiB", tenths(1_048_576)),
    }
}

/// What a task needs, zeros left out: `0.5 cpus, 1 GiB`.
pub(super) fn shape(need: [i64; 4], roles: &[String]) -> String {
    // Disk is told when it is more than a trifle.
    let told = |column: &usize| need[*column] > 0 && (*column != 2 || need[2] > 10 * 1_024 * 1_000);
    let mut parts: Vec<String> = (0..4).filter(told).map(|column| amount(column, need[column].into())).collect();
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    if !roles.is_empty() && roles != ["*"] {
        parts.push(format!("on {}", roles.join(" or ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        assert_eq!([count(0_u64), count(999_u64), count(1_000_u64), count(12_345_678_u64)], ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([percent(0), percent(123), percent(1000)], ["0 %", "12.3 %", "100 %"]);
        for (column, thousandths, text) in [
            (0, 1_000, "1 cpu"),
            (0, 250, "0.25 cpus"),
            (0, 1_234_567_000, "1,234,567 cpus"),
            (1, 512_000, "512 MiB"),
            (1, 1_536_000, "1.5 GiB"),
            (2, 20_971_520_000, "20 TiB"),
            (3, 1, "1 GPU"),
            (3, -4, "0 GPUs"),
        ] {
            assert_eq!(amount(column, thousandths), text);
        }
        assert_eq!([things(0, "node"), things(1, "node")], ["0 nodes", "1 node"]);
        assert_eq!(of(0, 26_000, 32_500), "26 of 32.5");
        assert_eq!(of(1, 1_536_000, 2_048_000), "1.5 of 2 GiB");
        assert_eq!([of(1, 512_000, 2_048_000), of(3, 1, 8)], ["512 MiB of 2 GiB", "1 of 8"]);
        assert_eq!(shape([500, 1_024_000, 1_024_000, 0], &[]), "0.5 cpus, 1 GiB");
        assert_eq!(shape([0; 4], &["gpu".into()]), "nothing, on gpu");
    }
}
