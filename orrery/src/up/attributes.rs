//! `--attributes`: what constraints find on a node.

use orrery_core::node::{ATTRIBUTES_MAX, TEXT_BYTES_MAX};
use std::collections::BTreeMap;

/// Letters of a name or value that a sentence shows.
const SHOWN: usize = 60;

/// Where attributes are written, which decides how what is none of them is said there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `orrery up`, whose nodes are named by their addresses and have no region.
    Up,
    /// `orrery agent`.
    Agent,
    /// A node of a workload.
    Workload,
}

impl Source {
    /// How to say the host name, region or zone here.
    fn instead(self, what: &str) -> String {
        match self {
            Self::Up => format!("`orrery up` sets none; run `orrery agent` with --{what}"),
            Self::Agent => format!("use --{what}"),
            Self::Workload => format!("use the field {what}"),
        }
    }
}

/// Reads `NAME:VALUE;…`. Returns what can be used, and a sentence for each attribute that the cluster would not
/// have as it is written.
pub(crate) fn read(text: &str, source: Source) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut attributes, mut faults) = (BTreeMap::new(), Vec::new());
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once(':') else {
            faults.push(format!("\"{}\" is not NAME:VALUE", shown(part)));
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        match fault(name, value, source) {
            Some(fault) => faults.push(fault),
            // Which of the two was meant nobody knows.
            None if attributes.contains_key(name) => {
                faults.push(format!("\"{}\" is there twice; keep one of the two", shown(name)));
            }
            None => drop(attributes.insert(name.to_owned(), value.to_owned())),
        }
    }
    if attributes.len() > ATTRIBUTES_MAX {
        let last = attributes.keys().nth(ATTRIBUTES_MAX).map_or("", String::as_str);
        let message =
            format!("a node has at most {ATTRIBUTES_MAX} attributes, and these are {}; leave some out", attributes.len());
        faults.push(format!("{message}, such as \"{}\"", shown(last)));
    }
    (attributes, faults)
}

/// What is wrong with one attribute.
fn fault(name: &str, value: &str, source: Source) -> Option<String> {
    let field = match name {
        "hostname" | "@hostname" => Some(("host name", "hostname")),
        "@region" => Some(("region", "region")),
        "@zone" => Some(("zone", "zone")),
        _ => None,
    };
    if let Some((what, flag)) = field {
        let instead = source.instead(flag);
        return Some(format!("\"{name}\" is no attribute, because constraints mean the node's {what} by it; {instead}"));
    }
    if name.is_empty() {
        return Some(format!("\":{}\" has no name; write NAME:VALUE, such as rack:r1", shown(value)));
    }
    let bytes = name.len() + value.len();
    (bytes > TEXT_BYTES_MAX)
        .then(|| format!("\"{}\" has {bytes} bytes with its value; shorten it to at most {TEXT_BYTES_MAX}", shown(name)))
}

/// The beginning of a text, for a sentence.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        let (attributes, faults) = read(" rack : r1; disk:ssd ;; url:http://a:1;flag:", Source::Agent);
        assert!(faults.is_empty(), "{faults:?}");
        let found: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("disk", "ssd"), ("flag", ""), ("rack", "r1"), ("url", "http://a:1")]);
    }

    #[test]
    fn what_the_cluster_would_not_have_is_told_by_name() {
        for (text, source, sentence) in [
            ("rack", Source::Agent, "\"rack\" is not NAME:VALUE"),
            (":x", Source::Up, "\":x\" has no name; write NAME:VALUE, such as rack:r1"),
            ("rack:a;rack:b", Source::Up, "\"rack\" is there twice; keep one of the two"),
            ("rack:a;rack:a", Source::Workload, "\"rack\" is there twice; keep one of the two"),
            ("@zone:z", Source::Agent, "\"@zone\" is no attribute, because constraints mean the node's zone by it; use --zone"),
            (
                "@region:z",
                Source::Up,
                "\"@region\" is no attribute, because constraints mean the node's region by it; `orrery up` sets none; run \
                 `orrery agent` with --region",
            ),
            (
                "hostname:z",
                Source::Workload,
                "\"hostname\" is no attribute, because constraints mean the node's host name by it; use the field hostname",
            ),
            (
                "@hostname:z",
                Source::Agent,
                "\"@hostname\" is no attribute, because constraints mean the node's host name by it; use --hostname",
            ),
        ] {
            assert_eq!(read(text, source).1, [sentence], "{text}");
        }
        assert_eq!(read("a;:b;@zone:c", Source::Agent).1.len(), 3, "all at once");
    }

    #[test]
    fn limits_of_the_cluster_hold() {
        let many = |count: usize| (0..count).map(|number| format!("a{number:03}:v")).collect::<Vec<_>>().join(";");
        assert_eq!(read(&many(ATTRIBUTES_MAX), Source::Up).1, [""; 0]);
        let sentence = "a node has at most 256 attributes, and these are 257; leave some out, such as \"a256\"";
        assert_eq!(read(&many(ATTRIBUTES_MAX + 1), Source::Up).1, [sentence]);
        let long = |bytes: usize| format!("rack:{}", "é".repeat(bytes / 2));
        assert_eq!(read(&long(TEXT_BYTES_MAX - 4), Source::Up).1, [""; 0]);
        assert_eq!(
            read(&long(TEXT_BYTES_MAX), Source::Up).1,
            ["\"rack\" has 1028 bytes with its value; shorten it to at most 1024"]
        );
    }
}
