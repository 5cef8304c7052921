//! Repository documents: damaged ones give errors and faults, and what is read can be rendered.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_catalog::{Index, Repository, RepositorySource, check, render};
use serde_json::Map;
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let source = RepositorySource { name: "fuzz".to_owned(), uri: String::new() };
    let Ok(repository) = Repository::from_json(source, bytes.to_vec()) else { return };
    let index = Index::new(vec![Arc::new(repository)]);
    for found in index.packages() {
        let _ = render(found, "", &Map::new(), Some("/fuzz"));
        let _ = check(found);
        assert!(index.resolve(&found.name, Some(&found.version)).is_ok());
        let _ = index.upgrades_to(&found.name, &found.version);
    }
    let _ = index.search(Some("*a*"));
});
