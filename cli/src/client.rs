//! HTTP to the cluster: one place that adds the token, bounds answers and explains failures.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::config::{Cluster, Environment, effective};
use crate::error::{Error, Fault, Kind};
use crate::output::print_note;
use crate::position::to_pointer;

/// Largest answer kept in memory.
pub(crate) const MAX_RESPONSE_BYTES: usize = 256 << 20;
/// Time to reach the cluster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence of an answer when `core.timeout` is not set.
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(180);

/// An answer that was read whole.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    /// URL that answered, after redirects.
    pub(crate) url: String,
}

impl Reply {
    /// The body as JSON; an answer that is none did not come from a DC/OS cluster.
    pub(crate) fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            if looks_like_html(&self.content_type, &self.body) {
                not_a_cluster(&self.url)
            } else {
                Error::general(format!("{} answered with something that is not JSON", self.url)).cause(error.to_string())
            }
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

/// A connection to one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    marathon: String,
    cosmos: String,
    token: Option<String>,
    debug: bool,
}

/// How the TLS certificate of the cluster is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Against the system's authorities.
    System,
    /// Against the certificates of a PEM file.
    File(String),
    /// Not at all.
    Off,
}

impl Verification {
    fn parse(value: Option<&str>) -> Self {
        match value.map(str::trim) {
            None | Some("") => Self::System,
            Some(text) if text.eq_ignore_ascii_case("true") => Self::System,
            Some(text) if text.eq_ignore_ascii_case("false") => Self::Off,
            Some(path) => Self::File(path.to_owned()),
        }
    }
}

impl Client {
    /// A client with a cluster's properties and the variables that overrule them.
    pub(crate) fn for_cluster(cluster: &Cluster, environment: Environment, debug: bool) -> Result<Self, Error> {
        let property = |name: &str| effective(cluster, name, environment);
        let base = property("core.dcos_url").ok_or_else(|| {
            Error::usage("the attached cluster has no URL").fix("dcos config set core.dcos_url http://HOST:PORT")
        })?;
        let base = crate::config::normalize_url(&base)?;
        let verification = match (environment("DCOS_TLS_CA_PATH"), environment("DCOS_TLS_INSECURE")) {
            (_, Some(flag)) if flag == "1" || flag.eq_ignore_ascii_case("true") => Verification::Off,
            (Some(path), _) => Verification::File(path),
            _ => Verification::parse(property("core.ssl_verify").as_deref()),
        };
        let timeout = property("core.timeout").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let token = property("core.dcos_acs_token").filter(|token| !token.is_empty());
        let mut client = Self::new(&base, &verification, timeout, token, debug)?;
        if let Some(url) = property("marathon.url") {
            client.marathon = crate::config::normalize_url(&url)?;
        }
        if let Some(url) = property("package.cosmos_url") {
            client.cosmos = crate::config::normalize_url(&url)?;
        }
        Ok(client)
    }

    pub(crate) fn new(
        base: &str,
        verification: &Verification,
        read_timeout: Option<Duration>,
        token: Option<String>,
        debug: bool,
    ) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("dcos/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(read_timeout.unwrap_or(DEFAULT_READ_TIMEOUT));
        let url = url::Url::parse(base).map_err(|error| Error::usage(format!("'{base}' is not a URL: {error}")))?;
        let host = url.host_str().unwrap_or_default();
        if host == "localhost" || host.starts_with("127.") || host == "[::1]" {
            // A proxy can't reach this machine's own loopback.
            builder = builder.no_proxy();
        }
        builder = match verification {
            // Plain http needs no authorities, and loading them costs time.
            Verification::System if url.scheme() == "http" => builder.tls_certs_only([]),
            Verification::System => builder,
            Verification::Off => builder.tls_danger_accept_invalid_certs(true),
            Verification::File(path) => {
                let pem =
                    std::fs::read(path).map_err(|error| Error::usage(format!("cannot read the certificates {path}: {error}")))?;
                let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                    .map_err(|error| Error::usage(format!("{path} holds no PEM certificates")).cause(error.to_string()))?;
                builder.tls_certs_merge(certificates)
            }
        };
        let http = builder.build().map_err(|error| Error::general("cannot set up HTTP").cause(chain(&error)))?;
        Ok(Self {
            http,
            base: base.to_owned(),
            marathon: format!("{base}/service/marathon"),
            cosmos: base.to_owned(),
            token,
            debug,
        })
    }

