//! SIGKILL at any moment: every acknowledged write is there afterwards.
//!
//! The test starts its own binary again as the writing process, kills it, looks
//! at what it left, and lets the next one go on from there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use orrery_store::{Embedded, EmbeddedOptions, Error, Retention, Revision, Store, Transaction, list};

/// Names the store's file to the writing process.
const FILE: &str = "ORRERY_STORE_CRASH_FILE";
const WRITERS: usize = 6;
const KILLS: u32 = 25;

const OPTIONS: EmbeddedOptions = EmbeddedOptions { retention: Some(Retention { revisions: 50 }) };

/// The writing process. As an ordinary test it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_process() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let store = std::sync::Arc::new(Embedded::open_with(file, OPTIONS).unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let key = format!("/w/{writer}");
            let mut entry = store.get(&key).await.unwrap();
            loop {
                let (count, before) = entry.map_or((1, Revision::NONE), |entry| (entry.version + 1, entry.mod_revision));
                // Sometimes a large value, so that a kill tears more than one page.
                let padding = if count % 16 == 0 { 200_000 } else { 20 };
                let value = format!("{count} {}", "x".repeat(padding));
                let change = Transaction::new().expect_revision(&key, before).put(&key, value).put(format!("/also{key}"), "x");
                let revision = store.transact(change).await.unwrap();
                // Not println: the test harness would keep that until the end.
                let acknowledged = format!("ack {writer} {count} {revision}\n");
                std::io::stdout().write_all(acknowledged.as_bytes()).unwrap();
                entry = store.get(&key).await.unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

fn start(file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writing_process"])
        .env(FILE, file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements, kills the process after the given time from the
/// first one, and returns all it has acknowledged: writer, count, revision.
fn run_and_kill(file: &Path, life: Duration) -> Vec<(usize, u64, Revision)> {
    let mut process = start(file);
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let parse = |line: std::io::Result<String>| {
        let line = line.ok()?;
        let mut words = line.strip_prefix("ack ")?.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        Some((number()? as usize, number()?, Revision(number()?)))
    };
    let first = lines.by_ref().find_map(parse).expect("the writing process writes");
    let refused = Embedded::open(file).unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    let killer = std::thread::spawn(move || {
        std::thread::sleep(life);
        process.kill().unwrap();
        process.wait().unwrap();
    });
    let mut acknowledged = vec![first];
    acknowledged.extend(lines.filter_map(parse));
    killer.join().unwrap();
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_by_kill() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.redb");
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    let mut before = Revision(1);
    let mut total = 0;
    for kill in 0..KILLS {
        let life = Duration::from_micros(u64::from(seed.wrapping_mul(2_654_435_761).wrapping_add(kill * 40_503_377) % 120_000));
        let acknowledged = run_and_kill(&file, life);
        let store = Embedded::open_with(&file, OPTIONS).unwrap();
        let revision = store.revision().await.unwrap();
        let revisions: Vec<Revision> = acknowledged.iter().map(|(.., revision)| *revision).collect();
        assert!(revisions.iter().all(|acknowledged| *acknowledged > before && *acknowledged <= revision), "kill {kill}");
        for (writer, count, acknowledged) in acknowledged.iter().copied() {
            let entry = store.get(&format!("/w/{writer}")).await.unwrap().unwrap();
            assert!(entry.version >= count && entry.mod_revision >= acknowledged, "kill {kill}: {writer} lost {count}");
        }
        let listed = list(&store, "/").await.unwrap().entries;
        for writer in 0..WRITERS {
            let entry = |key: String| listed.iter().find(|entry| entry.key == key);
            let (Some(counter), Some(also)) = (entry(format!("/w/{writer}")), entry(format!("/also/w/{writer}"))) else {
                assert!(!acknowledged.iter().any(|(acknowledged, ..)| *acknowledged == writer));
                continue;
            };
            assert!(counter.value.starts_with(format!("{} ", counter.version).as_bytes()), "no count is skipped or repeated");
            assert_eq!((counter.mod_revision, counter.version), (also.mod_revision, also.version), "whole transactions only");
        }
        before = revision;
        total += acknowledged.len();
    }
    println!("{total} acknowledged writes in {KILLS} lives, all found; the store stands at revision {before}");
}
