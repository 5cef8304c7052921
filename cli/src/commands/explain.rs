//! `dcos explain`: why an app is not running.

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, encode};
use crate::context::Context;
use crate::error::{Error, Kind, Outcome};
use crate::marathon::{
    V2, app_path, count, failure_reason, list, normalize_id, path_of, queued_id, refusal_meaning, refusals, text,
};
use crate::output::print_line;

/// Most apps of a group that are named.
const APPS_NAMED_MAX: usize = 20;

/// Arguments of `dcos explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos explain /web      which nodes refuse it and for what, what failed last, what to do")]
pub(crate) struct ExplainArgs {
    /// Id of the app
    app: String,
}

/// Runs `dcos explain`.
pub(crate) async fn run(context: &Context, args: ExplainArgs) -> Outcome {
    let id = app_id(&args.app)?;
    let client = context.client()?;
    let Some(answer) = client.find(&app_path(&id)).await? else { return Err(no_app(&client, &args.app, &id).await) };
    let app = answer.get("app").unwrap_or(&answer);
    let queue = client.get(&format!("{V2}/queue")).await?;
    let entry = list(&queue, "queue").iter().find(|entry| queued_id(entry) == id);
    let native = native(&client, &id).await?;
    if context.structured() {
        context.print(&json!({"app": app, "queue": entry, "explanation": native}))?;
        return Ok(0);
    }
    for line in lines(&id, app, entry, native.as_ref()) {
        print_line(&line)?;
    }
    Ok(0)
}

/// The id that `typed` means, when it can be that of one app.
fn app_id(typed: &str) -> Result<String, Error> {
    let id = normalize_id(typed);
    // Both would be answered with lists of apps.
    if id == "/" || id.split('/').any(|segment| segment == "*") {
        return Err(
            Error::usage(format!("'{typed}' names no app: give the id of one app, such as /web")).fix("dcos marathon app list")
        );
    }
    Ok(id)
}

/// Why there is no app `id`: it is a group, or was never one.
async fn no_app(client: &Client, typed: &str, id: &str) -> Error {
    // Whatever the answer is, there is no such app.
    let group = client.find(&path_of("groups", id)).await.ok().flatten();
    group.and_then(|group| not_an_app(id, &group)).unwrap_or_else(|| unknown_app(typed))
}

fn unknown_app(typed: &str) -> Error {
    let error = Error::not_found(format!("App '{typed}' does not exist"));
    let lower = typed.to_lowercase();
    if lower == typed {
        return error.fix("dcos marathon app list");
    }
    error.cause("ids of apps are lower case").fix(format!("dcos explain {lower}")).fix("dcos marathon app list")
}

/// That `id` is a group, with its apps; nothing when the group is empty.
fn not_an_app(id: &str, group: &Value) -> Option<Error> {
    let mut apps: Vec<&str> = Vec::new();
    let mut groups = vec![group];
    while let Some(group) = groups.pop() {
        apps.extend(list(group, "apps").iter().map(|app| text(app, "id")));
        groups.extend(list(group, "groups"));
    }
    apps.sort_unstable();
    let first = apps.first()?;
    let mut names = apps.iter().take(APPS_NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = apps.len().saturating_sub(APPS_NAMED_MAX);
    if more > 0 {
        names += &format!(" and {more} more");
    }
    let error =
        Error::usage(format!("'{id}' is a group and no app: explain one of its apps")).cause(format!("its apps: {names}"));
    Some(error.fix(format!("dcos explain {first}")))
}

/// The cluster's own explanation, when it gives one.
async fn native(client: &Client, id: &str) -> Result<Option<Value>, Error> {
    let path = id.trim_start_matches('/').split('/').map(encode).collect::<Vec<_>>().join("/");
    match client.get(&format!("/v1/apps/{path}/explain")).await {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind, Kind::Unreachable | Kind::Auth) => Err(error),
        // Clusters of other makes don't know this address, and say so in many ways.
        Err(_) => Ok(None),
    }
}

