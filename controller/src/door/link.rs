//! `/link/v1/…`: machines that join, agents' links and tunnels, and the commands of operators on
//! controllers' machines.

use super::machines::{Machines, Taken};
use super::{AgentDirectory, body, vouch};
use crate::handle::{ControlError, Handle};
use crate::links::AgentLink;
use crate::liveness::Signs;
use crate::trust::wall_clock;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use orrery_core::NodeId;
use orrery_core::assignment::Up;
use orrery_core::cluster::{Cluster, EditError};
use orrery_core::trust::{JoinToken, NodeCertificate, Secret, TrustError};
use orrery_link::authority::{Authority, Issued, Request as CertificateRequest, Validity};
use orrery_link::client::{CONTROLLERS_HEADER, JOIN_PATH, LINK_PATH, MACHINE_HEADER, RENEW_PATH, TUNNEL_PATH};
use orrery_link::identity::Identity;
use orrery_link::join::{
    JoinAnswer, JoinRequest, OperatorAnswer, OperatorRequest, RenewRequest, TOKENS_PATH, TokenLine, refusal,
};
use orrery_link::stream::{self, Accepted, LinkBody, LinkEnd, StreamOptions};
use orrery_link::token::Token;
use orrery_link::{token, tunnel};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Largest body of a request that is not a stream, bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest name of a machine, bytes.
const MACHINE_BYTES_MAX: usize = 64;

/// What these handlers work with.
#[derive(Clone)]
pub struct LinkDoor {
    /// The leader.
    pub handle: Handle,
    /// Where agents' own services become reachable.
    pub agents: Arc<AgentDirectory>,
    /// Where agents reach this controller.
    pub url: String,
    /// Life of the certificates of nodes.
    pub lifetime: Duration,
    /// Which machine is connected as which node.
    pub machines: Machines,
}

/// The routes. They say themselves who may ask, so that they need no other protection.
pub fn link_routes(door: LinkDoor) -> Router {
    Router::new()
        .route(JOIN_PATH, post(join))
        .route(RENEW_PATH, post(renew))
        .route(TOKENS_PATH, post(operate))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route(LINK_PATH, post(link))
        .route(TUNNEL_PATH, post(open_tunnel))
        .layer(axum::middleware::from_fn_with_state(door.handle.clone(), super::forward::to_leader))
        .with_state(door)
}

/// A refusal that agents understand: `code` for programs, `message` for people.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    body::answer(status, &json!({ "code": code, "message": message }))
}

fn refuse_edit(error: &ControlError) -> Response {
    let (status, code) = match error {
        ControlError::Edit(EditError::Trust(error)) => match error {
            TrustError::TokenUnknown => (StatusCode::FORBIDDEN, refusal::TOKEN_UNKNOWN),
            TrustError::TokenUsed { .. } => (StatusCode::FORBIDDEN, refusal::TOKEN_USED),
            TrustError::TokenExpired(_) => (StatusCode::FORBIDDEN, refusal::TOKEN_EXPIRED),
            TrustError::KeyUnknown(_) => (StatusCode::FORBIDDEN, refusal::KEY_UNKNOWN),
            TrustError::Revoked(_) => (StatusCode::FORBIDDEN, refusal::REVOKED),
            TrustError::NoToken(_) => (StatusCode::NOT_FOUND, ""),
            TrustError::NoAuthority => (StatusCode::SERVICE_UNAVAILABLE, ""),
            _ => (StatusCode::CONFLICT, ""),
        },
        ControlError::Edit(_) => (StatusCode::CONFLICT, ""),
        _ => (StatusCode::SERVICE_UNAVAILABLE, ""),
    };
    refuse(status, code, &error.to_string())
}

async fn read<T: DeserializeOwned>(request: Body) -> Result<T, Response> {
    let bytes = stream::read_body(request, BODY_BYTES_MAX).await;
    let bytes = bytes.map_err(|error| refuse(StatusCode::BAD_REQUEST, "", &format!("the request cannot be read: {error}")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, "", &format!("the request cannot be read: {error}")))
}

fn sign(
    cluster: &Cluster,
    request: &CertificateRequest,
    node: &NodeId,
    lifetime: Duration,
) -> Result<(Issued, String), TrustError> {
    let record = cluster.trust.authority.as_ref().ok_or(TrustError::NoAuthority)?;
    let failed = |error: orrery_link::authority::AuthorityError| TrustError::Certificate(error.to_string());
    let authority = Authority::from_pem(&record.certificate, record.key.reveal()).map_err(failed)?;
    let validity = Validity::starting(wall_clock(), lifetime);
    let issued = authority.issue(request, &Identity::node(&cluster.id, node), validity, &[], &[]).map_err(failed)?;
    Ok((issued, record.certificate.clone()))
}

fn recorded(issued: &Issued) -> NodeCertificate {
    NodeCertificate { serial: issued.serial.clone(), key: issued.key.to_string(), expires: issued.expires }
}

