//! Making a step durable, fenced by the epoch.

use futures::StreamExt as _;
use orrery_core::cluster::EPOCH_KEY;
use orrery_store::{Compare, Error, MAX_OPERATIONS, Operation, Revision, Store, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of writes in one transaction; leaves room for keys below the store's own limit.
const TRANSACTION_BYTES: usize = 900 << 10;
/// Transactions of one step on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// Attempts to find out what became of a transaction that was not answered.
const RESOLVE_ATTEMPTS: u32 = 5;
/// Pause between them.
const RESOLVE_PAUSE: Duration = Duration::from_millis(250);

/// Why a step is not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitError {
    /// Somebody else leads: nothing may be written any more.
    #[error("another controller leads now")]
    Fenced,
    /// The store refused it; nothing was written.
    #[error(transparent)]
    Refused(Error),
    /// A part of it may be written: what the leader believes must be read again.
    #[error(transparent)]
    Unknown(Error),
}

/// Writes steps in the name of one epoch.
pub(crate) struct Committer {
    store: Arc<dyn Store>,
    epoch: u64,
    /// Where the epoch key stands; every transaction compares it.
    fence: Revision,
    /// The last revision known to be ours.
    last: Revision,
}

impl Committer {
    /// Writes in the name of `epoch`, whose key was written at `fence`.
    pub(crate) fn new(store: Arc<dyn Store>, epoch: u64, fence: Revision) -> Self {
        Self { store, epoch, fence, last: fence }
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Stores the writes. Usually one transaction; a step too large for one goes in several, what
    /// others refer to first: definitions, then pages of instances, deletions last. A crash in between
    /// leaves a state that loads and converges.
    pub(crate) async fn commit(&mut self, writes: BTreeMap<String, Option<Vec<u8>>>) -> Result<(), CommitError> {
        let mut parts = split(writes).into_iter().peekable();
        let mut begun = false;
        while let Some(part) = parts.next() {
            let mut together = vec![part];
            while together[0].is_independent
                && let Some(part) = parts.next_if(|part| part.is_independent)
            {
                together.push(part);
            }
            let several = begun || together.len() > 1;
            self.store_together(together).await.map_err(|error| match error {
                CommitError::Refused(error) if several => CommitError::Unknown(error),
                other => other,
            })?;
            begun = true;
        }
        Ok(())
    }

    /// Stores parts of which none refers to another, a few at a time.
    async fn store_together(&mut self, parts: Vec<Part>) -> Result<(), CommitError> {
        let sent = futures::stream::iter(parts).map(|part| {
            let transaction = Transaction { operations: part.operations.clone(), ..self.fenced() };
            let store = Arc::clone(&self.store);
            async move { (part, store.transact(transaction).await) }
        });
        // The fence stays where it is until all have been answered.
        let answers: Vec<(Part, Result<Revision, Error>)> = sent.buffered(PARTS_AT_ONCE).collect().await;
        let fenced = |answer: &Result<Revision, Error>| matches!(answer, Err(Error::Conflict { key }) if key == EPOCH_KEY);
        if answers.iter().any(|(_, answer)| fenced(answer)) {
            return Err(CommitError::Fenced);
        }
        let mut last = self.last;
        for (part, answer) in answers {
            last = last.max(match answer {
                Ok(revision) => revision,
                Err(error @ Error::Unavailable { .. }) => self.store_unconfirmed(&part.operations, error).await?,
                Err(error) => return Err(CommitError::Refused(error)),
            });
        }
        self.last = last;
        Ok(())
    }

    /// Finds out whether a transaction was made, and makes it if it was not.
    async fn store_unconfirmed(&mut self, operations: &[Operation], mut error: Error) -> Result<Revision, CommitError> {
        loop {
            tracing::warn!(%error, "a change was not confirmed; looking whether it was made");
            if self.resolve(operations, error).await? {
                return Ok(self.last);
            }
            let transaction = Transaction { operations: operations.to_vec(), ..self.fenced() };
            match self.store.transact(transaction).await {
                Ok(revision) => return Ok(revision),
                Err(Error::Conflict { key }) if key == EPOCH_KEY => return Err(CommitError::Fenced),
                Err(unavailable @ Error::Unavailable { .. }) => error = unavailable,
                Err(error) => return Err(CommitError::Refused(error)),
            }
        }
    }

    /// Whether a transaction that was not answered has happened. It may still be on its way: only
    /// when the fence has moved it never will.
    async fn resolve(&mut self, operations: &[Operation], first: Error) -> Result<bool, CommitError> {
        let mut last_error = first;
        for _ in 0..RESOLVE_ATTEMPTS {
            match self.move_fence().await {
                Ok(()) => match self.happened(operations).await {
                    Ok(happened) => return Ok(happened),
                    Err(error) => last_error = error,
                },
                Err(CommitError::Unknown(error)) => last_error = error,
                Err(other) => return Err(other),
            }
            tokio::time::sleep(RESOLVE_PAUSE).await;
        }
        Err(CommitError::Unknown(last_error))
    }

    /// Writes the epoch again, so that whatever was compared with the old revision is refused.
    pub(crate) async fn move_fence(&mut self) -> Result<(), CommitError> {
        let unknown = CommitError::Unknown;
        let current = self.store.get(EPOCH_KEY).await.map_err(unknown)?.ok_or(CommitError::Fenced)?;
        if current.value != self.epoch.to_string().as_bytes() {
            return Err(CommitError::Fenced);
        }
        let compare = Compare::ModRevision { key: EPOCH_KEY.into(), revision: current.mod_revision };
        let again = Transaction::new().compare(compare).put(EPOCH_KEY, current.value);
        match self.store.transact(again).await {
            Ok(revision) => {
                self.fence = revision;
                Ok(())
            }
            // An earlier attempt of ours, or a successor: the next look tells.
            Err(error) => Err(unknown(error)),
        }
    }

    /// Whether `operations`, all of one transaction, have been made. Nobody else writes.
    async fn happened(&self, operations: &[Operation]) -> Result<bool, Error> {
        let put = operations.iter().find(|operation| matches!(operation, Operation::Put { .. }));
        match put.or(operations.first()) {
            Some(Operation::Put { key, .. }) => {
                Ok(self.store.get(key).await?.is_some_and(|entry| entry.mod_revision > self.last))
            }
            Some(Operation::Delete { key }) => Ok(self.store.get(key).await?.is_none()),
            Some(Operation::DeletePrefix { .. }) | None => Ok(false),
        }
    }

    fn fenced(&self) -> Transaction {
        Transaction::new().compare(Compare::ModRevision { key: EPOCH_KEY.into(), revision: self.fence })
    }
}

/// One transaction of a step.
struct Part {
    operations: Vec<Operation>,
    /// It neither refers to what another part writes nor is referred to.
    is_independent: bool,
}

/// When a write goes: what others refer to first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Versions,
    Apps,
    Others,
    Deletions,
}

