//! A repository from its document to the first search, and what is asked of it then.

use crate::figure::{Figure, Goal, Peer};
use crate::peer::{Peers, python_catalog};
use crate::report::Report;
use crate::samples::Samples;
use anyhow::Context as _;
use orrery_catalog::{Checks, Index, Repository, RepositorySource, render, render_text, resolve_options, validate_options};
use serde_json::{Map, Value, json};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Versions that the whole public Universe has.
const VERSIONS: usize = 1_235;
const LOADS: usize = 11;
const QUERIES: [&str; 8] = ["ka", "sql", "data", "web", "e", "redis", "no such thing", "z*"];
const SEARCHES: usize = 2_000;
/// Each operation on each version counts with the best of this many, so that what else runs on the
/// machine does not pass for ours. The same holds for the peer.
const REPEATS: usize = 3;

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("orrery-bench-").tempdir()?;
    if let Some(path) = public_universe() {
        let mut times = Samples::default();
        let mut versions = 0;
        for _ in 0..LOADS {
            let (time, index) = load(&path)?;
            times.push(time);
            versions = versions_of(&index);
        }
        let scale = format!("{versions} versions of the public Universe, gzip, {LOADS} loads");
        report.add(Figure::new("catalog", "file → first search, median", times.median(), "ms").scale(scale));
    }
    let (origin, packages) = packages(report)?;
    let path = directory.path().join("repo.json");
    let document = json!({ "packages": packages }).to_string();
    fs::write(&path, &document)?;
    let scale = format!("{VERSIONS} versions ({origin}), {:.1} MB of JSON, best of {REPEATS} each", document.len() as f64 / 1e6);
    drop(document);

    let python = match python_catalog(&path) {
        Ok(Some(python)) => Some(python),
        Ok(None) => {
            report.note("Python is not installed: no peer");
            None
        }
        Err(error) => {
            report.note(&format!("the peer failed: {error:#}"));
            None
        }
    };
    if python.as_ref().is_some_and(|python| python["render"].is_null()) {
        report.note("Python has no mustache renderer (apt-get install python3-pystache): no peer for render");
    }
    let name = |with: &str| {
        let version = python.as_ref().and_then(|python| python["python"].as_str()).unwrap_or_default();
        format!("Python {version} {with}")
    };
    let peer = |with: &str, operation: &str, quantile: &str| {
        let value = python.as_ref()?[operation][quantile].as_f64()?;
        Some(Peer::measured(name(with), value))
    };

    let mut loads = Samples::default();
    let mut index = None;
    for _ in 0..LOADS {
        drop(index.take());
        let (time, loaded) = load(&path)?;
        loads.push(time);
        index = Some(loaded);
    }
    let index = index.context("nothing was loaded")?;
    anyhow::ensure!(versions_of(&index) == VERSIONS, "{} versions are left", versions_of(&index));
    let load_peer = python.as_ref().and_then(|python| python["load"].as_f64()).map(|value| Peer::measured(name("json"), value));
    let load = Figure::new("catalog", "file → first search, median", loads.median(), "ms").scale(&scale);
    report.add(load.goal(Goal::AtMost(100.0)).peer(load_peer));

    let mut searches = Samples::default();
    for number in 0..SEARCHES {
        searches.push_millis(best(|| drop(black_box(index.search(Some(QUERIES[number % QUERIES.len()]))))));
    }
    let mut describes = Samples::default();
    for found in index.packages() {
        found.definition()?;
        describes.push_millis(best(|| {
            let definition = index.resolve(&found.name, Some(&found.version)).ok().and_then(|found| found.definition().ok());
            drop(black_box(definition.map(|definition| Value::Object(definition).to_string())));
        }));
    }
    let (first, again, refused) = renders(&index);
    for (operation, samples, with, has_goal) in [
        ("search", &searches, "json", true),
        ("describe", &describes, "json", true),
        ("render", &again, "pystache", true),
        ("render, first time (compiles)", &first, "pystache", false),
    ] {
        let peer = |quantile: &str| peer(with, operation, quantile);
        let scale = format!("{scale}; {} samples", samples.len());
        let figure = |name: &str, value: f64| Figure::new("catalog", format!("{operation} {name}"), value, "ms").scale(&scale);
        report.add(figure("p50", samples.median()).peer(peer("p50")));
        let p99 = figure("p99", samples.p99()).peer(peer("p99"));
        report.add(if has_goal { p99.goal(Goal::AtMost(1.0)) } else { p99 });
    }
    for (step, samples) in steps(&index) {
        let scale = format!("{scale}; {} samples", samples.len());
        let figure =
            |name: &str, value: f64| Figure::new("catalog", format!("  of which {step} {name}"), value, "ms").scale(&scale);
        report.add(figure("p50", samples.median()));
        report.add(figure("p99", samples.p99()));
    }
    if refused > 0 {
        report.note(&format!("{refused} versions need options or have no template: not in render's samples"));
    }
    Ok(())
}

