//! Load during a fault, with a memory of what was acknowledged.

use crate::Lab;
use crate::lab::request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pause between two writes of all writers together.
const PAUSE: Duration = Duration::from_millis(20);
/// Apps that each writer writes to, in turn.
const APPS: u64 = 7;

#[derive(Default)]
struct Seen {
    /// Last acknowledged mark of each app.
    acknowledged: BTreeMap<String, u64>,
    /// Every mark that was sent, acknowledged or not.
    sent: BTreeMap<String, u64>,
    successes: Vec<Instant>,
    failures: Vec<String>,
}

impl Seen {
    fn note(&mut self, id: String, mark: u64, answer: Result<(u16, Value), String>) {
        match answer {
            Ok((200 | 201, _)) => {
                self.acknowledged.insert(id, mark);
                self.successes.push(Instant::now());
            }
            Ok((status, text)) => self.failures.push(format!("{status}: {text}")),
            Err(error) => self.failures.push(error),
        }
    }
}

/// The app of a writer's write number `mark`.
fn app_name(writer: usize, mark: u64) -> String {
    format!("w{writer}-{}", mark % APPS)
}

/// Writes through all controllers until it is stopped. Each has a writer of its own: a request that one of
/// them does not answer must not hold up what the others could do.
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    writers: tokio::task::JoinSet<()>,
}

/// What the load saw.
#[derive(Debug)]
pub struct LoadReport {
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Failed or unanswered ones.
    pub failed: usize,
    /// Longest time between two acknowledgements.
    pub longest_gap: Duration,
    /// Some of the failures.
    pub examples: Vec<String>,
}

impl Load {
    /// Begins to write apps below `/load`, which have no instances.
    pub fn start(lab: &Lab) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let count = lab.controllers.len();
        let pause = PAUSE * u32::try_from(count).unwrap_or(u32::MAX);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..count {
            let (http, token, url) = (lab.http.clone(), lab.token(), lab.url(writer));
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            writers.spawn(async move {
                let mut mark = 0_u64;
                while !stop.load(Ordering::SeqCst) {
                    mark += 1;
                    let id = format!("/load/{}", app_name(writer, mark));
                    let app = json!({ "id": id, "cmd": "true", "cpus": 0.01, "mem": 16, "instances": 0, "labels": { "mark": mark.to_string() } });
                    seen.lock().unwrap_or_else(PoisonError::into_inner).sent.insert(id.clone(), mark);
                    let path = format!("/v2/apps{id}?force=true");
                    let answer = request(&http, &token, &url, "PUT", &path, &app).await;
                    seen.lock().unwrap_or_else(PoisonError::into_inner).note(id, mark, answer);
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { seen, stop, writers }
    }

    /// Acknowledged writes so far.
    pub fn acknowledged(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).successes.len()
    }

    /// The last failure, for messages.
    pub fn last_failure(&self) -> String {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).failures.last().cloned().unwrap_or_default()
    }

    /// Stops, and checks that every acknowledged write is there, says a controller.
    ///
    /// # Panics
    /// When one is lost.
    pub async fn finish(self, lab: &Lab, controller: usize) -> LoadReport {
        self.stop.store(true, Ordering::SeqCst);
        self.writers.join_all().await;
        let apps = crate::eventually("apps are told", async || lab.get(controller, "/v2/apps").await).await;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, mark) in &seen.acknowledged {
            let app = apps["apps"].as_array().into_iter().flatten().find(|app| app["id"] == **id);
            let found = app.and_then(|app| app["labels"]["mark"].as_str()).and_then(|mark| mark.parse::<u64>().ok());
            // A later write may have happened although nobody heard of it.
            let good = found.is_some_and(|found| found >= *mark && found <= seen.sent[id]);
            assert!(good, "acknowledged write {mark} of {id} is lost: {}", app.unwrap_or(&Value::Null));
        }
        let gaps = seen.successes.windows(2).map(|pair| pair[1] - pair[0]);
        LoadReport {
            acknowledged: seen.successes.len(),
            failed: seen.failures.len(),
            longest_gap: gaps.max().unwrap_or_default(),
            examples: seen.failures.iter().take(3).cloned().collect(),
        }
    }
}
