//! Who may pass the door on an address that others reach.

use super::acs;
use super::body;
use crate::handle::Handle;
use crate::trust::Logins;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use orrery_link::server::Arrival;
use serde_json::json;

/// Cookie with a token, for browsers and old clients (platform.md 4.2).
pub(crate) const COOKIE: &str = "dcos-acs-auth-cookie";

/// Paths that need no login: what clients read before they can log in (platform.md 4.1), and the
/// link, which has its own proofs.
const OPEN_PATHS: [&str; 8] = [
    "/acs/api/v1/auth/",
    "/ca/dcos-ca.crt",
    "/link/v1/",
    "/dcos-metadata/dcos-version.json",
    "/dcos-metadata/ui-config.json",
    "/system/health/v1",
    "/ping",
    "/v1/health",
];

/// A request that was let in, and by whose right. Handlers that protect an open door stand back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Nobody's: the path is open to everybody.
    Anybody,
    /// A user's.
    User(String),
    /// A controller's.
    Controller(String),
}

/// What the gate works with.
#[derive(Clone)]
pub struct Gate {
    /// The cluster.
    pub handle: Handle,
    /// Passwords and tokens.
    pub logins: Logins,
}

/// The routes behind a gate: everything needs a login or a controller's certificate, except what
/// clients need before.
pub fn guarded(routes: Router, gate: Gate) -> Router {
    let login = acs::routes(gate.clone());
    login.fallback_service(routes).layer(axum::middleware::from_fn_with_state(gate, pass))
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let cluster = gate.handle.cluster();
    let arrival = request.extensions().get::<Arrival>();
    let controller = arrival.and_then(|arrival| arrival.peer.as_deref()).filter(|peer| peer.identity.cluster == *cluster.id);
    let controller = controller.and_then(|peer| peer.controller()).map(|name| Admitted::Controller(name.to_owned()));
    let path = request.uri().path();
    // Clients look whether there is a cluster before anything else; its apps are not for everybody.
    let looks = path == "/" && request.method() == Method::HEAD;
    let open = looks || OPEN_PATHS.iter().any(|prefix| is_below(path, prefix));
    let admitted = controller
        .or_else(|| user(&gate, request.headers(), request.method()).map(Admitted::User))
        .or_else(|| open.then_some(Admitted::Anybody));
    let Some(admitted) = admitted else { return unauthorized(request.headers()) };
    request.extensions_mut().insert(admitted);
    next.run(request).await
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

/// The user of a request: by its `Authorization` header or, without one, by the cookie.
fn user(gate: &Gate, headers: &HeaderMap, method: &Method) -> Option<String> {
    let trust = &gate.handle.cluster().trust;
    match headers.get(header::AUTHORIZATION) {
        Some(value) => gate.logins.user_of(trust, token_of(value)?),
        // A browser sends cookies along wherever a page makes it go.
        None if is_foreign(headers) && !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) => None,
        None => gate.logins.user_of(trust, cookie(headers)?),
    }
}

fn token_of(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    let token = text.strip_prefix("token=").or_else(|| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    token.map(str::trim)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Whether a page of another origin sent it.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(origin) = text(header::ORIGIN) else { return false };
    let origin = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    text(header::HOST) != Some(origin)
}

/// 401 as the IAM answers: clients choose how to log in by the header.
fn unauthorized(headers: &HeaderMap) -> Response {
    let message = "this cluster wants a login: dcos auth login";
    let wants_html =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"));
    let mut response = if wants_html {
        let page = "<!doctype html><html lang=en><meta charset=utf-8><title>401</title><h1>401 Unauthorized</h1>\
            <p>This cluster wants a login. On the command line: <code>dcos auth login</code>.</p></html>";
        (StatusCode::UNAUTHORIZED, Html(page)).into_response()
    } else {
        let value = json!({ "title": "Unauthorized", "description": message, "message": message, "code": "ERR_UNAUTHORIZED" });
        body::answer(StatusCode::UNAUTHORIZED, &value)
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("acsjwt"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_where_clients_put_them() {
        for (text, expected) in [
            ("token=abc", Some("abc")),
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("token=", Some("")),
            ("Basic abc", None),
            ("abc", None),
        ] {
            assert_eq!(token_of(&HeaderValue::from_static(text)), expected, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("a=b; dcos-acs-auth-cookie=xyz"));
        assert_eq!(cookie(&headers), Some("xyz"));
    }

    #[test]
    fn pages_of_others_are_told_apart() {
        let headers = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("c1:8080"));
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            headers
        };
        assert!(!is_foreign(&headers(None)) && !is_foreign(&headers(Some("https://c1:8080"))));
        for origin in ["https://c1", "https://evil", "null"] {
            assert!(is_foreign(&headers(Some(origin))), "{origin}");
        }
    }

    #[test]
    fn open_paths_end_where_they_say() {
        let open = |path: &str| OPEN_PATHS.iter().any(|prefix| is_below(path, prefix));
        for path in ["/acs/api/v1/auth/login", "/ca/dcos-ca.crt", "/link/v1/join", "/ping", "/system/health/v1/nodes"] {
            assert!(open(path), "{path}");
        }
        for path in [
            "/",
            "/ping2",
            "/acs/api/v1/users",
            "/acs/api/v1/authx",
            "/link/v2",
            "/v1/status",
            "/pkgpanda/active.buildinfo.full.json",
        ] {
            assert!(!open(path), "{path}");
        }
    }
}
