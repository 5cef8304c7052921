//! Our own packages: every file fits its schema, every version renders with its defaults and
//! with the options of `universe/tests`, and what it renders fits the schema of apps.

use jsonschema::Validator;
use orrery_catalog::{Checks, Index, Package, Repository, RepositorySource, check, render};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Packages that need no image and no download.
const OFFLINE: [&str; 5] = ["batch-job", "echo-server", "hello-world", "static-site", "tcp-balancer"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.is_ascii(), "{}: package files are ASCII", path.display());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(name: &str) -> Validator {
    let schema = json(&root().join("schemas").join(name));
    jsonschema::draft4::options().build(&schema).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn faults(validator: &Validator, value: &Value, place: &str) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{place}{}: {error}", error.instance_path())).collect()
}

fn repository() -> Repository {
    let source = RepositorySource { name: "Orrery".into(), uri: "builtin:universe".into() };
    Repository::from_directory(source, &root().join("universe"), Checks::Full).expect("our universe is a repository")
}

/// `universe/repo/packages/<LETTER>/<name>/<revision>` of every version.
fn versions() -> Vec<PathBuf> {
    let list = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
        paths.sort();
        paths
    };
    let letters = list(&root().join("universe/repo/packages"));
    letters.iter().flat_map(|letter| list(letter)).flat_map(|name| list(&name)).collect()
}

/// Options that differ from the defaults; every package with a template has some.
fn options_of(name: &str) -> Map<String, Value> {
    let path = root().join("universe/tests").join(format!("{name}.options.json"));
    let Value::Object(options) = json(&path) else { panic!("{}: not an object", path.display()) };
    options
}

#[test]
fn every_file_fits_its_schema() {
    let schemas: BTreeMap<&str, Validator> = ["package", "config", "resource", "command"]
        .into_iter()
        .map(|file| (file, schema(&format!("{file}-schema.json"))))
        .collect();
    let mut wrong = Vec::new();
    for version in versions() {
        for entry in fs::read_dir(&version).expect("listed") {
            let path = entry.expect("listed").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.strip_suffix(".json").and_then(|file| schemas.get(file)) {
                Some(validator) => wrong.extend(faults(validator, &json(&path), &path.display().to_string())),
                None if name == "marathon.json.mustache" => {}
                None => wrong.push(format!("{}: not a file of a package", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn directories_are_named_after_their_packages() {
    for version in versions() {
        let mut parts = version.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let (revision, name, letter) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let package = json(&version.join("package.json"));
        assert_eq!(package["name"], Value::from(name.as_str()), "{}", version.display());
        assert_eq!(letter, name[..1].to_uppercase(), "{}", version.display());
        assert!(revision.parse::<u64>().is_ok(), "{}", version.display());
    }
}

#[test]
fn no_version_is_left_out_and_none_has_a_fault() {
    let repository = repository();
    assert_eq!(repository.faults, [], "no version may be left out");
    assert_eq!(repository.packages.len(), versions().len());
    for package in &repository.packages {
        assert_eq!(check(package), [], "{} {}", package.name, package.version);
    }
}

/// The app that a version renders, and everything wrong with it.
fn rendered(package: &Package, options: &Map<String, Value>, app_schema: &Validator) -> (Value, Vec<String>) {
    let place = format!("{} {}: ", package.name, package.version);
    match render(package, "builtin:universe", options, None) {
        Err(error) => (Value::Null, vec![format!("{place}{error}")]),
        Ok(rendered) => {
            let wrong = faults(app_schema, &rendered.app, &place);
            (rendered.app, wrong)
        }
    }
}

#[test]
fn every_version_renders_a_valid_app() {
    let text = json(&root().join("schemas/app-schema.json"));
    let app_schema = schema("app-schema.json");
    let known = text["properties"].as_object().expect("the schema has properties");
    let current = |field: &String| known.get(field).is_some_and(|schema| schema.get("x-legacy").is_none());
    let mut wrong = Vec::new();
    for package in repository().packages.iter().filter(|package| package.has_template()) {
        let place = format!("{} {}", package.name, package.version);
        let own = options_of(&package.name);
        for options in [Map::new(), own] {
            let (app, mut faults) = rendered(package, &options, &app_schema);
            wrong.append(&mut faults);
            let Some(app) = app.as_object() else { continue };
            for field in app.keys().filter(|field| !current(field)) {
                wrong.push(format!("{place}: {field} is no current field of an app"));
            }
            if !options.is_empty() {
                assert_eq!(app["id"], options["service"]["name"], "{place}");
                assert_eq!(app["constraints"], options["service"]["constraints"], "{place}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_reach_the_task_unharmed() {
    let repository = repository();
    let options = options_of("hello-world");
    for package in repository.packages.iter().filter(|package| package.name == "hello-world") {
        let app = render(package, "builtin:universe", &options, None).expect("it renders").app;
        assert_eq!(app["env"]["GREETING"], options["page"]["greeting"], "{}", package.version);
        let command = app["cmd"].as_str().expect("it has a command");
        let greeting = options["page"]["greeting"].as_str().expect("text");
        assert!(!command.contains(greeting), "options must not become part of the shell command");
    }
}

#[test]
fn offline_packages_need_no_image_and_no_download() {
    let repository = repository();
    for name in OFFLINE {
        let mut seen = false;
        for package in repository.packages.iter().filter(|package| package.name == name) {
            seen = true;
            let app = render(package, "builtin:universe", &Map::new(), None).expect("it renders").app;
            for field in ["container", "fetch", "uris"] {
                assert!(app.get(field).is_none(), "{name} {} has {field}", package.version);
            }
        }
        assert!(seen, "{name} is missing");
    }
}

#[test]
fn upgrades_lead_from_versions_that_exist() {
    let index = Index::new(vec![Arc::new(repository())]);
    let all: BTreeSet<(String, String)> =
        repository().packages.iter().map(|package| (package.name.clone(), package.version.clone())).collect();
    for package in &repository().packages {
        for version in package.upgrades_from.iter().chain(&package.downgrades_to).filter(|version| *version != "*") {
            let known = all.contains(&(package.name.clone(), version.clone()));
            assert!(known, "{} {} names {version}, which does not exist", package.name, package.version);
        }
    }
    assert_eq!(index.resolve("hello-world", None).expect("it is there").version, "2.0.0");
    assert_eq!(index.upgrades_to("hello-world", "1.0.0"), ["2.0.0", "1.1.0"]);
}

#[test]
fn images_are_pinned() {
    for package in &repository().packages {
        let resource = package.resource().expect("it is JSON").unwrap_or_default();
        let Some(images) = resource.get("assets").and_then(|assets| assets.pointer("/container/docker")) else { continue };
        for image in images.as_object().expect("an object").values().filter_map(Value::as_str) {
            let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
            assert!(tag.is_some_and(|tag| tag != "latest"), "{} {}: {image} has no fixed tag", package.name, package.version);
        }
    }
}
