//! `orrery sim report`: a workload placed on paper, told in words and drawn as a heat map.

mod figure;
mod mixed;
mod picture;
#[cfg(test)]
mod picture_test;
mod summary;
mod workload_file;
mod yaml_document;

use crate::arguments::{ReportOptions, StrategyName};
use anyhow::Context as _;
use mixed::Mix;
use orrery_core::node::Node;
use orrery_core::placement::Strategy;
use orrery_core::report::{Event, Outcome, Report, RoleShare, Trial};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Most nodes of a report.
pub(crate) const NODES_MAX: u32 = 100_000;
/// Most tasks of a report.
pub(crate) const TASKS_MAX: u64 = 5_000_000;

/// Everything that is told and drawn.
struct View {
    /// Where the workload is from, in one line.
    source: String,
    outcome: Outcome,
    report: Report,
    roles: Vec<RoleShare>,
}

impl View {
    fn of(source: String, nodes: Vec<Node>, events: Vec<Event>, strategy: Strategy, seed: u64) -> Self {
        let mut trial = Trial::new(nodes, strategy, seed);
        for event in events {
            trial.happen(event);
        }
        let outcome = trial.finish();
        let report = Report::of(&outcome.nodes, &outcome.shapes);
        let roles = report.roles(&outcome.apps);
        Self { source, outcome, report, roles }
    }

    /// Tasks without a node.
    fn waiting(&self) -> usize {
        self.outcome.apps.iter().map(|app| app.waiting).sum()
    }
}

/// What a file name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Svg,
    Html,
}

impl Form {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "html" | "htm" => Ok(Self::Html),
            _ => anyhow::bail!(
                "--output: {} is neither a picture nor a page; name a file that ends in .svg or .html",
                path.display()
            ),
        }
    }
}

pub(crate) fn run(options: &ReportOptions) -> anyhow::Result<ExitCode> {
    let output = options.output.as_deref().map(|path| Form::of(path).map(|form| (path, form))).transpose()?;
    let view = view(options)?;
    let summary = summary::summary(&view);
    if let Some((path, form)) = output {
        let drawn = match form {
            Form::Svg => picture::svg(&view),
            Form::Html => picture::html(&view, &summary),
        };
        std::fs::write(path, drawn)
            .with_context(|| format!("cannot write {}; name a file in a directory that you may write to", path.display()))?;
    }
    let mut out = std::io::stdout();
    // That nobody reads to the end is no fault of the report.
    let _ = out.write_all(summary.as_bytes()).and_then(|()| out.flush());
    Ok(ExitCode::SUCCESS)
}

fn view(options: &ReportOptions) -> anyhow::Result<View> {
    let (strategy, name) = match options.strategy {
        StrategyName::Spread => (Strategy::Spread, "spread"),
        StrategyName::Binpack => (Strategy::Binpack, "binpack"),
    };
    let (source, nodes, events) = if let Some(path) = &options.workload {
        let workload = workload_file::read(path)?;
        let file = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        (file, workload.nodes, workload.events)
    } else {
        let mix = Mix {
            nodes: options.nodes,
            tasks: options.tasks.unwrap_or(TASKS_MAX),
            seed: options.seed,
            fill_percent: options.fill,
        };
        let nodes = mixed::nodes(&mix);
        let events = mixed::events(&mix, &nodes);
        (format!("mixed workload, seed {}, filled to {} %", options.seed, options.fill), nodes, events)
    };
    Ok(View::of(format!("{source}, strategy {name}"), nodes, events, strategy, options.seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_name() {
        for (name, form) in
            [("a.svg", Some(Form::Svg)), ("b/c.HTML", Some(Form::Html)), ("a.png", None), ("svg", None), ("", None)]
        {
            assert_eq!(Form::of(Path::new(name)).ok(), form, "{name}");
        }
    }
}
