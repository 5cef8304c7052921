//! The data directory of a controller, while that waits and when it does not run.

use orrery_e2e::{eventually, orrery_binary};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn orrery(words: &[&str], data: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } =
        Command::new(orrery_binary()).args(words).arg("--data-dir").arg(data).output().expect("orrery starts");
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[tokio::test]
async fn a_controller_that_waits_for_its_store_is_seen_and_stopped() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("c1");
    // Nothing listens there: reserved ports have no servers.
    let words = ["controller", "--no-attach", "--store", "etcd://127.0.0.1:1", "--listen", "127.0.0.1:0"];
    let mut waiting = Command::new(orrery_binary())
        .args(words)
        .args(["--dns-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = eventually("it says that it waits", async || {
        let (code, told) = orrery(&["status"], &data);
        if code == 0 { Ok(told) } else { Err(told) }
    })
    .await;
    assert!(told.contains("waits for its store since"), "{told}");
    let (code, told) = orrery(&["up", "--no-attach", "--listen", "127.0.0.1:0"], &data);
    assert!(code == 1 && told.contains("already runs"), "{told}");
    let (code, told) = orrery(&["down"], &data);
    assert!(code == 0 && told.contains("Stopped the controller"), "{told}");
    assert!(waiting.wait().unwrap().success());

    // What a cluster of its own would overwrite may be the only password of another.
    let (code, told) = orrery(&["status"], &data);
    assert!(code == 3 && told.contains("orrery controller") && !told.contains("orrery up"), "{told}");
    let (code, told) = orrery(&["up", "--no-attach", "--listen", "127.0.0.1:0"], &data);
    assert!(code == 1 && told.contains("orrery controller"), "{told}");
}
