//! Downloads over HTTP and HTTPS.

use futures::StreamExt;
use std::error::Error as _;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use url::Url;

/// Largest download, bytes.
pub(super) const DOWNLOAD_MAX_BYTES: u64 = 2 << 30;
/// Attempts when the server cannot be reached or fails on its side.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; doubled before the third.
const PAUSE: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence in the middle.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

enum Failure {
    /// Trying again may help.
    Passing(String),
    Final(String),
}

/// The client for downloads. A machine without certificate authorities can still use http.
pub(super) fn client() -> Result<reqwest::Client, String> {
    let builder = || {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent("orrery-agent")
            .no_gzip()
    };
    builder()
        .build()
        .or_else(|_| builder().tls_certs_only([]).build())
        .map_err(|error| format!("cannot set up downloads: {error}"))
}

fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

/// Downloads `url` to `target`, which appears whole or not at all.
pub(super) async fn download(client: &reqwest::Client, url: &Url, target: &Path) -> Result<(), String> {
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        match try_download(client, url, target).await {
            Ok(()) => return Ok(()),
            Err(Failure::Final(why)) => return Err(why),
            Err(Failure::Passing(why)) if attempt == ATTEMPTS => return Err(format!("{why} (tried {ATTEMPTS} times)")),
            Err(Failure::Passing(_)) => tokio::time::sleep(pause).await,
        }
        attempt += 1;
        pause *= 2;
    }
}

async fn try_download(client: &reqwest::Client, url: &Url, target: &Path) -> Result<(), Failure> {
    let passing = |error: &reqwest::Error| Failure::Passing(cause(error));
    let response = client.get(url.clone()).send().await.map_err(|error| passing(&error))?;
    let status = response.status();
    if !status.is_success() {
        let why = format!("the server answered {status}");
        return Err(if status.is_server_error() || status.as_u16() == 429 { Failure::Passing(why) } else { Failure::Final(why) });
    }
    let too_large = || Failure::Final(format!("it is larger than the {} MiB allowed", DOWNLOAD_MAX_BYTES >> 20));
    if response.content_length().is_some_and(|length| length > DOWNLOAD_MAX_BYTES) {
        return Err(too_large());
    }
    let name = format!(".{}.part", target.file_name().unwrap_or_default().to_string_lossy());
    let partial = target.with_file_name(name);
    let disk = |error: std::io::Error| Failure::Final(format!("cannot write {}: {error}", target.display()));
    let result = async {
        let mut file = tokio::fs::File::create(&partial).await.map_err(disk)?;
        let (mut parts, mut total) = (response.bytes_stream(), 0u64);
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| passing(&error))?;
            total += part.len() as u64;
            if total > DOWNLOAD_MAX_BYTES {
                return Err(too_large());
            }
            file.write_all(&part).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        tokio::fs::rename(&partial, target).await.map_err(disk)
    }
    .await;
    if result.is_err() {
        let _ = tokio::fs::remove_file(&partial).await;
    }
    result
}
