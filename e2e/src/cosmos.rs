//! Requests of package clients.

use crate::TestCluster;
use serde_json::Value;

/// `Content-Type` and `Accept` of an endpoint below `/package/` or `/cosmos/service/`, as the
/// original's clients send them.
pub fn media_types(path: &str) -> (String, String) {
    let name = path.trim_start_matches("/package/").trim_start_matches("/cosmos/").replace('/', ".");
    let version = match name.as_str() {
        "describe" => "v3",
        "install" => "v2",
        _ => "v1",
    };
    let group = if name.starts_with("service") { "" } else { "package." };
    let kind =
        |what: &str, version: &str| format!("application/vnd.dcos.{group}{name}-{what}+json;charset=utf-8;version={version}");
    (kind("request", "v1"), kind("response", version))
}

impl TestCluster {
    /// One request of a package client; status and answer.
    ///
    /// # Panics
    /// When there is no JSON answer.
    pub async fn cosmos(&self, path: &str, body: &Value) -> (u16, Value) {
        self.cosmos_by(&self.http, path, body).await
    }

    /// The same by another client.
    ///
    /// # Panics
    /// When there is no JSON answer.
    pub async fn cosmos_by(&self, client: &reqwest::Client, path: &str, body: &Value) -> (u16, Value) {
        let (content, accept) = media_types(path);
        let request = client.post(format!("{}{path}", self.url)).header("content-type", content).header("accept", accept);
        let response = request.body(body.to_string()).send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("POST {path}: {error}: {text}")))
    }

    /// The answer of a request that must be accepted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn cosmos_ok(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.cosmos(path, body).await;
        assert_eq!(status, 200, "POST {path} {body}: {answer}");
        answer
    }
}
