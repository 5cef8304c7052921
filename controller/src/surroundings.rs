//! What a controller's tasks run in. In production that is the runtime alone; a simulation stops,
//! resumes and ends all tasks of one controller as an operating system does with a process.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{AbortHandle, JoinHandle};

/// Decides when the tasks of one controller may run.
pub trait Surroundings: Send + Sync {
    /// Ready when tasks may run; otherwise the waker is kept and called when they may.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()>;
    /// A task began.
    fn spawned(&self, task: AbortHandle);
}

tokio::task_local! {
    static SURROUNDINGS: Arc<dyn Surroundings>;
}

/// Spawns the first task of a controller. All that it spawns runs in the same surroundings.
pub fn spawn_within<F>(surroundings: &Arc<dyn Surroundings>, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let inner = Surrounded { surroundings: Arc::clone(surroundings), future: Box::pin(future) };
    let task = tokio::spawn(SURROUNDINGS.scope(Arc::clone(surroundings), inner));
    surroundings.spawned(task.abort_handle());
    task
}

/// Calls into a controller from outside: what it spawns runs in its surroundings.
pub fn enter<T>(surroundings: &Arc<dyn Surroundings>, call: impl FnOnce() -> T) -> T {
    SURROUNDINGS.sync_scope(Arc::clone(surroundings), call)
}

/// Spawns a task of this crate: always by this, never by tokio's own function.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match SURROUNDINGS.try_with(Arc::clone) {
        Ok(surroundings) => spawn_within(&surroundings, future),
        Err(_) => tokio::spawn(future),
    }
}

/// Does work that may take long: other tasks of this thread go on elsewhere meanwhile, so that a lease
/// is kept and agents are heard, however large the cluster.
pub(crate) fn compute<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A simulation has one thread, and its time does not pass.
        _ => work(),
    }
}

/// Does work that may take long on another thread, while what is awaited beside it goes on.
pub(crate) async fn compute_beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        },
        _ => work(),
    }
}

struct Surrounded<F> {
    surroundings: Arc<dyn Surroundings>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Surrounded<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.surroundings.poll_ready(context) {
            Poll::Ready(()) => self.future.as_mut().poll(context),
            Poll::Pending => Poll::Pending,
        }
    }
}
