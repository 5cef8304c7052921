//! Prefixes as byte ranges.

use std::ops::Bound;

/// The first byte string after all that begin with `prefix`, or `None` when
/// there is none (the empty prefix, or only 0xff bytes).
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The first byte string after `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// Where a page begins: at the prefix, or after the last key of the page before.
pub(crate) fn page_start(prefix: &str, start_after: Option<&str>) -> Vec<u8> {
    match start_after {
        Some(key) if key >= prefix => successor(key.as_bytes()),
        _ => prefix.as_bytes().to_vec(),
    }
}

/// An optional end as an exclusive bound.
pub(crate) fn upper_bound(end: Option<&[u8]>) -> Bound<&[u8]> {
    end.map_or(Bound::Unbounded, Bound::Excluded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"", None),
            (b"a", Some(b"b")),
            (b"/apps/", Some(b"/apps0")),
            (b"a\xff", Some(b"b")),
            (b"\xff\xff", None),
            ("\u{10ffff}".as_bytes(), Some(b"\xf4\x8f\xbf\xc0")),
        ];
        for (prefix, end) in cases {
            assert_eq!(prefix_end(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
