//! Answers that depend on the snapshot alone, kept until there is a newer one.

use super::super::{Door, body};
use super::facts;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use orrery_api::mesos::operator::{self, CallType, Media};
use orrery_api::mesos::{self, MasterFacts};
use orrery_core::Timestamp;
use orrery_core::cluster::Cluster;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What an answer shows. There are few of them, so that the number of kept answers is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum View {
    State,
    StateSummary,
    Slaves,
    Frameworks,
    Roles,
    Operator(CallType, Media),
}

impl View {
    fn build(self, facts: &MasterFacts, cluster: &Cluster) -> Option<Vec<u8>> {
        let value = match self {
            Self::State => mesos::state(facts, cluster),
            Self::StateSummary => mesos::state_summary(facts, cluster),
            Self::Slaves => mesos::slaves(facts, cluster, None),
            Self::Frameworks => mesos::frameworks(facts, cluster, None),
            Self::Roles => mesos::roles(cluster),
            // None of the kept answers shows the time.
            Self::Operator(kind, media) => {
                let value = operator::answer(kind, facts, cluster, Timestamp::EPOCH)?;
                return Some(match media {
                    Media::Protobuf => operator::to_protobuf(&value),
                    Media::Json => json_bytes(&value),
                });
            }
        };
        Some(json_bytes(&value))
    }
}

fn json_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// An answer and the serial number of the snapshot it shows. The lock is held while an answer is built,
/// so that it is built once.
type Slot = tokio::sync::Mutex<Option<(u64, Bytes)>>;

/// The kept answers.
#[derive(Default)]
pub(super) struct Views(Mutex<HashMap<View, Arc<Slot>>>);

impl Views {
    /// The answer as JSON.
    pub(super) async fn json(&self, door: &Door, view: View) -> Response {
        self.answer(door, view, "application/json").await
    }

    /// The answer with a Content-Type.
    pub(super) async fn answer(&self, door: &Door, view: View, content_type: &'static str) -> Response {
        let Some(bytes) = self.bytes(door, view).await else {
            let message = "the answer could not be built; the log of the daemon says why";
            return body::answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": message }));
        };
        let mut response = (StatusCode::OK, bytes).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    async fn bytes(&self, door: &Door, view: View) -> Option<Bytes> {
        let slot = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(view).or_default());
        let mut kept = slot.lock().await;
        let serial = door.handle.serial();
        let cluster = door.handle.cluster();
        if let Some((_, bytes)) = kept.as_ref().filter(|(kept, _)| *kept == serial) {
            tracing::trace!(serial, ?view, "answered from memory");
            return Some(bytes.clone());
        }
        let facts = facts(door);
        let built = tokio::task::spawn_blocking(move || view.build(&facts, &cluster)).await;
        let bytes = match built {
            Ok(bytes) => Bytes::from(bytes?),
            Err(error) => {
                tracing::error!(%error, ?view, "an answer could not be built");
                return None;
            }
        };
        *kept = Some((serial, bytes.clone()));
        Some(bytes)
    }
}
