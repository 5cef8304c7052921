//! Who is believed.

use crate::common::{CLUSTER, certify, controller, dialer, door, expired, future, node, now, valid};
use orrery_link::authority::{Authority, AuthorityError, Key, Request};
use orrery_link::client::{DialError, Dialer, JOIN_PATH};
use orrery_link::credentials::{Credentials, CredentialsError};
use orrery_link::identity::Peer;
use orrery_link::tls::{Certified, Trust, client_config, server_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn authority() -> Authority {
    Authority::create(CLUSTER, now()).unwrap()
}

#[tokio::test]
async fn servers_are_controllers_of_the_same_authority_or_refused() {
    let (own, other) = (authority(), authority());
    let cases = [
        (certify(&own, &controller(), valid()), None),
        (certify(&other, &controller(), valid()), Some("another cluster")),
        (certify(&own, &node(), valid()), Some("no controller")),
        (certify(&own, &controller(), expired()), Some("set the clocks")),
        (certify(&own, &controller(), future()), Some("set the clocks")),
    ];
    for (certified, expected) in cases {
        let door = door(&certified, false).await;
        let node_says = dialer(&own, None).connect(&door.address).await.err().map(|error| error.to_string());
        let pin = Dialer { tls: client_config(Trust::Pinned(own.fingerprint()), None).unwrap(), by: "token" };
        let token_says = pin.connect(&door.address).await.err().map(|error| error.to_string());
        for said in [node_says, token_says] {
            match expected {
                None => assert_eq!(said, None),
                Some(part) => assert!(said.as_deref().is_some_and(|said| said.contains(part)), "{said:?} lacks {part}"),
            }
        }
    }
}

#[tokio::test]
async fn an_authority_that_is_only_sent_along_is_not_believed() {
    // The true authority's certificate is public: it may be shown by anybody, and signs nothing.
    let (own, other) = (authority(), authority());
    let mut forged = certify(&other, &controller(), valid());
    forged.authority = own.certificate_pem().to_owned();
    let door = door(&forged, false).await;
    let pin = Dialer { tls: client_config(Trust::Pinned(own.fingerprint()), None).unwrap(), by: "token" };
    assert!(matches!(pin.connect(&door.address).await.err(), Some(DialError::OtherCluster { by: "token", .. })));
}

#[tokio::test]
async fn clients_have_a_valid_certificate_or_none() {
    let (own, other) = (authority(), authority());
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let self_signed = {
        // An authority's own certificate is signed by itself.
        Certified { certificate: other.certificate_pem().into(), key: other.key_pem(), authority: own.certificate_pem().into() }
    };
    let cases = [
        (None, Ok(None)),
        (Some(certify(&own, &node(), valid())), Ok(Some(node().to_string()))),
        (Some(certify(&own, &controller(), valid())), Ok(Some(controller().to_string()))),
        (Some(certify(&own, &node(), expired())), Err("expired")),
        (Some(certify(&own, &node(), future())), Err("certificate")),
        (Some(certify(&other, &node(), valid())), Err("authority of that cluster")),
        (Some(self_signed), Err("certificate")),
    ];
    for (certified, expected) in cases {
        let answer = async {
            let connection = dialer(&own, certified.as_ref()).connect(&door.address).await?;
            connection.call::<Option<String>>(JOIN_PATH, &()).await
        };
        match (answer.await, expected) {
            (Ok(answer), Ok(expected)) => assert_eq!(answer, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error} lacks {part}"),
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_controller_is_named() {
    let own = authority();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let error = dialer(&own, None).connect(&format!("https://{address}").parse().unwrap()).await.err().unwrap();
    assert!(matches!(&error, DialError::NotController { reason, .. } if reason.contains("TLS")), "{error}");
    assert!(!error.is_passing());

    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = dialer(&own, None).connect(&format!("https://{free}").parse().unwrap()).await.err().unwrap();
    assert!(matches!(error, DialError::Closed { .. }) && error.is_passing(), "{error}");

    let door = door(&certify(&own, &controller(), valid()), false).await;
    let connection = dialer(&own, None).connect(&door.address).await.unwrap();
    let error = connection.call::<()>("/elsewhere", &()).await.err().unwrap();
    assert_eq!(error, DialError::Refused { status: 403, code: "certificate-revoked".into(), message: "No.".into() });
}

#[tokio::test]
async fn plain_http_is_told_or_served() {
    let own = authority();
    for plain in [false, true] {
        let door = door(&certify(&own, &controller(), valid()), plain).await;
        let mut tcp = tokio::net::TcpStream::connect((door.address.host(), door.address.port())).await.unwrap();
        tcp.write_all(b"POST /link/v1/join HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        let expected = if plain { "HTTP/1.1 200 OK" } else { "HTTP/1.1 400 Bad Request" };
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.contains("speaks TLS only"), !plain, "{text}");
    }
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_old_ones_go_on() {
    let own = authority();
    let door = door(&certify(&own, &controller(), valid()), false).await;
    let dialer = dialer(&own, None);
    let before = dialer.connect(&door.address).await.unwrap();
    door.tls.send_replace(Some(server_config(&certify(&own, &controller(), valid())).unwrap()));
    let after = dialer.connect(&door.address).await.unwrap();
    assert_ne!(before.peer().serial, after.peer().serial);
    assert_eq!(before.call::<Option<String>>(JOIN_PATH, &()).await, Ok(None));
}

#[test]
fn certificates_tell_what_was_issued() {
    let own = authority();
    let key = Key::generate().unwrap();
    let request = Request::parse(&key.request().unwrap()).unwrap();
    assert_eq!(request.key(), key.fingerprint());
    let issued = own.issue(&request, &node(), valid(), &[], &[]).unwrap();
    let peer = Peer::of(&orrery_link::authority::certificate_der(&issued.certificate).unwrap()).unwrap();
    assert_eq!((&peer.serial, peer.key), (&issued.serial, key.fingerprint()));
    assert_eq!(peer.identity, node());
    assert_eq!(peer.not_after, issued.expires.as_millis() / 1000);

    let again = Authority::from_pem(own.certificate_pem(), &own.key_pem()).unwrap();
    assert_eq!(again.fingerprint(), own.fingerprint());
    let foreign = authority();
    assert!(matches!(Authority::from_pem(own.certificate_pem(), &foreign.key_pem()), Err(AuthorityError::Damaged(_))));
    for text in ["", "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n", &"x".repeat(100_000)] {
        assert!(matches!(Request::parse(text), Err(AuthorityError::Request(_))));
    }
    assert!(Peer::of(own.certificate()).is_err(), "the authority is nobody's identity");
}

#[test]
fn credentials_are_kept_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    assert!(Credentials::read(directory.path()).unwrap().is_none());
    let certified = certify(&authority(), &node(), valid());
    let own = Credentials {
        cluster: CLUSTER.into(),
        node: orrery_core::NodeId::parse("n-S1").unwrap(),
        certificate: certified.certificate,
        key: certified.key,
        authority: certified.authority,
        controllers: vec!["https://a:1".into()],
    };
    own.write(directory.path()).unwrap();
    own.write(directory.path()).unwrap();
    assert_eq!(Credentials::read(directory.path()).unwrap(), Some(own.clone()));
    assert!(!format!("{own:?}").contains("PRIVATE"));
    let path = Credentials::path(directory.path());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Credentials::read(directory.path()), Err(CredentialsError::Open { mode: 0o644, .. })));
    std::fs::remove_file(&path).unwrap();
    orrery_link::credentials::write_private(&path, b"{").unwrap();
    assert!(matches!(Credentials::read(directory.path()), Err(CredentialsError::Damaged { .. })));
}