async fn join(State(door): State<LinkDoor>, request: Body) -> Result<Response, Response> {
    let asked: JoinRequest = read(request).await?;
    let request =
        CertificateRequest::parse(&asked.request).map_err(|error| refuse(StatusCode::BAD_REQUEST, "", &error.to_string()))?;
    let hostname: String = asked.hostname.chars().filter(|letter| !letter.is_control()).take(255).collect();
    let lifetime = door.lifetime;
    let joined = door.handle.edit(move |draft| {
        let key = request.key().to_string();
        let matches = |digest: &str| token::verify(&asked.secret, digest);
        let node = draft.check_join(&asked.token, matches, &key, asked.node.as_ref())?;
        let (issued, authority) = sign(draft.cluster(), &request, &node, lifetime)?;
        draft.join(&asked.token, &node, &hostname, recorded(&issued))?;
        Ok((node, issued, authority, draft.cluster().id.to_string()))
    });
    let (node, issued, authority, cluster) = joined.await.map_err(|error| {
        tracing::warn!(%error, "a machine may not join");
        refuse_edit(&error)
    })?;
    tracing::info!(%node, "a machine has joined");
    let controllers = door.handle.shared.controller_urls(&door.url);
    Ok(body::ok(&json!(JoinAnswer { cluster, node, certificate: issued.certificate, authority, controllers })))
}

/// Which node speaks, and with which certificate.
fn speaker(cluster: &Cluster, request: &Request) -> Result<(NodeId, String), Response> {
    let message = "this path is for agents: show a node's certificate over TLS 1.3";
    let (node, serial) = vouch::node(request).ok_or_else(|| refuse(StatusCode::FORBIDDEN, refusal::FOREIGN, message))?;
    known(cluster, node, serial)
}

/// A node that has left is told so.
fn known(cluster: &Cluster, node: NodeId, serial: String) -> Result<(NodeId, String), Response> {
    match cluster.retired.get(&node) {
        Some(retired) => Err(refuse(StatusCode::FORBIDDEN, refusal::RETIRED, &retired.sentence())),
        None => Ok((node, serial)),
    }
}

async fn renew(State(door): State<LinkDoor>, request: Request) -> Result<Response, Response> {
    let (node, serial) = speaker(&door.handle.cluster(), &request)?;
    let asked: RenewRequest = read(request.into_body()).await?;
    let request =
        CertificateRequest::parse(&asked.request).map_err(|error| refuse(StatusCode::BAD_REQUEST, "", &error.to_string()))?;
    let (lifetime, name) = (door.lifetime, node.clone());
    let renewed = door.handle.edit(move |draft| {
        draft.cluster().trust.admits(&name, &serial)?;
        let (issued, authority) = sign(draft.cluster(), &request, &name, lifetime)?;
        draft.renew(&name, &serial, recorded(&issued))?;
        Ok((issued, authority, draft.cluster().id.to_string()))
    });
    let (issued, authority, cluster) = renewed.await.map_err(|error| refuse_edit(&error))?;
    tracing::info!(%node, "a node has a new certificate");
    let controllers = door.handle.shared.controller_urls(&door.url);
    Ok(body::ok(&json!(JoinAnswer { cluster, node, certificate: issued.certificate, authority, controllers })))
}

/// Starts the answer of a stream.
fn streaming(door: &LinkDoor, body: LinkBody) -> Response {
    let mut response = Body::new(body).into_response();
    if let Ok(urls) = HeaderValue::from_str(&door.handle.shared.controller_urls(&door.url).join(",")) {
        response.headers_mut().insert(CONTROLLERS_HEADER, urls);
    }
    response
}

/// Takes note that a node is there with a certificate that counts. Writes only when that certificate
/// is new.
async fn confirm(door: &LinkDoor, node: &NodeId, serial: &str) -> Result<(), Response> {
    let (node, serial) = (node.clone(), serial.to_owned());
    let confirmed = door.handle.edit(move |draft| draft.confirm_certificate(&node, &serial)).await;
    confirmed.map_err(|error| refuse_edit(&error))
}

