//! `/files/*` as Mesos agents have it (platform.md 2.6).

use super::sandbox::{self, Found, Place};
use crate::state::Shared;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use tokio_util::io::ReaderStream;

/// Most bytes of one read (Mesos: 16 pages).
const READ_MAX_BYTES: u64 = 64 << 10;
/// Most entries of one listing.
const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    path: Option<String>,
    offset: Option<String>,
    length: Option<String>,
}

fn refuse(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}

pub(super) fn failure(error: &io::Error) -> Response {
    let status = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StatusCode::NOT_FOUND,
        io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        io::ErrorKind::IsADirectory => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(status, format!("{error}\n"))
}

/// Opens what was asked for, off the event loop.
async fn find(shared: &Arc<Shared>, asked: &Asked, plain: bool) -> Result<(String, Found), Response> {
    let Some(path) = asked.path.clone().filter(|path| !path.is_empty()) else {
        return Err(refuse(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n"));
    };
    let Some(place) = sandbox::place(&shared.config, &path) else { return Err(refuse(StatusCode::NOT_FOUND, "")) };
    let opened = run(move || if plain { sandbox::open_file(&place) } else { sandbox::open(&place) }).await;
    opened.map(|found| (path, found)).map_err(|error| failure(&error))
}

pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// `drwxr-xr-x`.
fn mode_text(mode: u32) -> String {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        _ => '-',
    };
    let bits = (0..9).rev().zip("rwxrwxrwx".chars()).map(|(bit, letter)| if mode >> bit & 1 == 1 { letter } else { '-' });
    std::iter::once(kind).chain(bits).collect()
}

fn entry(path: &str, found: &Metadata) -> Value {
    let user = nix::unistd::User::from_uid(found.uid().into()).ok().flatten();
    let group = nix::unistd::Group::from_gid(found.gid().into()).ok().flatten();
    json!({
        "gid": group.map_or_else(|| found.gid().to_string(), |group| group.name),
        "mode": mode_text(found.mode()),
        "mtime": found.mtime(),
        "nlink": found.nlink(),
        "path": path,
        "size": found.len(),
        "uid": user.map_or_else(|| found.uid().to_string(), |user| user.name),
    })
}

/// `/files/browse?path=`.
pub(super) async fn browse(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let (path, found) = match find(&shared, &asked, false).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    if !found.metadata.is_dir() {
        return refuse(StatusCode::NOT_FOUND, "");
    }
    let listed = run(move || {
        // By way of the descriptor: the directory that was checked is the one that is read.
        let root = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found.file));
        let mut entries = Vec::new();
        for item in std::fs::read_dir(root)?.take(ENTRIES_MAX) {
            let item = item?;
            // A file that has just gone is not a fault.
            if let Ok(metadata) = std::fs::symlink_metadata(item.path()) {
                let full = format!("{}/{}", path.trim_end_matches('/'), item.file_name().to_string_lossy());
                entries.push((full.clone(), entry(&full, &metadata)));
            }
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>())
    });
    match listed.await {
        Ok(entries) => Json(entries).into_response(),
        Err(error) => failure(&error),
    }
}

/// `/files/read?path=&offset=&length=`.
pub(super) async fn read(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let number = |text: &Option<String>, name: &str| match text.as_deref() {
        None | Some("") => Ok(-1i64),
        Some(text) => {
            text.parse::<i64>().map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("Failed to parse {name}: {error}.\n")))
        }
    };
    let (offset, length) = match (number(&asked.offset, "offset"), number(&asked.length, "length")) {
        (Ok(offset), Ok(length)) => (offset, length),
        (Err(response), _) | (_, Err(response)) => return response,
    };
    let (_, found) = match find(&shared, &asked, true).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let Ok(offset) = u64::try_from(offset) else {
        return Json(json!({"data": "", "offset": found.metadata.len()})).into_response();
    };
    let length = u64::try_from(length).unwrap_or(READ_MAX_BYTES).min(READ_MAX_BYTES);
    let text = run(move || {
        let mut buffer = vec![0u8; length as usize];
        let read = found.file.read_at(&mut buffer, offset)?;
        buffer.truncate(read);
        Ok(whole_letters(buffer))
    });
    match text.await {
        Ok(text) => Json(json!({"data": text, "offset": offset})).into_response(),
        Err(error) => failure(&error),
    }
}

/// Text of the bytes; a letter cut off at the end is left for the next read, because clients go on
/// at offset + length.
fn whole_letters(mut bytes: Vec<u8>) -> String {
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
        && error.valid_up_to() > 0
    {
        bytes.truncate(error.valid_up_to());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A file as the body of an answer.
pub(super) fn attachment(name: &str, found: Found) -> Response {
    let length = found.metadata.len();
    // Exactly what the header promises, even while the file grows.
    let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(found.file), length);
    let name: String = name.chars().filter(|letter| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\')).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    (headers, Body::from_stream(ReaderStream::new(file))).into_response()
}

/// `/files/download?path=`.
pub(super) async fn download(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    match find(&shared, &asked, true).await {
        Ok((path, found)) => attachment(path.rsplit('/').next().unwrap_or("file"), found),
        Err(response) => response,
    }
}

/// `/files/debug`: every sandbox by its paths.
pub(super) async fn debug(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let mut map = Map::new();
    let config = &shared.config;
    for (task, entry) in &shared.board().tasks {
        if let Some(run) = &entry.run {
            let real = run.sandbox.display().to_string();
            map.insert(format!("/frameworks/{}/executors/{task}/runs/latest", config.framework_id), json!(real));
            map.insert(real.clone(), json!(real));
        }
    }
    Json(Value::Object(map))
}

/// The place of a file of a task, for the routes that name tasks.
pub(super) fn of_task(shared: &Shared, task: &str, file: &str) -> Result<Place, Response> {
    let task = orrery_core::TaskId::parse(task).map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    Ok(sandbox::latest(&shared.config, &task, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_letters() {
        assert_eq!(mode_text(0o040_755), "drwxr-xr-x");
        assert_eq!(mode_text(0o100_640), "-rw-r-----");
        assert_eq!(whole_letters("aé".as_bytes()[..2].to_vec()), "a");
        assert_eq!(whole_letters(vec![b'a', 0xff, b'b']), "a\u{fffd}b");
    }
}
