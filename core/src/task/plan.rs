//! The decision table of an agent. One `match`; the agent acts on its result and on nothing else.

use crate::TaskId;
use std::collections::BTreeSet;

/// What the controller wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is assigned to this node.
    Run,
    /// It is assigned, and must be stopping.
    Stop,
    /// A snapshot does not mention it.
    Absent,
    /// The controller has taken note of its end.
    Forgotten,
}

/// What the agent knows of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It is being prepared or runs.
    Alive,
    /// It has been asked to stop and has not ended.
    Stopping,
    /// It has ended; its last report is kept.
    Ended,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Fetch, prepare and start it.
    Start,
    /// Ask it to end.
    Stop,
    /// Say again what is true of it.
    Report,
    /// Say that it was killed before it ever ran.
    ReportNeverRan,
    /// Drop its record.
    Reap,
    /// Nothing.
    Nothing,
}

/// What to do about one task. A task id names one launch, so that one that ended never starts again.
pub const fn plan(wanted: Wanted, known: Known) -> Action {
    match (wanted, known) {
        (Wanted::Run, Known::Nothing) => Action::Start,
        (Wanted::Run, Known::Alive | Known::Stopping | Known::Ended)
        | (Wanted::Stop, Known::Stopping | Known::Ended)
        | (Wanted::Absent, Known::Ended) => Action::Report,
        (Wanted::Stop, Known::Nothing) => Action::ReportNeverRan,
        (Wanted::Stop | Wanted::Absent, Known::Alive) => Action::Stop,
        (Wanted::Forgotten, Known::Ended) => Action::Reap,
        (Wanted::Absent, Known::Nothing | Known::Stopping)
        | (Wanted::Forgotten, Known::Nothing | Known::Alive | Known::Stopping) => Action::Nothing,
    }
}

/// What to do about every task when a snapshot of the node's assignments arrives: assigned ones in
/// the given order first, then the ones to stop, then those the snapshot does not mention.
pub fn plan_snapshot<'a>(
    assigned: impl IntoIterator<Item = TaskId>,
    stopping: impl IntoIterator<Item = TaskId>,
    known: impl IntoIterator<Item = &'a TaskId>,
    state: impl Fn(&TaskId) -> Known,
) -> Vec<(TaskId, Action)> {
    let stopping: BTreeSet<TaskId> = stopping.into_iter().collect();
    let mut listed: BTreeSet<TaskId> = stopping.clone();
    let mut actions = Vec::new();
    for task in assigned {
        if listed.insert(task.clone()) {
            let action = plan(Wanted::Run, state(&task));
            actions.push((task, action));
        }
    }
    for task in stopping {
        let action = plan(Wanted::Stop, state(&task));
        actions.push((task, action));
    }
    let absent: BTreeSet<&TaskId> = known.into_iter().filter(|task| !listed.contains(*task)).collect();
    actions.extend(absent.into_iter().map(|task| (task.clone(), plan(Wanted::Absent, state(task)))));
    actions.retain(|(_, action)| *action != Action::Nothing);
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_table() {
        use Known::{Alive, Ended, Nothing, Stopping};
        let rows = [
            (Wanted::Run, [Action::Start, Action::Report, Action::Report, Action::Report]),
            (Wanted::Stop, [Action::ReportNeverRan, Action::Stop, Action::Report, Action::Report]),
            (Wanted::Absent, [Action::Nothing, Action::Stop, Action::Nothing, Action::Report]),
            (Wanted::Forgotten, [Action::Nothing, Action::Nothing, Action::Nothing, Action::Reap]),
        ];
        for (wanted, actions) in rows {
            for (known, action) in [Nothing, Alive, Stopping, Ended].into_iter().zip(actions) {
                assert_eq!(plan(wanted, known), action, "{wanted:?} {known:?}");
            }
        }
    }

    fn task(number: u32) -> TaskId {
        TaskId::parse(&format!("web.instance-{}._app.{number}", uuid::Uuid::nil())).unwrap()
    }

    #[test]
    fn a_snapshot_starts_stops_and_reports() {
        let known: BTreeMap<TaskId, Known> = [(task(1), Known::Alive), (task(2), Known::Ended), (task(4), Known::Alive)].into();
        let state = |task: &TaskId| known.get(task).copied().unwrap_or(Known::Nothing);
        let actions = plan_snapshot([task(1), task(3), task(4), task(3)], [task(4), task(5)], known.keys(), state);
        assert_eq!(
            actions,
            [
                (task(1), Action::Report),
                (task(3), Action::Start),
                (task(4), Action::Stop),
                (task(5), Action::ReportNeverRan),
                (task(2), Action::Report),
            ]
        );
    }

    proptest::proptest! {
        /// Once carried out, the same snapshot asks for nothing but reports.
        #[test]
        fn a_snapshot_is_idempotent(assigned in proptest::collection::vec(0u32..8, 0..8), stopping in proptest::collection::vec(0u32..8, 0..4), alive in proptest::collection::vec(0u32..8, 0..8)) {
            let mut known: BTreeMap<TaskId, Known> = alive.into_iter().map(|n| (task(n), Known::Alive)).collect();
            let run = |known: &BTreeMap<TaskId, Known>| plan_snapshot(
                assigned.iter().map(|n| task(*n)), stopping.iter().map(|n| task(*n)), known.keys(),
                |task| known.get(task).copied().unwrap_or(Known::Nothing));
            for (task, action) in run(&known) {
                let state = match action { Action::Start => Known::Alive, Action::Stop => Known::Stopping, Action::ReportNeverRan => Known::Ended, _ => continue };
                known.insert(task, state);
            }
            for (_, action) in run(&known) {
                proptest::prop_assert_eq!(action, Action::Report);
            }
        }
    }
}
