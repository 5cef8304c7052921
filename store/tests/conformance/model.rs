//! Random transactions against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use futures::StreamExt;
use orrery_store::{Compare, Entry, Error, Event, Operation, Revision, Store, Transaction, list};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::backend::{Backend, soon};

/// Names that are prefixes of each other, and neighbours at the edges of prefixes.
const NAMES: [&str; 8] = ["a", "a/", "a/b", "a/b/c", "a0", "b", "ÿ", "\u{10ffff}"];

#[derive(Debug, Clone)]
enum Step {
    /// Compares and operations, over names.
    Transact(Vec<Check>, Vec<Write>),
    /// Compact at this share of the history, in 256ths.
    Compact(u8),
}

#[derive(Debug, Clone)]
enum Check {
    Absent(usize),
    /// The revision the key has, this much off.
    Revision(usize, u64),
    Value(usize, u8),
}

#[derive(Debug, Clone)]
enum Write {
    Put(usize, u8),
    Delete(usize),
    DeletePrefix(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES.len();
    let check = prop_oneof![
        1 => name.clone().prop_map(Check::Absent),
        3 => (name.clone(), prop_oneof![4 => Just(0u64), 1 => Just(1u64)]).prop_map(|(n, off)| Check::Revision(n, off)),
        1 => (name.clone(), 0..3u8).prop_map(|(n, v)| Check::Value(n, v)),
    ];
    let write = prop_oneof![
        5 => (name.clone(), 0..3u8).prop_map(|(n, v)| Write::Put(n, v)),
        2 => name.clone().prop_map(Write::Delete),
        1 => name.prop_map(Write::DeletePrefix),
    ];
    let transact = (vec(check, 0..3), vec(write, 0..5)).prop_map(|(checks, writes)| Step::Transact(checks, writes));
    vec(prop_oneof![12 => transact, 1 => any::<u8>().prop_map(Step::Compact)], 1..24)
}

type State = BTreeMap<String, Entry>;

/// The state after each revision, from the one the history began at.
struct Model {
    base: String,
    first: Revision,
    states: Vec<State>,
    compacted: Revision,
}

impl Model {
    fn latest(&self) -> (Revision, &State) {
        (Revision(self.first.0 + self.states.len() as u64 - 1), self.states.last().unwrap())
    }

    fn key(&self, name: usize) -> String {
        format!("{}{}", self.base, NAMES[name])
    }

