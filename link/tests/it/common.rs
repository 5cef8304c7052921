//! A door that echoes, and those who knock.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use orrery_core::{NodeId, Timestamp};
use orrery_link::address::ControllerAddress;
use orrery_link::authority::{Authority, Key, Request as CertificateRequest, Validity};
use orrery_link::client::{self, Dialer};
use orrery_link::identity::Identity;
use orrery_link::server::{Arrival, Connections, ListenerOptions, serve};
use orrery_link::stream::{self, LinkBody, StreamOptions};
use orrery_link::tls::{Certified, Trust, client_config, server_config};
use orrery_link::{join, tunnel};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const CLUSTER: &str = "11111111-2222-4333-8444-555555555555";
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

pub(crate) fn node() -> Identity {
    Identity::node(CLUSTER, &NodeId::parse(&format!("{CLUSTER}-S7")).unwrap())
}

pub(crate) fn controller() -> Identity {
    Identity::controller(CLUSTER, "c1").unwrap()
}

pub(crate) fn valid() -> Validity {
    Validity::starting(now(), DAY)
}

pub(crate) fn expired() -> Validity {
    Validity { from: now().plus_millis(-7_200_000), until: now().plus_millis(-3_600_000) }
}

pub(crate) fn future() -> Validity {
    Validity { from: now().plus_millis(3_600_000), until: now().plus_millis(7_200_000) }
}

pub(crate) fn certify(authority: &Authority, identity: &Identity, validity: Validity) -> Certified {
    let key = Key::generate().unwrap();
    let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
    let issued =
        authority.issue(&request, identity, validity, &["localhost".into()], &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
    Certified { certificate: issued.certificate, key: key.to_pem(), authority: authority.certificate_pem().to_owned() }
}

pub(crate) struct Door {
    pub(crate) address: ControllerAddress,
    pub(crate) connections: Connections,
    pub(crate) tls: watch::Sender<Option<std::sync::Arc<rustls::ServerConfig>>>,
    _stop: DropGuard,
}

/// `/link/v1/agent` sends back what it hears; `/link/v1/join` tells who asks; the tunnel's far end
/// is asked for `/hello` and its answer is the answer of `/through`.
pub(crate) async fn door(own: &Certified, plain: bool) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (tls, source) = watch::channel(Some(server_config(own).unwrap()));
    let connections = Connections::default();
    let options = ListenerOptions { tls: source, plain, connections: connections.clone() };
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, options, answer, stop.clone()));
    Door { address, connections, tls, _stop: stop.drop_guard() }
}

async fn answer(request: Request<Incoming>) -> Result<Response<LinkBody>, Infallible> {
    let arrival = request.extensions().get::<Arrival>().unwrap().clone();
    let body = match request.uri().path() {
        client::LINK_PATH => {
            let (body, opening) = stream::open::<String>(StreamOptions { incoming: 4, outgoing: 4, ..StreamOptions::CONTROLLER });
            let mut link = opening.receive::<String, _>(request.into_body());
            tokio::spawn(async move {
                while let Some(message) = link.incoming.recv().await {
                    if link.outgoing.send(message).await.is_err() {
                        return;
                    }
                }
            });
            body
        }
        client::TUNNEL_PATH => {
            let (body, opening) = tunnel::open();
            let stream = opening.receive(request.into_body());
            tokio::spawn(async move {
                let (mut sender, connection) = tunnel::client::<LinkBody>(stream).await.unwrap();
                tokio::spawn(connection);
                let question = Request::builder().uri("http://agent/hello").body(stream::whole_body(Bytes::new())).unwrap();
                let response = sender.send_request(question).await.unwrap();
                let bytes = stream::read_body(response.into_body(), 1 << 26).await.unwrap();
                let question = Request::builder().uri("http://agent/heard").body(stream::whole_body(bytes)).unwrap();
                sender.send_request(question).await.unwrap();
            });
            body
        }
        client::JOIN_PATH => client::json_body(&arrival.peer.map(|peer| peer.identity.to_string())),
        _ => {
            let refusal = serde_json::json!({"code": join::refusal::REVOKED, "message": "No."});
            let mut response = Response::new(client::json_body(&refusal));
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Ok(response);
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(client::CONTROLLERS_HEADER, "https://a:1, https://b:2".parse().unwrap());
    Ok(response)
}

pub(crate) fn dialer(authority: &Authority, own: Option<&Certified>) -> Dialer {
    let trust = Trust::Authority(authority.certificate().clone());
    Dialer { tls: client_config(trust, own).unwrap(), by: "node" }
}
