//! HTTP to the cluster: one place that adds the token, bounds answers and explains failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::config::{Cluster, Environment, effective, variables_of};
use crate::error::{Error, Kind};
use crate::failure::{chain, looks_like_html, not_a_cluster, status_error, transport_error};
use crate::output::print_note;

/// Largest answer kept in memory.
pub(crate) const MAX_RESPONSE_BYTES: usize = 256 << 20;
/// Time to reach the cluster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Milliseconds since the controller that answers has heard of a leader, where what it knows may be out of date.
const STALE: &str = "orrery-stale";
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

    /// The body as text.
    pub(crate) fn text(&self) -> String {
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
    /// It was said that answers may be out of date: once is enough.
    warned: Arc<AtomicBool>,
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
        // A token of the file is for the file's address, not for one that a variable names.
        let given = variables_of("core.dcos_acs_token").iter().any(|name| environment(name).is_some());
        let at_home = cluster.url().is_none_or(|url| same_origin(&url, &base));
        let token = token.filter(|_| given || at_home);
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
            warned: Arc::default(),
        })
    }

    /// The same without the login.
    #[must_use]
    pub(crate) fn anonymous(mut self) -> Self {
        self.token = None;
        self
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
        if let Some(warning) = staleness(response.headers()).filter(|_| own)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            print_note(&warning);
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

/// What to say of an answer that may be out of date.
fn staleness(headers: &HeaderMap) -> Option<String> {
    let millis: u64 = headers.get(STALE)?.to_str().ok()?.parse().ok()?;
    // Whole seconds, rounded up: none would be no silence.
    let seconds = millis.div_ceil(1_000);
    Some(format!(
        "warning: what is shown may be out of date: the controller that answers has heard of no leader for {seconds} s; \
         `orrery status` on its machine says whether the store answers"
    ))
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
    fn answers_that_may_be_out_of_date_are_told() {
        for (value, told) in [("12001", Some("for 13 s")), ("0", Some("for 0 s")), ("soon", None)] {
            let headers = HeaderMap::from_iter([(STALE.parse().unwrap(), HeaderValue::from_static(value))]);
            let warning = staleness(&headers);
            assert_eq!(warning.is_some(), told.is_some(), "{value}");
            assert!(told.is_none_or(|told| warning.is_some_and(|warning| warning.contains(told))), "{value}");
        }
        assert_eq!(staleness(&HeaderMap::new()), None);
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
