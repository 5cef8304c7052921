//! JSON values as the template sees them.

use super::number_text;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// A value in scope: JSON, or what a member of a JSON value gave.
#[derive(Debug, Clone)]
pub(super) enum Seen<'a> {
    Null,
    Bool(bool),
    Number(&'a Number),
    /// A string of the options; `quoted` when it stands directly in an array.
    String {
        text: &'a str,
        quoted: bool,
    },
    List(&'a [Value]),
    Map(&'a Map<String, Value>),
    /// Text that a member gave; already in its printed form.
    Printed(Cow<'a, str>),
    /// The `asJson` function.
    AsJson,
}

impl<'a> Seen<'a> {
    /// A value of an object.
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Seen::Null,
            Value::Bool(value) => Seen::Bool(*value),
            Value::Number(number) => Seen::Number(number),
            Value::String(text) => Seen::String { text, quoted: false },
            Value::Array(list) => Seen::List(list),
            Value::Object(map) => Seen::Map(map),
        }
    }

    /// An element of an array, where strings keep their quotes.
    pub(super) fn element(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Seen::String { text, quoted: true },
            other => Seen::of(other),
        }
    }

    /// Whether `{{^x}}` runs.
    pub(super) fn is_false(&self) -> bool {
        match self {
            Seen::Null | Seen::Bool(false) => true,
            Seen::String { text, quoted } => text.is_empty() && !quoted,
            Seen::List(list) => list.is_empty(),
            Seen::Printed(text) => text.is_empty(),
            Seen::Bool(true) | Seen::Number(_) | Seen::Map(_) | Seen::AsJson => false,
        }
    }

    /// Appends the printed form; a list or map that grows `out` beyond `limit` is cut there. The
    /// depth check of the context bounds the recursion.
    pub(super) fn print(&self, out: &mut String, limit: usize) {
        match self {
            Seen::Null => {}
            Seen::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Seen::Number(number) => out.push_str(&number_text(number.as_str())),
            Seen::String { text, quoted: false } => escape(text, out),
            Seen::String { text, quoted: true } => {
                out.push('"');
                escape(text, out);
                out.push('"');
            }
            Seen::List(list) => {
                out.push('[');
                for (index, value) in list.iter().enumerate() {
                    if out.len() > limit {
                        return;
                    }
                    if index > 0 {
                        out.push_str(", ");
                    }
                    Seen::element(value).print_nested(out, limit);
                }
                out.push(']');
            }
            Seen::Map(map) => {
                out.push('{');
                for (index, (key, value)) in map.iter().enumerate() {
                    if out.len() > limit {
                        return;
                    }
                    if index > 0 {
                        out.push_str(", ");
                    }
                    out.push_str(key);
                    out.push('=');
                    Seen::of(value).print_nested(out, limit);
                }
                out.push('}');
            }
            Seen::Printed(text) => out.push_str(text),
            Seen::AsJson => out.push_str("null"),
        }
    }

    /// As [`Self::print`], but inside a list or a map Java spells null out.
    fn print_nested(&self, out: &mut String, limit: usize) {
        if matches!(self, Seen::Null) {
            out.push_str("null");
        } else {
            self.print(out, limit);
        }
    }
}

/// Appends `text` escaped for a JSON string, without quotes. ISO control characters are escaped
/// (as circe did), other non-ASCII text is not.
fn escape(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

/// `text` escaped as a template prints it.
pub(super) fn escaped(text: &str, quoted: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    Seen::String { text, quoted }.print(&mut out, usize::MAX);
    out
}
