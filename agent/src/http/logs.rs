//! `/logs/v2/task/…`: logs of tasks as dcos-log has them (platform.md §5), followed without polling.

use super::files::{attachment, failure, of_task, run};
use super::logfile::{Cursor, LogText};
use super::sandbox::{self, Place};
use crate::state::Shared;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Longest line sent as one event; longer ones are cut, bytes.
const LINE_MAX_BYTES: usize = 256 << 10;
/// Bytes turned into lines at once: empty lines become hundreds of times larger as entries.
const LINES_CHUNK_BYTES: u64 = 8 << 10;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    cursor: Option<String>,
    skip: Option<i64>,
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Events,
}

fn form(headers: &HeaderMap) -> Form {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accept.contains("text/event-stream") {
        Form::Events
    } else if accept.contains("application/json") {
        Form::Json
    } else {
        Form::Text
    }
}

/// `/logs/v2/task/{task}`: its stdout.
pub(super) async fn stdout(
    shared: State<Arc<Shared>>,
    Path(task): Path<String>,
    asked: Query<Asked>,
    headers: HeaderMap,
) -> Response {
    log(shared, Path((task, "stdout".into())), asked, headers).await
}

/// `/logs/v2/task/{task}/file/{name}/download`.
pub(super) async fn download(State(shared): State<Arc<Shared>>, Path((task, file)): Path<(String, String)>) -> Response {
    let place = match of_task(&shared, &task, &file) {
        Ok(place) => place,
        Err(response) => return response,
    };
    match run(move || sandbox::open_file(&place)).await {
        Ok(found) => attachment(&format!("{task}-{}", file.replace('/', "_")), found),
        Err(error) => failure(&error),
    }
}

/// `/logs/v2/task/{task}/file/{name}?cursor=&skip=&limit=`.
pub(super) async fn log(
    State(shared): State<Arc<Shared>>,
    Path((task, file)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let place = match of_task(&shared, &task, &file) {
        Ok(place) => place,
        Err(response) => return response,
    };
    let form = form(&headers);
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(Cursor::parse);
    let cursor = match (resumed, asked.cursor.as_deref()) {
        (Some(cursor), _) => cursor,
        (None, None) => Cursor::Beginning,
        (None, Some(text)) => match Cursor::parse(text) {
            Some(cursor) => cursor,
            None => return (StatusCode::BAD_REQUEST, format!("cursor \"{text}\" is not BEG, END or a number\n")).into_response(),
        },
    };
    // Watching begins before the first look, so that nothing is missed between the two.
    let watch = if form == Form::Events { Some(Watch::new(&place)) } else { None };
    let (first, skip) = (place.clone(), if resumed.is_some() { 0 } else { asked.skip.unwrap_or(0) });
    let opened = run(move || {
        let log = LogText::open(&first)?;
        let start = log.position(cursor);
        let position = if skip < 0 { log.back(start, skip.unsigned_abs())? } else { log.forward(start, skip.unsigned_abs())? };
        Ok((log, position))
    });
    let (log, position) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return failure(&error),
    };
    let limit = asked.limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    let about = json!({"AGENT_ID": shared.config.facts.id, "EXECUTOR_ID": task, "FILE": file, "FRAMEWORK_ID": shared.config.framework_id});
    match (form, watch) {
        (Form::Text, _) => text(log, position, limit),
        (Form::Json, _) => {
            let reader =
                Reader { place, log: Arc::new(log), position, limit, about, pending: Vec::new(), cut: false, watch: None };
            let lines = reader.lines();
            let body = futures::StreamExt::map(lines, |line| Ok::<_, Infallible>(format!("{}\n", line.1)));
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response()
        }
        (Form::Events, Some(Ok(watch))) => {
            let watch = Some(watch);
            let reader = Reader { place, log: Arc::new(log), position, limit, about, pending: Vec::new(), cut: false, watch };
            let events = futures::StreamExt::map(reader.lines(), |(cursor, line)| {
                Ok::<_, Infallible>(Event::default().id(cursor).data(line.to_string()))
            });
            Sse::new(events).keep_alive(KeepAlive::default()).into_response()
        }
        (Form::Events, Some(Err(error))) => failure(&error),
        (Form::Events, None) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The text as it is, from `position`, at most `limit` lines.
fn text(log: LogText, position: u64, limit: u64) -> Response {
    let log = Arc::new(log);
    let body = futures::stream::try_unfold((log, position, limit), |(log, position, limit)| async move {
        if limit == 0 {
            return Ok::<_, io::Error>(None);
        }
        let reading = log.clone();
        let mut chunk = run(move || reading.read(position, u64::MAX)).await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        let mut left = limit;
        if let Some((last, _)) =
            chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(usize::try_from(limit - 1).unwrap_or(usize::MAX))
        {
            chunk.truncate(last + 1);
            left = 0;
        } else if limit != u64::MAX {
            left -= chunk.split(|byte| *byte == b'\n').count() as u64 - 1;
        }
        let next = position + chunk.len() as u64;
        Ok(Some((chunk, (log, next, left))))
    });
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(body)).into_response()
}

/// Tells when something happens in a directory.
struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    fn new(place: &Place) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let file = place.run.join(&place.inner);
        let directory = file.parent().unwrap_or(&place.run).canonicalize()?;
        if !directory.starts_with(place.run.canonicalize()?) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let events =
            AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(&directory, events)?;
        crate::process::register(OwnedFd::from(inotify), Interest::READABLE).map(Self)
    }

    /// Waits for the next event; all that have happened are taken together.
    async fn changed(&self) -> io::Result<()> {
        let mut buffer = [0u8; 4096];
        self.0.async_io(Interest::READABLE, |descriptor| Ok(nix::unistd::read(descriptor, &mut buffer)?)).await.map(drop)
    }
}

