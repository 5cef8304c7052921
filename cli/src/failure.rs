//! Why an answer is a failure, or why none came, in words.

use std::error::Error as _;

use reqwest::StatusCode;
use serde_json::Value;

use crate::client::Reply;
use crate::error::{Error, Fault, Kind};
use crate::position::to_pointer;

/// Whether a page for browsers came instead of data.
pub(crate) fn looks_like_html(content_type: &str, body: &[u8]) -> bool {
    content_type.contains("html") || body.trim_ascii_start().starts_with(b"<")
}

/// The error for an answer that no DC/OS component would give.
pub(crate) fn not_a_cluster(url: &str) -> Error {
    Error::general(format!("{url} answers, but not as a DC/OS cluster does"))
        .cause("the address belongs to another server, or a proxy answers in its place")
        .fix("check the URL: dcos config show core.dcos_url")
        .fix("dcos cluster setup http://HOST:PORT")
}

/// Turns an unsuccessful answer into words, with the server's own message where it has one.
pub(crate) fn status_error(reply: &Reply) -> Error {
    let error = plain_status_error(reply);
    let faults = server_faults(&reply.body);
    if faults.is_empty() { error } else { error.faults(faults) }
}

/// The same for files of a task: the node refuses some that no login opens.
pub(crate) fn file_error(reply: &Reply) -> Error {
    // The cluster says with a message that a login may not do this; nodes have no messages.
    if reply.status != StatusCode::FORBIDDEN || server_message(&reply.body).is_some() {
        return status_error(reply);
    }
    Error::general("the node does not show this file")
        .cause("a link that leads out of the sandbox is not followed")
        .fix("name the file itself; `dcos task ls --long TASK` shows what is a link")
}

fn plain_status_error(reply: &Reply) -> Error {
    let message = server_message(&reply.body);
    let status = reply.status;
    match status {
        StatusCode::UNAUTHORIZED => Error::new(Kind::Auth, "not logged in, or the login has expired")
            .cause(message.unwrap_or_else(|| format!("{} answered 401", reply.url)))
            .fix("dcos auth login"),
        StatusCode::FORBIDDEN => Error::new(Kind::Auth, "You are not authorized to perform this operation.")
            .cause(message.unwrap_or_else(|| format!("{} answered 403", reply.url)))
            .fix("ask an administrator for the permission, or log in as another user: dcos auth login"),
        StatusCode::NOT_FOUND => match message {
            Some(message) => Error::not_found(message),
            None if looks_like_html(&reply.content_type, &reply.body) => not_a_cluster(&reply.url),
            None => Error::not_found(format!("{} does not exist on this cluster", reply.url)),
        },
        StatusCode::CONFLICT => Error::new(Kind::Conflict, message.unwrap_or_else(|| format!("{} answered 409", reply.url))),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Error::new(Kind::Unreachable, format!("the cluster cannot serve this now (HTTP {})", status.as_u16()))
                .cause(message.unwrap_or_else(|| "there may be no leader for the moment".to_owned()))
                .fix("try again in a few seconds")
        }
        StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED if looks_like_html(&reply.content_type, &reply.body) => {
            not_a_cluster(&reply.url)
        }
        _ if status.is_server_error() && message.is_none() && looks_like_html(&reply.content_type, &reply.body) => {
            Error::general(format!("{} answered HTTP {} with a page for browsers", reply.url, status.as_u16()))
                .cause("something between here and the cluster failed, or the address is another server's")
        }
        _ if status.is_server_error() => {
            Error::general(format!("the cluster failed to answer {} (HTTP {})", reply.url, status.as_u16()))
                .cause(message.unwrap_or_else(|| reply.text()))
        }
        _ => Error::new(
            if status == StatusCode::BAD_REQUEST || status == StatusCode::UNPROCESSABLE_ENTITY {
                Kind::Usage
            } else {
                Kind::General
            },
            message.unwrap_or_else(|| format!("{} answered HTTP {}", reply.url, status.as_u16())),
        ),
    }
}

/// The message of an error body: Marathon's `message` or `errors[].error`, Cosmos' `message`, `description` of a login.
pub(crate) fn server_message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let errors = || {
        let all: Vec<&str> = value.get("errors")?.as_array()?.iter().filter_map(|e| e.get("error")?.as_str()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    };
    let direct = ["message", "description", "title"].iter().find_map(|key| value.get(*key)?.as_str().map(str::to_owned));
    direct.or_else(errors)
}

/// The faults that Marathon lists in `details: [{path, errors: [text]}]`; the caller knows the file.
fn server_faults(body: &[u8]) -> Vec<Fault> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let mut faults = Vec::new();
    for detail in value.get("details").and_then(Value::as_array).into_iter().flatten() {
        let path = to_pointer(detail.get("path").and_then(Value::as_str).unwrap_or_default());
        for error in detail.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let message = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
            faults.push(Fault { path: path.clone(), message, ..Fault::default() });
        }
    }
    faults
}

