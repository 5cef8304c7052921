//! Load during a fault, with a memory of what was acknowledged.

use crate::Lab;
use crate::lab::request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pause between two writes.
const PAUSE: Duration = Duration::from_millis(20);
/// Apps the load writes to, in turn.
const APPS: u64 = 20;

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

/// Writes through all controllers in turn until it is stopped.
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
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
        let urls: Vec<String> = (0..lab.controllers.len()).map(|index| lab.url(index)).collect();
        let (http, token) = (lab.http.clone(), lab.token());
        let (shared, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut mark = 0_u64;
            while !stopped.load(Ordering::SeqCst) {
                mark += 1;
                let id = format!("/load/a{}", mark % APPS);
                let app = json!({ "id": id, "cmd": "true", "cpus": 0.01, "mem": 16, "instances": 0, "labels": { "mark": mark.to_string() } });
                shared.lock().unwrap_or_else(PoisonError::into_inner).sent.insert(id.clone(), mark);
                let url = &urls[mark as usize % urls.len()];
                let path = format!("/v2/apps{id}?force=true");
                let answer = request(&http, &token, url, "PUT", &path, &app).await;
                shared.lock().unwrap_or_else(PoisonError::into_inner).note(id, mark, answer);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { seen, stop, task }
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
        let _ = self.task.await;
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
