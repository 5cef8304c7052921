//! Progress of long work on standard error: a block that is redrawn on a terminal, lines elsewhere.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

use crate::error::Error;
use crate::output::{Color, ColorChoice, paint, print_note};

/// Most lines of the redrawn block.
const MAX_LINES: usize = 20;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Default)]
pub(crate) enum Progress {
    /// `tty` on a terminal, else `plain`
    #[default]
    Auto,
    /// A block that is redrawn in place
    Tty,
    /// One line for each change
    Plain,
    /// One JSON object for each change
    Json,
    /// Nothing
    Quiet,
}

/// State of one watched thing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Name of the thing, for example an app id.
    pub(crate) name: String,
    /// What is true of it, for example `2/3 healthy`.
    pub(crate) text: String,
    /// Whether it has arrived.
    pub(crate) done: bool,
    /// Why it has not, when something went wrong.
    pub(crate) problem: Option<String>,
    /// The same for programs.
    pub(crate) event: Value,
}

/// Shows rows as they change.
#[derive(Debug)]
pub(crate) struct Reporter {
    style: Progress,
    color: bool,
    shown: HashMap<String, String>,
    drawn: usize,
}

impl Reporter {
    pub(crate) fn new(style: Progress, color: ColorChoice) -> Self {
        let terminal = io::stderr().is_terminal();
        let style = match style {
            Progress::Auto if terminal => Progress::Tty,
            Progress::Auto => Progress::Plain,
            other => other,
        };
        Self { style, color: color.enabled(terminal), shown: HashMap::new(), drawn: 0 }
    }

    /// Shows the present state of everything.
    pub(crate) fn update(&mut self, rows: &[Row]) {
        match self.style {
            Progress::Quiet | Progress::Auto => {}
            Progress::Tty => self.redraw(rows),
            Progress::Plain | Progress::Json => {
                for row in rows {
                    let state = without_counting(row);
                    if self.shown.get(&row.name) != Some(&state) {
                        self.print_change(row);
                        self.shown.insert(row.name.clone(), state);
                    }
                }
            }
        }
    }

    fn print_change(&self, row: &Row) {
        let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        if self.style == Progress::Json {
            let mut event = row.event.clone();
            if let Some(map) = event.as_object_mut() {
                map.insert("time".to_owned(), Value::String(now.to_string()));
                map.insert("done".to_owned(), Value::Bool(row.done));
                map.insert("problem".to_owned(), row.problem.clone().map_or(Value::Null, Value::String));
            }
            print_note(&event.to_string());
            return;
        }
        print_note(&format!("{now} {}", self.line(row)));
    }

    fn line(&self, row: &Row) -> String {
        let mut line = if row.done {
            format!("{} {}: {}", paint("✓", Color::Green, self.color), row.name, row.text)
        } else {
            format!("{} {}: {}", paint("…", Color::Yellow, self.color), row.name, row.text)
        };
        if let Some(problem) = &row.problem {
            line += &format!(" - {}", paint(problem, Color::Red, self.color));
        }
        line
    }

    fn redraw(&mut self, rows: &[Row]) {
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\u{1b}[{}A\u{1b}[J", self.drawn);
        }
        // What still moves is shown first when there is too much.
        let mut ordered: Vec<&Row> = rows.iter().collect();
        if rows.len() > MAX_LINES {
            ordered.sort_by_key(|row| row.done);
        }
        let hidden = ordered.len().saturating_sub(MAX_LINES);
        ordered.truncate(MAX_LINES);
        for row in &ordered {
            // A line that wraps would be counted wrongly; terminals cut it with autowrap off.
            text += &format!("\u{1b}[?7l{}\u{1b}[?7h\n", self.line(row));
        }
        if hidden > 0 {
            text += &format!("  and {hidden} more\n");
        }
        self.drawn = ordered.len() + usize::from(hidden > 0);
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

/// A row as text that stays equal while only the seconds of its problem count down.
fn without_counting(row: &Row) -> String {
    let problem: String = row.problem.iter().flat_map(|text| text.chars()).filter(|c| !c.is_ascii_digit()).collect();
    format!("{} {} {problem}", row.text, row.done)
}

/// A length of time as users write it: `90`, `90s`, `10m`, `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a length of time such as 90s, 10m or 1h30m");
    if text.is_empty() {
        return Err(wrong());
    }
    let (mut total, mut digits) = (0_u64, String::new());
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        digits.clear();
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    if !digits.is_empty() {
        total = digits.parse::<u64>().ok().and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    // Longer than a year is a slip, and overflows deadlines.
    if total > 366 * 86_400 { Err(wrong()) } else { Ok(Duration::from_secs(total)) }
}

/// Flags of commands that can wait.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaitFlags {
    /// Wait until everything is running and healthy
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,

    /// Return as soon as the cluster has accepted the work (the default)
    #[arg(long, overrides_with = "wait")]
    pub(crate) no_wait: bool,

    /// Longest time to wait; the work goes on after it (exit code 6)
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// The error of a wait that took too long.
pub(crate) fn timed_out(what: &str, timeout: Duration, problems: &[String], again: &str) -> Error {
    let error = Error::new(
        crate::error::Kind::Timeout,
        format!("{what} not done after {} s; the cluster goes on with it", timeout.as_secs()),
    );
    let error = if problems.is_empty() { error } else { error.cause(problems.join("\n")) };
    error.fix(format!("keep watching: {again}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1m5", 65), ("2d", 172_800)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "m", "10x", "-1", "99999999999999999999", "400d", "1.5h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counting_down_is_no_change() {
        let row = |problem: &str| Row {
            name: "/a".into(),
            text: "0/1 running".into(),
            done: false,
            problem: Some(problem.into()),
            event: Value::Null,
        };
        assert_eq!(without_counting(&row("next try in 7 s")), without_counting(&row("next try in 12 s")));
        assert_ne!(without_counting(&row("next try in 7 s")), without_counting(&row("no node fits")));
    }

    #[test]
    fn plain_lines_name_state_and_problem() {
        let reporter = Reporter::new(Progress::Plain, ColorChoice::Never);
        let row = Row {
            name: "/web".into(),
            text: "1/2 healthy".into(),
            done: false,
            problem: Some("no node fits".into()),
            event: Value::Null,
        };
        assert_eq!(reporter.line(&row), "… /web: 1/2 healthy - no node fits");
    }
}
