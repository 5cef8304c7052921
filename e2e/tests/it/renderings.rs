//! Every recorded rendering of the public Universe, through `POST /package/render`.

use orrery_e2e::{TestCluster, shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::process::Command;

/// Requests under way at a time.
const PARALLEL: usize = 4;

/// An app without what Cosmos adds to a rendering: package labels and, where asked for, the id.
fn bare(mut app: Value) -> Value {
    if let Some(app) = app.as_object_mut() {
        app.remove("id");
        if let Some(labels) = app.get_mut("labels").and_then(Value::as_object_mut) {
            labels.retain(|name, _| !name.starts_with("DCOS_PACKAGE_"));
            if labels.is_empty() {
                app.remove("labels");
            }
        }
    }
    app
}

/// Name and release of a package or a recording.
fn release(value: &Value) -> (String, u64) {
    (value["name"].as_str().unwrap().to_owned(), value["releaseVersion"].as_u64().unwrap_or_default())
}

/// A request names a version, and of releases with the same version the newest is meant. The others
/// go into universes of their own.
fn layers(repository: &Value) -> Vec<Vec<Value>> {
    let mut packages = repository["packages"].as_array().unwrap().clone();
    packages.sort_by_key(|package| std::cmp::Reverse(release(package).1));
    let (mut layers, mut seen) = (Vec::<Vec<Value>>::new(), BTreeMap::<(String, String), usize>::new());
    for package in packages {
        let layer = seen.entry((package["name"].to_string(), package["version"].to_string())).or_default();
        if layers.len() == *layer {
            layers.push(Vec::new());
        }
        layers[*layer].push(package);
        *layer += 1;
    }
    layers
}

type Places<'a> = BTreeMap<(String, u64), (&'a TestCluster, &'a str)>;

/// What came of one recording.
async fn outcome(places: &Places<'_>, client: &reqwest::Client, recorded: &Value) -> Result<&'static str, String> {
    let (cluster, version) = places.get(&release(recorded)).ok_or("the package is not in the catalog")?;
    let body = json!({ "packageName": recorded["name"], "packageVersion": version, "options": recorded["options"] });
    let (status, answer) = cluster.cosmos_by(client, "/package/render", &body).await;
    // serde_json keeps the last of two equal keys, as the original does.
    let wanted: Option<Value> = serde_json::from_str(recorded["rendered"].as_str().unwrap()).ok();
    match (status, wanted) {
        (200, Some(wanted)) if bare(wanted.clone()) == bare(answer["marathonJson"].clone()) => Ok("equal"),
        (200, wanted) => Err(format!("differs: {} instead of {wanted:?}", answer["marathonJson"])),
        (400, wanted) => match (answer["type"].as_str().unwrap_or_default(), wanted) {
            // Options were recorded without validation.
            ("JsonSchemaMismatch", _) => Ok("options refused by the schema"),
            (_, None) => Ok("neither is JSON"),
            (_, Some(wanted)) if !wanted.is_object() => Ok("not an object"),
            // The text is JSON, yet no app that can run.
            ("MarathonTemplateMustBeJsonObject" | "AppIdMissing" | "InvalidAppDefinition", Some(_)) => Ok("no valid app"),
            (kind, Some(_)) => Err(format!("refused as {kind}: {answer}")),
        },
        (status, _) => Err(format!("{status}: {answer}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_renderings_come_out_equal() {
    let test = "recorded_renderings_come_out_equal";
    let (Some(universe), Some(recordings)) = (shared(test, "universe/repo.json.gz"), shared(test, "universe/rendered.jsonl.gz"))
    else {
        return;
    };
    let unpacked = |path: &std::path::Path| Command::new("gzip").arg("-dc").arg(path).output().expect("gzip is there").stdout;
    let repository: Value = serde_json::from_slice(&unpacked(&universe)).unwrap();
    let layers = layers(&repository);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clusters: Vec<TestCluster> = layers
        .iter()
        .enumerate()
        .map(|(number, packages)| {
            let file = directory.path().join(format!("{number}.json"));
            std::fs::write(&file, json!({ "packages": packages }).to_string()).expect("a file");
            TestCluster::start(&["--universe", file.to_str().unwrap()])
        })
        .collect();
    let mut places = BTreeMap::new();
    for (cluster, packages) in clusters.iter().zip(&layers) {
        for package in packages {
            places.insert(release(package), (cluster, package["version"].as_str().unwrap()));
        }
    }
    let recordings: Vec<Value> =
        unpacked(&recordings).lines().map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    let (counts, faults) = (std::sync::Mutex::new(BTreeMap::<&str, usize>::new()), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..PARALLEL {
            let (places, recordings, counts, faults) = (&places, &recordings, &counts, &faults);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                // Connections belong to the runtime that opened them.
                let client = reqwest::Client::new();
                for recorded in recordings.iter().skip(worker).step_by(PARALLEL) {
                    let result = runtime.block_on(outcome(places, &client, recorded));
                    match result {
                        Ok(kind) => *counts.lock().unwrap().entry(kind).or_default() += 1,
                        Err(fault) => faults
                            .lock()
                            .unwrap()
                            .push(format!("{} {} {}: {fault}", recorded["name"], recorded["releaseVersion"], recorded["case"])),
                    }
                }
            });
        }
    });
    let (counts, faults) = (counts.into_inner().unwrap(), faults.into_inner().unwrap());
    println!("{} recordings: {counts:?}", recordings.len());
    let shown: Vec<String> = faults.iter().take(10).map(|fault| fault.chars().take(3000).collect()).collect();
    assert!(
        faults.is_empty(),
        "{} of {} recordings differ; {counts:?}; the first:\n{}",
        faults.len(),
        recordings.len(),
        shown.join("\n")
    );
    assert!(counts["equal"] > recordings.len() / 2, "{counts:?}");
}
