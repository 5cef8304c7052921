//! The Docker executor.

use crate::checkpoint::Record;
use crate::spawner::HelperResult;
use crate::volume::Resolved;
use orrery_core::assignment::{Exit, FailureReason};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Engine {}

#[derive(Debug, Clone)]
pub(crate) struct DockerRun {}

#[derive(Debug, Clone, Default)]
pub(crate) struct DockerEnd {
    pub(crate) exit: Option<Exit>,
    pub(crate) out_of_memory: bool,
    pub(crate) message: Option<String>,
}

#[expect(clippy::unused_async, reason = "x")]
impl Engine {
    pub(crate) async fn connect(_socket: PathBuf, _config: &crate::AgentConfig) -> Result<Self, String> {
        Ok(Self {})
    }
    pub(crate) async fn pull(&self, _record: &Record) -> Result<(), (FailureReason, String)> {
        Ok(())
    }
    pub(crate) async fn start(&self, _record: &Record, _volumes: &[Resolved]) -> Result<DockerRun, String> {
        Err("no docker".into())
    }
    pub(crate) async fn adopt(&self, _record: &Record) -> Option<DockerRun> {
        None
    }
}

#[expect(clippy::unused_async, reason = "x")]
impl DockerRun {
    pub(crate) fn id(&self) -> &str {
        ""
    }
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }
    pub(crate) async fn ended(&self) {}
    pub(crate) async fn terminate(&self, _grace: Duration) {}
    pub(crate) async fn kill(&self) {}
    pub(crate) async fn finish(&self) -> DockerEnd {
        DockerEnd::default()
    }
    pub(crate) async fn execute(&self, _command: &str, _timeout: Duration) -> Result<HelperResult, String> {
        Err("no docker".into())
    }
}
