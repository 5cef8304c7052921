//! One HTTP GET, enough to fetch a page from a task.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long connecting, and each read, may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read, head included.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// The body of `GET path`, decoded as UTF-8 as far as possible. An error for
/// any status but 200.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("nothing answers at {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    body(&answer)
}

fn body(answer: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("the answer is not HTTP.");
    };
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("the answer was `{status}`.");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn the_body_follows_the_head_of_a_good_answer() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello\n").unwrap(), "hello\n");
        assert!(body(b"HTTP/1.1 404 Not Found\r\n\r\nno").is_err());
        assert!(body(b"hello").is_err());
    }
}
