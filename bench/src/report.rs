//! What is printed.

use crate::figure::Figure;
use crate::machine;
use serde_json::Value;
use std::time::Instant;

/// Headings of the table.
const HEADINGS: [&str; 6] = ["metric", "value", "goal", "peer", "ratio", "scale"];

/// Prints figures: JSON lines at once, tables when a bench ends.
pub(crate) struct Report {
    json: bool,
    machine: Value,
    started: Instant,
    figures: Vec<Figure>,
    missed: Vec<String>,
    failed: usize,
    measured: usize,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what prints")]
impl Report {
    pub(crate) fn new(json: bool, machine: Value) -> Self {
        let line = machine::line(&machine);
        // Beside, not in, the lines for programs, which carry the machine themselves.
        if json {
            eprintln!("machine: {line}");
        } else {
            println!("machine: {line}");
        }
        Self { json, machine, started: Instant::now(), figures: Vec::new(), missed: Vec::new(), failed: 0, measured: 0 }
    }

    pub(crate) fn begin(&mut self, name: &str) {
        self.started = Instant::now();
        if self.json {
            eprintln!("{name} …");
        } else {
            println!("\n== {name}");
        }
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        self.measured += 1;
        if figure.is_met() == Some(false) {
            self.missed.push(figure.title());
        }
        if self.json {
            println!("{}", figure.json(&self.machine));
        } else {
            self.figures.push(figure);
        }
    }

    /// Something a reader must know, such as a peer that is missing.
    pub(crate) fn note(&self, text: &str) {
        if self.json {
            eprintln!("note: {text}");
        } else {
            println!("note: {text}");
        }
    }

    pub(crate) fn failure(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        eprintln!("Error: {error:#}");
    }

    pub(crate) fn end(&mut self) {
        let figures = std::mem::take(&mut self.figures);
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        rows.extend(figures.iter().map(Figure::cells));
        if rows.len() > 1 {
            print!("{}", table(&rows));
        }
        if !self.json {
            println!("({:.0} s)", self.started.elapsed().as_secs_f64());
        }
    }

    /// Says what was missed. False when a bench could not be done.
    pub(crate) fn summary(&self) -> bool {
        let mut lines = vec![format!("{} figures, {} goals missed", self.measured, self.missed.len())];
        lines.extend(self.missed.iter().map(|title| format!("  MISSED {title}")));
        if self.failed > 0 {
            lines.push(format!("{} benches could not be done", self.failed));
        }
        let text = lines.join("\n");
        if self.json {
            eprintln!("{text}");
        } else {
            println!("\n{text}");
        }
        self.failed == 0
    }
}

fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count()))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
