//! `/acs/api/v1`: logins and users, as far as clients need them to log in (platform.md 5, IAM).

use super::gate::{COOKIE, Gate};
use super::{body, forward};
use crate::handle::ControlError;
use crate::trust::{LoginError, PASSWORD_BYTES_MAX, hash_password, wall_clock};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use orrery_core::cluster::EditError;
use orrery_core::trust::{TrustError, User, check_uid};
use orrery_link::server::Arrival;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};

/// Shortest password of a new user, letters.
const PASSWORD_LETTERS_MIN: usize = 5;
/// Longest description of a user, bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_024;

pub(crate) fn routes(gate: Gate) -> Router {
    let users = Router::new()
        .route("/acs/api/v1/users", get(list))
        .route("/acs/api/v1/users/{uid}", get(show).put(create).patch(change).delete(remove))
        .layer(axum::middleware::from_fn_with_state(gate.handle.clone(), forward::to_leader));
    // Any controller can say who somebody is.
    Router::new()
        .route("/acs/api/v1/auth/login", post(login))
        .route("/acs/api/v1/auth/logout", get(logout))
        .route("/acs/api/v1/auth/providers", get(providers))
        .merge(users)
        .with_state(gate)
}

fn refuse(status: StatusCode, code: &str, description: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    body::answer(status, &json!({ "title": title, "description": description, "message": description, "code": code }))
}

fn refuse_edit(error: &ControlError) -> Response {
    let text = error.to_string();
    match error {
        ControlError::Edit(EditError::Trust(TrustError::UserExists(_))) => refuse(StatusCode::CONFLICT, "ERR_USER_EXISTS", &text),
        ControlError::Edit(EditError::Trust(TrustError::NoUser(_))) => {
            refuse(StatusCode::NOT_FOUND, "ERR_UNKNOWN_USER_ID", &text)
        }
        ControlError::Edit(_) => refuse(StatusCode::BAD_REQUEST, "ERR_INVALID_DATA", &text),
        _ => refuse(StatusCode::SERVICE_UNAVAILABLE, "ERR_UNAVAILABLE", &text),
    }
}

async fn read<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Response> {
    let bytes = body::read(body).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, "ERR_INVALID_DATA", &format!("the body cannot be read: {error}")))
}

#[derive(Deserialize)]
struct Credentials {
    uid: Option<String>,
    password: Option<String>,
}

async fn login(State(gate): State<Gate>, arrival: Option<Extension<Arrival>>, body: Body) -> Result<Response, Response> {
    let Credentials { uid, password } = read(body).await?;
    let (Some(uid), Some(password)) = (uid, password) else {
        let description = "log in with uid and password; service accounts and other ways are not there yet";
        return Err(refuse(StatusCode::BAD_REQUEST, "ERR_INVALID_DATA", description));
    };
    let from = arrival.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |Extension(arrival)| arrival.address.ip());
    let now = u64::try_from(wall_clock().as_millis() / 1_000).unwrap_or(0);
    let token = gate.logins.log_in(&gate.handle.cluster().trust, &uid, &password, from, now).await;
    let token = token.map_err(|error| {
        let text = error.to_string();
        match error {
            LoginError::Credentials => {
                tracing::warn!(uid = %uid.chars().take(96).collect::<String>(), %from, "a login failed");
                let mut response = refuse(StatusCode::UNAUTHORIZED, "ERR_INVALID_CREDENTIALS", &text);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("acsjwt"));
                response
            }
            LoginError::TooMany(wait) => {
                let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "ERR_TOO_MANY_LOGINS", &text);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
                response
            }
            LoginError::NotReady => refuse(StatusCode::SERVICE_UNAVAILABLE, "ERR_UNAVAILABLE", &text),
        }
    })?;
    let mut response = body::ok(&json!({ "token": token }));
    set_cookie(&mut response, &format!("{COOKIE}={token}; Path=/; HttpOnly; Secure; SameSite=Strict"));
    Ok(response)
}

