//! Whether the engine answers, and putting things in order when it does again.
//!
//! An engine can be absent, restart, or hang with its socket open. Nothing else of the agent waits
//! for it: it is asked regularly, what waits for an answer gives up when it is found to hang, and
//! the node offers it only while it answers.

use super::{Engine, create, run};
use crate::state::Shared;
use bollard::Docker;
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures::StreamExt;
use orrery_core::task::Known;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two questions. The engine tells nobody that it hangs.
const ASK_INTERVAL: Duration = Duration::from_secs(10);
/// Time for an answer. With the pause before it a hang is noticed within 20 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the first answer: the link of an agent that starts waits for it, and its node is lost after 2.5 s.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

impl Engine {
    /// Asks the engine for the first time, without holding up the start of the agent: [`supervise`] goes on asking.
    pub(crate) async fn ask_first(&self) {
        self.ask(FIRST_ANSWER_TIMEOUT).await;
    }

    /// Asks the engine once and remembers the result. `true` when it has changed.
    async fn ask(&self, limit: Duration) -> bool {
        let asked = async {
            let docker = self.docker()?;
            // Agrees on a version too: another engine may answer after a restart.
            docker.clone().negotiate_version().await.map(drop).map_err(|error| run::reason(&error))
        };
        let answer = tokio::time::timeout(limit, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("it has not answered for {} s", limit.as_secs())));
        self.state.send_if_modified(|state| {
            let changed = state.is_ok() != answer.is_ok();
            *state = answer;
            changed
        })
    }

    /// Whether it answered when it was asked last.
    pub(crate) fn is_available(&self) -> bool {
        self.state.borrow().is_ok()
    }

    /// Waits until it answers.
    pub(super) async fn available(&self) {
        // The sender lives as long as this value.
        let _ = self.state.subscribe().wait_for(Result::is_ok).await;
    }

    /// Why it cannot be used, as a sentence.
    pub(crate) fn complaint(&self) -> Option<String> {
        let state = self.state.borrow();
        let because = state.as_ref().err()?;
        Some(format!("The container engine at {} does not work: {because}", self.socket.display()))
    }

    /// Does something that needs the engine, and gives up when it is found to hang. What the engine
    /// does later all the same is undone by [`supervise`].
    pub(super) async fn while_available<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let mut state = self.state.subscribe();
        let gone = async {
            let _ = state.wait_for(Result::is_err).await;
        };
        tokio::select! {
            biased;
            () = gone => Err(self.complaint().unwrap_or_else(|| "The container engine did not answer for a while".into())),
            done = work => Ok(done),
        }
    }
}

/// Asks the engine from time to time until the agent goes, and removes containers that nobody knows.
pub(crate) async fn supervise(shared: Arc<Shared>) {
    let Some(engine) = &shared.docker else { return };
    let abandon = shared.abandon.clone();
    let watching = async {
        loop {
            engine.available().await;
            remove_strays(&shared, engine).await;
        }
    };
    let asking = async {
        // One that had too little time when the agent started is asked again at once.
        let mut pause = if engine.is_available() { ASK_INTERVAL } else { Duration::ZERO };
        loop {
            tokio::time::sleep(pause).await;
            pause = ASK_INTERVAL;
            if engine.ask(ANSWER_TIMEOUT).await {
                if let Some(complaint) = engine.complaint() {
                    tracing::warn!("{complaint}; tasks with images are not taken until it does");
                } else {
                    tracing::info!("the container engine answers again");
                }
            }
        }
    };
    tokio::select! {
        () = abandon.cancelled() => {}
        () = watching => {}
        () = asking => {}
    }
}

/// Removes containers of this node that belong to no task, first those that are there, then those
/// that a request given up long ago still makes. Returns when the engine goes away.
async fn remove_strays(shared: &Shared, engine: &Engine) {
    let Ok(docker) = engine.docker() else { return };
    let label = format!("{}={}", create::NODE_LABEL, engine.node);
    let filter = |more: &[(&str, &[&str])]| {
        let mut filters = HashMap::from([("label".to_owned(), vec![label.clone()])]);
        filters.extend(more.iter().map(|(key, values)| ((*key).to_owned(), values.iter().map(ToString::to_string).collect())));
        Some(filters)
    };
    // From before the list, so that nothing is missed in between.
    let options = EventsOptions {
        filters: filter(&[("type", &["container"]), ("event", &["create", "start"])]),
        ..EventsOptions::default()
    };
    let mut events = docker.events(Some(options));
    let options = ListContainersOptions { all: true, filters: filter(&[]), ..ListContainersOptions::default() };
    let listing = engine.while_available(docker.list_containers(Some(options))).await;
    match listing {
        Ok(Ok(containers)) => {
            for name in containers.into_iter().filter_map(|container| container.names?.into_iter().next()) {
                remove_stray(shared, docker, name.trim_start_matches('/')).await;
            }
        }
        Ok(Err(error)) => tracing::warn!("cannot list containers: {}", run::reason(&error)),
        Err(_) => return,
    }
    let following = async {
        while let Some(Ok(event)) = events.next().await {
            let name = event.actor.and_then(|actor| actor.attributes?.remove("name"));
            if let Some(name) = name {
                remove_stray(shared, docker, &name).await;
            }
        }
    };
    let ended = engine.while_available(following).await;
    if ended.is_ok() {
        // The engine is going down: the next question finds out.
        tokio::time::sleep(run::RETRY_MAX).await;
    }
}

async fn remove_stray(shared: &Shared, docker: &Docker, container: &str) {
    let alive: BTreeSet<String> = {
        let board = shared.board();
        let alive = board.tasks.values().filter(|entry| entry.known() != Known::Ended);
        alive.filter_map(|entry| Some(create::name(&entry.run.as_ref()?.container))).collect()
    };
    if !alive.contains(container) {
        tracing::warn!(container, "removing a container that no task knows");
        run::remove(docker, container).await;
    }
}
