//! The smallest HTTP client that does: one kept-alive connection, over TCP or a Unix socket, so that
//! what is measured is the server and not a client's machinery.

use anyhow::{Context as _, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for bytes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer accepted, bytes.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// `host:port`.
    Tcp(String),
    /// Path of a socket.
    Unix(PathBuf),
}

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A client of one server.
pub(crate) struct Client {
    endpoint: Endpoint,
    connection: Option<BufReader<Box<dyn Stream>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body of a success as JSON (null when empty).
    pub(crate) fn json(self) -> anyhow::Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        if !(200..300).contains(&self.status) {
            bail!("status {}: {}", self.status, text.trim());
        }
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.send("GET", path, "application/json", b"")?.json().with_context(|| format!("GET {path}"))
    }

    pub(crate) fn delete(&mut self, path: &str) -> anyhow::Result<Value> {
        self.send("DELETE", path, "application/json", b"")?.json().with_context(|| format!("DELETE {path}"))
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = body.to_string();
        self.send("POST", path, "application/json", body.as_bytes())?.json().with_context(|| format!("POST {path}"))
    }

    /// Sends any request.
    pub(crate) fn send(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            match &self.endpoint {
                Endpoint::Tcp(address) => address,
                Endpoint::Unix(_) => "localhost",
            },
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let was_kept = self.connection.is_some();
        match self.exchange(&request) {
            // A kept connection may have been closed by the server in the meantime.
            Err(_) if was_kept && self.connection.is_none() => self.exchange(&request),
            result => result,
        }
    }

    fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(self.connect()?),
        };
        connection.get_mut().write_all(request)?;
        let (answer, is_kept) = read_answer(&mut connection)?;
        if is_kept {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        match &self.endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                Ok(Box::new(stream))
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).with_context(|| format!("cannot connect to {}", path.display()))?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// An answer, and whether the connection may be used again.
fn read_answer(connection: &mut impl BufRead) -> anyhow::Result<(Answer, bool)> {
    let status = read_line(connection)?;
    let status: u16 =
        status.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| format!("not HTTP: {status:?}"))?;
    let (mut length, mut is_chunked, mut is_kept) = (None, false, true);
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = Some(value.parse::<u64>()?),
            ("transfer-encoding", value) => is_chunked = value.eq_ignore_ascii_case("chunked"),
            ("connection", value) => is_kept = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            let line = read_line(connection)?;
            let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
            read_exactly(connection, size, &mut body)?;
            read_line(connection)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        read_exactly(connection, length, &mut body)?;
    } else if status != 204 && status != 304 {
        connection.take(BODY_BYTES_MAX).read_to_end(&mut body)?;
        is_kept = false;
    }
    Ok((Answer { status, body }, is_kept))
}

fn read_line(connection: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    if connection.take(64 * 1024).read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    Ok(line.trim_end().to_owned())
}

fn read_exactly(connection: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> anyhow::Result<()> {
    let expected = body.len() as u64 + length;
    if expected > BODY_BYTES_MAX {
        bail!("the answer is larger than {BODY_BYTES_MAX} bytes");
    }
    connection.take(length).read_to_end(body)?;
    if body.len() as u64 != expected {
        bail!("the answer ended early");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read_answer;

    #[test]
    fn answers_of_each_form_are_read() {
        for (text, body, is_kept) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest", "{}", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\n\r\n", "abc", true),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall", "all", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
        ] {
            let (answer, kept) = read_answer(&mut text.as_bytes()).unwrap();
            assert_eq!((String::from_utf8(answer.body).unwrap().as_str(), kept), (body, is_kept), "{text}");
        }
        assert!(read_answer(&mut "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".as_bytes()).is_err());
    }
}