/// Renders everything with default options: times of the first and of a second time, and how many
/// have no rendering.
fn renders(index: &Index) -> (Samples, Samples, usize) {
    let (mut first, mut again, mut refused) = (Samples::default(), Samples::default(), 0);
    let none = Map::new();
    let mut rendered = Vec::new();
    for found in index.packages() {
        let start = Instant::now();
        if black_box(render(found, "bench", &none, None)).is_ok() {
            first.push_millis(start.elapsed());
            rendered.push(found);
        } else {
            refused += 1;
        }
    }
    for found in rendered {
        again.push_millis(best(|| drop(black_box(render(found, "bench", &none, None)))));
    }
    (first, again, refused)
}

fn best(mut work: impl FnMut()) -> Duration {
    let timed = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..REPEATS).map(timed).min().unwrap_or_default()
}

/// Where the time of a rendering goes; parsing the text and adding labels is the rest.
fn steps(index: &Index) -> [(&'static str, Samples); 3] {
    let (mut options, mut validation, mut template) = (Samples::default(), Samples::default(), Samples::default());
    let none = Map::new();
    for found in index.packages().filter(|found| found.has_template()) {
        let Ok(resolved) = resolve_options(found, &none) else { continue };
        if validate_options(found, &resolved).is_err() || render_text(found, &resolved).is_err() {
            continue;
        }
        options.push_millis(best(|| drop(black_box(resolve_options(found, &none)))));
        validation.push_millis(best(|| drop(black_box(validate_options(found, &resolved)))));
        template.push_millis(best(|| drop(black_box(render_text(found, &resolved)))));
    }
    [("options", options), ("validation", validation), ("template", template)]
}

/// Versions that were read; the index hides those whose version a later revision has as well.
fn versions_of(index: &Index) -> usize {
    index.repositories().iter().map(|repository| repository.packages.len()).sum()
}

/// Milliseconds from the file to the first search's answer.
fn load(path: &Path) -> anyhow::Result<(f64, Index)> {
    let start = Instant::now();
    let source = RepositorySource { name: "bench".into(), uri: "bench".into() };
    let index = Index::new(vec![Arc::new(Repository::from_json(source, fs::read(path)?)?)]);
    black_box(index.search(Some("a")));
    Ok((start.elapsed().as_secs_f64() * 1e3, index))
}

/// A copy of the public Universe, where there is one.
fn public_universe() -> Option<PathBuf> {
    let shared = std::env::var_os("ORRERY_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    Some(shared.join("universe/repo.json.gz")).filter(|path| path.is_file())
}

/// [`VERSIONS`] packages: those of the public Universe, or of our own, and renamed copies of them.
fn packages(report: &Report) -> anyhow::Result<(&'static str, Vec<Value>)> {
    let source = RepositorySource { name: "bench".into(), uri: "bench".into() };
    let (origin, repository) = if let Some(path) = public_universe() {
        ("the public Universe and copies", Repository::from_json(source, fs::read(path)?)?)
    } else {
        report.note("no public Universe at $ORRERY_SHARED/universe/repo.json.gz: copies of our own packages instead");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../universe");
        let own = if own.is_dir() { own } else { PathBuf::from("universe") };
        ("copies of our own packages", Repository::from_directory(source, &own, Checks::Read)?)
    };
    anyhow::ensure!(!repository.packages.is_empty(), "the repository is empty");
    let mut packages = Vec::with_capacity(VERSIONS);
    for (number, package) in repository.packages.iter().cycle().take(VERSIONS).enumerate() {
        let mut definition = package.definition()?;
        let copy = number / repository.packages.len();
        if copy > 0 {
            definition.insert("name".into(), format!("{}-copy{copy}", package.name).into());
        }
        packages.push(Value::Object(definition));
    }
    Ok((origin, packages))
}
