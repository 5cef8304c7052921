//! The package service: its media types and what its errors mean.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::client::Client;
use crate::document::brief;
use crate::error::{Error, Fault, Kind};
use crate::failure::status_error;
use crate::position::to_pointer;

/// One call: its path, the name in its media types, and the version of the answer that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    path: &'static str,
    name: &'static str,
    version: u8,
}

const fn call(path: &'static str, name: &'static str, version: u8) -> Call {
    Call { path, name, version }
}

pub(crate) const SEARCH: Call = call("/package/search", "package.search", 1);
pub(crate) const DESCRIBE: Call = call("/package/describe", "package.describe", 3);
pub(crate) const LIST_VERSIONS: Call = call("/package/list-versions", "package.list-versions", 1);
pub(crate) const RENDER: Call = call("/package/render", "package.render", 1);
pub(crate) const INSTALL: Call = call("/package/install", "package.install", 2);
pub(crate) const LIST: Call = call("/package/list", "package.list", 1);
pub(crate) const UNINSTALL: Call = call("/package/uninstall", "package.uninstall", 1);
pub(crate) const REPOSITORY_LIST: Call = call("/package/repository/list", "package.repository.list", 1);
pub(crate) const REPOSITORY_ADD: Call = call("/package/repository/add", "package.repository.add", 1);
pub(crate) const REPOSITORY_DELETE: Call = call("/package/repository/delete", "package.repository.delete", 1);

fn media_type(name: &str, role: &str, version: u8) -> String {
    format!("application/vnd.dcos.{name}-{role}+json;charset=utf-8;version=v{version}")
}

/// Calls the package service.
pub(crate) async fn post(client: &Client, call: Call, body: &Value) -> Result<Value, Error> {
    let accept = media_type(call.name, "response", call.version);
    let content_type = media_type(call.name, "request", 1);
    let headers = [("accept", accept.as_str()), ("content-type", content_type.as_str())];
    let reply = client.send(Method::POST, call.path, &headers, Some(body.to_string().into_bytes())).await?;
    if reply.status.is_success() {
        return reply.json();
    }
    let value: Option<Value> = serde_json::from_slice(&reply.body).ok();
    match value.as_ref().and_then(|value| value.get("type")?.as_str().map(|kind| (kind, value))) {
        Some((kind, value)) if !matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(to_error(kind, value, reply.status))
        }
        _ => Err(status_error(&reply)),
    }
}

/// What an error document means and what to do about it.
fn to_error(kind: &str, value: &Value, status: StatusCode) -> Error {
    let data = value.get("data").unwrap_or(&Value::Null);
    let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    let message = value.get("message").and_then(Value::as_str).unwrap_or(kind).to_owned();
    let class = match kind {
        "PackageNotFound"
        | "VersionNotFound"
        | "PackageNotInstalled"
        | "PackageFileMissing"
        | "MarathonAppNotFound"
        | "UninstallNonExistentAppForPackage"
        | "RepositoryNotPresent" => Kind::NotFound,
        "PackageAlreadyInstalled" | "ServiceAlreadyStarted" | "ConcurrentAccess" | "RepositoryAlreadyPresent" => Kind::Conflict,
        _ if status.is_server_error() => Kind::General,
        _ => Kind::Usage,
    };
    let error = Error::new(class, message);
    let package = text("packageName");
    match kind {
        "PackageNotFound" => error.fix(format!("dcos package search {package}")).fix("dcos package repo list"),
        "VersionNotFound" => error.fix(format!("dcos package describe {package} --package-versions")),
        "PackageAlreadyInstalled" => error
            .fix("install another instance under another name: --app-id=/other-name")
            .fix("see what is installed: dcos package list"),
        "AmbiguousAppId" => error
            .fix(format!("choose one: dcos package uninstall {package} --app-id=ID"))
            .fix(format!("take all: dcos package uninstall {package} --all")),
        "JsonSchemaMismatch" => {
            let faults = schema_faults(data);
            if faults.is_empty() {
                return error.cause(data.to_string());
            }
            // The faults follow one by one; the message would tell them again.
            let short = error.summary.split(": ").next().unwrap_or_default().to_owned();
            Error { summary: short, ..error }.faults(faults)
        }
        "multiple_errors" => {
            let messages: Vec<String> = data
                .get("errors")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|error| error.get("message")?.as_str().map(str::to_owned))
                .collect();
            error.cause(messages.join("\n"))
        }
        _ => error,
    }
}

/// The faults of options against their schema.
fn schema_faults(data: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    for error in data.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let pointer = error.pointer("/instance/pointer").and_then(Value::as_str).unwrap_or_default();
        let path = to_pointer(pointer);
        let names = |key: &str| -> Vec<String> {
            let items = error.get(key).and_then(Value::as_array);
            items.into_iter().flatten().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
        };
        let unwanted = names("unwanted");
        for name in &unwanted {
            let path = format!("{path}/{}", crate::position::escape(name));
            faults.push(Fault { path, message: "there is no such option".to_owned(), ..Fault::default() });
        }
        if !unwanted.is_empty() {
            continue;
        }
        let missing = names("missing");
        let expected = names("expected");
        let message = if !missing.is_empty() {
            format!("required but missing: {}", missing.join(", "))
        } else if let (Some(found), false) = (error.get("found").and_then(Value::as_str), expected.is_empty()) {
            format!("must be of type {}, not {found}", expected.join(" or "))
        } else {
            error.get("message").and_then(Value::as_str).unwrap_or("does not match the schema").to_owned()
        };
        let value = error.get("value").map(brief);
        faults.push(Fault { path, value, message, ..Fault::default() });
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn media_types_are_spelled_as_clients_expect() {
        assert_eq!(
            media_type(DESCRIBE.name, "response", DESCRIBE.version),
            "application/vnd.dcos.package.describe-response+json;charset=utf-8;version=v3"
        );
    }

    #[test]
    fn schema_mismatches_become_faults() {
        let body = json!({"type": "JsonSchemaMismatch", "message": "Options JSON failed validation", "data": {"errors": [
            {"instance": {"pointer": "/service/cpus"}, "keyword": "type", "found": "string", "expected": ["number"]},
            {"instance": {"pointer": "/service"}, "keyword": "additionalProperties", "unwanted": ["foo", "bar"]},
            {"instance": {"pointer": ""}, "keyword": "required", "missing": ["service"]},
            {"instance": {"pointer": "/n"}, "keyword": "minimum", "message": "too small"}]}});
        let error = to_error("JsonSchemaMismatch", &body, StatusCode::BAD_REQUEST);
        let faults: Vec<_> = error.faults.iter().map(|f| (f.path.as_str(), f.message.as_str())).collect();
        assert_eq!(
            faults,
            [
                ("/service/cpus", "must be of type number, not string"),
                ("/service/foo", "there is no such option"),
                ("/service/bar", "there is no such option"),
                ("", "required but missing: service"),
                ("/n", "too small"),
            ]
        );
    }

    #[test]
    fn unknown_packages_suggest_a_search() {
        let body = json!({"type": "PackageNotFound", "message": "Package [x] not found", "data": {"packageName": "x"}});
        let error = to_error("PackageNotFound", &body, StatusCode::BAD_REQUEST);
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(error.fix[0], "dcos package search x");
    }
}
