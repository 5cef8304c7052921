//! Reading repositories, whole and damaged.

use crate::{definition, map, source};
use flate2::Compression;
use flate2::write::GzEncoder;
use orrery_catalog::{Checks, Index, PACKAGE_FILE_BYTES_MAX, Repository, RepositoryError, check, render};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

fn read(document: &str) -> Result<Repository, RepositoryError> {
    Repository::from_json(source("r"), document.as_bytes().to_vec())
}

#[test]
fn documents_are_read_plain_and_packed_with_equal_digests() {
    let document = json!({"packages": [definition("p", "1", 0, json!({}))]}).to_string();
    let plain = read(&document).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(document.as_bytes()).unwrap();
    let packed = Repository::from_json(source("r"), gzip.finish().unwrap()).unwrap();
    assert_eq!(plain.packages.len(), 1);
    assert_eq!(packed.packages.len(), 1);
    assert_eq!(plain.digest(), packed.digest());
    assert_eq!(plain.digest().len(), 64);
    assert_ne!(plain.digest(), read("{\"packages\":[]}").unwrap().digest());
}

#[test]
fn a_broken_package_stops_nothing_else() {
    let good = definition("good", "1", 0, json!({})).to_string();
    let with = |key: &str, value: Value| {
        let mut broken = map(definition("bad", "1", 0, json!({})));
        if value == json!("absent") {
            broken.remove(key);
        } else {
            broken.insert(key.into(), value);
        }
        Value::Object(broken).to_string()
    };
    let broken = [
        (with("name", json!("absent")), "name is missing"),
        (with("name", json!(["x"])), "name is missing"),
        (with("name", json!("")), "name is empty"),
        (with("name", json!("a/b")), "slash"),
        (with("name", json!("x".repeat(500))), "longer"),
        (with("version", json!(null)), "version is missing"),
        (with("packagingVersion", json!("9.0")), "packagingVersion"),
        (with("releaseVersion", json!(-1)), "releaseVersion"),
        (with("releaseVersion", json!("absent")), "releaseVersion"),
        (with("config", json!([])), "config is not"),
        (with("resource", json!("x")), "resource is not"),
        (with("marathon", json!(1)), "marathon is not"),
        ("5".to_owned(), "not a JSON object"),
        ("null".to_owned(), "not a JSON object"),
        ("[[1]]".to_owned(), "not a JSON object"),
        ("\"x\"".to_owned(), "not a JSON object"),
        ("{}".to_owned(), "empty"),
    ];
    let packages: Vec<&str> = broken.iter().flat_map(|(text, _)| [text.as_str(), good.as_str()]).collect();
    let document = format!("{{\"packages\": [{}]}}", packages.join(","));
    let repository = read(&document).unwrap();
    assert_eq!(repository.packages.len(), broken.len(), "every good one is there");
    assert_eq!(repository.faults.len(), broken.len());
    for (index, (fault, (_, reason))) in repository.faults.iter().zip(&broken).enumerate() {
        assert!(fault.reason.contains(reason), "{fault}");
        assert_eq!(fault.file.as_deref(), Some(format!("packages[{}]", index * 2).as_str()));
    }
    assert_eq!(repository.faults[5].to_string(), "bad, packages[10]: version is missing or not text");
}

