//! Who speaks, as a controller's front found out by certificates: told to handlers, and to the
//! leader when a follower passes the request on.

use super::body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use orrery_core::NodeId;
use orrery_link::identity::Role;
use orrery_link::join::refusal;
use orrery_link::protocol::{PROTOCOL_HEADER, Versions};
use orrery_link::server::Arrival;
use serde_json::json;

/// Tells the node that speaks. It counts only when a front has set it.
pub const NODE_HEADER: &str = "orrery-node";
/// Serial number of that node's certificate.
pub const SERIAL_HEADER: &str = "orrery-serial";
/// Tells the controller on whose machine an operator speaks.
pub const OPERATOR_HEADER: &str = "orrery-operator";
/// Marks a request that another controller has handed on.
pub const FORWARDED_HEADER: &str = "orrery-forwarded-by";
/// Where controllers get everything that the cluster knows, secrets too.
const CONTROLLERS_ONLY: &str = "/link/v1/replica";

/// Where programs of this cluster speak with each other.
const LINKS: &str = "/link/v1/";

/// Proof that [`vouch`] has looked at a request: its headers are ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vouched;

/// Replaces what a request says of its sender by what the connection proves. The word of another
/// controller counts for what it hands on.
///
/// # Errors
/// The answer to a request for controllers from somebody else.
pub fn vouch(request: &mut Request) -> Result<(), Response> {
    // Links are TLS 1.3; what comes with an older one proves nothing here.
    let arrival = request.extensions().get::<Arrival>().cloned();
    let peer = arrival.filter(|arrival| arrival.secure && arrival.modern).and_then(|arrival| arrival.peer);
    let is_controller = peer.as_ref().is_some_and(|peer| peer.controller().is_some());
    if request.uri().path().starts_with(CONTROLLERS_ONLY) && !is_controller {
        let message = "this path is for controllers: show a controller's certificate";
        return Err(body::answer(StatusCode::FORBIDDEN, &json!({ "message": message })));
    }
    if request.uri().path().starts_with(LINKS) {
        understood(request.headers(), is_controller)?;
    }
    let headers = request.headers_mut();
    if !(is_controller && headers.contains_key(FORWARDED_HEADER)) {
        for name in [NODE_HEADER, SERIAL_HEADER, OPERATOR_HEADER, FORWARDED_HEADER] {
            headers.remove(name);
        }
        match peer.as_deref().map(|peer| (&peer.identity.role, &peer.serial)) {
            Some((Role::Node(node), serial)) => {
                set(headers, NODE_HEADER, node.as_str());
                set(headers, SERIAL_HEADER, serial);
            }
            Some((Role::Controller(name), _)) => set(headers, OPERATOR_HEADER, name),
            None => {}
        }
    }
    request.extensions_mut().insert(Vouched);
    Ok(())
}

/// Who speaks no version of the protocol that this controller understands is told so, before anything
/// of what it says is read.
fn understood(headers: &HeaderMap, is_controller: bool) -> Result<(), Response> {
    let told = headers.get(PROTOCOL_HEADER).map(|value| value.to_str().ok().and_then(Versions::parse));
    let spoken = Versions::spoken();
    let message = match told.unwrap_or_else(|| Some(Versions::untold())) {
        Some(theirs) if spoken.agree(theirs).is_some() => return Ok(()),
        Some(theirs) => {
            let other = if is_controller { "the other controller" } else { "the node" };
            spoken.refusal("this controller", other, theirs)
        }
        None => format!("the header {PROTOCOL_HEADER} is no range of versions"),
    };
    tracing::warn!("{message}");
    Err(body::answer(StatusCode::UPGRADE_REQUIRED, &json!({ "code": refusal::PROTOCOL, "message": message })))
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn text<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.extensions().get::<Vouched>()?;
    request.headers().get(name)?.to_str().ok()
}

/// The node that speaks, and the serial number of its certificate.
pub(crate) fn node(request: &Request) -> Option<(NodeId, String)> {
    let node = NodeId::parse(text(request, NODE_HEADER)?).ok()?;
    Some((node, text(request, SERIAL_HEADER)?.to_owned()))
}

/// Whether an operator on a controller's machine speaks.
pub(crate) fn is_operator(request: &Request) -> bool {
    text(request, OPERATOR_HEADER).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use orrery_link::fingerprint::Fingerprint;
    use orrery_link::identity::{Identity, Peer};
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    fn request(identity: Option<&str>, modern: bool, path: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(Body::empty()).unwrap();
        let peer = identity.map(|identity| {
            let identity: Identity = identity.parse().unwrap();
            Arc::new(Peer { identity, serial: "5e".into(), key: Fingerprint::of(b""), not_before: 0, not_after: 0 })
        });
        let address = "10.0.0.1:1".parse().unwrap();
        let connection = CancellationToken::new();
        request.extensions_mut().insert(Arrival { address, secure: true, modern, peer, connection });
        request
    }

    #[test]
    fn nobody_speaks_for_others_but_controllers() {
        let forged = [(NODE_HEADER, "c-S9"), (SERIAL_HEADER, "99"), (OPERATOR_HEADER, "me"), (FORWARDED_HEADER, "c2")];
        let cases = [
            (None, true, None, false),
            (Some("orrery://c/node/c-S1"), true, Some("c-S1"), false),
            (Some("orrery://c/node/c-S1"), false, None, false),
            (Some("orrery://c/controller/c2"), true, Some("c-S9"), true),
            (Some("orrery://c/controller/c2"), false, None, false),
        ];
        for (identity, modern, expected, operator) in cases {
            let mut request = request(identity, modern, "/link/v1/agent", &forged);
            assert_eq!(node(&request), None, "before a front has looked");
            vouch(&mut request).unwrap();
            assert_eq!(node(&request).map(|(node, _)| node.to_string()).as_deref(), expected, "{identity:?}");
            assert_eq!(is_operator(&request), operator, "{identity:?}");
        }
        let mut direct = request(Some("orrery://c/controller/operator"), true, "/link/v1/tokens", &forged[..3]);
        vouch(&mut direct).unwrap();
        assert!(is_operator(&direct) && node(&direct).is_none());
        let mut passed_on = request(Some("orrery://c/controller/c2"), true, "/link/v1/tokens", &forged[3..]);
        vouch(&mut passed_on).unwrap();
        assert!(!is_operator(&passed_on), "a follower that passes something on is no operator");
    }

    #[test]
    fn what_controllers_know_is_for_controllers() {
        for (identity, allowed) in
            [(None, false), (Some("orrery://c/node/c-S1"), false), (Some("orrery://c/controller/c2"), true)]
        {
            let mut request = request(identity, true, "/link/v1/replica", &[]);
            assert_eq!(vouch(&mut request).is_ok(), allowed, "{identity:?}");
        }
    }
}
