//! What waits for a node, as `/v2/queue` shows it (marathon.md 1.13).

use super::app::write_app;
use super::offer::Offers;
use orrery_core::cluster::Cluster;
use orrery_core::placement::{Reason, Refusals};
use orrery_core::{AppId, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `{"queue": […]}`. Marathon counts offers; here one look at one node counts as one offer.
/// With `offers`, what nodes offered and why it was not used.
pub fn queue_json(cluster: &Cluster, now: Timestamp, offers: bool) -> Value {
    let mut offers = offers.then(|| Offers::new(cluster, now));
    let ids: BTreeSet<&AppId> = cluster.pending.keys().chain(cluster.delays.keys()).collect();
    let entries: Vec<Value> = ids.into_iter().filter_map(|id| entry(cluster, id, now, offers.as_mut())).collect();
    json!({"queue": entries})
}

fn entry(cluster: &Cluster, id: &AppId, now: Timestamp, offers: Option<&mut Offers<'_>>) -> Option<Value> {
    let app = cluster.app(id)?;
    let pending = cluster.pending.get(id);
    let left_ms = cluster.delays.get(id).map_or(0, |delay| delay.until.millis_since(now)).max(0);
    let count = pending.map_or(0, |pending| pending.count);
    if count == 0 && left_ms == 0 {
        return None;
    }
    let none = Refusals::default();
    let refusals = pending.and_then(|pending| pending.refusals.as_ref()).unwrap_or(&none);
    let attempts = pending.map_or(0, |pending| pending.attempts);
    let looked_at = attempts.saturating_mul(refusals.nodes);
    let mut summary = json!({
        "processedOffersCount": looked_at,
        "unusedOffersCount": looked_at,
        "rejectSummaryLastOffers": funnel(refusals),
        "rejectSummaryLaunchAttempt": funnel(refusals),
        "why": refusals_sentence(refusals),
    });
    if let Some(pending) = pending.filter(|_| looked_at > 0) {
        summary["lastUnusedOfferAt"] = json!(pending.since);
    }
    let mut entry = json!({
        "app": write_app(app),
        "count": count,
        "delay": {"timeLeftSeconds": (left_ms + 999) / 1000, "overdue": left_ms == 0},
        "since": pending.map_or(now, |pending| pending.since),
        "processedOffersSummary": summary,
        "lastUnusedOffers": offers.filter(|_| count > 0).map_or_else(|| json!([]), |offers| offers.unused(app)),
    });
    // Clients older than roles refuse fields they do not know; the default role tells them nothing.
    if let Some(role) = app.role.as_deref().filter(|role| *role != "*") {
        entry["role"] = json!(role);
    }
    Some(entry)
}

/// Our addition to Marathon's answer: the refusals in one sentence.
fn refusals_sentence(refusals: &Refusals) -> Value {
    if refusals.by_reason.is_empty() && refusals.nodes > 0 { Value::from("") } else { Value::from(refusals.sentence()) }
}

/// How many nodes came to each test and how many it refused, in the order of the tests.
fn funnel(refusals: &Refusals) -> Value {
    let mut processed = refusals.nodes;
    let mut rows = Vec::new();
    for reason in Reason::ALL {
        let declined = refusals.by_reason.get(&reason).copied().unwrap_or(0);
        rows.push(json!({"reason": reason, "declined": declined, "processed": processed}));
        processed = processed.saturating_sub(declined);
    }
    Value::from(rows)
}
