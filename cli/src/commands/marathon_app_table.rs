//! The table of `dcos marathon app list`.

use serde_json::Value;

use crate::marathon::{count, list, queued_id, text};
use crate::output::{Align, EMPTY, Table, cell, shorten};

/// Longest command in `app list`.
const LIST_COMMAND: usize = 35;

/// The table of `app list`.
pub(crate) fn app_table(apps: &[Value], deployments: &[Value], queue: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("MEM", Align::Center),
        ("CPUS", Align::Center),
        ("TASKS", Align::Center),
        ("HEALTH", Align::Center),
        ("DEPLOYMENT", Align::Center),
        ("WAITING", Align::Left),
        ("CONTAINER", Align::Center),
        ("CMD", Align::Left),
    ]);
    for app in apps {
        let id = text(app, "id");
        let running = count(app, "tasksRunning");
        let health = if list(app, "healthChecks").is_empty() {
            EMPTY.to_owned()
        } else {
            format!("{}/{running}", count(app, "tasksHealthy"))
        };
        let overdue = queue
            .iter()
            .find(|entry| queued_id(entry) == id)
            .and_then(|entry| entry.pointer("/delay/overdue")?.as_bool())
            .unwrap_or(false);
        let command = match app.get("cmd").filter(|cmd| !cmd.is_null()) {
            Some(cmd) => cell(cmd),
            None => cell(app.get("args").unwrap_or(&Value::Null)),
        };
        let container = app.pointer("/container/type").and_then(Value::as_str).unwrap_or("mesos");
        let number = |key: &str| app.get(key).map_or_else(|| "N/A".to_owned(), cell);
        table.push(vec![
            id.to_owned(),
            number("mem"),
            number("cpus"),
            format!("{running}/{}", count(app, "instances")),
            health,
            actions(app, deployments),
            cell(&Value::Bool(overdue)),
            container.to_owned(),
            shorten(&command, LIST_COMMAND),
        ]);
    }
    table.sort_by_column(0);
    table
}

/// What the deployments of an app do to it now.
fn actions(app: &Value, deployments: &[Value]) -> String {
    let mine: Vec<&str> = list(app, "deployments").iter().map(|deployment| text(deployment, "id")).collect();
    let found: Vec<String> = deployments
        .iter()
        .filter(|deployment| mine.contains(&text(deployment, "id")))
        .flat_map(|deployment| list(deployment, "currentActions"))
        .filter(|action| text(action, "app") == text(app, "id"))
        .map(|action| action_word(text(action, "action")))
        .collect();
    match found.as_slice() {
        [] => EMPTY.to_owned(),
        [one] => one.clone(),
        many => format!("({})", many.join(", ")),
    }
}

/// Short word for an action of a deployment.
pub(crate) fn action_word(action: &str) -> String {
    match action {
        "ResolveArtifacts" => "artifacts".to_owned(),
        "KillAllOldTasksOf" => "kill-tasks".to_owned(),
        other => other.trim_end_matches("Application").trim_end_matches("Pod").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_is_the_original_one() {
        let apps: Value = serde_json::from_str(
            r#"[{"id":"/web","mem":128.0,"cpus":0.1,"instances":2,"tasksRunning":1,"tasksHealthy":1,"healthChecks":[{}],
                "deployments":[{"id":"d"}],"container":{"type":"DOCKER"},"cmd":null,"args":["a","b"]},
               {"id":"/a","mem":64,"cpus":1,"instances":1,"tasksRunning":1,"healthChecks":[],"deployments":[],
                "cmd":"python3 -m http.server 8080 --bind 0.0.0.0"}]"#,
        )
        .unwrap();
        let deployments = [json!({"id": "d", "currentActions": [{"action": "ScaleApplication", "app": "/web"}]})];
        let queue = [json!({"app": {"id": "/web"}, "delay": {"overdue": true}})];
        let text = app_table(apps.as_array().unwrap(), &deployments, &queue).render();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "ID     MEM   CPUS  TASKS  HEALTH  DEPLOYMENT  WAITING  CONTAINER  CMD",
                "/a      64    1     1/1    ---       ---      False      mesos    python3 -m http.server 8080...",
                "/web  128.0  0.1    1/2    1/1      scale     True       DOCKER   ['a', 'b']",
            ]
        );
    }

    #[test]
    fn actions_have_short_words() {
        for (action, word) in [("ScaleApplication", "scale"), ("RestartPod", "restart"), ("ResolveArtifacts", "artifacts")] {
            assert_eq!(action_word(action), word);
        }
    }
}
