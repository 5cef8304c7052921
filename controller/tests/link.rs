//! Joining, renewing, and who is refused: a leader behind its real front.

use axum::body::Body;
use orrery_controller::door::{AgentDirectory, LinkDoor, Machines, link_routes, vouch};
use orrery_controller::trust::{KeeperOptions, keep};
use orrery_controller::{Clock, Handle, LeaderOptions, Seeds, start};
use orrery_core::NodeId;
use orrery_core::assignment::{Down, PROTOCOL_VERSION, Up};
use orrery_core::node::NodeFacts;
use orrery_core::trust::{JoinToken, Secret};
use orrery_link::address::ControllerAddress;
use orrery_link::authority::{Authority, Key, certificate_der};
use orrery_link::client::{Connection, DialError, Dialer, JOIN_PATH, RENEW_PATH};
use orrery_link::join::{JoinAnswer, JoinRequest, RenewRequest, TOKENS_PATH, refusal};
use orrery_link::server::{Connections, ListenerOptions, serve};
use orrery_link::stream::{LinkChannels, StreamOptions};
use orrery_link::tls::{Certified, Trust, client_config};
use orrery_link::token::Token;
use orrery_net::ZoneHandle;
use orrery_store::Embedded;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

struct World {
    handle: Handle,
    address: ControllerAddress,
    directory: tempfile::TempDir,
    _stop: DropGuard,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let options = LeaderOptions {
            store: Arc::new(Embedded::in_memory().unwrap()),
            zone: ZoneHandle::new(),
            address: local,
            node_timeout: Duration::from_secs(60),
            clock: Clock::system(),
            entropy: Seeds::random(),
        };
        let (handle, _) = start(options, stop.clone()).await.unwrap();
        let connections = Connections::default();
        let keeper = keep(
            KeeperOptions {
                connections: connections.clone(),
                ..KeeperOptions::new(handle.clone(), "c1".into(), directory.path().join("admin-password"))
            },
            stop.clone(),
        );
        let door = LinkDoor {
            handle: handle.clone(),
            agents: Arc::new(AgentDirectory::default()),
            url: format!("https://{local}"),
            lifetime: Duration::from_secs(3_600),
            machines: Machines::default(),
        };
        let routes = link_routes(door);
        let answer = move |request: hyper::Request<hyper::body::Incoming>| {
            let routes = routes.clone();
            async move {
                let mut request = request.map(Body::new);
                match vouch(&mut request) {
                    Ok(()) => routes.oneshot(request).await,
                    Err(refusal) => Ok(refusal),
                }
            }
        };
        tokio::spawn(serve(listener, ListenerOptions { tls: keeper.tls, plain: true, connections }, answer, stop.clone()));
        let world = Self { handle, address: format!("https://{local}").parse().unwrap(), directory, _stop: stop.drop_guard() };
        let mut generation = world.handle.generation();
        while world.handle.cluster().trust.authority.is_none() {
            generation.changed().await.unwrap();
        }
        world
    }

    fn authority(&self) -> Authority {
        let record = self.handle.cluster().trust.authority.clone().unwrap();
        Authority::from_pem(&record.certificate, record.key.reveal()).unwrap()
    }

    async fn token(&self) -> Token {
        let token = Token::generate(self.authority().fingerprint());
        let now = self.handle.now();
        let record = JoinToken {
            id: token.id().into(),
            digest: Secret::new(token.digest()),
            expires: now.plus_millis(600_000),
            created_at: now,
            created_by: "test".into(),
            used: None,
        };
        self.handle.edit(move |draft| draft.create_token(record)).await.unwrap();
        token
    }

    /// Joins by a token; the certificate comes with the key.
    async fn join(&self, token: &Token, key: Key, node: Option<NodeId>) -> Result<(NodeId, Certified), DialError> {
        let dialer = Dialer { tls: client_config(Trust::Pinned(token.authority()), None).unwrap(), by: "token" };
        let question = JoinRequest {
            token: token.id().into(),
            secret: token.secret(),
            request: key.request().unwrap(),
            node,
            hostname: "host".into(),
        };
        let answer: JoinAnswer = dialer.connect(&self.address).await?.call(JOIN_PATH, &question).await?;
        let certified = Certified { certificate: answer.certificate, key: key.to_pem(), authority: answer.authority };
        Ok((answer.node, certified))
    }

    async fn connect(&self, own: &Certified) -> Connection {
        let trust = Trust::Authority(certificate_der(&own.authority).unwrap());
        Dialer { tls: client_config(trust, Some(own)).unwrap(), by: "node" }.connect(&self.address).await.unwrap()
    }

    /// Connects, registers as `node` and waits for the snapshot.
    async fn register(&self, own: &Certified, node: &NodeId, machine: &str) -> Result<Registered, DialError> {
        let connection = self.connect(own).await;
        let (mut link, _) = connection.open_link_if::<Down, Up>(StreamOptions::AGENT, machine, |_| Ok(())).await?;
        let register = Up::Register { protocol: PROTOCOL_VERSION, facts: Box::new(facts(node)), tasks: Vec::new() };
        link.outgoing.send(register).await.unwrap();
        let first = link.incoming.recv().await;
        Ok(Registered { connection, link, accepted: matches!(first, Some(Down::Snapshot { .. })) })
    }
}

