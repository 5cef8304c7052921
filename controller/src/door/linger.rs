//! Refusing a body without cutting the client off while it still sends.
//!
//! A server that answers early and closes makes the kernel reset the connection, and the client may lose
//! the answer for a "broken pipe" (RFC 9112 §9.6). So what a handler leaves unread is read and thrown away
//! beside the answer, up to a limit.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most bytes of one refused body that are read and thrown away.
const LINGER_BYTES_MAX: usize = 256 << 20;
/// How long that may take.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// A request whose body may be let go of at any time. For every route: each may refuse.
pub fn lingering(request: Request) -> Request {
    let streams_end_alone = !matches!(request.version(), Version::HTTP_10 | Version::HTTP_11);
    // Who waits for "100 Continue" sends nothing before it is asked to.
    if streams_end_alone || request.headers().contains_key(header::EXPECT) || request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(Lingering { body }))
}

/// A body that is read to its end when it is let go of before.
struct Lingering {
    body: Body,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let rest = std::mem::take(&mut self.body);
            runtime.spawn(tokio::time::timeout(LINGER_MAX, throw_away(rest)));
        }
    }
}

async fn throw_away(mut body: Body) {
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    /// More than the socket buffers of both sides hold.
    const LARGE: usize = 64 << 20;

    /// Sends all of a request before it looks at the answer, twice on one connection.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_sends_on_reads_the_refusal_and_keeps_its_connection() {
        let refuse = || async { StatusCode::PAYLOAD_TOO_LARGE };
        let router =
            Router::new().route("/", post(refuse)).layer(axum::middleware::map_request(|request| async { lingering(request) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let served = tokio::spawn(async move { axum::serve(listener, router).await });
        let client = tokio::task::spawn_blocking(move || {
            let mut connection = TcpStream::connect(address).expect("a connection");
            let mut answers = Vec::new();
            for _ in 0..2 {
                let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
                connection.write_all(head.as_bytes()).expect("the head is taken");
                connection.write_all(&vec![b'x'; LARGE]).expect("the body is taken");
                let mut answer = [0; 1024];
                let length = connection.read(&mut answer).expect("an answer");
                answers.push(String::from_utf8_lossy(&answer[..length]).into_owned());
            }
            answers
        });
        for answer in client.await.expect("the client lives") {
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
        served.abort();
    }
}
