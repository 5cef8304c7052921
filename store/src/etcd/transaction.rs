//! Transactions in etcd's terms.

use etcd_client::{CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse};

use super::{About, Clients, Etcd, wire};
use crate::prefix::prefix_end;
use crate::{Compare, Error, LeaseId, MAX_OPERATIONS, Operation, Result, Revision, Transaction};

/// A value to compare is sent a second time, to learn whether it was the one
/// that failed, while all such values stay within this size: large ones would
/// not fit into etcd's request limit twice.
const MAX_EXPLAINED_BYTES: usize = 128 << 10;

/// Sends a validated transaction. It is not repeated when the answer is lost,
/// since it may have happened.
pub(super) async fn transact(etcd: &Etcd, transaction: Transaction) -> Result<Revision> {
    let lease = transaction.operations.iter().find_map(|operation| match operation {
        Operation::Put { lease, .. } => *lease,
        _ => None,
    });
    // etcd counts what is nested against the same limit of operations.
    let nested = transaction.compares.len().max(transaction.operations.len()) < MAX_OPERATIONS
        && transaction.compares.iter().map(value_bytes).sum::<usize>() <= MAX_EXPLAINED_BYTES;
    let explain: Vec<_> = transaction.compares.iter().map(|wanted| question(wanted, nested)).collect();
    let compares: Vec<_> = transaction.compares.iter().cloned().map(compare).collect();
    let operations: Vec<_> = transaction.operations.into_iter().map(operation).collect();
    let request = Txn::new().when(compares).and_then(operations).or_else(explain);
    let about = About { lease, ..etcd.about() };
    let send = move |mut clients: Clients| {
        let request = request.clone();
        async move { clients.kv.txn(request).await }
    };
    let answer = etcd.once(about, send).await?;
    let revision = etcd.observe(answer.header())?;
    if answer.succeeded() {
        return Ok(revision);
    }
    let answers = answer.op_responses();
    let failed = transaction.compares.iter().zip(answers).find(|(wanted, answer)| fails(wanted, answer));
    // Only values may have gone unexplained, so one of them is the cause.
    let unexplained = || transaction.compares.iter().find(|wanted| matches!(wanted, Compare::Value { .. }));
    let compare = failed.map(|(wanted, _)| wanted).or_else(unexplained);
    Err(Error::Conflict { key: compare.map(|wanted| wanted.key().to_owned()).unwrap_or_default() })
}

fn value_bytes(compare: &Compare) -> usize {
    match compare {
        Compare::ModRevision { .. } => 0,
        Compare::Value { value, .. } => value.len(),
    }
}

/// What to ask, at the revision of the refusal, to learn whether this compare caused it.
fn question(wanted: &Compare, nested: bool) -> TxnOp {
    match wanted {
        Compare::Value { .. } if nested => TxnOp::txn(Txn::new().when([compare(wanted.clone())])),
        _ => TxnOp::get(wanted.key(), Some(GetOptions::new().with_keys_only())),
    }
}

fn fails(wanted: &Compare, answer: &TxnOpResponse) -> bool {
    match (wanted, answer) {
        (_, TxnOpResponse::Txn(alone)) => !alone.succeeded(),
        (Compare::ModRevision { revision, .. }, TxnOpResponse::Get(held)) => {
            held.kvs().first().map_or(0, KeyValue::mod_revision) != wire(*revision)
        }
        (Compare::Value { .. }, TxnOpResponse::Get(held)) => held.kvs().is_empty(),
        _ => false,
    }
}

fn compare(compare: Compare) -> etcd_client::Compare {
    match compare {
        Compare::ModRevision { key, revision } => etcd_client::Compare::mod_revision(key, CompareOp::Equal, wire(revision)),
        Compare::Value { key, value } => etcd_client::Compare::value(key, CompareOp::Equal, value),
    }
}

fn operation(operation: Operation) -> TxnOp {
    match operation {
        Operation::Put { key, value, lease } => {
            let options = lease.map(|LeaseId(lease)| PutOptions::new().with_lease(lease));
            TxnOp::put(key, value, options)
        }
        Operation::Delete { key } => TxnOp::delete(key, None),
        Operation::DeletePrefix { prefix } => {
            let end = prefix_end(prefix.as_bytes()).unwrap_or_else(|| vec![0]);
            let first = if prefix.is_empty() { vec![0] } else { prefix.into_bytes() };
            TxnOp::delete(first, Some(DeleteOptions::new().with_range(end)))
        }
    }
}
