//! TLS of doors and links: who is believed, and who is asked for a certificate.

use crate::authority::{AuthorityError, certificate_der, fingerprint_of_certificate, key_der};
use crate::fingerprint::Fingerprint;
use crate::identity::{Peer, Role};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, ServerConfig, SignatureScheme, version,
};
use std::sync::Arc;

/// Protocols of a door, preferred first.
const ALPN_DOOR: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Protocol of links.
const ALPN_LINK: &[u8] = b"h2";

/// A certificate with its key and the authority that made it, all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its private key: a secret.
    pub key: String,
    /// The authority's certificate.
    pub authority: String,
}

impl std::fmt::Debug for Certified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certified").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key is damaged.
    #[error(transparent)]
    Pem(#[from] AuthorityError),
    /// They do not fit together.
    #[error("the certificate cannot be used: {0}")]
    Config(String),
}

/// Whom a client believes.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Controllers with a certificate of this authority.
    Authority(CertificateDer<'static>),
    /// Controllers with a certificate of the authority that has this public key: what a join token says.
    Pinned(Fingerprint),
}

/// Why a server is not the controller that a client looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Another authority vouches for it, or none.
    #[error("it belongs to another cluster")]
    Authority,
    /// It is in the cluster, but no controller.
    #[error("it is no controller")]
    Role,
    /// Its certificate has expired, or is not valid yet, by this machine's clock.
    #[error("its certificate does not hold at this machine's time")]
    Time,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| TlsError::Config(error.to_string()))?;
    Ok(roots)
}

/// A door's TLS, 1.2 and later: clients may show a certificate, and then it must be the authority's.
/// Sessions are not resumed, so that every connection shows whether its certificate still holds.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(own: &Certified) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |error: rustls::Error| TlsError::Config(error.to_string());
    let authority = certificate_der(&own.authority)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&authority)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Config(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(failed)?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate_der(&own.certificate)?, authority], key_der(&own.key)?)
        .map_err(failed)?;
    config.alpn_protocols = ALPN_DOOR.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A link's TLS, 1.3 only: believes controllers alone, whatever address they have, and shows
/// `certificate` when there is one.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(trust: Trust, own: Option<&Certified>) -> Result<Arc<ClientConfig>, TlsError> {
    let failed = |error: rustls::Error| TlsError::Config(error.to_string());
    let provider = provider();
    let verifier = ControllerVerifier { trust, algorithms: provider.signature_verification_algorithms };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        Some(own) => {
            builder.with_client_auth_cert(vec![certificate_der(&own.certificate)?], key_der(&own.key)?).map_err(failed)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_LINK.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Believes controllers by the identity in their certificate. Host names do not count, so that any
/// address that leads to a controller works.
#[derive(Debug)]
struct ControllerVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

fn distrust(why: Distrust) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

impl ControllerVerifier {
    fn authority(&self, chain: &[CertificateDer<'_>]) -> Option<CertificateDer<'static>> {
        match &self.trust {
            Trust::Authority(authority) => Some(authority.clone()),
            // The server sends its authority along; only the one with the right key is believed.
            Trust::Pinned(pin) => chain
                .iter()
                .find(|certificate| fingerprint_of_certificate(certificate).is_ok_and(|found| found.matches(pin)))
                .map(|certificate| certificate.clone().into_owned()),
        }
    }
}

impl ServerCertVerifier for ControllerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = self.authority(intermediates).ok_or_else(|| distrust(Distrust::Authority))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|_| distrust(Distrust::Authority))?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let verified =
            rustls::client::verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, self.algorithms.all);
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => distrust(Distrust::Time),
            rustls::Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            ) => distrust(Distrust::Role),
            _ => distrust(Distrust::Authority),
        })?;
        match Peer::of(end_entity) {
            Ok(Peer { identity, .. }) if matches!(identity.role, Role::Controller(_)) => Ok(ServerCertVerified::assertion()),
            _ => Err(distrust(Distrust::Role)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A client of the door as browsers and `dcos` are: believes the authority and checks the host name.
///
/// # Errors
/// [`TlsError`].
pub fn door_client_config(authority: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let failed = |error: rustls::Error| TlsError::Config(error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(&certificate_der(authority)?)?), provider())
        .build()
        .map_err(|error| TlsError::Config(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
