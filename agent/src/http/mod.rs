//! The agent's own HTTP service: files and logs of sandboxes, state and usage.

mod files;
mod logfile;
mod logs;
mod sandbox;
mod state;

use crate::Agent;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get};

impl Agent {
    /// Routes of this agent, each also below `/slave(1)` and, where Mesos had them, with `.json`.
    /// No authentication: whoever mounts them decides who may ask.
    pub fn routes(&self) -> Router {
        let table: [(&str, MethodRouter<std::sync::Arc<crate::state::Shared>>); 11] = [
            ("/files/browse", get(files::browse)),
            ("/files/read", get(files::read)),
            ("/files/download", get(files::download)),
            ("/files/debug", get(files::debug)),
            ("/state", get(state::state)),
            ("/containers", get(state::containers)),
            ("/monitor/statistics", get(state::monitor)),
            ("/metrics/snapshot", get(state::metrics)),
            ("/version", get(state::version)),
            ("/flags", get(|| async { axum::Json(serde_json::json!({"flags": {}})) })),
            ("/health", get(|| async { StatusCode::OK })),
        ];
        let mut router = Router::new();
        for (path, method) in table {
            for prefix in ["", "/slave(1)"] {
                router = router.route(&format!("{prefix}{path}"), method.clone());
                router = router.route(&format!("{prefix}{path}.json"), method.clone());
            }
        }
        router
            .route("/logs/v2/task/{task}", get(logs::stdout))
            .route("/logs/v2/task/{task}/file/{name}", get(logs::log))
            .route("/logs/v2/task/{task}/file/{name}/download", get(logs::download))
            .with_state(self.shared.clone())
    }
}