fn lines(id: &str, app: &Value, entry: Option<&Value>, native: Option<&Value>) -> Vec<String> {
    let total = count(app, "instances");
    let (running, healthy, staged) = (count(app, "tasksRunning"), count(app, "tasksHealthy"), count(app, "tasksStaged"));
    let mut state = format!("{id}: {running} of {total} instances run");
    if !list(app, "healthChecks").is_empty() {
        state += &format!(", {healthy} healthy");
    }
    if staged > 0 {
        state += &format!(", {staged} starting");
    }
    let mut lines = vec![state];
    let mut reasons = native_reasons(native);
    if let Some(entry) = entry {
        let waiting = count(entry, "count");
        lines.push(format!("{waiting} waiting to be launched since {}", text(entry, "since")));
        let delay = entry.get("delay").unwrap_or(&Value::Null);
        let left = count(delay, "timeLeftSeconds");
        let pausing = delay.get("overdue").and_then(Value::as_bool) == Some(false) && left > 0;
        if native.is_none() && pausing {
            reasons.push(format!("launching pauses after failures; next try in {left} s (now: dcos marathon delay reset {id})"));
        }
        for (reason, declined, processed) in refusals(entry) {
            let wanted = wanted(app, &reason).map_or(String::new(), |wanted| format!("; the app wants {wanted}"));
            reasons.push(format!("{reason}: {declined} of {processed} nodes, {}{wanted}", refusal_meaning(&reason)));
        }
    }
    if native.is_none() && (running < total || (healthy < running && !list(app, "healthChecks").is_empty())) {
        reasons.extend(failure_reason(app));
    }
    for deployment in list(app, "deployments") {
        reasons.push(format!("deployment {} is under way (dcos marathon deployment watch {0})", text(deployment, "id")));
    }
    if reasons.is_empty() && running >= total {
        reasons.push(if total == 0 {
            format!("it is stopped (dcos marathon app start {id})")
        } else {
            "all is as it should be".to_owned()
        });
    } else if reasons.is_empty() {
        reasons.push("the cluster gives no reason; look again in a moment".to_owned());
    }
    lines.extend(reasons.into_iter().map(|reason| format!("  - {reason}")));
    if let Some(hint) = native.and_then(|native| native.pointer("/pending/hint")?.as_str()) {
        lines.push(format!("  hint: {hint}"));
    }
    if staged == 0 && running > 0 && healthy < running && !list(app, "healthChecks").is_empty() {
        lines
            .push(format!("see its output: dcos task log {}", id.trim_start_matches('/').rsplit('/').next().unwrap_or_default()));
    }
    lines
}

/// What the app wants of the resource that a refusal is about.
fn wanted(app: &Value, reason: &str) -> Option<String> {
    let (field, unit) = match reason {
        "InsufficientCpus" => ("cpus", "CPUs"),
        "InsufficientMemory" => ("mem", "MiB of memory"),
        "InsufficientDisk" => return wanted_disk(app),
        "InsufficientGpus" => ("gpus", "GPUs"),
        "UnfulfilledConstraint" => {
            let demands = demands(app);
            return (!demands.is_empty()).then(|| demands.join(", "));
        }
        "InsufficientPorts" => {
            let ports = wanted_ports(app);
            return (!ports.is_empty()).then(|| ports.join(" and "));
        }
        _ => return None,
    };
    app.get(field).map(|amount| format!("{amount} {unit}"))
}

/// Host ports that an app wants: those it fixes, and how many it takes as they come.
fn wanted_ports(app: &Value) -> Vec<String> {
    let mappings = app.get("container").map_or(&[][..], |container| list(container, "portMappings"));
    let requests: Vec<u64> = if mappings.is_empty() {
        // Without `requirePorts` a port is that of the service, on which nothing listens.
        let is_fixed = app.get("requirePorts").and_then(Value::as_bool) == Some(true);
        list(app, "portDefinitions").iter().map(|port| if is_fixed { count(port, "port") } else { 0 }).collect()
    } else {
        mappings
            .iter()
            .filter(|mapping| mapping.get("hostPort").is_some_and(Value::is_number))
            .map(|m| count(m, "hostPort"))
            .collect()
    };
    let fixed: Vec<String> = requests.iter().filter(|port| **port != 0).map(u64::to_string).collect();
    let mut wanted = Vec::new();
    match fixed.as_slice() {
        [] => {}
        [port] => wanted.push(format!("port {port}")),
        ports => wanted.push(format!("ports {}", ports.join(", "))),
    }
    match requests.len() - fixed.len() {
        0 => {}
        1 => wanted.push("1 free host port".to_owned()),
        free => wanted.push(format!("{free} free host ports")),
    }
    wanted
}

