//! Package repositories: every form, priority, and faults that stay where they are.

use orrery_e2e::{Page, TestCluster, WebServer, eventually};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A repository document with one version of one package.
fn document(name: &str, version: &str) -> Value {
    json!({ "packages": [{
        "packagingVersion": "2.0", "name": name, "version": version, "releaseVersion": 0, "maintainer": "a@example.com",
        "description": "of a test", "tags": [],
        "marathon": { "v2AppMustacheTemplate": encode(r#"{"id":"{{service.name}}","cmd":"sleep 1000","cpus":0.01,"mem":16}"#) },
        "config": { "type": "object", "properties": { "service": { "type": "object", "properties": { "name": { "type": "string", "default": name } } } } },
    }] })
}

fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program is there");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}

fn encode(text: &str) -> String {
    String::from_utf8(pipe("base64", &["-w0"], text.as_bytes())).unwrap()
}

async fn add(cluster: &TestCluster, name: &str, uri: &str, index: Option<u32>) -> (u16, Value) {
    let mut body = json!({ "name": name, "uri": uri });
    if let Some(index) = index {
        body["index"] = json!(index);
    }
    cluster.cosmos("/package/repository/add", &body).await
}

async fn names(cluster: &TestCluster) -> Vec<String> {
    let list = cluster.cosmos_ok("/package/repository/list", &json!({})).await;
    list["repositories"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

async fn version(cluster: &TestCluster, package: &str) -> Option<String> {
    let (_, answer) = cluster.cosmos("/package/describe", &json!({ "packageName": package })).await;
    answer["package"]["version"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn directories_files_and_urls_plain_and_compressed() {
    let cluster = TestCluster::start(&[]);
    let web = WebServer::start();
    let text = |name: &str| document(name, "1").to_string().into_bytes();
    let file = cluster.write("plain.json", text("from-file"));
    let compressed = cluster.write("compressed.json.gz", pipe("gzip", &["-c"], &text("from-compressed-file")));
    let package = "universe/repo/packages/F/from-directory/0";
    cluster.write(&format!("{package}/package.json"), json!({ "packagingVersion": "2.0", "name": "from-directory", "version": "1", "maintainer": "a@example.com", "description": "d", "tags": [] }).to_string());
    cluster.write(&format!("{package}/marathon.json.mustache"), r#"{"id":"dir","cmd":"sleep 1000"}"#);
    let sources = [
        ("file", format!("file://{}", file.display())),
        ("compressed", format!("file://{}", compressed.display())),
        ("directory", cluster.scratch().join("universe").display().to_string()),
        ("plain-url", web.set("/repo", Page::Body(text("from-plain-url")))),
        ("compressed-url", web.set("/repo.gz", Page::Body(pipe("gzip", &["-c"], &text("from-compressed-url"))))),
    ];
    for (name, uri) in &sources {
        let output = cluster.dcos(&["package", "repo", "add", name, uri]);
        assert_eq!(output.code, 0, "{uri}: {output:?}");
    }
    for package in ["from-file", "from-compressed-file", "from-directory", "from-plain-url", "from-compressed-url", "hello-world"]
    {
        assert!(version(&cluster, package).await.is_some(), "{package}");
    }
    cluster.cosmos_ok("/package/install", &json!({ "packageName": "from-plain-url" })).await;
    cluster.running("/from-plain-url", 1).await;
    assert_eq!(names(&cluster).await.len(), 6);
    let listed = cluster.dcos(&["package", "repo", "list"]).success();
    assert!(sources.iter().all(|(name, uri)| listed.contains(name) && listed.contains(uri)), "{listed}");
    // A package that is gone from the catalog is still installed and can be removed.
    cluster.dcos(&["package", "repo", "remove", "plain-url"]).success();
    assert_eq!(version(&cluster, "from-plain-url").await, None);
    cluster.cosmos_ok("/package/uninstall", &json!({ "packageName": "from-plain-url" })).await;
    cluster.settled().await;
}

#[tokio::test]
async fn the_first_repository_that_has_a_name_wins() {
    let mut cluster = TestCluster::start(&[]);
    let web = WebServer::start();
    let old = web.set("/old", Page::Body(document("hello-world", "old").to_string().into_bytes()));
    let new = web.set("/new", Page::Body(document("hello-world", "new").to_string().into_bytes()));
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("2.0.0"));
    assert_eq!(add(&cluster, "last", &old, None).await.0, 200);
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("2.0.0"), "ours comes first");
    assert_eq!(add(&cluster, "first", &new, Some(0)).await.0, 200);
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("new"));
    for (name, uri) in [("first", "http://127.0.0.1:1/other"), ("other", new.as_str())] {
        let (status, answer) = add(&cluster, name, uri, None).await;
        assert_eq!((status, &answer["type"]), (400, &json!("RepositoryAlreadyPresent")), "{answer}");
    }
    let (status, answer) =
        add(&cluster, "far", &web.set("/far", Page::Body(document("far", "1").to_string().into())), Some(99)).await;
    assert_eq!((status, &answer["type"]), (400, &json!("RepositoryAddIndexOutOfBounds")), "{answer}");
    let before = names(&cluster).await;
    cluster.down();
    cluster.up();
    assert_eq!(names(&cluster).await, before, "the list is durable");
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("new"));
    cluster.cosmos_ok("/package/repository/delete", &json!({ "name": "first" })).await;
    cluster.cosmos_ok("/package/repository/delete", &json!({ "uri": old })).await;
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("2.0.0"));
    let (status, answer) = cluster.cosmos("/package/repository/delete", &json!({ "name": "first" })).await;
    assert_eq!((status, &answer["type"]), (400, &json!("RepositoryNotPresent")), "{answer}");
}

#[tokio::test]
async fn broken_repositories_are_refused_with_a_reason() {
    let cluster = TestCluster::start(&[]);
    let web = WebServer::start();
    let before = names(&cluster).await;
    let mut bomb = pipe("sh", &["-c", "head -c 400000000 /dev/zero | gzip -1"], b"");
    bomb.truncate(usize::MAX);
    let broken = [
        ("status", web.set("/500", Page::Status(500))),
        ("absent", web.set("/404", Page::Status(404))),
        ("text", web.set("/text", Page::Body(b"<html>no repository</html>".to_vec()))),
        ("other", web.set("/other", Page::Body(b"[1,2,3]".to_vec()))),
        ("deep", web.set("/deep", Page::Body(vec![b'['; 100_000]))),
        ("cut", web.set("/cut", Page::Body(document("cut", "1").to_string().into_bytes()[..100].to_vec()))),
        ("bomb", web.set("/bomb.gz", Page::Body(bomb))),
        ("endless", web.set("/endless", Page::Endless)),
        ("hang-up", web.set("/hang-up", Page::HangUp)),
        ("refused", "http://127.0.0.1:1/repo".to_owned()),
        ("unknown-host", "http://no-such-host.invalid/repo".to_owned()),
        ("scheme", "ftp://127.0.0.1/repo".to_owned()),
        ("no-uri", "not a uri".to_owned()),
        ("no-file", "file:///no/such/file".to_owned()),
    ];
    for (name, uri) in &broken {
        let (status, answer) = add(&cluster, name, uri, Some(0)).await;
        assert!((400..600).contains(&status), "{uri}: {status} {answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.len() > 10 && answer["type"].is_string(), "{uri}: {answer}");
    }
    assert_eq!(names(&cluster).await, before);
    cluster.cosmos_ok("/package/install", &json!({ "packageName": "hello-world" })).await;
    cluster.healthy("/hello-world", 1).await;
}

#[tokio::test]
async fn one_broken_package_leaves_the_others_of_its_repository() {
    let cluster = TestCluster::start(&[]);
    let web = WebServer::start();
    let mut mixed = document("good", "1");
    let broken = [
        json!({ "name": "nothing-else" }),
        json!(7),
        json!({ "packagingVersion": "99", "name": "future", "version": "1", "releaseVersion": 0 }),
    ];
    mixed["packages"].as_array_mut().unwrap().extend(broken);
    assert_eq!(add(&cluster, "mixed", &web.set("/mixed", Page::Body(mixed.to_string().into())), None).await.0, 200);
    assert_eq!(version(&cluster, "good").await.as_deref(), Some("1"));
    let shown = cluster.get("/v1/repositories").await;
    let faults =
        shown["repositories"].as_array().unwrap().iter().find(|entry| entry["name"] == "mixed").unwrap()["faults"].clone();
    assert!(faults.as_array().is_some_and(|faults| faults.len() >= 2), "the reasons are shown: {shown}");
}

#[tokio::test]
async fn a_repository_that_breaks_keeps_its_last_good_copy() {
    let mut cluster = TestCluster::start(&[]);
    let web = WebServer::start();
    let file = cluster.write("mine.json", document("mine", "1").to_string());
    let uri = web.set("/repo", Page::Body(document("remote", "1").to_string().into_bytes()));
    assert_eq!(add(&cluster, "local", file.to_str().unwrap(), Some(0)).await.0, 200);
    assert_eq!(add(&cluster, "remote", &uri, Some(0)).await.0, 200);
    cluster.write("mine.json", "{ this is broken");
    eventually("the fault is noticed and told", async || {
        assert_eq!(version(&cluster, "mine").await.as_deref(), Some("1"), "the last good copy stays");
        let health = cluster.get("/v1/repositories").await;
        let local = health["repositories"].as_array().unwrap().iter().find(|entry| entry["name"] == "local").unwrap().clone();
        if local["error"].is_string() { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("2.0.0"), "others are not disturbed");
    // Also over a restart, when the server is broken by then.
    web.set("/repo", Page::Status(500));
    cluster.down();
    cluster.up();
    assert_eq!(version(&cluster, "remote").await.as_deref(), Some("1"), "a copy is kept on disk");
    assert_eq!(version(&cluster, "hello-world").await.as_deref(), Some("2.0.0"));
    cluster.write("mine.json", document("mine", "2").to_string());
    eventually("the mended repository is read", async || match version(&cluster, "mine").await.as_deref() {
        Some("2") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