/// Says why no answer came: name, refusal, certificate or time.
pub(crate) fn transport_error(url: &str, error: &reqwest::Error) -> Error {
    let why = chain(error);
    let lower = why.to_lowercase();
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let unreachable = |summary: String| Error::new(Kind::Unreachable, summary).cause(why.clone());
    if io_kind(error) == Some(std::io::ErrorKind::ConnectionRefused) {
        let nothing = unreachable(format!("nothing listens at {url}"));
        let nothing = if is_elsewhere(url) {
            nothing
                .fix(format!("check that a controller runs there: orrery status, on {host}"))
                .fix("attach to another controller of the cluster: dcos cluster setup https://HOST:PORT")
        } else {
            nothing.fix("start the cluster, for example: orrery up")
        };
        return nothing.fix("check the URL: dcos config show core.dcos_url");
    }
    if lower.contains("dns error") || lower.contains("failed to lookup address") {
        return unreachable(format!("the name {host} cannot be resolved")).fix("check the URL: dcos config show core.dcos_url");
    }
    if lower.contains("certificate") || lower.contains("tls") || lower.contains("handshake") || lower.contains("corrupt message")
    {
        if lower.contains("corrupt message") {
            return unreachable(format!("{host} does not speak TLS at this port"))
                .fix(format!("use {}", url.replacen("https://", "http://", 1)));
        }
        return unreachable(format!("no secure connection to {host}"))
            .fix("trust the cluster's certificate: dcos config set core.ssl_verify PATH-OF-CA.crt")
            .fix("without checking it (insecure): dcos config set core.ssl_verify false");
    }
    if error.is_timeout() {
        return unreachable(format!("{url} did not answer in time"))
            .fix("try again, or wait longer: dcos config set core.timeout SECONDS");
    }
    if error.is_redirect() {
        return Error::general(format!("{url} redirects without end")).cause(why);
    }
    unreachable(format!("{url} is unreachable")).fix("check the network and the URL: dcos config show core.dcos_url")
}

/// Whether a URL is that of a controller which others started: not on this machine, or for more than this machine.
fn is_elsewhere(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    !is_loopback || url.scheme() == "https"
}

fn io_kind(error: &reqwest::Error) -> Option<std::io::ErrorKind> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = inner.source();
    }
    None
}

/// An error and everything under it, without the repetitions.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(inner) = next {
        let text = inner.to_string();
        if !texts.iter().any(|seen| seen.contains(&text)) {
            texts.push(text);
        }
        next = inner.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn reply(status: u16, content_type: &str, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            content_type: content_type.into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: "http://h/x".into(),
        }
    }

    #[test]
    fn statuses_become_kinds_and_messages() {
        let cases = [
            (401, "", "", Kind::Auth, "not logged in"),
            (403, "", "", Kind::Auth, "not authorized"),
            (404, "application/json", r#"{"message":"App '/x' does not exist"}"#, Kind::NotFound, "App '/x' does not exist"),
            (404, "text/html", "<html>", Kind::General, "not as a DC/OS cluster"),
            (409, "application/json", r#"{"message":"locked"}"#, Kind::Conflict, "locked"),
            (503, "", "", Kind::Unreachable, "HTTP 503"),
            (500, "", "boom", Kind::General, "HTTP 500"),
            (422, "", r#"{"errors":[{"error":"a"},{"error":"b"}]}"#, Kind::Usage, "a; b"),
            (418, "", "", Kind::General, "HTTP 418"),
        ];
        for (status, content_type, body, kind, text) in cases {
            let error = status_error(&reply(status, content_type, body));
            assert_eq!(error.kind, kind, "{status}");
            assert!(error.summary.contains(text), "{status}: {}", error.summary);
        }
    }

    #[test]
    fn a_file_that_the_node_refuses_is_no_matter_of_logins() {
        let refused = file_error(&reply(403, "text/plain", "permission denied\n"));
        assert!(refused.cause.unwrap().contains("out of the sandbox"));
        assert!(!refused.fix.iter().any(|fix| fix.contains("login")), "{:?}", refused.fix);
        assert_eq!(file_error(&reply(403, "application/json", r#"{"message":"no"}"#)).kind, Kind::Auth);
        assert_eq!(file_error(&reply(404, "text/plain", "")).kind, Kind::NotFound);
    }

    #[test]
    fn only_a_cluster_of_this_machine_can_be_started_here() {
        for (url, elsewhere) in [
            ("http://127.0.0.1:8080/v2", false),
            ("http://localhost:8080", false),
            ("http://[::1]:8080", false),
            ("http://10.0.0.11:8080", true),
            ("https://127.0.0.1:8443", true),
            ("https://master.example:8443/", true),
        ] {
            assert_eq!(is_elsewhere(url), elsewhere, "{url}");
        }
    }

    #[test]
    fn html_where_json_is_due_is_not_a_cluster() {
        assert!(reply(200, "text/html", "<html>").json().unwrap_err().summary.contains("DC/OS"));
        assert!(reply(200, "application/json", "{").json().unwrap_err().summary.contains("not JSON"));
    }
}