/// Disk and what persistent volumes take of it: a node must have room for both.
fn wanted_disk(app: &Value) -> Option<String> {
    let volumes = app.get("container").map_or(&[][..], |container| list(container, "volumes"));
    let volumes: Vec<f64> = volumes.iter().filter_map(|volume| volume.pointer("/persistent/size")?.as_f64()).collect();
    if volumes.is_empty() {
        return app.get("disk").map(|disk| format!("{disk} MiB of disk"));
    }
    let volumes: f64 = volumes.into_iter().sum();
    let disk = app.get("disk").and_then(Value::as_f64).unwrap_or_default();
    let total = disk + volumes;
    Some(format!("{total} MiB of disk, {volumes} MiB of it for its volumes"))
}

/// Everything an app demands of where it runs: constraints, and the rules of `placement` without a weight.
fn demands(app: &Value) -> Vec<String> {
    let part = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
    let constraint =
        |constraint: &Value| -> String { constraint.as_array().into_iter().flatten().map(part).collect::<Vec<_>>().join(":") };
    let mut demands: Vec<String> = list(app, "constraints").iter().map(constraint).collect();
    let Some(placement) = app.get("placement") else { return demands };
    let required = |name: &str| list(placement, name).iter().filter(|rule| rule.get("weight").is_none_or(Value::is_null));
    if placement.get("onePerNode").and_then(Value::as_bool) == Some(true) {
        demands.push("one instance per node".to_owned());
    }
    for rule in required("spread") {
        let skew = count(rule, "maximumSkew").max(1);
        demands.push(format!("spread over {} with at most {skew} apart", text(rule, "field")));
    }
    for (name, word) in [("affinity", "affinity"), ("antiAffinity", "anti-affinity")] {
        for rule in required(name) {
            let field = Some(text(rule, "field")).filter(|field| !field.is_empty()).unwrap_or("hostname");
            let other = Some(text(rule, "app")).filter(|app| !app.is_empty());
            let other = other.map_or_else(|| format!("label {}", text(rule, "label")), str::to_owned);
            demands.push(format!("{word} to {other} by {field}"));
        }
    }
    demands
}

