//! Members of Java's classes that a name can reach.
//!
//! mustache.java finds methods by reflection on every scope that is not a map: a method of the
//! name itself, then `getName`, then `isName`. Ten packages rely on `list.isEmpty`. The members
//! here are those whose result is text, a number or a truth value and that a template might
//! sensibly name; all others are missing, as names usually are.

use super::value::{Seen, escaped};
use std::borrow::Cow;

/// The member `name` of a value that is not a map.
pub(super) fn member<'a>(scope: &Seen<'a>, name: &str) -> Option<Seen<'a>> {
    match scope {
        Seen::List(list) => match name {
            "isEmpty" | "empty" => Some(Seen::Bool(list.is_empty())),
            "size" => Some(Seen::Printed(Cow::Owned(list.len().to_string()))),
            _ => None,
        },
        Seen::String { text, quoted } => of_string(&escaped(text, *quoted), name),
        Seen::Printed(text) => of_string(text, name),
        Seen::Bool(value) => match name {
            "booleanValue" => Some(Seen::Bool(*value)),
            "toString" => Some(printed(scope)),
            _ => None,
        },
        Seen::Number(_) => (name == "toString").then(|| printed(scope)),
        Seen::Null | Seen::Map(_) | Seen::AsJson => None,
    }
}

/// Whether [`member`] gives anything for this name on text; asked first, as text can be long.
pub(super) fn is_member_of_string(name: &str) -> bool {
    of_string("", name).is_some()
}

/// Members of `java.lang.String`; lengths count UTF-16 units, as Java does.
fn of_string<'a>(text: &str, name: &str) -> Option<Seen<'a>> {
    let result = match name {
        "isEmpty" | "empty" => return Some(Seen::Bool(text.is_empty())),
        "length" => text.encode_utf16().count().to_string(),
        "trim" => text.trim_matches(|c: char| c <= ' ').to_owned(),
        "toLowerCase" => text.to_lowercase(),
        "toUpperCase" => text.to_uppercase(),
        "toString" | "intern" => text.to_owned(),
        _ => return None,
    };
    Some(Seen::Printed(Cow::Owned(result)))
}

/// A number or a truth value as text.
fn printed<'a>(scope: &Seen<'a>) -> Seen<'a> {
    let mut out = String::new();
    scope.print(&mut out, usize::MAX);
    Seen::Printed(Cow::Owned(out))
}