    /// URL of the cluster, without a final slash.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn absolute(&self, path: &str) -> String {
        if path.contains("://") {
            path.to_owned()
        } else if let Some(rest) = path.strip_prefix("marathon:") {
            format!("{}{rest}", self.marathon)
        } else if path.starts_with("/package/") {
            format!("{}{path}", self.cosmos)
        } else {
            format!("{}{path}", self.base)
        }
    }

    /// Sends a request and returns the answer with its body unread, whatever its status.
    /// `path` starts with `/`, or with `marathon:/` for Marathon's API, or is a whole URL.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Response, Error> {
        let url = self.absolute(path);
        let mut request = self.http.request(method.clone(), &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // Only the cluster may see the token.
        let own = [&self.base, &self.marathon, &self.cosmos].iter().any(|base| same_origin(base, &url));
        if let (Some(token), true) = (&self.token, own) {
            let mut value = HeaderValue::from_str(&format!("token={token}"))
                .map_err(|_| Error::usage("the token has characters that HTTP forbids").fix("dcos auth login"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if self.debug {
            print_note(&format!("> {method} {url}"));
            if let Some(body) = &body {
                print_note(&format!("> {} bytes of body", body.len()));
            }
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| transport_error(&url, &error))?;
        if self.debug {
            print_note(&format!("< {} {:?}", response.status(), response.headers().get(CONTENT_TYPE)));
        }
        Ok(response)
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Reply, Error> {
        read_whole(self.open(method, path, headers, body).await?).await
    }

    /// A JSON request whose answer must be a success.
    pub(crate) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let reply = self.checked(method, path, body).await?;
        if reply.body.is_empty() { Ok(Value::Null) } else { reply.json() }
    }

    /// A JSON request whose answer must be a success, unparsed.
    pub(crate) async fn checked(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Error> {
        let mut headers = vec![(ACCEPT.as_str(), "application/json")];
        if body.is_some() {
            headers.push((CONTENT_TYPE.as_str(), "application/json"));
        }
        let bytes = body.map(|body| body.to_string().into_bytes());
        let reply = self.send(method, path, &headers, bytes).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(status_error(&reply)) }
    }

    /// GET of JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.json(Method::GET, path, None).await
    }

    /// GET of JSON that may not exist: nothing on 404.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.get(path).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn same_origin(base: &str, url: &str) -> bool {
    match (url::Url::parse(base), url::Url::parse(url)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin(),
        _ => false,
    }
}

/// Reads an answer to its end, up to [`MAX_RESPONSE_BYTES`].
pub(crate) async fn read_whole(mut response: Response) -> Result<Reply, Error> {
    let status = response.status();
    let url = response.url().to_string();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(&url, &error))? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(Error::general(format!("{url} answered with more than {MAX_RESPONSE_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, content_type, body: body.into(), url })
}

fn looks_like_html(content_type: &str, body: &[u8]) -> bool {
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
        return unreachable(format!("nothing listens at {url}"))
            .fix("start the cluster, for example: orrery up")
            .fix("check the URL: dcos config show core.dcos_url");
    }
    if lower.contains("dns error") || lower.contains("failed to lookup address") {
        return unreachable(format!("the name {host} cannot be resolved")).fix("check the URL: dcos config show core.dcos_url");
    }
    if lower.contains("certificate") || lower.contains("tls") || lower.contains("handshake") || lower.contains("corrupt message")
    {
        return unreachable(format!("no secure connection to {host}"))
            .fix("trust the cluster's certificate: dcos config set core.ssl_verify PATH-OF-CA.crt")
            .fix("or, without checking it (insecure): dcos config set core.ssl_verify false");
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
fn chain(error: &dyn std::error::Error) -> String {
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

/// Percent-encodes one segment of a path or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
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
    fn html_where_json_is_due_is_not_a_cluster() {
        assert!(reply(200, "text/html", "<html>").json().unwrap_err().summary.contains("DC/OS"));
        assert!(reply(200, "application/json", "{").json().unwrap_err().summary.contains("not JSON"));
    }

    #[test]
    fn encoding_leaves_only_unreserved_characters() {
        assert_eq!(encode("a/b c:é"), "a%2Fb%20c%3A%C3%A9");
    }

    #[test]
    fn the_token_stays_with_its_origin() {
        assert!(same_origin("http://h:80", "http://h/x"));
        assert!(!same_origin("http://h", "https://h/x"));
        assert!(!same_origin("http://h", "http://evil/x"));
    }

    #[test]
    fn verification_is_read_from_text() {
        assert_eq!(Verification::parse(None), Verification::System);
        assert_eq!(Verification::parse(Some("False")), Verification::Off);
        assert_eq!(Verification::parse(Some("/ca.pem")), Verification::File("/ca.pem".into()));
    }

    #[tokio::test]
    async fn refused_connections_and_unknown_names_are_told_apart() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(&refused, &Verification::System, None, None, false).unwrap();
        let error = client.get("/x").await.unwrap_err();
        assert_eq!(error.kind, Kind::Unreachable);
        assert!(error.summary.contains("nothing listens"), "{error:?}");
        let client = Client::new("http://no-such-name.invalid", &Verification::System, None, None, false).unwrap();
        let error = client.get("/x").await.unwrap_err();
        assert!(error.summary.contains("cannot be resolved"), "{error:?}");
    }
}
