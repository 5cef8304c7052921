//! The cluster's own certificate authority.

use crate::fingerprint::Fingerprint;
use crate::identity::{Identity, Role, hexadecimal};
use orrery_core::Timestamp;
use rand::RngCore as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::time::Duration;

/// Life of the authority.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Life of a certificate unless configured otherwise.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Validity begins this long before now, so that clocks may differ a little.
pub const CLOCK_SKEW: Duration = Duration::from_secs(2 * 60 * 60);
/// Largest certificate request that is looked at, bytes of PEM.
pub const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Bytes of a serial number (RFC 5280 allows 20).
const SERIAL_BYTES: usize = 16;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The stored authority is damaged.
    #[error("the cluster's authority cannot be used: {0}")]
    Damaged(String),
    /// The request is no certificate request, or is not signed by the key it is for.
    #[error("the certificate request cannot be used: {0}")]
    Request(String),
    /// Signing failed.
    #[error("the certificate cannot be made: {0}")]
    Sign(String),
}

/// From when to when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment, milliseconds are dropped.
    pub from: Timestamp,
    /// Last moment.
    pub until: Timestamp,
}

impl Validity {
    /// From `now`, with room for clocks that are late, for `lifetime`.
    pub fn starting(now: Timestamp, lifetime: Duration) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
        Self { from: now.plus_millis(-millis(CLOCK_SKEW)), until: now.plus_millis(millis(lifetime)) }
    }
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its serial number, lower-case hexadecimal.
    pub serial: String,
    /// Fingerprint of the key it is for.
    pub key: Fingerprint,
    /// End of its validity.
    pub expires: Timestamp,
}

/// A private key in PEM and in use.
pub struct Key(KeyPair);

impl Key {
    /// A new key, ECDSA P-256.
    ///
    /// # Errors
    /// [`AuthorityError::Sign`] when the machine has no randomness.
    pub fn generate() -> Result<Self, AuthorityError> {
        KeyPair::generate().map(Self).map_err(|error| AuthorityError::Sign(error.to_string()))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`AuthorityError::Damaged`] when it is none.
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        KeyPair::from_pem(pem).map(Self).map_err(|error| AuthorityError::Damaged(error.to_string()))
    }

    /// PKCS#8 in PEM: a secret.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// Its public half, PEM.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// Fingerprint of its public half.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.subject_public_key_info())
    }

    /// A certificate request, PEM: says the public key and proves that the sender has the private one.
    ///
    /// # Errors
    /// [`AuthorityError::Sign`].
    pub fn request(&self) -> Result<String, AuthorityError> {
        let failed = |error: rcgen::Error| AuthorityError::Sign(error.to_string());
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.0).map_err(failed)?.pem().map_err(failed)
    }
}

/// A verified certificate request: its sender has the private key.
pub struct Request(rcgen::PublicKey);

impl Request {
    /// Reads and verifies a request. Names and usages it asks for are of no account.
    ///
    /// # Errors
    /// [`AuthorityError::Request`].
    pub fn parse(pem: &str) -> Result<Self, AuthorityError> {
        if pem.len() > REQUEST_BYTES_MAX {
            return Err(AuthorityError::Request(format!("it is longer than {REQUEST_BYTES_MAX} bytes")));
        }
        let parsed =
            CertificateSigningRequestParams::from_pem(pem).map_err(|error| AuthorityError::Request(error.to_string()))?;
        Ok(Self(parsed.public_key))
    }

    /// Fingerprint of the key.
    pub fn key(&self) -> Fingerprint {
        Fingerprint::of(&self.0.subject_public_key_info())
    }
}

/// The authority: signs for everybody in one cluster.
pub struct Authority {
    certificate: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes the authority of a cluster.
    ///
    /// # Errors
    /// [`AuthorityError::Sign`].
    pub fn create(cluster: &str, now: Timestamp) -> Result<Self, AuthorityError> {
        let failed = |error: rcgen::Error| AuthorityError::Sign(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Orrery");
        params.distinguished_name.push(DnType::CommonName, format!("Orrery authority of {cluster}"));
        // Its certificates are never parents of others.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params, Validity::starting(now, AUTHORITY_LIFETIME));
        params.serial_number = Some(serial());
        let certificate = params.self_signed(&key).map_err(failed)?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// Takes up an authority from its certificate and key.
    ///
    /// # Errors
    /// [`AuthorityError::Damaged`] when one is unreadable or they do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let damaged = |text: String| AuthorityError::Damaged(text);
        let pair = KeyPair::from_pem(key).map_err(|error| damaged(error.to_string()))?;
        let der = certificate_der(certificate)?;
        if fingerprint_of_certificate(&der)? != Fingerprint::of(&pair.subject_public_key_info()) {
            return Err(damaged("its key belongs to another certificate".into()));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, pair).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { certificate: certificate.to_owned(), der, issuer })
    }

    /// Its certificate, PEM; public.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Its certificate.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its private key, PEM: the secret of secrets.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Fingerprint of its public key, which join tokens carry.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.issuer.key().subject_public_key_info())
    }

    /// Issues a certificate for the key of a request. Controllers also serve browsers and `dcos`
    /// under `names` and `addresses`; nodes have neither.
    ///
    /// # Errors
    /// [`AuthorityError::Sign`].
    pub fn issue(
        &self,
        request: &Request,
        identity: &Identity,
        validity: Validity,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Issued, AuthorityError> {
        let failed = |error: rcgen::Error| AuthorityError::Sign(error.to_string());
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Orrery");
        params.distinguished_name.push(
            DnType::CommonName,
            match &identity.role {
                Role::Node(node) => node.to_string(),
                Role::Controller(name) => name.clone(),
            },
        );
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into().map_err(failed)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if matches!(identity.role, Role::Controller(_)) {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            for name in names {
                params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(failed)?));
            }
            params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, validity);
        let serial = serial();
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&request.0, &self.issuer).map_err(failed)?;
        Ok(Issued {
            certificate: certificate.pem(),
            serial: hexadecimal(&serial.to_bytes()),
            key: request.key(),
            expires: validity.until,
        })
    }
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    // `time` itself is no dependency of ours; its type supports adding a duration of std.
    let at = |moment: Timestamp| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(moment.as_millis() / 1000).unwrap_or(0))
    };
    params.not_before = at(validity.from);
    params.not_after = at(validity.until);
}

/// Positive, without a leading zero byte, so that DER and our text agree.
fn serial() -> SerialNumber {
    let mut bytes = [0; SERIAL_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// The first certificate of a PEM text.
///
/// # Errors
/// [`AuthorityError::Damaged`] when there is none.
pub fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| AuthorityError::Damaged(error.to_string()))
}

/// The private key of a PEM text.
///
/// # Errors
/// [`AuthorityError::Damaged`] when there is none.
pub fn key_der(pem: &str) -> Result<PrivateKeyDer<'static>, AuthorityError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| AuthorityError::Damaged(error.to_string()))
}

/// Fingerprint of a certificate's public key.
///
/// # Errors
/// [`AuthorityError::Damaged`] when it does not parse.
pub fn fingerprint_of_certificate(certificate: &CertificateDer<'_>) -> Result<Fingerprint, AuthorityError> {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| AuthorityError::Damaged(error.to_string()))?;
    Ok(Fingerprint::of(parsed.public_key().raw))
}
