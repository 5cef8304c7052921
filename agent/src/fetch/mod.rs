//! Artifacts.
use orrery_core::app::Artifact;
use std::path::Path;

#[derive(Debug)]
pub(crate) struct Fetcher {}

#[expect(clippy::unused_async, reason = "x")]
impl Fetcher {
    pub(crate) fn new(_config: &crate::AgentConfig) -> Result<Self, String> {
        Ok(Self {})
    }
    pub(crate) async fn fetch(&self, _artifacts: &[Artifact], _sandbox: &Path) -> Result<(), String> {
        Ok(())
    }
}
