//! Text of an SVG, with nothing in it that could be taken for markup.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A document under construction.
#[derive(Debug, Default)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// Adds markup as it is.
    pub(super) fn line(&mut self, markup: &str) {
        self.text.push_str(markup);
        self.text.push('\n');
    }

    /// Adds formatted markup as it is.
    pub(super) fn write(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{markup}");
    }

    /// Adds words of a class.
    pub(super) fn text(&mut self, x: u32, y: u32, class: &str, words: &str) {
        self.write(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(words)));
    }

    /// The document.
    pub(super) fn done(self) -> String {
        self.text
    }
}

/// Text for elements and attributes; what XML does not allow becomes a replacement character.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let harmless = |letter: char| !matches!(letter, '<' | '>' | '&' | '"' | '\'') && is_allowed(letter);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if is_allowed(letter) => escaped.push(letter),
            _ => escaped.push('\u{fffd}'),
        }
    }
    Cow::Owned(escaped)
}

/// Whether XML 1.0 has the character.
const fn is_allowed(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// At most so many characters, the last one an ellipsis when some are missing.
pub(super) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().count() <= most {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        assert_eq!(escape("<script>alert('&\"')</script>"), "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;");
        assert_eq!(escape("a\u{0}b\u{ffff}ü"), "a\u{fffd}b\u{fffd}ü");
        assert_eq!([shorten("abcd", 4), shorten("abcde", 4), shorten("a", 0)], ["abcd", "abc…", "…"]);
    }
}
