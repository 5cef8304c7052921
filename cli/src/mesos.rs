//! The state of the cluster as Mesos tells it: tasks with the node and framework they belong to.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::marathon::{list, text};

/// States that a task does not leave.
const COMPLETED: &[&str] = &[
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
    "TASK_DROPPED",
    "TASK_UNREACHABLE",
    "TASK_UNKNOWN",
];

/// Which tasks are meant.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Which {
    /// Running and completed ones.
    pub(crate) all: bool,
    /// Completed ones only.
    pub(crate) completed: bool,
}

/// A task with its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) value: Value,
    /// User of the framework.
    pub(crate) user: String,
    /// Its node, when the node is known.
    pub(crate) node: Option<Value>,
}

impl Task {
    pub(crate) fn id(&self) -> &str {
        text(&self.value, "id")
    }

    pub(crate) fn node_id(&self) -> &str {
        text(&self.value, "slave_id")
    }

    /// Host name of its node.
    pub(crate) fn host(&self) -> Option<&str> {
        self.node.as_ref().map(|node| text(node, "hostname"))
    }
}

/// The state of the leading master.
pub(crate) async fn state(client: &Client) -> Result<Value, Error> {
    client.get("/mesos/master/state").await
}

/// Tasks that match a filter: a part of the id, or a pattern with `*`, `?` and `[…]`. Sorted by name and id.
pub(crate) fn tasks(state: &Value, filter: Option<&str>, which: Which) -> Vec<Task> {
    let mut found = Vec::new();
    let frameworks = list(state, "frameworks").iter().chain(list(state, "completed_frameworks"));
    for framework in frameworks {
        let running = list(framework, "tasks").iter();
        let finished: &[Value] = if which.all || which.completed { list(framework, "completed_tasks") } else { &[] };
        for task in running.chain(finished) {
            let id = text(task, "id");
            let over = COMPLETED.contains(&text(task, "state"));
            if (which.completed && !over) || filter.is_some_and(|filter| !id.contains(filter) && !matches(filter, id)) {
                continue;
            }
            let node = list(state, "slaves").iter().find(|node| text(node, "id") == text(task, "slave_id"));
            found.push(Task { value: task.clone(), user: text(framework, "user").to_owned(), node: node.cloned() });
        }
    }
    found.sort_by(|a, b| (text(&a.value, "name"), a.id()).cmp(&(text(&b.value, "name"), b.id())));
    found
}

/// The one task that a filter means, with advice when it means none or several.
pub(crate) fn single(state: &Value, filter: &str, which: Which) -> Result<Task, Error> {
    let mut found = tasks(state, Some(filter), which);
    if let Some(exact) = found.iter().position(|task| task.id() == filter) {
        return Ok(found.swap_remove(exact));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let completed = tasks(state, Some(filter), Which { all: false, completed: true }).len();
            if completed > 0 && !which.completed {
                let them = if completed == 1 {
                    "is 1 matching completed task".to_owned()
                } else {
                    format!("are {completed} matching completed tasks")
                };
                return Err(Error::not_found(format!("No running tasks match ID [{filter}]; however, there {them}."))
                    .fix("the same command with --completed"));
            }
            Err(Error::not_found(format!("Cannot find a task with ID containing \"{filter}\"")).fix("dcos task list --all"))
        }
        _ => {
            let ids: Vec<&str> = found.iter().take(10).map(Task::id).collect();
            Err(Error::usage(format!("found more than one task with the same name: {}", ids.join(", ")))
                .fix("use one of these ids"))
        }
    }
}

/// Shell wildcards over a whole text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut here) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(_) if let Some(next) = one(&pattern, at, name[here]) => {
                at = next;
                here += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    at = back + 1;
                    here = from + 1;
                    star = Some((back, here));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Where the pattern goes on when its part at `at` takes `letter`.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    match pattern[at] {
        '?' => Some(at + 1),
        '[' => {
            let start = at + 1 + usize::from(pattern.get(at + 1) == Some(&'!'));
            // A bracket right after the opening one is a member.
            let end = pattern.iter().skip(start + 1).position(|c| *c == ']').map(|offset| start + 1 + offset);
            let Some(end) = end else { return (letter == '[').then_some(at + 1) };
            let mut inside = false;
            let mut index = start;
            while index < end {
                if index + 2 < end && pattern[index + 1] == '-' {
                    inside |= (pattern[index]..=pattern[index + 2]).contains(&letter);
                    index += 3;
                } else {
                    inside |= pattern[index] == letter;
                    index += 1;
                }
            }
            (inside != (start > at + 1)).then_some(end + 1)
        }
        other => (other == letter).then_some(at + 1),
    }
}

/// Region and zone of a node or master.
pub(crate) fn fault_domain(value: &Value) -> (Option<String>, Option<String>) {
    let part =
        |kind: &str| value.pointer(&format!("/domain/fault_domain/{kind}/name")).and_then(Value::as_str).map(str::to_owned);
    (part("region"), part("zone"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn example() -> Value {
        json!({"slaves": [{"id": "S1", "hostname": "n1"}], "frameworks": [{"user": "root", "tasks": [
            {"id": "web.1", "name": "web", "state": "TASK_RUNNING", "slave_id": "S1"},
            {"id": "api.1", "name": "api", "state": "TASK_RUNNING", "slave_id": "S2"}],
            "completed_tasks": [{"id": "web.0", "name": "web", "state": "TASK_FAILED", "slave_id": "S1"}]}]})
    }

    fn ids(filter: Option<&str>, all: bool, completed: bool) -> Vec<String> {
        tasks(&example(), filter, Which { all, completed }).iter().map(|task| task.id().to_owned()).collect()
    }

    #[test]
    fn tasks_are_filtered() {
        assert_eq!(ids(None, false, false), ["api.1", "web.1"]);
        assert_eq!(ids(None, true, false), ["api.1", "web.0", "web.1"]);
        assert_eq!(ids(None, false, true), ["web.0"]);
        assert_eq!(ids(Some("we"), false, false), ["web.1"]);
        assert_eq!(ids(Some("*.1"), true, false), ["api.1", "web.1"]);
    }

    #[test]
    fn one_task_is_meant() {
        let state = example();
        assert_eq!(single(&state, "web", Which::default()).unwrap().host(), Some("n1"));
        assert!(single(&state, ".1", Which::default()).unwrap_err().summary.contains("more than one"));
        assert!(single(&state, "web.0", Which::default()).unwrap_err().summary.contains("1 matching completed task"));
        assert!(single(&state, "none", Which::default()).unwrap_err().summary.contains("Cannot find"));
    }

    #[test]
    fn wildcards_match_as_in_a_shell() {
        let cases = [
            ("web*", "web.1", true),
            ("*b*1", "web.1", true),
            ("we?.1", "web.1", true),
            ("web", "web.1", false),
            ("[a-w]eb*", "web.1", true),
            ("[!w]eb*", "web.1", false),
            ("*", "", true),
            ("?", "", false),
            ("[", "[", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[a-c*?\\[\\]!-]{0,12}", name in "[a-c]{0,12}") {
            let _ = matches(&pattern, &name);
        }
    }
}
