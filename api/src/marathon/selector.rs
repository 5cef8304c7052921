//! Label selectors: `key`, `key==v`, `key!=v`, `key in (a, b)`, `key notin (a, b)`, comma = and.

use std::collections::BTreeMap;

/// Longest selector accepted, bytes.
const SELECTOR_MAX_BYTES: usize = 8 * 1024;

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Couldn't parse selector: {0}; write key, key==value, key!=value, key in (a, b) or key notin (a, b), joined by commas")]
pub struct SelectorError(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// A parsed selector: all terms must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<(String, Test)>);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// [`SelectorError`] with the unreadable text.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let error = || SelectorError(text.chars().take(200).collect());
        if text.len() > SELECTOR_MAX_BYTES {
            return Err(error());
        }
        let mut scanner = Scanner { rest: text };
        let mut terms = Vec::new();
        loop {
            let key = scanner.term().ok_or_else(error)?;
            let test = if scanner.eat("==") || scanner.eat("=") {
                Test::In(vec![scanner.term().ok_or_else(error)?])
            } else if scanner.eat("!=") {
                Test::NotIn(vec![scanner.term().ok_or_else(error)?])
            } else if scanner.eat_word("notin") {
                Test::NotIn(scanner.set().ok_or_else(error)?)
            } else if scanner.eat_word("in") {
                Test::In(scanner.set().ok_or_else(error)?)
            } else {
                Test::Exists
            };
            terms.push((key, test));
            scanner.skip();
            if scanner.rest.is_empty() {
                return Ok(Self(terms));
            }
            if !scanner.eat(",") {
                return Err(error());
            }
        }
    }

    /// Whether the labels fulfil every term. `!=` and `notin` hold only for labels that exist, as
    /// in Marathon.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, test)| {
            labels.get(key).is_some_and(|value| match test {
                Test::Exists => true,
                Test::In(values) => values.contains(value),
                Test::NotIn(values) => !values.contains(value),
            })
        })
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Eats `word` when something other than a term character follows.
    fn eat_word(&mut self, word: &str) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(word).filter(|rest| rest.starts_with(['(', ' ', '\t']));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `(\\.|[-A-Za-z0-9_.])+`
    fn term(&mut self) -> Option<String> {
        self.skip();
        let mut term = String::new();
        let mut chars = self.rest.chars();
        loop {
            let before = chars.as_str();
            match chars.next() {
                Some('\\') => term.push(chars.next()?),
                Some(c) if c.is_ascii_alphanumeric() || "-_.".contains(c) => term.push(c),
                _ => {
                    self.rest = before;
                    return (!term.is_empty()).then_some(term);
                }
            }
        }
    }

    fn set(&mut self) -> Option<Vec<String>> {
        let mut values = Vec::new();
        if !self.eat("(") {
            return None;
        }
        loop {
            values.push(self.term()?);
            if self.eat(")") {
                return Some(values);
            }
            if !self.eat(",") {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects() {
        let labels: BTreeMap<String, String> =
            [("env", "prod"), ("path", "/a b"), ("in", "x")].map(|(key, value)| (key.into(), value.into())).into();
        let table = [
            ("env", true),
            ("nope", false),
            ("env==prod", true),
            ("env = prod", true),
            ("env!=prod", false),
            ("env != test , in", true),
            ("nope!=x", false),
            ("nope notin (x)", false),
            ("env in (test, prod)", true),
            ("env in(prod)", true),
            ("env notin (test)", true),
            (r"path==\/a\ b", true),
            ("in==x,env==test", false),
        ];
        for (text, expected) in table {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
        for text in ["", ",", "a,", "a==", "a in b", "a in (", "a in ()", "a b", "a&b", "a\\"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