#[test]
fn loose_types_are_read_leniently_and_nothing_is_lost() {
    let text = r#" { "other": 1, "packages" : [ {
        "name":"old","name":"p", "version": 1.10, "releaseVersion": "7",
        "packagingVersion":"2.0", "tags": ["a", 1, null], "selected": "yes", "framework": null,
        "config": null, "extra": {"x": [1.0]}, "descr\u0069ption": "d" } ] , "more": [ ] } "#;
    let repository = read(text).unwrap();
    assert_eq!(repository.faults, []);
    let package = &repository.packages[0];
    assert_eq!((package.name.as_str(), package.version.as_str()), ("p", "1.10"));
    assert_eq!((package.release_version, package.description.as_str()), (7, "d"));
    assert_eq!((&package.tags[..], package.selected), (&["a".to_owned()][..], None));
    assert!(!package.has_config());
    let definition = package.definition().unwrap();
    assert_eq!(definition["extra"].to_string(), r#"{"x":[1.0]}"#);
    assert_eq!(definition.get("config"), None);
    assert_eq!(package.field("extra").unwrap().to_string(), r#"{"x":[1.0]}"#);
    assert!(package.definition_text().starts_with('{'));
    assert!(package.definition_text().ends_with('}'));
}

#[test]
fn unusable_documents_say_why() {
    for text in ["", "[]", "{}", "{\"packages\": {}}", "{\"packages\": [", "{\"packages\":[]} x"] {
        assert!(matches!(read(text), Err(RepositoryError::NotJson(_))), "{text}");
    }
    let bytes = |bytes: &[u8]| Repository::from_json(source("r"), bytes.to_vec()).unwrap_err();
    assert!(matches!(bytes(&[0x1f, 0x8b]), RepositoryError::Unpack(_)));
    assert!(matches!(bytes(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0]), RepositoryError::Unpack(_)));
    assert!(matches!(bytes(b"{\"packages\": [\"\xff\"]}"), RepositoryError::NotText));
}

