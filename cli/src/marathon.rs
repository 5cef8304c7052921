//! Paths, answers and reasons of Marathon's API.

use serde_json::Value;

use crate::client::encode;
use crate::error::{Error, Kind};

/// Version 2 of the API; the client puts Marathon's address in front.
pub(crate) const V2: &str = "marathon:/v2";

/// An absolute id.
pub(crate) fn normalize_id(id: &str) -> String {
    crate::spec::absolute(id, "/")
}

/// Path of an app.
pub(crate) fn app_path(id: &str) -> String {
    path_of("apps", id)
}

/// Path of a thing whose id is a path.
pub(crate) fn path_of(collection: &str, id: &str) -> String {
    let segments: Vec<String> = normalize_id(id).split('/').map(encode).collect();
    let joined = segments.join("/");
    format!("{V2}/{collection}{}", if joined == "/" { "" } else { &joined })
}

/// `?a=b&c` from the parts that are present.
pub(crate) fn query(parts: &[Option<String>]) -> String {
    let present: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    if present.is_empty() { String::new() } else { format!("?{}", present.join("&")) }
}

/// `force=true` when asked for.
pub(crate) fn force(force: bool) -> Option<String> {
    force.then(|| "force=true".to_owned())
}

/// The deployment that an answer started.
pub(crate) fn deployment_id(answer: &Value) -> Option<&str> {
    answer.get("deploymentId").or_else(|| answer.get("deployments")?.as_array()?.last()?.get("id")).and_then(Value::as_str)
}

/// Says what can be done about a lock, with the deployments that hold it.
pub(crate) fn explain_lock(error: Error, deployments: &[String]) -> Error {
    if error.kind != Kind::Conflict {
        return error;
    }
    let Some(first) = deployments.first() else { return error };
    error
        .cause(format!("running deployments: {}", deployments.join(", ")))
        .fix(format!("wait for it: dcos marathon deployment watch {first}"))
        .fix(format!("undo it: dcos marathon deployment rollback {first}"))
        .fix("override it: the same command with --force")
}

/// A list of an object, empty when it is missing or null.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text of an object, empty when it is missing.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number of an object, 0 when it is missing.
pub(crate) fn count(value: &Value, key: &str) -> u64 {
    value.get(key).map_or(0, |number| number.as_u64().unwrap_or_else(|| number.as_f64().map_or(0, |float| float as u64)))
}

/// What a refusal reason of the launch queue means to a person.
pub(crate) fn refusal_meaning(reason: &str) -> &'static str {
    match reason {
        "QuotaReached" => "the quota of its role, or what is guaranteed to other roles, leaves no room",
        "UnfulfilledRole" => "resources are reserved for another role",
        "UnfulfilledConstraint" => "a placement constraint excludes the node",
        "NoCorrespondingReservationFound" => "the node has no reservation for this app",
        "AgentMaintenance" => "the node is lost, closed or draining",
        "InsufficientCpus" => "not enough free CPUs",
        "InsufficientMemory" => "not enough free memory",
        "InsufficientDisk" => "not enough free disk",
        "InsufficientGpus" => "not enough free GPUs",
        "InsufficientResources" => "not enough free of a resource with a name of its own",
        "InsufficientPorts" => "a wanted port is taken or not offered, or none is free",
        "MissingExecutor" => "the node has no Docker Engine, which images need",
        "TooManyTasks" => "the node runs as many tasks as one node may",
        "DeclinedScarceResources" => "the node is kept for apps that need its GPUs",
        _ => "the node does not fit",
    }
}

/// The refusals of a queue entry that count, in the order in which nodes are asked, as `(reason, declined, processed)`.
pub(crate) fn refusals(entry: &Value) -> Vec<(String, u64, u64)> {
    let summary = entry.get("processedOffersSummary").unwrap_or(&Value::Null);
    list(summary, "rejectSummaryLastOffers")
        .iter()
        .map(|refusal| (text(refusal, "reason").to_owned(), count(refusal, "declined"), count(refusal, "processed")))
        .filter(|(_, declined, _)| *declined > 0)
        .collect()
}

/// One line on why an app of the launch queue has not started, if the queue knows.
pub(crate) fn waiting_reason(entry: &Value) -> Option<String> {
    let delay = entry.get("delay").unwrap_or(&Value::Null);
    let refusals = refusals(entry);
    if !refusals.is_empty() {
        let texts: Vec<String> = refusals
            .iter()
            .map(|(reason, declined, processed)| {
                format!("{reason} on {declined} of {processed} nodes ({})", refusal_meaning(reason))
            })
            .collect();
        return Some(format!("no node fits: {}", texts.join(", ")));
    }
    let left = count(delay, "timeLeftSeconds");
    if delay.get("overdue").and_then(Value::as_bool) == Some(false) && left > 0 {
        return Some(format!("backing off after failures, next try in {left} s"));
    }
    None
}

/// One line on an app's last failed task.
pub(crate) fn failure_reason(app: &Value) -> Option<String> {
    let failure = app.get("lastTaskFailure").filter(|failure| failure.is_object())?;
    let state = text(failure, "state").trim_start_matches("TASK_").to_lowercase();
    let message = match text(failure, "message").trim() {
        "" => "no message",
        message => message,
    };
    let host = match text(failure, "host") {
        "" => String::new(),
        host => format!(" on {host}"),
    };
    Some(format!("last task {state}{host}: {message}"))
}

/// Id of the app or pod of a queue entry.
pub(crate) fn queued_id(entry: &Value) -> &str {
    entry.get("app").or_else(|| entry.get("pod")).map_or("", |spec| text(spec, "id"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded() {
        assert_eq!(app_path("web"), "marathon:/v2/apps/web");
        assert_eq!(app_path("/a/b c"), "marathon:/v2/apps/a/b%20c");
        assert_eq!(path_of("groups", "/"), "marathon:/v2/groups");
        assert_eq!(query(&[None, Some("a=1".into()), force(true)]), "?a=1&force=true");
        assert_eq!(query(&[force(false)]), "");
    }

    #[test]
    fn deployments_are_found_in_both_answers() {
        assert_eq!(deployment_id(&json!({"deploymentId": "d"})), Some("d"));
        assert_eq!(deployment_id(&json!({"id": "/a", "deployments": [{"id": "d"}]})), Some("d"));
        assert_eq!(deployment_id(&json!({"deployments": []})), None);
    }

    #[test]
    fn reasons_are_told_in_one_line() {
        let entry = json!({"delay": {"overdue": true, "timeLeftSeconds": 0}, "processedOffersSummary": {
            "rejectSummaryLastOffers": [{"reason": "InsufficientMemory", "declined": 0, "processed": 0},
                {"reason": "InsufficientCpus", "declined": 2, "processed": 3}]}});
        assert_eq!(waiting_reason(&entry).unwrap(), "no node fits: InsufficientCpus on 2 of 3 nodes (not enough free CPUs)");
        let entry = json!({"delay": {"overdue": false, "timeLeftSeconds": 7}});
        assert_eq!(waiting_reason(&entry).unwrap(), "backing off after failures, next try in 7 s");
        assert_eq!(waiting_reason(&json!({})), None);
        let app = json!({"lastTaskFailure": {"state": "TASK_FAILED", "message": "exit 1", "host": "n1"}});
        assert_eq!(failure_reason(&app).unwrap(), "last task failed on n1: exit 1");
    }
}
