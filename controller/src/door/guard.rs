//! What protects a door without authentication: it serves this machine only. A door with a gate has
//! looked already.

use super::body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;
use std::any::Any;

/// Refuses what a web page of somebody else could make a browser send: foreign origins and, against
/// DNS rebinding, foreign host names.
pub(crate) async fn local_only(request: Request, next: Next) -> Response {
    if request.extensions().get::<super::Admitted>().is_some() {
        return next.run(request).await;
    }
    let headers = request.headers();
    if !header_host(headers, header::HOST.as_str()).is_none_or(is_local) {
        let message = "this cluster serves this machine only; use the address that `orrery status` shows";
        return body::answer(StatusCode::FORBIDDEN, &json!({ "message": message }));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && !header_host(headers, header::ORIGIN.as_str()).is_none_or(is_local) {
        let message = "changes from web pages of other origins are refused";
        return body::answer(StatusCode::FORBIDDEN, &json!({ "message": message }));
    }
    next.run(request).await
}

/// The host of a header that holds an authority or an origin; `None` when absent.
fn header_host<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().unwrap_or("?");
    let authority = text.rsplit_once("://").map_or(text, |(_, authority)| authority);
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next();
    }
    authority.split(':').next()
}

/// Domains that only our own name server and the system's resolver answer for. `thisdcos.directory`
/// is not one: it is a public domain, whose owner could point names at this machine.
const LOCAL_DOMAINS: [&str; 2] = [".localhost", ".mesos"];

fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.is_empty()
        || host == "localhost"
        || LOCAL_DOMAINS.iter().any(|domain| host.ends_with(domain))
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature the layer asks for")]
/// A handler that panicked answers 500 and stops nobody else.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a request handler panicked");
    body::answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": "an internal error, written to the log of the daemon" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine() {
        for host in ["localhost", "127.0.0.1", "127.8.9.1", "::1", "leader.mesos", "LOCALHOST."] {
            assert!(is_local(host), "{host}");
        }
        for host in ["evil.example", "10.0.0.1", "localhost.evil.example", "?"] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn hosts_of_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "[::1]:8080".parse().unwrap());
        headers.insert("origin", "http://evil.example:80".parse().unwrap());
        assert_eq!(header_host(&headers, "host"), Some("::1"));
        assert_eq!(header_host(&headers, "origin"), Some("evil.example"));
    }
}