#[test]
fn depth_never_overflows() {
    let depth = 100_000;
    let nested = "[".repeat(depth) + &"]".repeat(depth);
    let document = format!(
        "{{\"packages\": [{nested}, {{\"packagingVersion\": \"4.0\", \"name\": \"p\", \
         \"version\": \"1\", \"releaseVersion\": 0, \"config\": {{\"a\": {nested}}}, \
         \"resource\": {{\"images\": {nested}}}, \"marathon\": {{}}}}]}}"
    );
    let repository = Arc::new(read(&document).unwrap());
    assert_eq!((repository.packages.len(), repository.faults.len()), (1, 1));
    let package = &repository.packages[0];
    assert_eq!(package.config().unwrap_err().kind(), "PackageFileNotJson");
    assert!(package.definition().is_err());
    assert!(render(package, "", &Map::new(), None).is_err());
    assert_eq!(Index::new(vec![repository]).search(None)[0].images, None);
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn package_json(name: &str, version: &str) -> String {
    let mut definition = map(definition(name, version, 0, json!({})));
    definition.remove("releaseVersion");
    Value::Object(definition).to_string()
}

fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let path = |rest: &str| format!("repo/packages/W/web/{rest}");
    write(root.path(), "repo/meta/index.json", "{}");
    write(root.path(), &path("0/package.json"), &package_json("web", "1.0"));
    write(root.path(), &path("0/config.json"), r#"{"properties": {"n": {"default": "x"}}}"#);
    write(root.path(), &path("0/resource.json"), r#"{"images": {"icon-small": "i"}}"#);
    write(root.path(), &path("0/command.json"), r#"{"pip": ["a"]}"#);
    write(root.path(), &path("0/marathon.json.mustache"), r#"{"id": "{{n}}"}"#);
    write(root.path(), &path("0/README.md"), "ignored");
    write(root.path(), &path("10/package.json"), &package_json("web", "2.0"));
    write(root.path(), &path("10/app.json.hbs"), r#"{"id": "new"}"#);
    write(root.path(), &path("2/package.json"), &package_json("web", "1.5"));
    root
}

fn directory(path: &Path, checks: Checks) -> Repository {
    Repository::from_directory(source("d"), path, checks).unwrap()
}

#[test]
fn a_tree_is_read_from_any_of_its_levels() {
    let root = tree();
    let digests: Vec<String> = ["", "repo", "repo/packages"]
        .into_iter()
        .map(|level| {
            let repository = directory(&root.path().join(level), Checks::Read);
            assert_eq!(repository.faults, []);
            assert_eq!(repository.packages.len(), 3);
            repository.digest().to_owned()
        })
        .collect();
    assert!(digests.iter().all(|digest| *digest == digests[0] && digest.len() == 64));
    let repository = Arc::new(directory(root.path(), Checks::Read));
    let index = Index::new(vec![repository]);
    assert_eq!(index.list_versions("web").unwrap(), [("2.0", 10), ("1.5", 2), ("1.0", 0)]);
    let old = index.resolve("web", Some("1.0")).unwrap();
    assert_eq!(render(old, "", &Map::new(), None).unwrap().app["id"], "x");
    assert_eq!(old.field("command").unwrap(), json!({"pip": ["a"]}));
    assert_eq!(old.images().unwrap(), json!({"icon-small": "i"}));
    assert_eq!(old.definition().unwrap()["releaseVersion"], 0);
    let new = index.resolve("web", None).unwrap();
    assert_eq!(render(new, "", &Map::new(), None).unwrap().app["id"], "new");
}

#[test]
fn the_same_tree_in_memory_is_the_same_repository() {
    let root = tree();
    let mut files: Vec<(String, Cow<'static, [u8]>)> = Vec::new();
    let mut open = vec![root.path().to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned();
                files.push((name, Cow::Owned(fs::read(path).unwrap())));
            }
        }
    }
    let memory = Repository::from_files(source("d"), files, Checks::Full);
    assert_eq!(memory.faults, []);
    assert_eq!(memory.digest(), directory(root.path(), Checks::Read).digest());
}

#[test]
fn broken_versions_of_a_tree_are_left_out_with_their_file() {
    let root = tree();
    let path = |rest: &str| format!("repo/packages/W/web/{rest}");
    write(root.path(), &path("20/package.json"), "{");
    write(root.path(), &path("21/config.json"), "{}");
    write(root.path(), &path("22/package.json"), &package_json("other", "1"));
    write(root.path(), &path("23/package.json"), &package_json("web", "3"));
    write(root.path(), &path("23/config.json"), "[]");
    write(root.path(), &path("24/package.json"), &package_json("web", "4"));
    write(root.path(), &path("24/resource.json"), &" ".repeat(PACKAGE_FILE_BYTES_MAX + 1));
    write(root.path(), &path("latest/package.json"), &package_json("web", "5"));
    write(root.path(), &path("25/package.json"), &package_json("web", "6"));
    write(root.path(), &path("25/marathon.json.mustache"), "{}");
    write(root.path(), &path("25/app.json.hbs"), "{}");
    fs::create_dir_all(root.path().join(path("26/package.json"))).unwrap();
    let repository = directory(root.path(), Checks::Read);
    assert_eq!(repository.packages.len(), 3);
    let mut faults: Vec<(&str, Option<&str>)> =
        repository.faults.iter().map(|fault| (fault.version.as_deref().unwrap(), fault.file.as_deref())).collect();
    faults.sort_unstable();
    assert_eq!(
        faults,
        [
            ("20", Some("package.json")),
            ("21", Some("package.json")),
            ("22", Some("package.json")),
            ("23", Some("config.json")),
            ("24", Some("resource.json")),
            ("25", Some("app.json.hbs")),
            ("26", Some("package.json")),
            ("latest", None),
        ]
    );
}

#[test]
fn full_checks_leave_out_what_cannot_be_installed() {
    let root = tree();
    write(root.path(), "repo/packages/W/web/2/marathon.json.mustache", "{{#open}}");
    assert_eq!(directory(root.path(), Checks::Read).packages.len(), 3);
    let checked = directory(root.path(), Checks::Full);
    assert_eq!(checked.packages.len(), 2);
    assert_eq!(checked.faults.len(), 1);
    assert!(checked.faults[0].reason.contains("line 1: section 'open' is not closed"));
}

#[test]
fn a_directory_that_is_no_repository_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let read = |path: &Path| Repository::from_directory(source("d"), path, Checks::Read);
    assert!(matches!(read(empty.path()), Err(RepositoryError::NoPackages { .. })));
    let missing = empty.path().join("missing");
    assert!(matches!(read(&missing), Err(RepositoryError::Directory { .. })));
}

#[test]
fn our_own_universe_has_no_faults_and_no_warnings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../universe");
    let repository = directory(&path, Checks::Full);
    assert_eq!(repository.faults, []);
    for package in &repository.packages {
        let faults: Vec<String> = check(package).iter().map(ToString::to_string).collect();
        assert_eq!(faults, Vec::<String>::new(), "{} {}", package.name, package.version);
    }
}
