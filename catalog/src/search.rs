//! Finding packages by words, and names that look like a mistyped one.

use crate::index::Found;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most names suggested for an unknown one.
const SIMILAR_NAMES_MAX: usize = 3;

/// Longest name that similar ones are searched for, in bytes: the search is quadratic in it.
const SIMILAR_NAME_BYTES_MAX: usize = 64;

/// One package in a search answer; tells of its latest version.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResult {
    /// Name.
    pub name: String,
    /// The latest version.
    pub current_version: String,
    /// All versions with their revisions, the latest first.
    pub versions: Vec<(String, u64)>,
    /// Description of the latest version.
    pub description: String,
    /// Whether it is a Mesos framework.
    pub framework: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether it is listed first, where the package says so.
    pub selected: Option<bool>,
    /// Icons and screenshots.
    pub images: Option<Value>,
}

/// A package with what a search compares.
#[derive(Debug)]
pub(crate) struct Searched {
    result: Arc<SearchResult>,
    /// Name, description and tags in lower case, separated so that no query spans two.
    lower: String,
}

pub(crate) fn prepare(packages: &BTreeMap<String, Vec<Found>>) -> Vec<Searched> {
    let of = |(name, versions): (&String, &Vec<Found>)| {
        let latest = versions.first()?;
        let mut lower = name.to_lowercase();
        for text in std::iter::once(&latest.description).chain(&latest.tags) {
            lower.push('\0');
            lower.push_str(&text.to_lowercase());
        }
        let result = SearchResult {
            name: name.clone(),
            current_version: latest.version.clone(),
            versions: versions.iter().map(|found| (found.version.clone(), found.release_version)).collect(),
            description: latest.description.clone(),
            framework: latest.framework.unwrap_or(false),
            tags: latest.tags.clone(),
            selected: latest.selected,
            images: latest.images(),
        };
        Some(Searched { result: Arc::new(result), lower })
    };
    let mut searched: Vec<Searched> = packages.iter().filter_map(of).collect();
    // Stable, and the map is ordered by name.
    searched.sort_by_key(|searched| searched.result.selected != Some(true));
    searched
}

pub(crate) fn search(searched: &[Searched], query: Option<&str>) -> Vec<Arc<SearchResult>> {
    let query = query.unwrap_or_default();
    let lower = query.to_lowercase();
    let is_pattern = query.contains('*');
    let matches = |candidate: &&Searched| {
        if is_pattern {
            let result = &candidate.result;
            glob(query, &result.name) || glob(query, &result.description) || result.tags.iter().any(|tag| glob(query, tag))
        } else {
            candidate.lower.contains(&lower)
        }
    };
    searched.iter().filter(matches).map(|found| Arc::clone(&found.result)).collect()
}

/// Whether the whole text matches; `*` stands for any characters. Never backtracks further than
/// the last star, so its cost is at most the product of the lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Known names that a person may have meant, the closest first.
pub(crate) fn similar<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Vec<String> {
    let name = name.to_lowercase();
    if name.is_empty() || name.len() > SIMILAR_NAME_BYTES_MAX {
        return Vec::new();
    }
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    let mut close: Vec<(usize, &String)> = known
        .filter_map(|candidate| {
            let distance = distance(&name, candidate);
            if distance <= allowed {
                Some((distance, candidate))
            } else if name.len() >= 3 && (candidate.contains(&name) || name.contains(candidate.as_str())) {
                Some((allowed + 1, candidate))
            } else {
                None
            }
        })
        .collect();
    close.sort();
    close.into_iter().take(SIMILAR_NAMES_MAX).map(|(_, name)| name.clone()).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours between two names.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, l) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let mut best = (above[column] + usize::from(l != r)).min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *l == right[column - 1] && left[row - 1] == *r {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, glob, similar};

    #[test]
    fn a_star_matches_any_run_of_the_whole_text() {
        let table = [
            ("*", "", true),
            ("ka*", "kafka", true),
            ("ka*", "beta-kafka", false),
            ("*ka", "kafka", true),
            ("*af*", "kafka", true),
            ("Ka*", "kafka", false),
            ("k*k*a", "kafka", true),
            ("k*z", "kafka", false),
            ("a*", "a\nb", true),
            ("é*", "état", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn mistyped_names_are_recognised() {
        assert_eq!(distance("kafka", "kakfa"), 1);
        assert_eq!(distance("", "abc"), 3);
        let known: Vec<String> = ["kafka", "beta-kafka", "redis", "nginx"].map(String::from).to_vec();
        assert_eq!(similar("kakfa", known.iter()), ["kafka"]);
        assert_eq!(similar("Kafka", known.iter()), ["kafka", "beta-kafka"]);
        assert_eq!(similar("xyzzy", known.iter()), Vec::<String>::new());
        assert_eq!(similar(&"k".repeat(100_000), known.iter()), Vec::<String>::new());
    }
}
