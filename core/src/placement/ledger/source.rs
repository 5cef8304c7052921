//! Where the values of a field come from.

use crate::app::Operator;
use crate::node::Node;
use crate::placement::pattern::Matcher;
use std::borrow::Cow;

/// Value of a verdict that is a yes.
pub(crate) const YES: &str = "1";
const NO: &str = "0";

/// What the values of a field say of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// What the node calls itself: host name, region, zone or an attribute.
    Named(String),
    /// Whether that matches a pattern: two values instead of nearly one per node.
    Verdict { field: String, operator: Operator, operand: String },
    /// Several together: nodes with the same values of all of them share one.
    Joined(Vec<Source>),
}

impl Source {
    /// Whether patterns have a part in it.
    pub(crate) fn has_verdict(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::Verdict { .. } => true,
            Self::Joined(parts) => parts.iter().any(Self::has_verdict),
        }
    }
}

/// Reads the values of a source off nodes.
#[derive(Debug, Clone)]
pub(crate) enum Reading {
    Named(String),
    Verdict(String, Matcher),
    Joined(Vec<Reading>),
}

impl Reading {
    pub(crate) fn of(source: &Source) -> Self {
        match source {
            Source::Named(name) => Self::Named(name.clone()),
            Source::Verdict { field, operator, operand } => Self::Verdict(field.clone(), Matcher::new(*operator, operand)),
            Source::Joined(parts) => Self::Joined(parts.iter().map(Self::of).collect()),
        }
    }

    /// Whether patterns say all of it.
    pub(crate) fn is_verdict(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::Verdict(..) => true,
            Self::Joined(parts) => parts.iter().all(Self::is_verdict),
        }
    }

    /// The value on a node; nothing when the node does not have the field.
    pub(crate) fn value<'n>(&self, node: &'n Node) -> Option<Cow<'n, str>> {
        match self {
            Self::Named(name) => node.field(name).map(Cow::Borrowed),
            Self::Verdict(name, matcher) => {
                node.field(name).map(|text| Cow::Borrowed(if matcher.matches(text) { YES } else { NO }))
            }
            Self::Joined(parts) => {
                // With lengths, so that different values never look alike.
                let mut all = String::new();
                for part in parts {
                    match part.value(node) {
                        Some(value) => all.extend([value.len().to_string().as_str(), ":", &value]),
                        None => all.push('-'),
                    }
                }
                Some(Cow::Owned(all))
            }
        }
    }
}