/// Reads lines, and goes on with what is added when it has a watch.
struct Reader {
    place: Place,
    log: Arc<LogText>,
    position: u64,
    limit: u64,
    about: Value,
    /// Of a line whose end has not been seen.
    pending: Vec<u8>,
    /// The line was too long: its rest is dropped.
    cut: bool,
    watch: Option<Watch>,
}

impl Reader {
    /// Lines with the cursor behind each.
    fn lines(self) -> impl Stream<Item = (String, Value)> + Send {
        let state = (self, std::collections::VecDeque::new());
        futures::stream::unfold(state, |(mut reader, mut ready)| async move {
            loop {
                if let Some(line) = ready.pop_front() {
                    return Some((line, (reader, ready)));
                }
                if reader.limit == 0 {
                    return None;
                }
                let (log, position) = (reader.log.clone(), reader.position);
                let chunk = run(move || log.read(position, LINES_CHUNK_BYTES)).await.ok()?;
                if chunk.is_empty() {
                    reader.more(&mut ready).await?;
                } else {
                    reader.split(&chunk, &mut ready);
                }
            }
        })
    }

    fn line(&mut self, end: u64) -> (String, Value) {
        let message = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        self.cut = false;
        self.limit -= 1;
        let mut fields = self.about.clone();
        fields["MESSAGE"] = message.into();
        let cursor = self.log.cursor(end);
        let entry = json!({"fields": fields, "cursor": cursor});
        (cursor, entry)
    }

    fn split(&mut self, chunk: &[u8], ready: &mut std::collections::VecDeque<(String, Value)>) {
        for byte in chunk {
            self.position += 1;
            if *byte == b'\n' {
                let line = self.line(self.position);
                ready.push_back(line);
                if self.limit == 0 {
                    return;
                }
            } else if self.pending.len() < LINE_MAX_BYTES {
                self.pending.push(*byte);
            } else {
                self.cut = true;
            }
        }
    }

    /// At the end of what was there: waits for more. `None` when there will be none.
    async fn more(&mut self, ready: &mut std::collections::VecDeque<(String, Value)>) -> Option<()> {
        if self.watch.is_none() {
            if self.pending.is_empty() {
                return None;
            }
            let line = self.line(self.position);
            ready.push_back(line);
            return Some(());
        }
        let cursor = Cursor::parse(&self.log.cursor(self.position))?;
        loop {
            let place = self.place.clone();
            // Between two files of a rotation there may be none for a moment.
            if let Ok(log) = run(move || LogText::open(&place)).await {
                let position = log.position(cursor);
                if position < log.length() {
                    (self.log, self.position) = (Arc::new(log), position);
                    return Some(());
                }
            }
            self.watch.as_ref()?.changed().await.ok()?;
        }
    }
}
