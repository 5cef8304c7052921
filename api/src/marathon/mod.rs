//! The app interface of Marathon 1.11 (`/v2/…`).

pub mod app;
