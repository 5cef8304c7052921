//! Bodies: bounded, and read as JSON whatever the client says they are.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

/// Largest request body, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// Reads a whole body.
///
/// # Errors
/// A finished answer: 413 when the body is larger than [`BODY_BYTES_MAX`], 400 when it broke off.
pub(crate) async fn read(body: Body) -> Result<Bytes, Response> {
    let limited = http_body_util::Limited::new(body, BODY_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("the request body is larger than {} MiB; split it up", BODY_BYTES_MAX >> 20);
            Err(answer(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "message": message })))
        }
        Err(_) => Err(answer(StatusCode::BAD_REQUEST, &json!({ "message": "the request body broke off" }))),
    }
}

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, value: &Value) -> Response {
    typed(status, "application/json", value)
}

/// A JSON answer of a media type.
pub(crate) fn typed(status: StatusCode, media_type: &str, value: &Value) -> Response {
    let mut response = (status, value.to_string()).into_response();
    if let Ok(media_type) = HeaderValue::from_str(media_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    }
    response
}

/// 200 with JSON.
pub(crate) fn ok(value: &Value) -> Response {
    answer(StatusCode::OK, value)
}
