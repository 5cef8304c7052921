//! Error answers of Marathon (marathon.md 1.1), each as status and body.

use orrery_core::cluster::EditError;
use orrery_core::{AppId, Fault, Timestamp};
use serde_json::{Value, json};

/// HTTP status and JSON body.
pub type Answer = (u16, Value);

/// A body that is no JSON. `details` is the parser's text.
pub fn invalid_json(details: &str) -> Answer {
    (400, json!({"message": "Invalid JSON", "details": details}))
}

/// A body that is JSON of the wrong kind.
pub fn unmappable(details: &str) -> Answer {
    (400, json!({"message": "Please specify data in JSON format", "details": details}))
}

/// Faults of a spec, grouped by path as Marathon does. Types and rules alike answer 422.
pub fn invalid_object(faults: &[Fault]) -> Answer {
    let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
    for fault in faults {
        let text = match &fault.value {
            Some(value) => format!("{} (given: {value})", fault.message),
            None => fault.message.clone(),
        };
        match grouped.iter_mut().find(|(path, _)| *path == fault.path) {
            Some((_, errors)) => errors.push(text),
            None => grouped.push((fault.path.clone(), vec![text])),
        }
    }
    let details: Vec<Value> = grouped.iter().map(|(path, errors)| json!({"path": path, "errors": errors})).collect();
    (422, json!({"message": "Object is not valid", "details": details}))
}

/// A bad parameter: label selector, time, version of a rollback.
pub fn bad_argument(message: &str) -> Answer {
    (422, json!({"message": message}))
}

/// POST of an app that exists.
pub fn app_exists(id: &AppId) -> Answer {
    (409, json!({"message": format!("An app with id [{id}] already exists.")}))
}

/// POST of a group that exists.
pub fn group_exists(id: &str) -> Answer {
    (409, json!({"message": format!("Group {id} is already created. Use PUT to change this group.")}))
}

/// POST of a group where an app has that path.
pub fn path_taken(id: &str) -> Answer {
    (409, json!({"message": format!("An app with the path {id} already exists.")}))
}

/// The app is being changed.
pub fn locked<T: std::fmt::Display>(deployments: &[T]) -> Answer {
    let ids: Vec<Value> = deployments.iter().map(|id| json!({"id": id.to_string()})).collect();
    let message = "App is locked by one or more deployments. Override with the option '?force=true'. \
                   View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
    (409, json!({"message": message, "deployments": ids}))
}

/// No such app, or no such version of it.
pub fn no_app(id: &str, version: Option<Timestamp>) -> Answer {
    not_found("App", id, version)
}

/// No such group, or no such version of it.
pub fn no_group(id: &str, version: Option<Timestamp>) -> Answer {
    not_found("Group", id, version)
}

/// No such pod.
pub fn no_pod(id: &str) -> Answer {
    not_found("Pod", id, None)
}

/// No such task.
pub fn no_task(id: &str) -> Answer {
    not_found("Task", id, None)
}

/// No such app or group.
pub fn no_path(id: &str) -> Answer {
    not_found("Path", id, None)
}

fn not_found(kind: &str, id: &str, version: Option<Timestamp>) -> Answer {
    let suffix = version.map(|version| format!(" in version {version}")).unwrap_or_default();
    (404, json!({"message": format!("{kind} '{id}' does not exist{suffix}")}))
}

/// No such deployment.
pub fn no_deployment(id: &str) -> Answer {
    (404, json!({"message": format!("DeploymentPlan {id} does not exist")}))
}

/// No controller leads.
pub fn no_leader() -> Answer {
    (404, json!({"message": "There is no leader"}))
}

/// DELETE of tasks with both `scale` and `wipe`.
pub fn scale_and_wipe() -> Answer {
    (400, json!({"message": "You cannot use scale and wipe at the same time."}))
}

/// A text that is no task id.
pub fn bad_task_id(id: &str, reason: &str) -> Answer {
    (400, json!({"message": format!("Invalid task id '{id}'. [{reason}]")}))
}

/// Too many deployments at once.
pub fn too_many_deployments(limit: usize) -> Answer {
    let message = format!(
        "Max number ({limit}) of running deployments is achieved. Wait for existing deployments to complete or cancel one using force=true parameter."
    );
    (403, json!({"message": message}))
}

/// Not logged in.
pub fn unauthenticated() -> Answer {
    (401, json!({"message": "Invalid username or password."}))
}

/// Logged in, but not allowed.
pub fn forbidden() -> Answer {
    (403, json!({"message": "Not Authorized to perform this action!"}))
}

/// The store does not answer.
pub fn unavailable(message: &str) -> Answer {
    (503, json!({"message": message}))
}

/// A path that does not exist. Marathon answers 500, which helps nobody: 404 here.
pub fn unmapped_path() -> Answer {
    (404, json!({"message": "URI not found"}))
}

/// A method the path does not have.
pub fn wrong_method() -> Answer {
    (405, json!({"message": "HTTP 405 Method Not Allowed"}))
}

/// A body above its limit.
pub fn body_too_large(limit_bytes: usize) -> Answer {
    (413, json!({"message": format!("The body is larger than {limit_bytes} bytes")}))
}

/// The answer to a refused edit.
pub fn refused_edit(error: &EditError) -> Answer {
    match error {
        EditError::Exists(id) => app_exists(id),
        EditError::NoApp(id) => no_app(id.as_str(), None),
        EditError::NoVersion(id, version) => no_app(id.as_str(), Some(*version)),
        EditError::NoDeployment(id) => no_deployment(id),
        EditError::NoTask(id) => no_task(id),
        EditError::Locked(deployments) => locked(deployments),
        EditError::Invalid(faults) => invalid_object(faults),
        EditError::Trust(_) => (403, json!({"message": error.to_string()})),
        EditError::NotQueued(_) | EditError::NoPackage(_) | EditError::NoRepository | EditError::NoNode(_) => {
            (404, json!({"message": error.to_string()}))
        }
        EditError::NodeRetired(_) => (410, json!({"message": error.to_string()})),
        EditError::PackageInstalled | EditError::RepositoryPresent(_) | EditError::NodeAlive(_) => {
            (409, json!({"message": error.to_string()}))
        }
        EditError::RepositoryIndex { .. } | EditError::Role(_) | EditError::Claim(_) => bad_argument(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_faults_by_path() {
        let faults = [Fault::new("/cpus", "a").with_value(1), Fault::new("/mem", "b"), Fault::new("/cpus", "c")];
        let (status, body) = invalid_object(&faults);
        assert_eq!(status, 422);
        assert_eq!(
            body["details"],
            json!([{"path": "/cpus", "errors": ["a (given: 1)", "c"]}, {"path": "/mem", "errors": ["b"]}])
        );
        let id = AppId::parse("/x").unwrap();
        assert_eq!(refused_edit(&EditError::Exists(id.clone())).1["message"], "An app with id [/x] already exists.");
        let (status, body) = refused_edit(&EditError::NoVersion(id, Timestamp::EPOCH));
        assert_eq!(
            (status, body["message"].as_str()),
            (404, Some("App '/x' does not exist in version 1970-01-01T00:00:00.000Z"))
        );
        assert_eq!(locked(&["d"]).1["deployments"], json!([{"id": "d"}]));
    }
}
