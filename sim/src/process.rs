//! A controller's process: its tasks can be stopped, resumed and killed, as by the operating system.

use orrery_controller::surroundings::{Surroundings, spawn_within};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::task::AbortHandle;

/// A process. Clones are the same one.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Surroundings for Inner {
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.stopped {
            state.waiting.push(context.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn spawned(&self, task: AbortHandle) {
        let mut state = self.lock();
        if state.tasks.len().is_multiple_of(64) {
            state.tasks.retain(|task| !task.is_finished());
        }
        state.tasks.push(task);
    }
}

impl Process {
    /// Starts a process with its main task.
    pub fn start(main: impl Future<Output = ()> + Send + 'static) -> Self {
        let process = Self { inner: Arc::default() };
        spawn_within(&process.surroundings(), main);
        process
    }

    /// What its tasks run in.
    pub fn surroundings(&self) -> Arc<dyn Surroundings> {
        Arc::clone(&self.inner) as Arc<dyn Surroundings>
    }

    /// `SIGSTOP`: nothing of it runs, and its clocks go on.
    pub fn stop(&self) {
        self.inner.lock().stopped = true;
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self) -> bool {
        self.inner.lock().stopped
    }

    /// `SIGCONT`.
    pub fn resume(&self) {
        let waiting = {
            let mut state = self.inner.lock();
            state.stopped = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// `SIGKILL`: nothing of it runs ever again.
    pub fn kill(&self) {
        let tasks = std::mem::take(&mut self.inner.lock().tasks);
        tasks.iter().for_each(AbortHandle::abort);
        self.resume();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_stopped_process_does_nothing_and_a_killed_one_never_again() {
        let count = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&count);
        let process = Process::start(async move {
            loop {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let at = async |seconds: u64| {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            count.load(Ordering::SeqCst)
        };
        assert!(at(10).await >= 9);
        process.stop();
        let stopped = count.load(Ordering::SeqCst);
        assert_eq!(at(10).await, stopped);
        process.resume();
        assert!(at(10).await > stopped);
        process.kill();
        let dead = at(1).await;
        assert_eq!(at(10).await, dead);
    }
}
