//! The one thread that writes: it gathers what waits, applies it, commits once
//! for all, and only then answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apply::{self, Refusal, Tables};
use super::lease::MAX_LEASES;
use super::revival::{self, Revival};
use super::tables::{self, broken};
use super::{Shared, compact};
use crate::{Error, LeaseId, Result, Retention, Revision, Transaction, WatchEvents};

/// Most commands that share one commit.
const MAX_BATCH_COMMANDS: usize = 256;

/// A batch ends with the transaction that brings it past this many bytes.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// A command that waits, and its place in the queue, given up when it is taken
/// off, also when its caller went away before.
pub(super) struct Queued {
    pub(super) command: Command,
    pub(super) _turn: OwnedSemaphorePermit,
}

/// A write and whom to answer.
pub(super) enum Command {
    Transact(Transaction, oneshot::Sender<Result<Revision>>),
    Grant(Duration, oneshot::Sender<Result<LeaseId>>),
    Revoke(LeaseId, oneshot::Sender<Result<()>>),
    Compact(Revision, oneshot::Sender<Result<()>>),
    /// A read has found that the database failed.
    Wake,
}

impl Command {
    fn bytes(&self) -> usize {
        if let Self::Transact(transaction, _) = self { transaction.bytes() } else { 0 }
    }

    fn fail(self, error: Error) {
        // A caller that went away wants no answer.
        match self {
            Self::Transact(_, caller) => drop(caller.send(Err(error))),
            Self::Grant(_, caller) => drop(caller.send(Err(error))),
            Self::Revoke(_, caller) | Self::Compact(_, caller) => drop(caller.send(Err(error))),
            Self::Wake => {}
        }
    }

    fn answer(self, answer: Result<Answer>) {
        match (self, answer) {
            (command, Err(error)) => command.fail(error),
            (Self::Transact(_, caller), Ok(Answer::Revision(revision))) => drop(caller.send(Ok(revision))),
            (Self::Grant(_, caller), Ok(Answer::Lease(lease))) => drop(caller.send(Ok(lease))),
            (Self::Revoke(_, caller) | Self::Compact(_, caller), Ok(_)) => drop(caller.send(Ok(()))),
            (Self::Wake, Ok(_)) => {}
            (command, Ok(_)) => command.fail(Error::corrupt("a write was answered with another's result")),
        }
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Revision(Revision),
    Lease(LeaseId),
    Done,
}

/// Runs until every sender of `queue` is gone.
pub(super) fn run(shared: &Arc<Shared>, queue: &Receiver<Queued>, retention: Option<Retention>) {
    // Garbage may be left from the last run.
    let mut garbage = true;
    let mut revival = Revival::default();
    loop {
        revive(shared, &mut revival);
        let first = match next(shared, queue, garbage, &revival) {
            Next::Command(command) => Some(command),
            Next::Upkeep => None,
            Next::Closed => return,
        };
        let mut batch: Vec<Command> = first.into_iter().collect();
        let mut bytes: usize = batch.iter().map(Command::bytes).sum();
        while batch.len() < MAX_BATCH_COMMANDS && bytes < MAX_BATCH_BYTES {
            let Ok(Queued { command, .. }) = queue.try_recv() else { break };
            bytes += command.bytes();
            batch.push(command);
        }
        if let Some(error) = revival.reason() {
            for command in batch {
                command.fail(error.clone());
            }
        } else {
            garbage = commit(shared, batch, retention, garbage, &mut revival);
        }
    }
}

/// Opens the database again when it has failed and it is time.
fn revive(shared: &Shared, revival: &mut Revival) {
    let now = Instant::now();
    if shared.medium.has_failed() && revival.reason().is_none() {
        note_failure(revival, &broken(redb::Error::PreviousIo), now);
    }
    if revival.next().is_none_or(|next| next > now) {
        return;
    }
    match revival::reopen(shared) {
        Ok(()) => revival.opened(),
        Err(error) => note_failure(revival, &error, Instant::now()),
    }
}

fn note_failure(revival: &mut Revival, error: &Error, now: Instant) {
    if revival.failed(error, now) {
        tracing::error!(%error, "the embedded store cannot write; trying again");
    }
}

enum Next {
    Command(Command),
    /// A lease may have ended, garbage waits, or a failed database can be opened again.
    Upkeep,
    Closed,
}

fn next(shared: &Shared, queue: &Receiver<Queued>, garbage: bool, revival: &Revival) -> Next {
    let again = revival.next();
    match queue.try_recv() {
        Ok(queued) => return Next::Command(queued.command),
        Err(TryRecvError::Disconnected) => return Next::Closed,
        Err(TryRecvError::Empty) if garbage && again.is_none() => return Next::Upkeep,
        Err(TryRecvError::Empty) => {}
    }
    // What cannot be written does not end either.
    let end = again.or_else(|| shared.leases.lock().unwrap_or_else(PoisonError::into_inner).next_end());
    let Some(end) = end else { return queue.recv().map_or(Next::Closed, |queued| Next::Command(queued.command)) };
    match queue.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(queued) => Next::Command(queued.command),
        Err(RecvTimeoutError::Timeout) => Next::Upkeep,
        Err(RecvTimeoutError::Disconnected) => Next::Closed,
    }
}