/// Reasons of the cluster's own explanation: texts, or objects with a `message` or `text`.
fn native_reasons(native: Option<&Value>) -> Vec<String> {
    let Some(native) = native else { return Vec::new() };
    let items = ["reasons", "because", "explanation"].iter().find_map(|key| native.get(*key)?.as_array());
    let to_text = |item: &Value| {
        let object = ["message", "text", "reason", "summary"].iter().find_map(|key| item.get(*key)?.as_str());
        item.as_str().or(object).map(str::to_owned)
    };
    items.into_iter().flatten().filter_map(to_text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_wanted() {
        let app: Value =
            serde_json::from_str(r#"{"id":"/big","instances":2,"tasksRunning":0,"cpus":64.0,"deployments":[]}"#).unwrap();
        let entry = json!({"count": 2, "since": "T", "delay": {"overdue": true}, "processedOffersSummary":
            {"rejectSummaryLastOffers": [{"reason": "InsufficientCpus", "declined": 3, "processed": 3}]}});
        assert_eq!(
            lines("/big", &app, Some(&entry), None),
            [
                "/big: 0 of 2 instances run",
                "2 waiting to be launched since T",
                "  - InsufficientCpus: 3 of 3 nodes, not enough free CPUs; the app wants 64.0 CPUs",
            ]
        );
    }

    #[test]
    fn volumes_are_part_of_the_disk() {
        let volumes = json!([{"containerPath": "a", "persistent": {"size": 100}}, {"containerPath": "b", "hostPath": "/b"}]);
        let app = json!({"disk": 10, "container": {"volumes": volumes}});
        assert_eq!(wanted(&app, "InsufficientDisk").unwrap(), "110 MiB of disk, 100 MiB of it for its volumes");
        assert_eq!(wanted(&json!({"disk": 5}), "InsufficientDisk").unwrap(), "5 MiB of disk");
    }

    #[test]
    fn every_demand_on_the_place_is_told() {
        let app = json!({"constraints": [["rack", "LIKE", "a|b"], ["hostname", "UNIQUE"]], "placement": {
            "onePerNode": true,
            "spread": [{"field": "@zone", "maximumSkew": 2}, {"field": "rack", "maximumSkew": 1, "weight": 5}],
            "affinity": [{"app": "/shop/cache", "field": "hostname"}],
            "antiAffinity": [{"label": "tier=db", "field": "rack"}, {"app": "/x", "field": "rack", "weight": 3}],
        }});
        assert_eq!(
            wanted(&app, "UnfulfilledConstraint").unwrap(),
            "rack:LIKE:a|b, hostname:UNIQUE, one instance per node, spread over @zone with at most 2 apart, \
             affinity to /shop/cache by hostname, anti-affinity to label tier=db by rack"
        );
        assert_eq!(wanted(&json!({"constraints": []}), "UnfulfilledConstraint"), None);
    }

    #[test]
    fn only_ports_that_are_fixed_are_wanted_by_number() {
        let mapped = |mappings: Value| json!({"portDefinitions": [{"port": 9}], "container": {"portMappings": mappings}});
        let service = json!([{"port": 10000}, {"port": 10001}]);
        for (app, wants) in [
            (mapped(json!([{"hostPort": 80}, {"containerPort": 1}])), Some("port 80")),
            (mapped(json!([{"hostPort": 80}, {"hostPort": 81}, {"hostPort": 0}])), Some("ports 80, 81 and 1 free host port")),
            (json!({"portDefinitions": service, "requirePorts": false}), Some("2 free host ports")),
            (json!({"portDefinitions": service, "requirePorts": true}), Some("ports 10000, 10001")),
            (json!({"portDefinitions": [{"port": 0}], "requirePorts": true}), Some("1 free host port")),
            (json!({"portDefinitions": []}), None),
        ] {
            assert_eq!(wanted(&app, "InsufficientPorts").as_deref(), wants, "{app}");
        }
    }

    #[test]
    fn what_is_no_app_is_told_as_typed() {
        for typed in ["/", "", "*", "/dev/*", "//"] {
            let error = app_id(typed).unwrap_err();
            assert!(error.kind == Kind::Usage && error.summary.contains(&format!("'{typed}' names no app")), "{}", error.summary);
        }
        assert_eq!(app_id("web").unwrap(), "/web");
        let error = unknown_app("/UP");
        assert_eq!(error.summary, "App '/UP' does not exist");
        assert!(error.cause.unwrap().contains("lower case") && error.fix[0] == "dcos explain /up");
        assert_eq!(unknown_app("/up").cause, None);
    }

    #[test]
    fn a_group_is_told_with_its_apps() {
        let apps = |ids: std::ops::Range<u32>| ids.map(|number| json!({"id": format!("/shop/a{number:02}")})).collect::<Vec<_>>();
        let group = json!({"id": "/shop", "apps": apps(0..15), "groups": [{"id": "/shop/b", "apps": apps(15..23)}]});
        let error = not_an_app("/shop", &group).unwrap();
        let cause = error.cause.unwrap();
        assert!(error.summary.contains("'/shop' is a group"), "{}", error.summary);
        assert!(cause.contains("/shop/a00") && cause.contains("/shop/a19 and 3 more") && !cause.contains("a20"), "{cause}");
        assert!(not_an_app("/empty", &json!({"id": "/empty", "apps": [], "groups": []})).is_none());
    }

    #[test]
    fn the_clusters_own_reasons_come_first() {
        let app = json!({"instances": 1, "tasksRunning": 0, "lastTaskFailure": {"state": "TASK_FAILED", "message": "m"}});
        let native = json!({"because": ["1 instances wait for a node"], "pending": {"hint": "lower cpus to 2"}});
        let expected = ["/a: 0 of 1 instances run", "  - 1 instances wait for a node", "  hint: lower cpus to 2"];
        assert_eq!(lines("/a", &app, None, Some(&native)), expected);
    }

    #[test]
    fn a_sound_app_is_called_so() {
        let app = json!({"instances": 1, "tasksRunning": 1});
        assert_eq!(lines("/a", &app, None, None)[1], "  - all is as it should be");
        assert!(lines("/a", &json!({"instances": 0}), None, None)[1].contains("stopped"));
    }
}