    fn transaction(&self, checks: &[Check], writes: &[Write]) -> Transaction {
        let (_, state) = self.latest();
        let value = |value: &u8| bytes::Bytes::from(vec![*value]);
        Transaction {
            compares: checks
                .iter()
                .map(|check| match check {
                    Check::Absent(name) => Compare::ModRevision { key: self.key(*name), revision: Revision::NONE },
                    Check::Revision(name, off) => {
                        let key = self.key(*name);
                        let held = state.get(&key).map_or(0, |entry| entry.mod_revision.0);
                        Compare::ModRevision { key, revision: Revision(held + off) }
                    }
                    Check::Value(name, byte) => Compare::Value { key: self.key(*name), value: value(byte) },
                })
                .collect(),
            operations: writes
                .iter()
                .map(|write| match write {
                    Write::Put(name, byte) => Operation::Put { key: self.key(*name), value: value(byte), lease: None },
                    Write::Delete(name) => Operation::Delete { key: self.key(*name) },
                    Write::DeletePrefix(name) => Operation::DeletePrefix { prefix: self.key(*name) },
                })
                .collect(),
        }
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<Revision, Error> {
        transaction.validate()?;
        let (latest, state) = self.latest();
        for compare in &transaction.compares {
            let holds = match compare {
                Compare::ModRevision { key, revision } => state.get(key).map_or(Revision::NONE, |e| e.mod_revision) == *revision,
                Compare::Value { key, value } => state.get(key).is_some_and(|entry| entry.value == *value),
            };
            if !holds {
                return Err(Error::Conflict { key: compare.key().to_owned() });
            }
        }
        let mut after = state.clone();
        let mod_revision = latest.next();
        for operation in &transaction.operations {
            match operation {
                Operation::Put { key, value, .. } => {
                    let before = after.get(key);
                    let create_revision = before.map_or(mod_revision, |entry| entry.create_revision);
                    let version = before.map_or(0, |entry| entry.version) + 1;
                    let entry = Entry { key: key.clone(), value: value.clone(), create_revision, mod_revision, version };
                    after.insert(key.clone(), entry);
                }
                Operation::Delete { key } => drop(after.remove(key)),
                Operation::DeletePrefix { prefix } => after.retain(|key, _| !key.starts_with(prefix.as_str())),
            }
        }
        if after == *state {
            return Ok(latest);
        }
        self.states.push(after);
        Ok(mod_revision)
    }

    /// What a watch owes at a revision.
    fn events(&self, at: usize) -> BTreeMap<String, Option<Entry>> {
        let (before, after) = (&self.states[at - 1], &self.states[at]);
        let written = after.iter().filter(|(key, entry)| before.get(*key) != Some(entry));
        let deleted = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
        written.map(|(key, entry)| (key.clone(), Some(entry.clone()))).chain(deleted).collect()
    }
}

async fn check(store: &dyn Store, base: &str, steps: &[Step]) {
    let first = store.revision().await.unwrap();
    let mut model = Model { base: base.to_owned(), first, states: vec![State::new()], compacted: Revision::NONE };
    let mut live = store.watch(base, first.next()).await.unwrap();
    for step in steps {
        match step {
            Step::Transact(checks, writes) => {
                let transaction = model.transaction(checks, writes);
                assert_eq!(store.transact(transaction.clone()).await, model.apply(&transaction), "{transaction:?}");
            }
            Step::Compact(share) => {
                let (latest, _) = model.latest();
                let mark = Revision(first.0 + (latest.0 - first.0) * u64::from(*share) / 256);
                store.compact(mark).await.unwrap();
                model.compacted = model.compacted.max(mark);
            }
        }
    }
    let (latest, state) = model.latest();
    assert_eq!(store.revision().await.unwrap(), latest);
    assert_eq!(list(store, base).await.unwrap().entries, state.values().cloned().collect::<Vec<_>>());
    for (place, state) in model.states.iter().enumerate() {
        let revision = Revision(first.0 + place as u64);
        let read = store.range(base, Some(revision), 0, None).await;
        if revision < model.compacted {
            assert!(matches!(read, Err(Error::Compacted { .. })), "{revision}");
        } else {
            let read = read.unwrap();
            assert_eq!(read.entries, state.values().cloned().collect::<Vec<_>>(), "at {revision}");
        }
    }
    let replay_from = model.compacted.max(first).next();
    let mut replay = store.watch(base, replay_from).await.unwrap();
    // A live watch may be compacted away if it lagged behind a compaction, but then it must say so.
    let mut following = true;
    for place in 1..model.states.len() {
        let revision = Revision(first.0 + place as u64);
        for (watch, is_live) in [(&mut live, true), (&mut replay, false)] {
            if if is_live { !following } else { revision < replay_from } {
                continue;
            }
            let batch = match soon(watch.next()).await.unwrap() {
                Err(Error::Compacted { revision }) if is_live => {
                    assert_eq!(revision, model.compacted);
                    following = false;
                    continue;
                }
                batch => batch.unwrap(),
            };
            assert_eq!(batch.revision, revision);
            let count = batch.events.len();
            let events: BTreeMap<_, _> = batch
                .events
                .into_iter()
                .map(|event| match event {
                    Event::Put(entry) => (entry.key.clone(), Some(entry)),
                    Event::Delete { key, .. } => (key, None),
                })
                .collect();
            assert_eq!(count, events.len(), "each key once");
            assert_eq!(events, model.events(place), "at {revision}");
        }
    }
}

pub(crate) async fn random_transactions_match_the_model(backend: Backend) {
    let runtime = tokio::runtime::Handle::current();
    let histories = backend.histories;
    tokio::task::spawn_blocking(move || {
        let config = Config { cases: histories, failure_persistence: None, ..Config::default() };
        let number = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&steps(), |steps| {
                number.set(number.get() + 1);
                runtime.block_on(check(&*backend.store, &format!("/m/{:05}/", number.get()), &steps));
                Ok(())
            })
            .unwrap();
    })
    .await
    .unwrap();
}
