//! Where the daemon's own log goes: standard error, which `--detach` points to a file.

use tracing_subscriber::EnvFilter;

/// Default levels; `ORRERY_LOG` overrides.
const DEFAULT_LEVELS: &str = "info,hyper=warn,reqwest=warn,h2=warn,tower=warn";

pub(crate) fn start(json: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("ORRERY_LOG").or_else(|_| EnvFilter::try_new(DEFAULT_LEVELS))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written, as on a full disk, is lost: complaining where it could not be written would
        // panic.
        .log_internal_errors(false);
    let result = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    result.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
