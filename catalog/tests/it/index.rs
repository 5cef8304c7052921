//! Merging repositories, searching, resolving, upgrade edges.

use crate::{definition, repository};
use orrery_catalog::{Index, SearchResult};
use serde_json::{Value, json};
use std::sync::Arc;

fn plain(name: &str, version: &str, revision: u64) -> Value {
    definition(name, version, revision, json!({"marathon": {}}))
}

#[test]
fn the_first_repository_with_the_name_decides_what_is_latest() {
    let first = repository("first", &[plain("db", "1.0", 1), plain("db", "9.9", 0)]);
    let second = repository("second", &[plain("db", "2.0", 500), plain("db", "1.0", 400), plain("queue", "1", 0)]);
    let index = Index::new(vec![Arc::clone(&first), Arc::clone(&second)]);
    let latest = index.resolve("db", None).unwrap();
    assert_eq!((latest.version.as_str(), latest.release_version), ("1.0", 1));
    assert_eq!(latest.repository.source.name, "first");
    assert_eq!(index.list_versions("db").unwrap(), [("1.0", 1), ("9.9", 0), ("2.0", 500)]);
    let other = index.resolve("db", Some("2.0")).unwrap();
    assert_eq!(other.repository.source.uri, "https://second.example/repo");
    let turned = Index::new(vec![second, first]);
    assert_eq!(turned.resolve("db", None).unwrap().version, "2.0");
    assert_eq!(turned.resolve("db", Some("1.0")).unwrap().release_version, 400);
}

#[test]
fn of_equal_versions_in_a_repository_the_highest_revision_counts() {
    let index = Index::new(vec![repository("r", &[plain("db", "1.0", 1), plain("db", "1.0", 3), plain("db", "1.0", 2)])]);
    assert_eq!(index.list_versions("db").unwrap(), [("1.0", 3)]);
}

#[test]
fn unknown_names_and_versions_come_with_what_there_is() {
    let index = Index::new(vec![repository("r", &[plain("kafka", "1", 1), plain("kafka", "2", 2)])]);
    let error = index.resolve("kakfa", None).unwrap_err();
    assert_eq!(error.kind(), "PackageNotFound");
    assert_eq!(error.to_string(), "Package [kakfa] not found. Did you mean: kafka.");
    assert_eq!(error.data().unwrap(), json!({"packageName": "kakfa"}));
    let error = index.resolve("kafka", Some("3")).unwrap_err();
    assert_eq!(error.kind(), "VersionNotFound");
    assert_eq!(error.to_string(), "Version [3] of package [kafka] not found. There are: 2, 1.");
    assert_eq!(error.data().unwrap(), json!({"packageName": "kafka", "packageVersion": "3"}));
    assert_eq!(Index::default().resolve("x", None).unwrap_err().kind(), "PackageNotFound");
}

fn names(results: &[Arc<SearchResult>]) -> Vec<&str> {
    results.iter().map(|result| result.name.as_str()).collect()
}

#[test]
fn search_covers_name_description_and_tags() {
    let index = Index::new(vec![repository(
        "r",
        &[
            definition("zeta", "1", 0, json!({"selected": true, "description": "Stream store"})),
            definition("alpha", "1", 0, json!({"description": "A STREAM of data", "packagingVersion": "5.0"})),
            definition("beta", "1", 0, json!({"tags": ["Streaming", "x"], "description": ""})),
            definition("gamma", "2", 1, json!({"description": "new words"})),
            definition("gamma", "1", 0, json!({"description": "old stream"})),
        ],
    )]);
    assert_eq!(names(&index.search(None)), ["zeta", "alpha", "beta", "gamma"]);
    assert_eq!(names(&index.search(Some(""))), ["zeta", "alpha", "beta", "gamma"]);
    assert_eq!(names(&index.search(Some("stREAM"))), ["zeta", "alpha", "beta"]);
    assert_eq!(names(&index.search(Some("*a"))), ["zeta", "alpha", "beta", "gamma"]);
    assert_eq!(names(&index.search(Some("a*a"))), ["alpha"]);
    assert_eq!(names(&index.search(Some("A*"))), ["alpha"], "a pattern is exact in case");
    assert_eq!(names(&index.search(Some("Streaming*"))), ["beta"]);
    assert_eq!(names(&index.search(Some("x y"))), Vec::<&str>::new());
    let alpha = &index.search(Some("alpha"))[0];
    assert_eq!(alpha.description, "A STREAM of data", "not the maintainer, also for format 5.0");
    let gamma = &index.search(Some("gamma"))[0];
    assert_eq!(gamma.current_version, "2");
    assert_eq!(gamma.versions, [("2".to_owned(), 1), ("1".to_owned(), 0)]);
    assert_eq!(index.search(Some("zeta"))[0].selected, Some(true));
}

#[test]
fn search_results_carry_images() {
    let index = Index::new(vec![repository(
        "r",
        &[definition(
            "p",
            "1",
            0,
            json!({
                "resource": {"images": {"icon-small": "a", "icon-large": null}, "cli": {}},
            }),
        )],
    )]);
    assert_eq!(index.search(None)[0].images, Some(json!({"icon-small": "a"})));
}

#[test]
fn upgrade_edges_name_versions_there_are() {
    let edges = |up: &[&str], down: &[&str]| json!({"upgradesFrom": up, "downgradesTo": down});
    let index = Index::new(vec![repository(
        "r",
        &[
            definition("p", "1", 1, edges(&[], &[])),
            definition("p", "2", 2, edges(&["1"], &["1", "0.gone"])),
            definition("p", "3", 3, edges(&["*"], &["*"])),
        ],
    )]);
    assert_eq!(index.upgrades_to("p", "1"), ["3", "2"]);
    assert_eq!(index.upgrades_to("p", "2"), ["3"]);
    assert_eq!(index.upgrades_to("p", "3"), Vec::<&str>::new());
    assert_eq!(index.upgrades_to("p", "installed but gone"), ["3"]);
    assert_eq!(index.upgrades_to("unknown", "1"), Vec::<&str>::new());
    let package = |version: &str| &index.resolve("p", Some(version)).unwrap().package;
    assert_eq!(index.downgrades_to(package("2")), ["1"]);
    assert_eq!(index.downgrades_to(package("3")), ["2", "1"]);
    assert_eq!(index.downgrades_to(package("1")), Vec::<&str>::new());
}
