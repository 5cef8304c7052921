//! `/v2/events`: the event stream, resumable by `Last-Event-ID`.

use super::{Call, failed};
use crate::events::Stamped;
use crate::handle::Handle;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use orrery_api::marathon::{WireEvent, attached_event, error, event_frame, wire_events};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// A line in an idle stream, so that proxies and clients see that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) fn answer(call: &Call) -> Response {
    let accept = call.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    if !accept.contains("text/event-stream") && !accept.contains("*/*") {
        return failed(error::wrong_method());
    }
    let filter: Vec<String> = call.values("event_type").map(str::to_owned).collect();
    let after = call.headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let remote = call.client.map_or_else(|| "127.0.0.1".to_owned(), |client| client.ip().to_string());
    let handle = call.door.handle.clone();
    let (missed, receiver) = handle.events().subscribe(after);
    let first = wanted(&filter, vec![attached_event(&remote, handle.now())], handle.events().last_index());
    let replay = {
        let (handle, filter) = (handle.clone(), filter.clone());
        missed.into_iter().map(move |event| frames(&handle, &filter, &event)).collect::<Vec<String>>().concat()
    };
    let head = futures::stream::iter([format!("\r\n{first}{replay}")]);
    let live = futures::stream::unfold((receiver, handle, filter), |(mut receiver, handle, filter)| async move {
        loop {
            let text = match tokio::time::timeout(HEARTBEAT, receiver.recv()).await {
                Err(_) => "\r\n".to_owned(),
                Ok(Ok(event)) => frames(&handle, &filter, &event),
                // Too slow: the stream ends and the client comes back with its last id.
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => return None,
            };
            if !text.is_empty() {
                return Some((text, (receiver, handle, filter)));
            }
        }
    });
    let stream = head.chain(live).map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

fn frames(handle: &Handle, filter: &[String], event: &Arc<Stamped>) -> String {
    wanted(filter, wire_events(&handle.cluster(), &event.event, event.at), event.index)
}

fn wanted(filter: &[String], events: Vec<WireEvent>, index: u64) -> String {
    let wanted = events.into_iter().filter(|event| filter.is_empty() || filter.iter().any(|kind| kind == event.kind));
    wanted.fold(String::new(), |text, event| text + &format!("id: {index}\r\n") + &event_frame(&event))
}
