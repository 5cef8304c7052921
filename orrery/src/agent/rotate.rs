//! The next certificate.

use super::join::now_seconds;
use orrery_link::authority::Key;
use orrery_link::client::{Connection, RENEW_PATH};
use orrery_link::credentials::Credentials;
use orrery_link::join::{JoinAnswer, RenewRequest};
use std::path::Path;
use std::time::Duration;

/// Pause after a renewal failed.
const RETRY: Duration = Duration::from_secs(60);

/// How long the certificate is good before it is to be renewed: two thirds of its life.
pub(crate) fn due_in(credentials: &Credentials) -> Duration {
    let Ok(peer) = credentials.peer() else { return Duration::ZERO };
    // Its life begins a little in the past, for clocks that are late.
    let begin = peer.not_before + i64::try_from(orrery_link::authority::CLOCK_SKEW.as_secs()).unwrap_or(0);
    let at = begin + (peer.not_after - begin).max(0) * 2 / 3;
    Duration::from_secs(u64::try_from(at - now_seconds()).unwrap_or(0))
}

/// Asks for the next certificate, with a new key, over the present connection, and keeps it.
pub(crate) async fn renew(connection: &Connection, data: &Path, present: &Credentials) -> anyhow::Result<Credentials> {
    let key = Key::generate()?;
    let answer: JoinAnswer = connection.call(RENEW_PATH, &RenewRequest { request: key.request()? }).await?;
    anyhow::ensure!(answer.node == present.node, "the controller sent the certificate of another node, {}", answer.node);
    let next = Credentials {
        certificate: answer.certificate,
        key: key.to_pem(),
        authority: answer.authority,
        controllers: if answer.controllers.is_empty() { present.controllers.clone() } else { answer.controllers },
        ..present.clone()
    };
    next.write(data)?;
    tracing::info!(node = %next.node, "the node has a new certificate");
    Ok(next)
}

/// Whether the certificate's time is over by this machine's clock.
pub(crate) fn is_expired(credentials: &Credentials) -> bool {
    credentials.peer().is_ok_and(|peer| peer.not_after <= now_seconds())
}

/// How long to wait after a renewal failed: often enough that several tries fit into what is left.
pub(crate) fn retry_in(credentials: &Credentials) -> Duration {
    let left = credentials.peer().map_or(0, |peer| peer.not_after - now_seconds());
    RETRY.min(Duration::from_secs(u64::try_from(left / 10).unwrap_or(0)).max(Duration::from_secs(1)))
}