/// Commits a batch and answers it. Returns whether garbage is left to remove.
fn commit(shared: &Shared, batch: Vec<Command>, retention: Option<Retention>, garbage: bool, revival: &mut Revival) -> bool {
    // Ended leases are forgotten before their keys are deleted: from here on nobody can keep them alive.
    let ended = {
        let now = Instant::now();
        let mut leases = shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = leases.ended(now);
        ended.into_iter().filter_map(|lease| leases.remove(lease).map(|ttl| (lease, ttl))).collect::<Vec<_>>()
    };
    if batch.is_empty() && ended.is_empty() && !garbage {
        return false;
    }
    match write(shared, &batch, &ended, retention, garbage) {
        Ok(written) => {
            if written.durable && revival.succeeded() {
                tracing::info!("the embedded store can write again");
            }
            publish(shared, &batch, &written);
            for (command, answer) in batch.into_iter().zip(written.answers) {
                command.answer(answer);
            }
            written.garbage
        }
        Err(error) => {
            let now = Instant::now();
            // What is too large is the fault of the write, not of the database.
            if !matches!(error, Error::TooLarge { .. }) {
                note_failure(revival, &error, now);
            }
            let mut leases = shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
            for (lease, ttl) in ended {
                leases.begin(lease, ttl, now);
            }
            drop(leases);
            for command in batch {
                command.fail(error.clone());
            }
            // Not tried again at once: the next write or lease does.
            false
        }
    }
}

/// What a commit has done.
struct Written {
    answers: Vec<Result<Answer>>,
    commits: Vec<WatchEvents>,
    garbage: bool,
    /// Something was written, rather than all refused.
    durable: bool,
}

fn write(
    shared: &Shared,
    batch: &[Command],
    ended: &[(LeaseId, Duration)],
    retention: Option<Retention>,
    mut garbage: bool,
) -> Result<Written> {
    let write = shared.begin_write()?;
    let mut answers = Vec::with_capacity(batch.len());
    let mut commits = Vec::new();
    let mut dirty = !ended.is_empty();
    {
        let mut tables = Tables::open(&write)?;
        for (lease, _) in ended {
            commits.extend(apply::end_lease(&mut tables, *lease)?);
        }
        for command in batch {
            answers.push(perform(shared, &mut tables, command, &mut commits, &mut dirty)?);
        }
        if let Some(retention) = retention {
            let compacted = Revision(tables::number(&tables.meta, tables::META_COMPACTED)?);
            if let Some(target) = retention.target(tables.revision, compacted) {
                compact::mark(&mut tables, target)?;
            }
        }
        // Under load a slice rides on each commit; when idle it gets its own.
        if garbage || compact::is_due(&tables)? {
            let (removed, more) = compact::collect(&mut tables)?;
            dirty |= removed;
            garbage = more;
        }
    }
    dirty |= !commits.is_empty();
    if dirty {
        write.commit().map_err(broken)?;
    } else {
        // Nothing but refusals: spare the disk.
        write.abort().map_err(broken)?;
    }
    Ok(Written { answers, commits, garbage, durable: dirty })
}

fn perform(
    shared: &Shared,
    tables: &mut Tables<'_>,
    command: &Command,
    commits: &mut Vec<WatchEvents>,
    dirty: &mut bool,
) -> Result<Result<Answer>> {
    Ok(match command {
        Command::Transact(transaction, _) => match apply::apply(tables, transaction) {
            Ok(events) => {
                commits.extend(events);
                Ok(Answer::Revision(tables.revision))
            }
            Err(Refusal::Refused(error)) => Err(error),
            Err(Refusal::Failed(error)) => return Err(error),
        },
        Command::Grant(ttl, _) => {
            let leases = shared.leases.lock().unwrap_or_else(PoisonError::into_inner).len();
            if leases >= MAX_LEASES {
                return Ok(Err(Error::TooLarge { what: "the number of leases", actual: leases + 1, limit: MAX_LEASES }));
            }
            let lease = tables::number(&tables.meta, tables::META_LEASE)? + 1;
            tables.meta.insert(tables::META_LEASE, lease).map_err(broken)?;
            tables.leases.insert(lease.cast_signed(), ttl.as_secs()).map_err(broken)?;
            *dirty = true;
            Ok(Answer::Lease(LeaseId(lease.cast_signed())))
        }
        Command::Revoke(lease, _) => {
            if tables.leases.remove(lease.0).map_err(broken)?.is_none() {
                return Ok(Err(Error::LeaseNotFound { lease: *lease }));
            }
            *dirty = true;
            commits.extend(apply::end_lease(tables, *lease)?);
            Ok(Answer::Done)
        }
        Command::Compact(revision, _) => match compact::mark(tables, *revision) {
            Ok(changed) => {
                *dirty |= changed;
                Ok(Answer::Done)
            }
            Err(error @ Error::FutureRevision { .. }) => Err(error),
            Err(error) => return Err(error),
        },
        Command::Wake => Ok(Answer::Done),
    })
}

/// Makes a durable commit known to leases and watches, before it is answered.
fn publish(shared: &Shared, batch: &[Command], written: &Written) {
    let now = Instant::now();
    let mut leases = shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
    for (command, answer) in batch.iter().zip(&written.answers) {
        match (command, answer) {
            (Command::Grant(ttl, _), Ok(Answer::Lease(lease))) => leases.begin(*lease, *ttl, now),
            (Command::Revoke(lease, _), Ok(_)) => drop(leases.remove(*lease)),
            _ => {}
        }
    }
    drop(leases);
    let Some(latest) = written.commits.last().map(|commit| commit.revision) else { return };
    let mut recent = shared.recent.write().unwrap_or_else(PoisonError::into_inner);
    for commit in &written.commits {
        recent.push(commit.clone());
    }
    drop(recent);
    shared.latest.send_replace(latest);
}
