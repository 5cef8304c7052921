//! Health and readiness checks of an app (marathon.md 1.8).

use serde::{Deserialize, Serialize};

/// A shell command of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Run with `/bin/sh -c`; exit 0 = healthy.
    pub value: String,
}

/// How a health check probes. The `MESOS_` forms are probed from inside the task's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Marathon's protocol words")]
pub enum HealthProtocol {
    #[default]
    Http,
    Https,
    Tcp,
    Command,
    MesosHttp,
    MesosHttps,
    MesosTcp,
}

impl HealthProtocol {
    /// Whether the probe runs on `127.0.0.1` of the task rather than against the node address.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::MesosHttp | Self::MesosHttps | Self::MesosTcp | Self::Command)
    }
}

/// Internet protocol version of a probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IpProtocol {
    #[default]
    IPv4,
    IPv6,
}

/// One health check. Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Kind of probe.
    #[serde(default)]
    pub protocol: HealthProtocol,
    /// HTTP path; `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Fixed port; wins over `port_index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Index into the app's ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_index: Option<u32>,
    /// Command of a COMMAND check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandLine>,
    /// Failures within this time of the start are ignored until the first success.
    #[serde(default = "grace")]
    pub grace_period_seconds: u32,
    /// Time between probes.
    #[serde(default = "interval")]
    pub interval_seconds: u32,
    /// A probe that takes longer has failed.
    #[serde(default = "timeout")]
    pub timeout_seconds: u32,
    /// Failures in a row that kill the task; 0 = never kill.
    #[serde(default = "failures")]
    pub max_consecutive_failures: u32,
    /// Wait before the first probe.
    #[serde(default = "delay")]
    pub delay_seconds: u32,
    /// 1xx answers leave the state unchanged.
    #[serde(default)]
    pub ignore_http1xx: bool,
    /// Which protocol version to probe over.
    #[serde(default)]
    pub ip_protocol: IpProtocol,
}

const fn grace() -> u32 {
    300
}
const fn interval() -> u32 {
    60
}
const fn timeout() -> u32 {
    20
}
const fn failures() -> u32 {
    3
}
const fn delay() -> u32 {
    15
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            protocol: HealthProtocol::Http,
            path: None,
            port: None,
            port_index: None,
            command: None,
            grace_period_seconds: grace(),
            interval_seconds: interval(),
            timeout_seconds: timeout(),
            max_consecutive_failures: failures(),
            delay_seconds: delay(),
            ignore_http1xx: false,
            ip_protocol: IpProtocol::IPv4,
        }
    }
}

/// A readiness check: asked from the start of a task until its first ready answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessCheck {
    /// Name shown in results.
    #[serde(default = "readiness_name")]
    pub name: String,
    /// HTTP or HTTPS.
    #[serde(default)]
    pub protocol: HealthProtocol,
    /// HTTP path.
    #[serde(default = "root_path")]
    pub path: String,
    /// Name of the port to ask.
    #[serde(default = "readiness_port")]
    pub port_name: String,
    /// Time between questions.
    #[serde(default = "readiness_interval")]
    pub interval_seconds: u32,
    /// Longest wait for an answer.
    #[serde(default = "readiness_timeout")]
    pub timeout_seconds: u32,
    /// Status codes that mean ready.
    #[serde(default = "ready_codes")]
    pub http_status_codes_for_ready: Vec<u16>,
    /// Keep the last answer for people.
    #[serde(default)]
    pub preserve_last_response: bool,
}

fn readiness_name() -> String {
    "readinessCheck".into()
}
fn root_path() -> String {
    "/".into()
}
fn readiness_port() -> String {
    "http-api".into()
}
const fn readiness_interval() -> u32 {
    30
}
const fn readiness_timeout() -> u32 {
    10
}
fn ready_codes() -> Vec<u16> {
    vec![200]
}