fn set_cookie(response: &mut Response, text: &str) {
    if let Ok(cookie) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

async fn logout() -> Response {
    let mut response = body::ok(&json!({}));
    set_cookie(&mut response, &format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"));
    response
}

async fn providers() -> Response {
    body::ok(&json!({
        "dcos-users": {
            "authentication-type": "dcos-uid-password",
            "client-method": "dcos-usercredential-post-receive-authtoken",
            "config": { "start_flow_url": "/acs/api/v1/auth/login" },
            "description": "Log in with a user name and a password"
        }
    }))
}

fn shown(user: &User) -> Value {
    json!({
        "uid": user.uid,
        "url": format!("/acs/api/v1/users/{}", user.uid),
        "description": user.description,
        "is_remote": false,
        "is_service": false,
        "provider_type": "internal",
        "provider_id": "",
    })
}

async fn list(State(gate): State<Gate>) -> Response {
    let users: Vec<Value> = gate.handle.cluster().trust.users.values().map(|user| shown(user)).collect();
    body::ok(&json!({ "array": users }))
}

async fn show(State(gate): State<Gate>, Path(uid): Path<String>) -> Response {
    match gate.handle.cluster().trust.users.get(uid.as_str()) {
        Some(user) => body::ok(&shown(user)),
        None => refuse_edit(&ControlError::Edit(TrustError::NoUser(uid).into())),
    }
}

#[derive(Deserialize)]
struct UserFields {
    description: Option<String>,
    password: Option<String>,
}

impl UserFields {
    fn check(&self) -> Result<(), Response> {
        let invalid = |text: String| Err(refuse(StatusCode::BAD_REQUEST, "ERR_INVALID_DATA", &text));
        if self.description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            return invalid(format!("a description has at most {DESCRIPTION_BYTES_MAX} bytes"));
        }
        match &self.password {
            Some(password) if password.chars().count() < PASSWORD_LETTERS_MIN || password.len() > PASSWORD_BYTES_MAX => {
                invalid(format!("a password has at least {PASSWORD_LETTERS_MIN} letters and at most {PASSWORD_BYTES_MAX} bytes"))
            }
            _ => Ok(()),
        }
    }
}

async fn hashed(password: String) -> Result<orrery_core::trust::Secret, Response> {
    let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
    let failed = |text: &str| refuse(StatusCode::INTERNAL_SERVER_ERROR, "ERR_INTERNAL", text);
    hashed.map_err(|error| failed(&error.to_string()))?.map_err(|error| failed(&error))
}

async fn create(State(gate): State<Gate>, Path(uid): Path<String>, body: Body) -> Result<Response, Response> {
    let fields: UserFields = read(body).await?;
    check_uid(&uid).map_err(|error| refuse(StatusCode::BAD_REQUEST, "ERR_INVALID_USER_ID", &error))?;
    fields.check()?;
    let Some(password) = fields.password else {
        let description = "a user needs a password; service accounts and other ways to log in are not there yet";
        return Err(refuse(StatusCode::BAD_REQUEST, "ERR_INVALID_DATA", description));
    };
    let user = User { uid, description: fields.description.unwrap_or_default(), password: hashed(password).await? };
    gate.handle.edit(move |draft| draft.create_user(user)).await.map_err(|error| refuse_edit(&error))?;
    Ok(StatusCode::CREATED.into_response())
}

async fn change(State(gate): State<Gate>, Path(uid): Path<String>, body: Body) -> Result<Response, Response> {
    let fields: UserFields = read(body).await?;
    fields.check()?;
    let password = match fields.password {
        Some(password) => Some(hashed(password).await?),
        None => None,
    };
    let changed = gate.handle.edit(move |draft| {
        draft.change_user(&uid, |user| {
            user.description = fields.description.unwrap_or_else(|| std::mem::take(&mut user.description));
            if let Some(password) = password {
                user.password = password;
            }
        })
    });
    changed.await.map_err(|error| refuse_edit(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn remove(State(gate): State<Gate>, Path(uid): Path<String>) -> Result<Response, Response> {
    gate.handle.edit(move |draft| draft.delete_user(&uid)).await.map_err(|error| refuse_edit(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
