//! Every recorded rendering of the public Universe must come out equal.
//!
//! The recordings are not part of this repository. They are looked for in
//! `$ORRERY_SHARED/universe`, else in `../shared/universe` beside the workspace.

use flate2::read::GzDecoder;
use orrery_catalog::{Index, Repository, RepositorySource, render, render_text, resolve_options, validate_options};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Renderings recorded in the corpus that the project is built against.
const RENDERINGS: usize = 1491;

fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("ORRERY_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let universe = shared.join("universe");
    if universe.join("repo.json.gz").is_file() {
        return Some(universe);
    }
    eprintln!(
        "SKIPPED: no recorded renderings at {}; set ORRERY_SHARED to the directory that has \
         universe/repo.json.gz",
        universe.display()
    );
    None
}

fn repository(universe: &std::path::Path) -> Repository {
    let source = RepositorySource { name: "Universe".into(), uri: "https://example/repo".into() };
    let bytes = fs::read(universe.join("repo.json.gz")).expect("corpus is readable");
    Repository::from_json(source, bytes).expect("corpus is a repository")
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recording {
    name: String,
    release_version: u64,
    case: String,
    options: Map<String, Value>,
    rendered: String,
}

fn recordings(universe: &std::path::Path) -> Vec<Recording> {
    let mut lines = String::new();
    let file = fs::File::open(universe.join("rendered.jsonl.gz")).expect("corpus is readable");
    GzDecoder::new(file).read_to_string(&mut lines).expect("corpus is gzip");
    lines.lines().map(|line| serde_json::from_str(line).expect("corpus is JSON")).collect()
}

#[test]
fn every_recorded_rendering_is_equal() {
    let Some(universe) = corpus() else { return };
    let repository = repository(&universe);
    assert_eq!(repository.faults, [], "no package may be dropped");
    let packages: HashMap<_, _> = repository.packages.iter().map(|p| ((p.name.as_str(), p.release_version), p)).collect();
    let recordings = recordings(&universe);
    let mut wrong = Vec::new();
    let mut same_text = 0;
    for recording in &recordings {
        let package = packages[&(recording.name.as_str(), recording.release_version)];
        let context = resolve_options(package, &recording.options).expect("defaults");
        let text = render_text(package, &context).expect("renders");
        same_text += usize::from(text == recording.rendered);
        // Of equal keys the last counts; numbers are compared by their exact decimal text.
        let ours = serde_json::from_str::<Value>(&text);
        let theirs = serde_json::from_str::<Value>(&recording.rendered);
        let equal = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if !equal {
            wrong.push(format!("{} {} {}", recording.name, recording.release_version, recording.case));
        }
    }
    println!("{} renderings, {same_text} equal to the byte", recordings.len());
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
    assert_eq!(recordings.len(), RENDERINGS, "the corpus is complete");
    assert_eq!(same_text, RENDERINGS, "even whitespace is equal");
}

#[test]
fn every_package_is_found_and_renders_or_says_why_not() {
    let Some(universe) = corpus() else { return };
    let repository = Arc::new(repository(&universe));
    let index = Index::new(vec![Arc::clone(&repository)]);
    assert_eq!(index.names_count(), 104);
    assert_eq!(index.search(None).len(), 104);
    let none = Map::new();
    let (mut rendered, mut refused, mut broken) = (0, 0, 0);
    for package in &repository.packages {
        assert!(package.definition().is_ok());
        assert!(index.resolve(&package.name, Some(&package.version)).is_ok());
        match render(package, "https://example/repo", &none, Some("/other")) {
            Ok(result) => {
                rendered += 1;
                assert_eq!(result.app["id"], "/other");
                let label = result.app["labels"]["DCOS_PACKAGE_DEFINITION"].as_str().unwrap();
                let stored = orrery_catalog::label::package_of_label(label).unwrap();
                assert_eq!(stored.definition().unwrap(), package.definition().unwrap());
            }
            Err(error) => match error.kind() {
                "JsonSchemaMismatch" => {
                    refused += 1;
                    let faults = error.data().unwrap()["errors"].as_array().unwrap().len();
                    assert!(faults > 0);
                }
                "ServiceMarathonTemplateNotFound" => assert!(!package.has_template()),
                "JsonParsingError" => broken += 1,
                other => panic!("{} {}: {other}: {error}", package.name, package.version),
            },
        }
    }
    println!("{rendered} rendered, {refused} need options, {broken} are broken packages");
    assert_eq!(rendered + refused + broken, 792);
}

#[test]
fn recorded_options_either_validate_or_list_their_faults() {
    let Some(universe) = corpus() else { return };
    let repository = repository(&universe);
    let packages: HashMap<_, _> = repository.packages.iter().map(|p| ((p.name.as_str(), p.release_version), p)).collect();
    let mut valid = 0;
    for recording in recordings(&universe) {
        let package = packages[&(recording.name.as_str(), recording.release_version)];
        let resolved = resolve_options(package, &recording.options).expect("defaults");
        match validate_options(package, &resolved) {
            Ok(()) => valid += 1,
            Err(error) => assert_eq!(error.kind(), "JsonSchemaMismatch", "{error}"),
        }
    }
    println!("{valid} of the recorded option sets are valid");
    assert!(valid > 0);
}