async fn link(State(door): State<LinkDoor>, request: Request) -> Result<Response, Response> {
    let (node, serial) = speaker(&door.handle.cluster(), &request)?;
    let machine = request.headers().get(MACHINE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let machine: String = machine.chars().take(MACHINE_BYTES_MAX).collect();
    let refused = |taken: Taken| {
        tracing::warn!(%node, "another machine shows the certificate of a node");
        refuse(StatusCode::CONFLICT, refusal::TAKEN, &taken.message(&node))
    };
    if let Some(taken) = door.machines.taken(&node, &machine) {
        return Err(refused(taken));
    }
    confirm(&door, &node, &serial).await?;
    let (body, opening) = stream::open(StreamOptions::CONTROLLER);
    // The certificate says who speaks, whatever the message says.
    let (name, signs) = (node.clone(), Arc::new(Signs::new()));
    let heard = Arc::clone(&signs);
    let link = opening.receive_if(request.into_body(), move |message: &Up| match message {
        Up::Register { facts, .. } if facts.id != name => Err(format!("it registers as {}, which it is not", facts.id)),
        Up::Heartbeat => {
            heard.note();
            Ok(Accepted::Noted)
        }
        _ => Ok(Accepted::Message),
    });
    let state = link.state.clone();
    if let Err(taken) = door.machines.enter(&node, machine, state.clone()) {
        state.end(LinkEnd::Left);
        return Err(refused(taken));
    }
    let (machines, handle) = (door.machines.clone(), door.handle.clone());
    tokio::spawn(async move {
        let why = state.ended().await;
        machines.leave(&node);
        if handle.cluster().retired.contains_key(&node) {
            // It was told to go, and how it went is no news.
            tracing::info!(%node, "the node has left the cluster");
        } else {
            tracing::info!(%node, %why, "the connection of an agent ended");
        }
    });
    door.handle.attach(AgentLink { down: link.outgoing, up: link.incoming, signs });
    Ok(streaming(&door, body))
}

async fn open_tunnel(State(door): State<LinkDoor>, request: Request) -> Result<Response, Response> {
    let (node, serial) = speaker(&door.handle.cluster(), &request)?;
    door.handle.cluster().trust.admits(&node, &serial).map_err(|error| refuse_edit(&EditError::from(error).into()))?;
    let (body, opening) = tunnel::open();
    let stream = opening.receive(request.into_body());
    let agents = Arc::clone(&door.agents);
    tokio::spawn(async move {
        let (sender, connection) = match tunnel::client::<Body>(stream).await {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%node, %error, "the tunnel of an agent does not work");
                return;
            }
        };
        let routes = Router::new().fallback(move |request: Request| through(sender.clone(), request));
        let registered = agents.insert(&node, routes);
        if let Err(error) = connection.await {
            tracing::debug!(%node, %error, "the tunnel of an agent ended");
        }
        agents.remove(&node, registered);
    });
    Ok(streaming(&door, body))
}

/// Passes a request on to the agent at the other end of a tunnel.
async fn through(mut sender: hyper::client::conn::http2::SendRequest<Body>, mut request: Request) -> Response {
    let unreachable = |error: String| {
        let message = format!("the agent cannot be reached: {error}; its node may be away, see `dcos node list`");
        body::answer(StatusCode::BAD_GATEWAY, &json!({ "message": message }))
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match format!("http://agent{path}").parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return body::answer(StatusCode::BAD_REQUEST, &json!({ "message": "the path cannot be forwarded" })),
    }
    *request.version_mut() = http::Version::HTTP_2;
    // These are between the client and the door.
    for name in ["host", "connection", "transfer-encoding", "keep-alive", "upgrade", "authorization", "cookie"] {
        request.headers_mut().remove(name);
    }
    if let Err(error) = sender.ready().await {
        return unreachable(error.to_string());
    }
    match sender.send_request(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => unreachable(error.to_string()),
    }
}

/// Commands of operators, who prove themselves with a controller's certificate: it lies where only
/// those who own a controller's data directory can read it.
async fn operate(State(door): State<LinkDoor>, request: Request) -> Result<Response, Response> {
    let cluster = door.handle.cluster();
    if !vouch::is_operator(&request) {
        return Err(refuse(StatusCode::FORBIDDEN, refusal::FOREIGN, "this path is for controllers' machines"));
    }
    let answer = match read::<OperatorRequest>(request.into_body()).await? {
        OperatorRequest::CreateToken { ttl_seconds, created_by } => {
            let record = cluster.trust.authority.as_ref();
            let record = record.ok_or_else(|| refuse_edit(&EditError::from(TrustError::NoAuthority).into()))?;
            let authority = Authority::from_pem(&record.certificate, record.key.reveal())
                .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, "", &error.to_string()))?;
            let token = Token::generate(authority.fingerprint());
            let now = door.handle.now();
            let record = JoinToken {
                id: token.id().to_owned(),
                digest: Secret::new(token.digest()),
                expires: now.plus_millis(i64::try_from(ttl_seconds).unwrap_or(i64::MAX / 2_000).saturating_mul(1_000)),
                created_at: now,
                created_by,
                used: None,
            };
            let expires = record.expires;
            door.handle.edit(move |draft| draft.create_token(record)).await.map_err(|error| refuse_edit(&error))?;
            OperatorAnswer::Created {
                token: token.to_string(),
                expires,
                controllers: door.handle.shared.controller_urls(&door.url),
            }
        }
        OperatorRequest::ListTokens => {
            let now = door.handle.now();
            let line = |token: &Arc<JoinToken>| TokenLine {
                id: token.id.clone(),
                created_at: token.created_at,
                created_by: token.created_by.clone(),
                expires: token.expires,
                expired: token.expires <= now,
                used_by: token.used.as_ref().map(|used| (used.node.clone(), used.hostname.clone())),
            };
            OperatorAnswer::Tokens { tokens: cluster.trust.tokens.values().map(line).collect() }
        }
        OperatorRequest::RevokeToken { id } => {
            door.handle.edit(move |draft| draft.revoke_token(&id)).await.map_err(|error| refuse_edit(&error))?;
            OperatorAnswer::Revoked
        }
    };
    Ok(body::ok(&json!(answer)))
}