impl Turn {
    fn of(key: &str, value: Option<&Vec<u8>>) -> Self {
        match value {
            None => Self::Deletions,
            Some(_) if key.contains("/versions/") => Self::Versions,
            Some(_) if key.contains("/apps/") => Self::Apps,
            Some(_) => Self::Others,
        }
    }
}

/// The operations of a step, in as many transactions as they need.
fn split(writes: BTreeMap<String, Option<Vec<u8>>>) -> Vec<Part> {
    let mut writes: Vec<(String, Option<Vec<u8>>)> = writes.into_iter().collect();
    writes.sort_by_key(|(key, value)| Turn::of(key, value.as_ref()));
    let mut parts: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for (key, value) in writes {
        let size = key.len() + value.as_ref().map_or(0, Vec::len);
        let turn = Turn::of(&key, value.as_ref());
        let operation = match value {
            Some(value) => Operation::Put { key, value: value.into(), lease: None },
            None => Operation::Delete { key },
        };
        let has_room = |part: &&mut Part| part.operations.len() < MAX_OPERATIONS && bytes + size <= TRANSACTION_BYTES;
        if let Some(part) = parts.last_mut().filter(has_room) {
            bytes += size;
            part.is_independent &= turn == Turn::Others;
            part.operations.push(operation);
        } else {
            bytes = size;
            parts.push(Part { operations: vec![operation], is_independent: turn == Turn::Others });
        }
    }
    parts
}
