//! Output to people and programs: tables as the original commands print them, and JSON.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::error::Error;

/// What stands in a cell that has no value, as in the original tables.
pub(crate) const EMPTY: &str = "---";

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

/// A table without lines: columns padded and two spaces after each, as PrettyTable does without a border.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    header: bool,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(),
            rows: Vec::new(),
            header: true,
        }
    }

    /// Leaves the heading out.
    pub(crate) fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// Adds a column at the right; rows pushed later must have its cell.
    pub(crate) fn add_column(&mut self, name: &str, align: Align) {
        self.columns.push((name.to_owned(), align));
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sorts by one column's text, then by the whole row.
    pub(crate) fn sort_by_column(&mut self, column: usize) {
        self.rows.sort_by(|a, b| a.get(column).cmp(&b.get(column)).then_with(|| a.cmp(b)));
    }

    /// The text, without a final newline.
    pub(crate) fn render(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| if self.header { name.width() } else { 0 }).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.lines().map(UnicodeWidthStr::width).max().unwrap_or(0));
            }
        }
        let mut lines = Vec::new();
        if self.header {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
            lines.push(self.line(&names, &widths));
        }
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
            for index in 0..height {
                let cells: Vec<&str> = row.iter().map(|cell| cell.lines().nth(index).unwrap_or("")).collect();
                lines.push(self.line(&cells, &widths));
            }
        }
        lines.join("\n")
    }

    /// Prints the table. An empty one prints nothing, as the original did, but says so to a person.
    pub(crate) fn print(&self, when_empty: &str) -> Result<(), Error> {
        if !self.is_empty() {
            return print_line(&self.render());
        }
        if io::stderr().is_terminal() {
            print_note(when_empty);
        }
        Ok(())
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let excess = width.saturating_sub(cell.width());
            let left = match align {
                Align::Left => 0,
                Align::Right => excess,
                // PrettyTable puts the odd space left of texts of even length and right of odd ones.
                Align::Center => excess / 2 + usize::from(excess % 2 == 1 && cell.width() % 2 == 0),
            };
            line.push_str(&" ".repeat(left));
            line.push_str(cell);
            line.push_str(&" ".repeat(excess - left + 2));
        }
        line
    }
}

/// A JSON value as the original tables show it: Python's `str()`.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => python_repr(other),
    }
}

fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", python_repr(&Value::String(key.clone())), python_repr(value)))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// One line of at most `width` columns, cut between words and ended with `...`, as Python's `textwrap.shorten` does.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let collapsed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if collapsed.width() <= width {
        return collapsed;
    }
    let room = width.saturating_sub(3);
    let mut kept = String::new();
    for chunk in break_points(&collapsed) {
        if kept.width() + chunk.trim_end().width() > room {
            break;
        }
        kept.push_str(chunk);
    }
    format!("{}...", kept.trim_end())
}

/// Pieces a line may be broken between: after a space, and after a hyphen inside a word.
fn break_points(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    for window in chars.windows(3) {
        let [(_, before), (at, here), (_, after)] = window else { continue };
        let hyphen = *here == '-' && before.is_alphanumeric() && after.is_alphabetic();
        if *here == ' ' || hyphen {
            pieces.push(&text[start..at + here.len_utf8()]);
            start = at + here.len_utf8();
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// JSON with sorted keys and two spaces, as the original commands print it.
pub(crate) fn pretty_json(value: &Value) -> String {
    // Serialising these values cannot fail: every key is a string.
    serde_json::to_string_pretty(&sorted(value)).unwrap_or_default()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        other => other.clone(),
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Default)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Default)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// Whether to colour a stream.
    pub(crate) fn enabled(self, terminal: bool) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if set("CLICOLOR_FORCE") => true,
            Self::Auto => terminal && std::env::var("TERM").is_ok_and(|term| term != "dumb"),
        }
    }
}

/// Colours that messages use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Color {
    Red,
    Green,
    Yellow,
}

