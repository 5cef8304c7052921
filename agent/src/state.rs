//! What the agent knows now: one entry per task, and which of them have news for the controller.

use crate::checkpoint::{Record, Run};
use crate::config::AgentConfig;
use crate::docker::Engine;
use crate::fetch::Fetcher;
use crate::health::Prober;
use crate::process;
use orrery_core::assignment::{Assignment, TaskReport};
use orrery_core::task::{Known, PortQueue, StopCause};
use orrery_core::{TaskId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// One task.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None` for tasks that were stopped before they were ever known.
    pub(crate) assignment: Option<Arc<Assignment>>,
    pub(crate) run: Option<Arc<Run>>,
    pub(crate) report: TaskReport,
    /// Why it must stop, once it must.
    pub(crate) stop: watch::Sender<Option<StopCause>>,
}

impl Entry {
    pub(crate) fn known(&self) -> Known {
        if self.report.condition.is_terminal() {
            Known::Ended
        } else if self.stop.borrow().is_some() {
            Known::Stopping
        } else {
            Known::Alive
        }
    }
}

/// All tasks, and those whose last report has not been sent.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) tasks: BTreeMap<TaskId, Entry>,
    pub(crate) unsent: BTreeSet<TaskId>,
    /// Who has which host ports, and who waits for them.
    pub(crate) ports: PortQueue,
    /// Instances whose data are deleted, which is not yet said.
    pub(crate) destroyed: BTreeSet<orrery_core::InstanceId>,
}

/// Everything the parts of an agent share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: AgentConfig,
    pub(crate) boot: Arc<str>,
    pub(crate) process: process::Executor,
    pub(crate) docker: Option<Engine>,
    pub(crate) fetcher: Fetcher,
    pub(crate) prober: Prober,
    pub(crate) launches: Semaphore,
    board: Mutex<Board>,
    /// Something is unsent.
    pub(crate) news: Notify,
    /// A task has ended.
    pub(crate) ended: Notify,
    /// Highest epoch of a leader seen.
    pub(crate) epoch: AtomicU64,
    /// Set when the agent goes and its tasks stay.
    pub(crate) abandon: CancellationToken,
    /// Set when all tasks are being stopped for good: no new ones are taken.
    pub(crate) leaving: CancellationToken,
    /// Set when a controller has taken the goodbye, or had its time for it.
    pub(crate) parted: CancellationToken,
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    Timestamp::from_millis(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

impl Shared {
    pub(crate) fn new(
        config: AgentConfig,
        boot: Arc<str>,
        process: process::Executor,
        docker: Option<Engine>,
        fetcher: Fetcher,
        prober: Prober,
        epoch: u64,
    ) -> Self {
        Self {
            launches: Semaphore::new(config.limits.launches),
            config,
            boot,
            process,
            docker,
            fetcher,
            prober,
            board: Mutex::default(),
            news: Notify::new(),
            ended: Notify::new(),
            epoch: AtomicU64::new(epoch),
            abandon: CancellationToken::new(),
            leaving: CancellationToken::new(),
            parted: CancellationToken::new(),
        }
    }

    /// The board. Never held across an await.
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        // Every change leaves the board whole, so that a panic elsewhere does not spoil it.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a task with what its record says.
    pub(crate) fn enter(&self, record: &Record, report: TaskReport) {
        let entry = Entry {
            assignment: Some(Arc::clone(&record.assignment)),
            run: Some(record.run.clone()),
            report,
            stop: watch::Sender::new(record.stop_cause()),
        };
        let mut board = self.board();
        if entry.known() != Known::Ended {
            board.ports.enter(&record.task(), record.assignment.host_ports());
        }
        board.tasks.insert(record.task(), entry);
    }

    /// Changes a task's report and sends it.
    pub(crate) fn report(&self, task: &TaskId, change: impl FnOnce(&mut TaskReport)) {
        let mut board = self.board();
        let Some(entry) = board.tasks.get_mut(task) else { return };
        change(&mut entry.report);
        let over = entry.report.condition.is_terminal();
        if over {
            board.ports.leave(task);
        }
        board.unsent.insert(task.clone());
        drop(board);
        self.news.notify_one();
        if over {
            self.ended.notify_waiters();
        }
    }

    /// Waits until no task that came before has a port of this one.
    pub(crate) async fn ports_of(&self, task: &TaskId) {
        loop {
            let ended = self.ended.notified();
            match self.board().ports.holder(task) {
                None => return,
                Some((port, holder)) => tracing::info!(%task, port, %holder, "waiting for a port that another task still has"),
            }
            ended.await;
        }
    }

    /// Sends a task's report again.
    pub(crate) fn repeat(&self, task: &TaskId) {
        self.board().unsent.insert(task.clone());
        self.news.notify_one();
    }

    /// Takes up to `limit` unsent reports.
    pub(crate) fn take_unsent(&self, limit: usize) -> Vec<TaskReport> {
        let mut board = self.board();
        let board = &mut *board;
        let mut reports = Vec::new();
        while reports.len() < limit
            && let Some(task) = board.unsent.pop_first()
        {
            reports.extend(board.tasks.get(&task).map(|entry| entry.report.clone()));
        }
        reports
    }

    /// Asks a task to stop; the first cause stays.
    pub(crate) fn stop(&self, task: &TaskId, cause: StopCause) {
        if let Some(entry) = self.board().tasks.get(task) {
            entry.stop.send_if_modified(|current| {
                let first = current.is_none();
                if first {
                    *current = Some(cause);
                }
                first
            });
        }
    }
}