struct Registered {
    connection: Connection,
    link: LinkChannels<Down, Up>,
    accepted: bool,
}

fn facts(node: &NodeId) -> NodeFacts {
    NodeFacts::new(node.clone(), "host".into(), "127.0.0.1".parse().unwrap())
}

fn code<T>(result: Result<T, DialError>) -> String {
    match result {
        Err(DialError::Refused { code, .. }) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn a_token_makes_a_node_and_nothing_else_does() {
    let world = World::start().await;
    let token = world.token().await;
    let (node, own) = world.join(&token, Key::generate().unwrap(), None).await.unwrap();
    assert!(world.register(&own, &node, "m1").await.unwrap().accepted);
    assert!(world.handle.cluster().nodes.contains_key(&node));

    assert_eq!(code(world.join(&token, Key::generate().unwrap(), None).await), refusal::TOKEN_USED);
    let unknown = Token::generate(world.authority().fingerprint());
    assert_eq!(code(world.join(&unknown, Key::generate().unwrap(), None).await), refusal::TOKEN_UNKNOWN);
    let elsewhere = Token::generate(Authority::create("other", world.handle.now()).unwrap().fingerprint());
    assert!(matches!(world.join(&elsewhere, Key::generate().unwrap(), None).await, Err(DialError::OtherCluster { .. })));

    // Another node's name, and a controller's commands, are not for this certificate.
    let other = NodeId::parse("somebody-S1").unwrap();
    assert!(!world.register(&own, &other, "m1").await.unwrap().accepted);
    assert!(!world.handle.cluster().nodes.contains_key(&other));
    let listed = world.connect(&own).await.call::<serde_json::Value>(TOKENS_PATH, &serde_json::json!("listTokens")).await;
    assert_eq!(code(listed), refusal::FOREIGN);
    assert!(world.directory.path().join("admin-password").exists());
}

#[tokio::test]
async fn one_machine_at_a_time_is_a_node() {
    let world = World::start().await;
    let (node, own) = world.join(&world.token().await, Key::generate().unwrap(), None).await.unwrap();
    let first = world.register(&own, &node, "m1").await.unwrap();
    assert_eq!(code(world.register(&own, &node, "m2").await), refusal::TAKEN);
    // The same machine may come anew, as after a crash that nobody has noticed yet.
    let again = world.register(&own, &node, "m1").await.unwrap();
    assert!(again.accepted);
    drop((first, again));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = world.register(&own, &node, "m2").await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_new_certificate_ends_the_old_one_when_it_is_shown() {
    let world = World::start().await;
    let (node, old) = world.join(&world.token().await, Key::generate().unwrap(), None).await.unwrap();
    let link = world.register(&old, &node, "m1").await.unwrap();
    let key = Key::generate().unwrap();
    let question = RenewRequest { request: key.request().unwrap() };
    let answer: JoinAnswer = link.connection.call(RENEW_PATH, &question).await.unwrap();
    let new = Certified { certificate: answer.certificate, key: key.to_pem(), authority: answer.authority };
    assert!(world.register(&old, &node, "m1").await.unwrap().accepted, "the old one holds until then");
    assert!(world.register(&new, &node, "m1").await.unwrap().accepted);
    assert_eq!(code(world.register(&old, &node, "m1").await), refusal::REVOKED);
    let renewed = world.connect(&old).await.call::<JoinAnswer>(RENEW_PATH, &question).await;
    assert_eq!(code(renewed), refusal::REVOKED);
}

#[tokio::test]
async fn a_node_whose_certificate_is_lost_comes_back_by_its_key() {
    let world = World::start().await;
    let key = Key::generate().unwrap();
    let pem = key.to_pem();
    let (node, old) = world.join(&world.token().await, key, None).await.unwrap();
    let stranger = world.join(&world.token().await, Key::generate().unwrap(), Some(node.clone())).await;
    assert_eq!(code(stranger), refusal::KEY_UNKNOWN);
    let (again, new) = world.join(&world.token().await, Key::from_pem(&pem).unwrap(), Some(node.clone())).await.unwrap();
    assert_eq!(again, node);
    assert!(world.register(&new, &node, "m1").await.unwrap().accepted);
    assert_eq!(code(world.register(&old, &node, "m1").await), refusal::REVOKED);
}

#[tokio::test]
async fn revocation_cuts_open_connections() {
    let world = World::start().await;
    let (node, own) = world.join(&world.token().await, Key::generate().unwrap(), None).await.unwrap();
    let mut registered = world.register(&own, &node, "m1").await.unwrap();
    let revoked = node.clone();
    world
        .handle
        .edit(move |draft| {
            draft.revoke_node(&revoked);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(code(world.register(&own, &node, "m1").await), refusal::REVOKED);
    // Well within the minute that is promised.
    let cut = tokio::time::timeout(Duration::from_secs(60), async { while registered.link.incoming.recv().await.is_some() {} });
    cut.await.expect("the connection is cut");
}