/// `text` in a colour when `enabled`.
pub(crate) fn paint(text: &str, color: Color, enabled: bool) -> String {
    if !enabled {
        return text.to_owned();
    }
    let code = match color {
        Color::Red => "31",
        Color::Green => "32",
        Color::Yellow => "33",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Writes one line to standard output. A closed pipe (`| head`) ends the command quietly.
pub(crate) fn print_line(text: &str) -> Result<(), Error> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes to standard output.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Error::general(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes one line to standard error; nobody can be told when that fails.
pub(crate) fn print_note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a value as JSON, or as YAML when asked.
pub(crate) fn print_value(value: &Value, format: Format) -> Result<(), Error> {
    if format == Format::Yaml {
        let yaml = serde_yaml::to_string(&plain_numbers(value))
            .map_err(|error| Error::general(format!("cannot print as YAML: {error}")))?;
        return print_line(yaml.trim_end());
    }
    print_line(&pretty_json(value))
}

/// Arbitrary-precision numbers serialise as maps outside serde_json; this turns them into YAML's own.
fn plain_numbers(value: &Value) -> serde_yaml::Value {
    match value {
        Value::Null => serde_yaml::Value::Null(None),
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => {
            if let Some(whole) = number.as_i64() {
                whole.into()
            } else if let Some(whole) = number.as_u64() {
                whole.into()
            } else {
                number.as_f64().unwrap_or(f64::NAN).into()
            }
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(plain_numbers).collect::<Vec<_>>().into(),
        Value::Object(map) => {
            let mut mapping = serde_yaml::Mapping::new();
            for (key, value) in map {
                mapping.insert(key.as_str().into(), plain_numbers(value));
            }
            serde_yaml::Value::from(mapping)
        }
    }
}

/// Whether standard input is a person.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Asks `prompt [yes/no]` up to three times; end of input means no.
pub(crate) fn confirm(prompt: &str, yes: bool) -> Result<bool, Error> {
    if yes {
        return Ok(true);
    }
    for _ in 0..3 {
        print_bytes(format!("{prompt} [yes/no] ").as_bytes())?;
        let Some(answer) = read_answer()? else { return Ok(false) };
        match answer.to_lowercase().as_str() {
            "yes" | "y" => return Ok(true),
            "no" | "n" => return Ok(false),
            other => print_line(&format!("'{other}' is not a valid response."))?,
        }
    }
    Ok(false)
}

/// Asks the user to type `expected`, up to three times.
pub(crate) fn confirm_text(prompt: &str, expected: &str) -> Result<bool, Error> {
    for _ in 0..3 {
        print_bytes(format!("{prompt}: ").as_bytes())?;
        let Some(answer) = read_answer()? else { return Ok(false) };
        if answer == expected {
            return Ok(true);
        }
        print_line(&format!("Expected '{expected}'. You supplied '{answer}'."))?;
    }
    Ok(false)
}

/// One line of standard input without its end, or nothing at the end of input.
pub(crate) fn read_answer() -> Result<Option<String>, Error> {
    let mut line = String::new();
    let read =
        io::stdin().read_line(&mut line).map_err(|error| Error::general(format!("cannot read standard input: {error}")))?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_pads_and_centres_like_the_original() {
        let mut table = Table::new(&[("ID", Align::Left), ("MEM", Align::Center), ("CPUS", Align::Center)]);
        table.push(vec!["/web".into(), "128".into(), "0.1".into()]);
        table.push(vec!["/a".into(), "64.25".into(), "1".into()]);
        table.sort_by_column(0);
        let expected = "ID     MEM   CPUS  \n/a    64.25   1    \n/web   128   0.1   ";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn cells_of_several_lines_keep_their_column() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left)]);
        table.push(vec!["x\ny".into(), "1".into()]);
        assert_eq!(table.render(), "A  B  \nx  1  \ny     ");
    }

    #[test]
    fn values_print_as_python_does() {
        let cases = [
            (json!(true), "True"),
            (json!(null), "None"),
            (json!("x"), "x"),
            (json!(["sh", "-c", "it's"]), "['sh', '-c', \"it's\"]"),
            (json!(["hostname", 1]), "['hostname', 1]"),
        ];
        for (value, text) in cases {
            assert_eq!(cell(&value), text);
        }
        let number: Value = serde_json::from_str("128.0").unwrap();
        assert_eq!(cell(&number), "128.0");
    }

    #[test]
    fn shorten_cuts_between_words() {
        assert_eq!(shorten("sleep  1000", 35), "sleep 1000");
        assert_eq!(shorten("python3 -m http.server 8080 --bind 0.0.0.0", 35), "python3 -m http.server 8080...");
        assert_eq!(shorten(&"x".repeat(40), 35), "...");
        assert_eq!(shorten("a high-performance event-driven server", 25), "a high-performance...");
    }

    #[test]
    fn json_has_sorted_keys() {
        assert_eq!(pretty_json(&json!({"b": 1, "a": [true]})), "{\n  \"a\": [\n    true\n  ],\n  \"b\": 1\n}");
    }
}
