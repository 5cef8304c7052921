//! Labels of names (Mesos-DNS' RFC 1123 rule).

use sha1::{Digest, Sha1};

/// Longest label, bytes (RFC 1035 2.3.4).
pub const LABEL_MAX_BYTES: usize = 63;
/// Longest name written with dots and without the final one (RFC 1035 2.3.4).
pub const NAME_MAX_BYTES: usize = 253;

/// How many characters of the hash tell tasks of one app apart.
pub(super) const HASH_CHARS: usize = 5;
/// zbase32's alphabet.
const ZBASE32: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// One label made of any text: lower case, `-`, `.` and `_` become `-`, everything else but
/// letters and digits is dropped, no dash at either end, at most [`LABEL_MAX_BYTES`]. May be empty.
pub fn mangle(text: &str) -> String {
    mangle_to(text, LABEL_MAX_BYTES)
}

/// [`mangle`] with room for a prefix or suffix.
pub(super) fn mangle_to(text: &str, max_bytes: usize) -> String {
    let mut label = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            '-' | '.' | '_' if !label.is_empty() => label.push('-'),
            kept @ ('a'..='z' | '0'..='9') => label.push(kept),
            _ => {}
        }
        if label.len() >= max_bytes {
            break;
        }
    }
    label.truncate(label.trim_end_matches('-').len());
    label
}

/// A framework's name as part of a domain: every dot-separated part mangled, empty parts dropped.
pub fn framework_fragment(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(mangle).filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

/// First characters of zbase32(SHA-1(task id)).
pub fn task_hash(task_id: &str) -> String {
    zbase32(&Sha1::digest(task_id.as_bytes()), HASH_CHARS)
}

fn zbase32(bytes: &[u8], characters: usize) -> String {
    (0..characters)
        .map(|index| {
            let bit = index * 5;
            let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0));
            let window = byte(bit / 8) << 8 | byte(bit / 8 + 1);
            char::from(ZBASE32[usize::from(window >> (11 - bit % 8) & 31)])
        })
        .collect()
}

/// Whether `name` can be written in a DNS packet: labels of 1–63 bytes, 253 in all.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES && name.split('.').all(|label| (1..=LABEL_MAX_BYTES).contains(&label.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (text, want) in [
            ("web", "web"),
            ("Web.Group_1", "web-group-1"),
            ("--a--", "a"),
            ("_a_", "a"),
            ("a b/c", "abc"),
            ("é", ""),
            ("a..b", "a--b"),
            ("", ""),
            ("...", ""),
        ] {
            assert_eq!(mangle(text), want, "{text}");
        }
        assert_eq!(mangle(&"x".repeat(80)).len(), 63);
        assert_eq!(mangle(&format!("{}-y", "x".repeat(62))), "x".repeat(62), "no dash at the cut");
        assert_eq!(framework_fragment("Marathon.User..x_y."), "marathon.user.x-y");
    }

    #[test]
    fn zbase32_vectors() {
        // Vectors of the zbase32 specification.
        for (bytes, characters, want) in [
            (&[0xf0, 0xbf, 0xc7][..], 5, "6n9hq"),
            (&[0xd4, 0x7a, 0x04][..], 5, "4t7ye"),
            (&[0xff][..], 2, "9h"),
            (&[0x10, 0x11, 0x10][..], 5, "nyety"),
            (&[][..], 0, ""),
        ] {
            assert_eq!(zbase32(bytes, characters), want);
        }
    }

    #[test]
    fn names() {
        assert!(is_name("a.b"));
        for name in ["", ".", "a..b", "a."] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(64)));
        assert!(is_name(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".")));
        assert!(!is_name(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".")));
    }
}
