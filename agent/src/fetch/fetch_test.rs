//! Fetching from a server of the test's own.

use super::*;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::atomic::{AtomicU32, Ordering};

fn artifact(uri: &str) -> Artifact {
    Artifact { uri: uri.into(), extract: true, executable: false, cache: false, dest_path: None }
}

#[test]
fn destinations() {
    let name = |uri: &str, dest: Option<&str>| {
        let artifact = Artifact { dest_path: dest.map(Into::into), ..artifact(uri) };
        destination(&artifact, &source(uri).unwrap())
    };
    assert_eq!(name("http://h/a/b.tgz?x=/y", None).unwrap(), Path::new("b.tgz"));
    assert_eq!(name("http://h/a%20b", None).unwrap(), Path::new("a b"));
    assert_eq!(name("http://h/a", Some("lib/x.jar")).unwrap(), Path::new("lib/x.jar"));
    assert_eq!(name("/srv/x.zip", None).unwrap(), Path::new("x.zip"));
    for (uri, dest) in [
        ("http://h/", None),
        ("http://h/..%2f..%2fetc", None),
        ("http://h/a", Some("../x")),
        ("http://h/a", Some("/etc/x")),
        ("http://h/a", Some(".")),
        ("http://h/a%2fb", None),
    ] {
        assert!(name(uri, dest).is_err(), "{uri} {dest:?}");
    }
    for uri in ["ftp://h/x", "hdfs:///x", "relative", "file://other/x"] {
        assert!(source(uri).is_err(), "{uri}");
    }
}

struct Server {
    at: String,
    hits: Arc<AtomicU32>,
}

async fn server() -> Server {
    let hits = Arc::new(AtomicU32::new(0));
    let (counted, flaky) = (hits.clone(), Arc::new(AtomicU32::new(0)));
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o755);
    header.set_cksum();
    archive.append_data(&mut header, "app/run", &b"hello"[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    let router = Router::new()
        .route(
            "/app.tar",
            get(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                async move { archive }
            }),
        )
        .route(
            "/flaky",
            get(move || {
                let first = flaky.fetch_add(1, Ordering::SeqCst) == 0;
                async move { if first { (StatusCode::SERVICE_UNAVAILABLE, "later") } else { (StatusCode::OK, "now") } }
            }),
        )
        .route("/down", get(|| async { StatusCode::BAD_GATEWAY }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server { at, hits }
}

struct Place {
    directory: tempfile::TempDir,
    sandbox: PathBuf,
    fetcher: Fetcher,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = directory.path().join("sandbox");
    fs::create_dir(&sandbox).unwrap();
    let cache_dir = directory.path().join("cache");
    fs::create_dir(&cache_dir).unwrap();
    let fetcher = Fetcher {
        client: LazyLock::new(download::client),
        cache: Arc::new(Cache::open(cache_dir, 1 << 20).unwrap()),
        permits: Semaphore::new(2),
        bounds: Arc::default(),
        hidden: Hidden::default(),
    };
    Place { directory, sandbox, fetcher }
}

#[tokio::test]
async fn downloads_unpacks_caches_and_retries() {
    let (server, place) = (server().await, place());
    let url = |path: &str| format!("{}{path}", server.at);
    let cached = Artifact { cache: true, ..artifact(&url("/app.tar")) };
    place.fetcher.fetch(std::slice::from_ref(&cached), &place.sandbox, None).await.unwrap();
    assert_eq!(fs::read(place.sandbox.join("app/run")).unwrap(), b"hello");
    let second = place.directory.path().join("second");
    fs::create_dir(&second).unwrap();
    place
        .fetcher
        .fetch(&[cached, Artifact { dest_path: Some("d/x".into()), ..artifact(&url("/flaky")) }], &second, None)
        .await
        .unwrap();
    assert_eq!(server.hits.load(Ordering::SeqCst), 1, "the second time it came from the cache");
    assert_eq!(fs::read(second.join("d/x")).unwrap(), b"now");
    // A script from the node.
    let script = place.directory.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let executable = Artifact { executable: true, ..artifact(&format!("file://{}", script.display())) };
    place.fetcher.fetch(&[executable], &place.sandbox, None).await.unwrap();
    assert_eq!(fs::metadata(place.sandbox.join("script")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn all_faults_are_told_with_their_uri() {
    let (server, place) = (server().await, place());
    let uris =
        [format!("{}/absent", server.at), format!("{}/down", server.at), "/no/such/file".to_owned(), "ftp://h/x".to_owned()];
    let artifacts: Vec<Artifact> = uris.iter().map(|uri| artifact(uri)).collect();
    let error = place.fetcher.fetch(&artifacts, &place.sandbox, None).await.unwrap_err();
    for text in uris.iter().map(String::as_str).chain(["404", "502", "tried 3 times", "No such file", "not supported"]) {
        assert!(error.contains(text), "{text}: {error}");
    }
    assert_eq!(fs::read_dir(&place.sandbox).unwrap().count(), 0);
}

#[tokio::test]
async fn links_do_not_lead_a_file_outside() {
    let (server, place) = (server().await, place());
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), place.sandbox.join("out")).unwrap();
    let artifact = Artifact { dest_path: Some("out/x".into()), ..artifact(&format!("{}/app.tar", server.at)) };
    let error = place.fetcher.fetch(&[artifact], &place.sandbox, None).await.unwrap_err();
    assert!(error.contains("outside the sandbox"), "{error}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
