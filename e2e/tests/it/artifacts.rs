//! `fetch`: what tasks bring along, and what is refused.

use orrery_e2e::app::{task, with};
use orrery_e2e::{Page, TestCluster, WebServer, eventually};
use serde_json::json;
use std::process::Command;

/// Runs a shell script in a new directory and gives a file that it made.
fn made(script: &str, file: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let status = Command::new("sh").arg("-euc").arg(script).current_dir(&directory).status().expect("sh is there");
    assert!(status.success(), "{script}");
    std::fs::read(directory.path().join(file)).expect("the script makes the file")
}

/// Archive formats through python's library, so that no packer is needed.
const PACK: &str = r#"python3 - <<'END'
import tarfile, zipfile, io
def tar(name, mode, entries):
    with tarfile.open(name, mode) as archive:
        for path, data in entries:
            info = tarfile.TarInfo(path); info.size = len(data); archive.addfile(info, io.BytesIO(data))
good = [("inside/file", b"content\n")]
for kind in ("gz", "xz", "bz2"):
    tar("good.tar." + kind, "w:" + kind, good)
with zipfile.ZipFile("good.zip", "w") as archive: archive.writestr("inside/file", b"content\n")
tar("up.tar.gz", "w:gz", good + [("../../escaped", b"bad")])
tar("absolute.tar.gz", "w:gz", good + [("/tmp/orrery-e2e-escaped", b"bad")])
with zipfile.ZipFile("up.zip", "w") as archive: archive.writestr("../../escaped", b"bad")
with tarfile.open("link.tar.gz", "w:gz") as archive:
    info = tarfile.TarInfo("out"); info.type = tarfile.SYMTYPE; info.linkname = "/tmp"; archive.addfile(info)
    info = tarfile.TarInfo("out/orrery-e2e-escaped"); info.size = 3; archive.addfile(info, io.BytesIO(b"bad"))
END"#;

/// 1 MiB that unpacks to a thousand.
const BOMB: &str = r#"python3 - <<'END'
import tarfile
class Zeros:
    def read(self, length): return bytes(length)
with tarfile.open("bomb.tar.gz", "w:gz") as archive:
    info = tarfile.TarInfo("zeros"); info.size = 1000 << 20; archive.addfile(info, Zeros())
END"#;

#[tokio::test]
async fn archives_are_fetched_and_unpacked() {
    let (cluster, web) = (TestCluster::start(&[]), WebServer::start());
    for (number, kind) in ["tar.gz", "tar.xz", "tar.bz2", "zip"].iter().enumerate() {
        let file = format!("good.{kind}");
        let uri = web.set(&format!("/{file}"), Page::Body(made(PACK, &file)));
        let id = format!("/archive-{number}");
        let app = with(&task(&id, "cat inside/file > seen && exec sleep 1000"), &json!({ "fetch": [{ "uri": uri }] }));
        cluster.create(&app).await;
        let log = eventually("the content was seen", async || {
            let log = cluster.dcos(&["task", "log", &id[1..], "seen"]);
            if log.code == 0 && !log.stdout.is_empty() { Ok(log.stdout) } else { Err(format!("{log:?}")) }
        })
        .await;
        assert_eq!(log, "content\n", "{kind}");
    }
    let script = web.set("/run.sh", Page::Body(b"#!/bin/sh\necho ran > seen\nexec sleep 1000\n".to_vec()));
    let fetch = json!([{ "uri": script, "executable": true, "extract": false, "destPath": "bin/start" }]);
    cluster.create(&with(&task("/script", "exec bin/start"), &json!({ "fetch": fetch }))).await;
    eventually("the script ran", async || {
        let log = cluster.dcos(&["task", "log", "script", "seen"]);
        if log.stdout == "ran\n" { Ok(()) } else { Err(format!("{log:?}")) }
    })
    .await;
    // The old spelling.
    let plain = web.set("/plain.txt", Page::Body(b"plain\n".to_vec()));
    cluster.create(&with(&task("/uris", "cat plain.txt && exec sleep 1000"), &json!({ "uris": [plain] }))).await;
    eventually("it was fetched", async || {
        let log = cluster.dcos(&["task", "log", "uris"]);
        if log.stdout.contains("plain") { Ok(()) } else { Err(format!("{log:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_fetched_is_told_and_runs_nothing() {
    let (cluster, web) = (TestCluster::start(&[]), WebServer::start());
    let archive = |name: &str| web.set(&format!("/{name}"), Page::Body(made(PACK, name)));
    let bomb = made(BOMB, "bomb.tar.gz");
    let cases = [
        ("missing", web.set("/gone", Page::Status(404)), "404"),
        ("broken", web.set("/broken", Page::Status(500)), "500"),
        ("refused", "http://127.0.0.1:1/file".to_owned(), "127.0.0.1"),
        ("up-tar", archive("up.tar.gz"), ".."),
        ("up-zip", archive("up.zip"), ".."),
        ("link", archive("link.tar.gz"), "out"),
        ("not-an-archive", web.set("/text.tar.gz", Page::Body(b"no archive".to_vec())), "text.tar.gz"),
        ("bomb", web.set("/bomb.tar.gz", Page::Body(bomb)), "bomb"),
    ];
    let ran = cluster.scratch().join("ran");
    let command = format!("touch {}; exec sleep 1000", ran.display());
    for (id, uri, _) in &cases {
        let app = with(
            &task(&format!("/{id}"), &command),
            &json!({ "fetch": [{ "uri": uri }], "backoffSeconds": 300, "maxLaunchDelaySeconds": 600 }),
        );
        cluster.launch(&app).await;
    }
    for (id, uri, word) in &cases {
        let failure = cluster.failure_with(&format!("/{id}"), &[word]).await;
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(uri.rsplit('/').next().unwrap()), "the artifact is named: {message}");
        assert!(cluster.get(&format!("/v2/apps/{id}")).await["app"]["tasksRunning"] == 0);
    }
    assert!(!ran.exists());
    assert!(!std::path::Path::new("/tmp/orrery-e2e-escaped").exists());
    // Nobody else is disturbed.
    cluster.launch(&task("/other", "exec sleep 1000")).await;
    cluster.running("/other", 1).await;
}
