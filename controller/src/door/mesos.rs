//! Being written.
use super::Door;
use axum::Router;

pub(crate) fn routes() -> Router<Door> {
    Router::new()
}
